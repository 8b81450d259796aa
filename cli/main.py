"""The verbs, and the one place where an error becomes a message and an exit code."""

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
from ptx.infer.errors import PtxError, UsageError, installing, nearest, quote

# verb → (module:attribute, what `ptx --help` says). Literal, so that help imports no verb.
VERBS = {
    "models": (
        "ptx.cli.commands.models:models",
        "What can be trained, what is trained, what is exported.",
    ),
    "train": ("ptx.cli.commands.train:train", "Train a model and write its checkpoint."),
    "export": ("ptx.cli.commands.export:export", "Export a checkpoint and prove that both agree."),
    "predict": ("ptx.cli.commands.predict:predict", "Predict pictures, texts or numbers."),
    "evaluate": (
        "ptx.cli.commands.evaluate:evaluate",
        "Accuracy and confusion matrix on the test set.",
    ),
    "compare": (
        "ptx.cli.commands.compare:compare",
        "Do the backends agree? The table and the matrix.",
    ),
    "report": (
        "ptx.cli.commands.report:report",
        "One HTML page on a model: curves, errors, backends.",
    ),
    "benchmark": ("ptx.cli.commands.benchmark:benchmark", "Latency, throughput, start and memory."),
    "verify": (
        "ptx.cli.commands.verify:verify",
        "Check a file's seal and replay its golden samples.",
    ),
    "inspect": (
        "ptx.cli.commands.inspect:inspect",
        "Show a file's card; runs no code of the file.",
    ),
    "serve": ("ptx.cli.commands.serve:serve", "Answer over HTTP and gRPC, as a service."),
    "doctor": ("ptx.cli.commands.doctor:doctor", "Open every backend once, or say why not."),
    "completion": (
        "ptx.cli.commands.completion:completion",
        "The script that completes ptx in a shell.",
    ),
}

# What the extra `train` installs, and verbs that train, export or compare therefore need.
TRAINING = ("torch", "torchvision", "onnx", "onnxscript", "matplotlib", "jinja2")

_ALLOCATED = 50_000  # objects between two searches for garbage, instead of 700
_BROKEN_PIPE = 141  # 128 + SIGPIPE, as the shell counts it
_INTERRUPTED = 130  # 128 + SIGINT
# Of the dynamic linker, of the system, and of Python where an allocation fails within an extension.
_NO_MEMORY = (
    "failed to map segment from shared object",
    "annot allocate memory",
    "error return without exception set",
)


class Verbs(click.Group):
    """A group whose commands are imported when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = pkgutil.resolve_name(VERBS[cmd_name][0])
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise UsageError(f"there is no verb {quote(args[0])}; {nearest(args[0], VERBS)}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The verbs of VERBS, none of which is imported for its help."""
        verbs = [
            CompletionItem(name, help=text)
            for name, (_, text) in VERBS.items()
            if name.startswith(incomplete)
        ]
        return verbs + super(click.Group, self).shell_complete(ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        # Caught here, since click makes exit status 1 out of a broken pipe.
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return _leave_pipe()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, _, value: _version(ctx) if value else None,
    help="The versions of ptx and of what is installed beside it.",
)
def ptx() -> None:
    """Train a PyTorch model, export it, predict with it; all backends are held to agree.

    \b
    ptx train convnet
    ptx export convnet --format onnx
    ptx predict digit.png --backend ort-cpu
    """


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    # NumPy's threads: ptx multiplies nothing with NumPy that would be worth one, and to start them
    # takes a tenth of the time of a short verb.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Nothing is drawn on a screen, and matplotlib refuses to be imported where this names nothing.
    os.environ["MPLBACKEND"] = "agg"
    # What a verb imports is no garbage: to search it again and again takes a twentieth of a short verb.
    gc.set_threshold(_ALLOCATED)
    open_streams()
    try:
        code = _run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except BrokenPipeError:
        code = _leave_pipe()
    except OSError as error:
        code = _report_error(error)
    try:
        sys.stderr.flush()
    except OSError:
        mute(sys.stderr)
    if "matplotlib" in sys.modules:
        sys.exit(code)  # it may have a temporary folder, which it removes at the end
    # All files are closed by now. To take the libraries apart takes longer than some verbs, and ONNX
    # Runtime has hung there (microsoft/onnxruntime#27379).
    os._exit(code)


def _run() -> int:
    with _noting_interrupts() as interrupts:
        return _run_verb(interrupts)


@contextmanager
def _noting_interrupts() -> Iterator[list[int]]:
    """Ctrl-C as always, and remembered: PyTorch makes other errors of a KeyboardInterrupt, at places."""
    noted: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        noted.append(number)
        raise KeyboardInterrupt

    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield noted
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _run_verb(interrupts: list[int]) -> int:
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
    except SystemExit as error:  # click's completion ends so
        return error.code if isinstance(error.code, int) else 0
    except BrokenPipeError:
        return _leave_pipe()
    except Exception as error:
        if interrupts:
            return _INTERRUPTED
        if debug:
            raise
        return _report_error(error)
    return code if isinstance(code, int) else 0


def _usage_hint(error: click.ClickException) -> str:
    """What helps beside click's own message."""
    if isinstance(error, click.NoSuchOption) and error.option_name.lstrip("-")[:1].isdigit():
        return " A negative number goes behind --"
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
        print_error(f"[E-BACKEND] {error.name} is not installed: {installing('train')}")
        return 3
    if _is_out_of_memory(error):
        print_error("[E-MEMORY] out of memory")
        return 6
    print_error(
        f"[E-BUG] {type(error).__name__}: {error}. This is a fault of ptx: please report it with the"
        " output of --debug"
    )
    return 1


def _is_out_of_memory(error: BaseException) -> bool:
    """Also when a library could not be loaded for want of memory, or does not say why it failed."""
    known = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
    before = error.__cause__ or error.__context__
    return (
        known
        or any(text in str(error) for text in _NO_MEMORY)
        or (before is not None and _is_out_of_memory(before))
    )


def _leave_pipe() -> int:
    """Whoever read our output has gone: say nothing."""
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
