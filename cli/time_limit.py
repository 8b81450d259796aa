"""The option --timeout: a verb that has not finished in time ends with one line and exit code 6.

The verb runs in a child, which the kernel ends. Nothing within the process would do: while a TorchScript
archive is being loaded PyTorch holds the interpreter's lock, so that no thread and no signal handler of
Python runs.
"""

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

from ptx.cli.values.number import Number
from ptx.infer.artifact.files import sweep
from ptx.infer.errors import LimitError, UsageError
from ptx.infer.ranges import TIMEOUT

R = TypeVar("R")

_FORWARDED = (signal.SIGINT, signal.SIGTERM)


def time_limit(command: Callable[..., R]) -> Callable[..., R | int]:
    """Add --timeout to a verb."""

    @click.option(
        "--timeout", type=Number(TIMEOUT), metavar="SECONDS",
        help="End with exit code 6 after this time, with any backend; without it there is no limit.",
    )  # fmt: skip
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
