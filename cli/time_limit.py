"""--timeout: the command runs in a child process that the kernel ends."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click

from ptx.cli.param_types import Number
from ptx.infer.artifact.files import remove_stale_temp_files
from ptx.infer.errors import LimitError, UsageError
from ptx.infer.ranges import TIMEOUT

R = TypeVar("R")

_FORWARDED = (signal.SIGINT, signal.SIGTERM)


def time_limit(command: Callable[..., R]) -> Callable[..., R | int]:
    """Add --timeout to a command, which then runs in a child process.

    A limit within the process would not work: while PyTorch loads a TorchScript archive it holds the
    GIL, so that no other thread and no signal handler of Python runs.
    """

    @click.option(
        "--timeout",
        type=Number(TIMEOUT),
        metavar="SECONDS",
        help="Stop after this time with exit code 6. There is no limit by default; untrusted models may"
        " never terminate.",
    )
    @wraps(command)
    def limited(*, timeout: float | None, **options: Any) -> R | int:
        if timeout is not None and (child := _fork(timeout)):
            return _wait(child, timeout, _output_folder(options))
        return command(**options)

    return limited


def _fork(seconds: float) -> int:
    """Fork, before any library has started threads: the child's process id, or 0 in the child."""
    if not hasattr(os, "fork"):
        raise UsageError("--timeout needs a POSIX system: omit it")
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)  # until both have their handlers
    child = os.fork()
    if child:

        def forward(number: int, frame: FrameType | None) -> None:
            with contextlib.suppress(ProcessLookupError):  # the child has just ended
                os.kill(child, number)

        for number in _FORWARDED:
            signal.signal(number, forward)
    else:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the kernel ends the process
        signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
    return child


def _output_folder(options: Mapping[str, Any]) -> Path | None:
    """Where the command writes: the folder of --output, or the model's."""
    folder = Path(options["workspace"], options["model"])
    if options.get("output") is not None:
        folder = Path(os.path.realpath(options["output"])).parent
    return folder if os.path.isdir(folder) else None  # noqa: PTH112 - pathlib raises on long names


def _wait(child: int, seconds: float, folder: Path | None) -> int:
    """The exit code of the child.

    Raises:
        LimitError: it was stopped; its unfinished files are removed.
    """
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0 and folder is not None:
        remove_stale_temp_files(folder)
    if code == -signal.SIGALRM:
        raise LimitError(
            f"stopped after {seconds:g} s: use a longer --timeout than {seconds:g}",
            code="E-TIMEOUT",
        )
    return code if code >= 0 else 128 - code
