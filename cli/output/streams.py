"""Standard input, output and error as shells hand them over: closed, full, in any encoding."""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from typing import Any, TextIO

from ptx.infer.errors import OutputError

NO_SPACE = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)

_ESCAPED = "ptx-escaped"  # name of the error handler


def open_streams() -> None:
    """Make the three streams usable for as long as the process lives.

    What cannot be written to standard output is an OutputError; what cannot be written to standard
    error is lost, and changes no exit code. A character that a stream's encoding lacks is escaped as in
    JSON. In the place of a closed stream there is /dev/null, so that no file takes its number.
    """
    if os.name != "posix":
        return
    codecs.register_error(_ESCAPED, escape)
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            # Standard output so that writing fails, as it must.
            _occupy(number, os.O_RDONLY if number == 1 else os.O_WRONLY)
    sys.stdout = _open(_Answers(1, "wb", closefd=False), sys.stdout)
    sys.stderr = _open(_Remarks(2, "wb", closefd=False), sys.stderr, line_buffering=True)


def mute(stream: TextIO) -> None:
    """Let what a stream has not written yet go nowhere, now and at exit."""
    _occupy(stream.fileno(), os.O_WRONLY)


class _Waiting(io.FileIO):
    """A pipe that somebody made non-blocking is waited for."""

    def write(self, data: Any) -> int:
        # In this way click asks whether a stream takes bytes; /dev/full refuses even these.
        if not len(data):
            return 0
        while (written := super().write(data)) is None:
            select.select([], [self], [])
        return written


class _Answers(_Waiting):
    """Standard output: what cannot be written is an error, once."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            _occupy(self.fileno(), os.O_WRONLY)
            closed = error.errno == errno.EBADF
            why = "standard output is closed" if closed else error.strerror
            code = "E-OUT-SPACE" if error.errno in NO_SPACE else "E-OUT"
            raise OutputError(f"the output cannot be written: {why}", code=code) from error


class _Remarks(_Waiting):
    """Standard error: what cannot be written is lost."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


class _Ascii(io.TextIOWrapper):
    """An ASCII stream that click takes as it is: it writes UTF-8 to those that say what they are."""

    encoding = "ascii-escaped"


def _open(raw: io.FileIO, like: TextIO | None, *, line_buffering: bool = False) -> TextIO:
    """A text stream over `raw` that buffers and encodes as Python's own does."""
    encoding, at_once = "utf-8", False
    if isinstance(like, io.TextIOWrapper):
        encoding, at_once = like.encoding, like.write_through
        line_buffering = line_buffering or like.line_buffering
    kind = _Ascii if codecs.lookup(encoding).name == "ascii" else io.TextIOWrapper
    return kind(
        raw if at_once else io.BufferedWriter(raw),  # as with `python -u`
        encoding, _ESCAPED, line_buffering=line_buffering, write_through=at_once,
    )  # fmt: skip


def _occupy(number: int, mode: int) -> None:
    """Let /dev/null stand under that number, also in processes that are started."""
    descriptor = os.open(os.devnull, mode)
    if descriptor == number:
        os.set_inheritable(descriptor, True)
        return
    os.dup2(descriptor, number)
    os.close(descriptor)


def escape(error: UnicodeError) -> tuple[str, int]:
    """An error handler of `codecs`: what an encoding lacks as JSON writes it, `\\u4e2d`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in pairs), error.end
