"""Standard input, output and error as shells hand them over: closed, full, in any encoding."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import TextIO

import click

NO_SPACE = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
# What a write to a stream fails with, and the opening of a file does not.
UNWRITABLE = (*NO_SPACE, errno.EBADF, errno.EIO)


def open_streams() -> None:
    """Make the three streams usable for as long as the process lives.

    A character that the encoding of standard output lacks is escaped. In the place of a closed stream
    there is /dev/null, so that no file takes its number; it is opened so that reading standard input
    and writing to standard output fail.
    """
    if sys.stdin is None:
        _occupy(0, os.O_WRONLY)
    if sys.stdout is None:
        _occupy(1, os.O_RDONLY)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - a number, for as long as we run
    if sys.stderr is None:
        _occupy(2, os.O_WRONLY)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
        os.set_blocking(sys.stdout.fileno(), True)  # whoever shares a terminal may have changed it


def echo(text: str = "") -> None:
    """Write a line to standard output in its encoding; click itself would replace ASCII by UTF-8."""
    click.echo(text, file=sys.stdout)


def echo_error(text: str) -> None:
    """Write a line to standard error; when it cannot be written it is lost and changes no exit code."""
    try:
        click.echo(text, file=sys.stderr)
    except OSError:
        mute(sys.stderr)


def writes_unicode() -> bool:
    """Whether standard output can write every character, so that JSON needs no escapes."""
    return (sys.stdout.encoding or "utf-8").lower().startswith("utf")


def mute(stream: TextIO) -> None:
    """Discard what a stream has not written yet, now and at exit."""
    with suppress(io.UnsupportedOperation):  # it is in memory
        _occupy(stream.fileno(), os.O_WRONLY)


def _occupy(number: int, mode: int) -> None:
    """Open /dev/null as that file descriptor, also for processes that are started."""
    descriptor = os.open(os.devnull, mode)
    if descriptor == number:
        os.set_inheritable(descriptor, True)
        return
    os.dup2(descriptor, number)
    os.close(descriptor)
