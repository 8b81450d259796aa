"""The commands, and the one place that turns an error into a message and an exit code."""

from __future__ import annotations

import errno
import gc
import os
import pkgutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from ptx.cli.streams import NO_SPACE, UNWRITABLE, echo, mute, open_streams
from ptx.cli.terminal import print_error
from ptx.infer.errors import PtxError, UsageError, did_you_mean, install_hint, quote

# command → (module:attribute, its line in `ptx --help`). Literal, so that help imports no command.
COMMANDS = {
    "models": (
        "ptx.cli.commands.models:models",
        "List the models, and which are trained and exported.",
    ),
    "train": ("ptx.cli.commands.train:train", "Train a model and write its checkpoint."),
    "export": (
        "ptx.cli.commands.export:export",
        "Export a model and verify that the file computes the same.",
    ),
    "predict": ("ptx.cli.commands.predict:predict", "Predict images, texts or numbers."),
    "run": ("ptx.cli.commands.run:run", "Run a model on arrays in .npy or .npz files."),
    "evaluate": (
        "ptx.cli.commands.evaluate:evaluate",
        "Print accuracy and confusion matrix on the test data.",
    ),
    "compare": (
        "ptx.cli.commands.compare:compare",
        "Compare the outputs of all backends with float64.",
    ),
    "diff": ("ptx.cli.commands.diff:diff", "Find the first wrong node of an exported file."),
    "report": (
        "ptx.cli.commands.report:report",
        "Write an HTML page about a model: curves, errors, backends.",
    ),
    "benchmark": (
        "ptx.cli.commands.benchmark:benchmark",
        "Measure latency, throughput, start time and memory.",
    ),
    "verify": (
        "ptx.cli.commands.verify:verify",
        "Check the digest of a file and replay its golden samples.",
    ),
    "sign": ("ptx.cli.commands.sign:sign", "Sign a file with a key or a certificate."),
    "inspect": (
        "ptx.cli.commands.inspect:inspect",
        "Show the manifest of a file without running its code.",
    ),
    "serve": ("ptx.cli.commands.serve:serve", "Serve models over HTTP and gRPC."),
    "doctor": ("ptx.cli.commands.doctor:doctor", "Check which backends work on this machine."),
    "completion": (
        "ptx.cli.commands.completion:completion",
        "Print a completion script for bash, zsh or fish.",
    ),
}

# What the extra `train` installs, for the commands that train, export or compare.
TRAINING = ("torch", "torchvision", "onnx", "onnxscript", "matplotlib", "jinja2")

_GC_THRESHOLD = 50_000  # objects between two collections, instead of 700
_BROKEN_PIPE = 141  # 128 + SIGPIPE, as shells report it
_INTERRUPTED = 130  # 128 + SIGINT
# Messages of the dynamic linker, the system, and Python after a failed allocation in an extension.
_NO_MEMORY = (
    "failed to map segment from shared object",
    "annot allocate memory",
    "error return without exception set",
)


