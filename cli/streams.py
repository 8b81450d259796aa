"""Standard input, output and error, which may be closed, full or in any encoding."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import TextIO

import click

NO_SPACE = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
# Errors of writing to a stream that opening a file does not raise.
UNWRITABLE = (*NO_SPACE, errno.EBADF, errno.EIO)


def open_streams() -> None:
    """Make the three streams usable until the process ends.

    A character that the encoding of standard output does not support is escaped. A closed stream is
    replaced by /dev/null, so that no other file gets its descriptor; reading such a standard input and
    writing to such a standard output still fail.
    """
    if sys.stdin is None:
        _open_devnull(0, os.O_WRONLY)
    if sys.stdout is None:
        _open_devnull(1, os.O_RDONLY)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - open until the process ends
    if sys.stderr is None:
        _open_devnull(2, os.O_WRONLY)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
        os.set_blocking(sys.stdout.fileno(), True)  # another process of the terminal may change it


def echo(text: str = "") -> None:
    """Write a line to standard output in its encoding; by itself, click replaces ASCII by UTF-8."""
    click.echo(text, file=sys.stdout)


def echo_error(text: str) -> None:
    """Write a line to standard error; a line that cannot be written is lost, which is no failure."""
    try:
        click.echo(text, file=sys.stderr)
    except OSError:
        mute(sys.stderr)


def writes_unicode() -> bool:
    """Whether standard output can write every character, so that JSON needs no escapes."""
    return (sys.stdout.encoding or "utf-8").lower().startswith("utf")


def mute(stream: TextIO) -> None:
    """Discard what a stream has not written yet, now and at exit."""
    with suppress(io.UnsupportedOperation):  # a stream in memory has no descriptor
        _open_devnull(stream.fileno(), os.O_WRONLY)


def _open_devnull(descriptor: int, mode: int) -> None:
    """Open /dev/null as this file descriptor, which child processes inherit."""
    opened = os.open(os.devnull, mode)
    if opened == descriptor:
        os.set_inheritable(opened, True)
        return
    os.dup2(opened, descriptor)
    os.close(opened)
