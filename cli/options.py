"""Options that several verbs share, each with one meaning everywhere."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar, cast

import click
from click.shell_completion import CompletionItem

from ptx.cli.param_types import Number
from ptx.cli.terminal import print_note
from ptx.infer.artifact.files import sweep
from ptx.infer.backends import BACKENDS, DEVICES, current_name
from ptx.infer.errors import LimitError, UsageError, quote
from ptx.infer.ranges import THREADS, TIMEOUT

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")

DATA = ("bundled", "mnist", "fashion-mnist")
_FORWARDED = (signal.SIGINT, signal.SIGTERM)


def complete(
    names: Callable[[], Iterable[str]] = tuple, *, files: bool = False, several: bool = False
) -> Callable[..., list[CompletionItem]]:
    """Completion from names, `several` of them with commas between, and from what the shell finds."""

    def items(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before = incomplete[: incomplete.rfind(",") + 1] if several else ""
        found = (f"{before}{name}" for name in names())
        shell = [CompletionItem(incomplete, type="file")] if files else []
        return [*shell, *(CompletionItem(name) for name in found if name.startswith(incomplete))]

    return items


def _catalog() -> Iterable[str]:
    from ptx.models import CATALOG

    return CATALOG


complete_file = complete(files=True)
complete_name = complete(_catalog)
complete_model = complete(_catalog, files=True)
complete_data = complete(lambda: DATA, files=True)
complete_backend = complete(lambda: ("auto", *BACKENDS))
complete_backends = complete(lambda: ("all", *BACKENDS), several=True)


def current_backend(ctx: click.Context, param: click.Parameter, name: str) -> str:
    """The name of today for a backend that was renamed, and a word about it."""
    if (
        name in ("auto", *BACKENDS) or ctx.resilient_parsing
    ):  # a completion, which imports nothing heavy
        return name

    if (today := current_name(name)) == name:
        return name
    print_note(f"backend {name!r} is called {today!r} now")
    return today


def current_backends(ctx: click.Context, param: click.Parameter, names: str) -> str:
    """The same for names with commas between them; `all` as it is."""
    if names == "all":
        return names
    found = [current_backend(ctx, param, name.strip()) for name in names.split(",")]
    for name in found:
        if found.count(name) > 1 and not ctx.resilient_parsing:
            raise UsageError(f"--backends names {quote(name)} twice; once is enough")
    return ",".join(found)


def one_of(names: Iterable[str]) -> str:
    """The names as a sentence of help: `auto, cpu or mps.`"""
    *names, last = names
    return f"{', '.join(names)} or {last}."


workspace = click.option(
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="PTX_WORKSPACE",
    default=Path("runs"),
    show_default=True,
    help="The folder of checkpoints and artifacts; also PTX_WORKSPACE.",
)
backends = click.option(
    "--backends",
    default="all",
    show_default=True,
    callback=current_backends,
    shell_complete=complete_backends,
    help="all that are available here, or names with commas between them.",
)
backend = click.option(
    "--backend",
    default="auto",
    show_default=True,
    callback=current_backend,
    help=one_of(("auto", *BACKENDS)),
    shell_complete=complete_backend,
)
device = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="auto, cpu, cuda, cuda:1 or mps.",
    shell_complete=complete(lambda: DEVICES),
)
data = click.option(
    "--data",
    metavar="SOURCE",
    default=None,
    shell_complete=complete_data,
    help="bundled, mnist, fashion-mnist, a folder of class folders, or a CSV file. By default the"
    " model's documented data where it is found (under PTX_DATA or in the workspace), else bundled.",
)
trust = click.option(
    "--trust",
    is_flag=True,
    help="Run a TorchScript or .pt2 file that this workspace did not export. Such a file is a program.",
)
describe = click.option(
    "--describe",
    "--signature",
    "describe",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What ptx cannot know of a model of your own or an ONNX file of others, in TOML or JSON: name,"
    " task, inputs, outputs, preprocessing, labels.",
)
threads = click.option(
    "--threads",
    type=Number(THREADS),
    help="Of ONNX Runtime, instead of its own choice.",
)
precision = click.option(
    "--precision",
    type=click.Choice(["float32", "tf32"]),
    default="float32",
    show_default=True,
    help="tf32 lets CUDA round the factors of products to 10 bits: faster, and less exact.",
)
network = click.option(
    "--network",
    metavar="MODULE:FUNCTION",
    default=None,
    help="What makes the network, where MODEL is not of the catalog.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")


def output(text: str) -> Callable[[F], F]:
    """--output, with what the verb writes there."""
    return click.option("--output", type=click.Path(path_type=Path), help=text)


def group(*several: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one, in this order."""

    def add(command: F) -> F:
        for option in reversed(several):
            command = option(command)
        return command

    return add


def as_dataclass(record: type[R], values: dict[str, Any]) -> R:
    """The options that are fields of `record`, taken out of `values`."""
    return record(**{field.name: values.pop(field.name) for field in fields(cast("Any", record))})


def common(command: F) -> F:
    """Add what every verb has."""
    debug = click.option(
        "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
    )
    return debug(command)


def time_limit(command: Callable[..., R]) -> Callable[..., R | int]:
    """Add --timeout to a verb, which then runs in a child that the kernel ends.

    Nothing within the process would do: while a TorchScript archive is being loaded PyTorch holds the
    interpreter's lock, so that no thread and no signal handler of Python runs.
    """

    @click.option(
        "--timeout",
        type=Number(TIMEOUT),
        metavar="SECONDS",
        help="End with exit code 6 after this time, with any backend; without it there is no limit.",
    )
    @wraps(command)
    def limited(*, timeout: float | None, **options: Any) -> R | int:
        if timeout is not None and (child := _fork(timeout)):
            return _outcome(child, timeout, _folder(options))
        return command(**options)

    return limited


def _fork(seconds: float) -> int:
    """The child's process id, or 0 in the child; before any library has started threads."""
    if not hasattr(os, "fork"):
        raise UsageError("--timeout needs a POSIX system: leave it out")
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)  # until both know what to do
    child = os.fork()
    if child:

        def forward(number: int, frame: FrameType | None) -> None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(child, number)

        for number in _FORWARDED:
            signal.signal(number, forward)
    else:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the kernel ends the process
        signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
    return child


def _folder(options: Mapping[str, Any]) -> Path | None:
    """Where the verb writes: beside --output, or into the model's folder."""
    folder = Path(options["workspace"], options["model"])
    if options.get("output") is not None:
        folder = Path(os.path.realpath(options["output"])).parent
    return folder if os.path.isdir(folder) else None  # noqa: PTH112 - pathlib raises on long names


def _outcome(child: int, seconds: float, folder: Path | None) -> int:
    """The exit code of a child that has ended by itself.

    Raises:
        LimitError: it was ended; what it had begun to write is gone.
    """
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0 and folder is not None:
        sweep(folder)
    if code == -signal.SIGALRM:
        raise LimitError(
            f"not finished after {seconds:g} s: give more time than --timeout {seconds:g}",
            code="E-TIMEOUT",
        )
    return code if code >= 0 else 128 - code