class Commands(click.Group):
    """A group whose commands are imported when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = pkgutil.resolve_name(COMMANDS[cmd_name][0])
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UsageError(
                f"there is no command {quote(args[0])}; {did_you_mean(args[0], COMMANDS)}"
            )
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands; none of them is imported for its help."""
        commands = [
            CompletionItem(name, help=text)
            for name, (_, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return commands + super(click.Group, self).shell_complete(ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        # Caught here because click turns a broken pipe into exit status 1.
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return _stop_output()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, _, value: _version(ctx) if value else None,
    help="Show the versions of ptx and of the libraries that it uses.",
)
def ptx() -> None:
    """Train PyTorch models, export them and predict with them. All backends are verified to agree.

    \b
    ptx train convnet
    ptx export convnet --format onnx
    ptx predict digit.png --backend ort-cpu
    """


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    # NumPy multiplies only small arrays here, and starting its threads takes 10 % of a short command.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # ptx only writes files; and matplotlib cannot be imported if this variable is set to an empty name.
    os.environ["MPLBACKEND"] = "agg"
    # Imported modules are not garbage: searching them repeatedly takes 5 % of a short command.
    gc.set_threshold(_GC_THRESHOLD)
    open_streams()
    try:
        code = _run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BrokenPipeError:
        code = _stop_output()
    except OSError as error:
        code = _report_error(error)
    try:
        sys.stderr.flush()
    except OSError:
        mute(sys.stderr)
    if "matplotlib" in sys.modules:
        sys.exit(code)  # at exit matplotlib removes the temporary folder that it may have
    # All files are closed. Unloading the libraries takes longer than some commands, and ONNX Runtime
    # can hang while it is unloaded (microsoft/onnxruntime#27379).
    os._exit(code)


def _run() -> int:
    with _recording_interrupts() as interrupts:
        return _run_command(interrupts)


@contextmanager
def _recording_interrupts() -> Iterator[list[int]]:
    """Record Ctrl-C, because PyTorch turns some KeyboardInterrupts into other errors."""
    recorded: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        recorded.append(number)
        raise KeyboardInterrupt

    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not is_default or threading.current_thread() is not threading.main_thread():
        yield recorded
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield recorded
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _run_command(interrupts: list[int]) -> int:
    debug = "--debug" in sys.argv
    try:
        code = ptx.main(prog_name="ptx", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        echo(error.ctx.get_help() if error.ctx else error.format_message())
        return 2
    except click.ClickException as error:
        print_error(f"[E-USAGE] {error.format_message()}{_usage_hint(error)}")
        return 2
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED
    except SystemExit as error:  # from click's completion
        return error.code if isinstance(error.code, int) else 0
    except BrokenPipeError:
        return _stop_output()
    except Exception as error:
        if interrupts:
            return _INTERRUPTED
        if debug:
            raise
        return _report_error(error)
    return code if isinstance(code, int) else 0


def _usage_hint(error: click.ClickException) -> str:
    """A hint that is added to the message of click."""
    if isinstance(error, click.NoSuchOption) and error.option_name.lstrip("-")[:1].isdigit():
        return " Write -- before a negative number."
    if isinstance(error, click.MissingParameter) and error.ctx:
        return f" See {error.ctx.command_path} --help"
    return ""


def _report_error(error: Exception) -> int:
    if isinstance(error, PtxError):
        print_error(f"[{error.code}] {error}")
        return error.exit_code
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        mute(sys.stdout)
        code = "E-OUT-SPACE" if error.errno in NO_SPACE else "E-OUT"
        why = "standard output is closed" if error.errno == errno.EBADF else error.strerror
        print_error(f"[{code}] the output cannot be written: {why}")
        return 5
    if isinstance(error, ModuleNotFoundError) and error.name in TRAINING:
        print_error(f"[E-BACKEND] {error.name} is not installed: {install_hint('train')}")
        return 3
    if _is_out_of_memory(error):
        print_error("[E-MEMORY] out of memory")
        return 6
    print_error(
        f"[E-BUG] {type(error).__name__}: {error}. This is a bug in ptx: please report it with the"
        " output of --debug"
    )
    return 1


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, also while a library was loaded or in an extension module."""
    is_memory_error = isinstance(error, MemoryError) or getattr(error, "errno", 0) == errno.ENOMEM
    cause = error.__cause__ or error.__context__
    return (
        is_memory_error
        or any(text in str(error) for text in _NO_MEMORY)
        or (cause is not None and _is_out_of_memory(cause))
    )


def _stop_output() -> int:
    """Print nothing more, because the reader of the pipe has closed it."""
    mute(sys.stdout)
    return _BROKEN_PIPE


def _version(ctx: click.Context) -> None:
    from importlib.metadata import PackageNotFoundError, version

    echo(f"ptx {version('ptx-toolkit')}")
    for package in (
        "torch",
        "torchvision",
        "onnx",
        "onnxscript",
        "onnxruntime",
        "onnxruntime-gpu",
        "numpy",
        "pillow",
    ):
        try:
            echo(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    ctx.exit()
