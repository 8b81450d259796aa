"""The errors of ptx: one tree, each class also a built-in type.

    PtxError
    ├── UsageError         (ValueError)         exit 2  an option or a name that does not exist
    ├── BackendError       (RuntimeError)       exit 3  the backend or device is not available here
    ├── InputError         (ValueError)         exit 4  an image, array, number or text cannot be used
    ├── ArtifactError      (ValueError)         exit 4  a checkpoint or an artifact cannot be used
    ├── AgreementError     (ArithmeticError)    exit 1  two computations disagree beyond the tolerance
    ├── OutputError        (OSError)            exit 5  a result cannot be written; E-BUSY: not now
    └── LimitError         (RuntimeError)       exit 6  a time or memory limit was reached

A message is one line: what is wrong, what was expected, what to do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable


class PtxError(Exception):
    """Base of every error that ptx raises on purpose.

    `code` is stable and greppable (`E-IMG-TRUNCATED`); `exit_code` is the command line's exit status.
    """

    exit_code = 1
    code = "E-PTX"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return self.message


class UsageError(PtxError, ValueError):
    """An option, a model name or a combination of them that does not exist."""

    exit_code = 2
    code = "E-USAGE"


class BackendError(PtxError, RuntimeError):
    """The requested backend or device is not available on this machine.

    Args:
        reason: The cause without the suggested fix, for callers that build their own message.
        absent: Whether the hardware or library is missing entirely, so that `auto` skips the backend
            without a remark.
    """

    exit_code = 3
    code = "E-BACKEND"

    def __init__(
        self, message: str, *, code: str | None = None, reason: str = "", absent: bool = False
    ) -> None:
        super().__init__(message, code=code)
        self.reason, self.absent = reason or message, absent


class InputError(PtxError, ValueError):
    """An input (image, array, number, text, table) cannot be used."""

    exit_code = 4
    code = "E-INPUT"


class ArtifactError(PtxError, ValueError):
    """A checkpoint or an exported file cannot be used."""

    exit_code = 4
    code = "E-ARTIFACT"


class AgreementError(PtxError, ArithmeticError):
    """An exported file does not compute what the model computes."""

    exit_code = 1
    code = "E-AGREEMENT"


class OutputError(PtxError, OSError):
    """A result cannot be written to the requested path."""

    exit_code = 5
    code = "E-OUT"


class LimitError(PtxError, RuntimeError):
    """A time or memory limit was reached before there was a result."""

    exit_code = 6
    code = "E-LIMIT"


SHOWN = 160  # characters of a name that a message shows in full


def quote(name: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str:
    """`name` in quotes on one line; the middle of a long name is left out."""
    text = escape_controls(name)
    if len(text) > SHOWN:
        text = f"{text[: SHOWN // 2]}…{text[-SHOWN // 2 :]}"
    return f"'{text}'"


def escape_controls(name: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str:
    """`name` on one line: control characters and undecodable bytes are escaped."""
    text = os.fsdecode(name)
    if text.isprintable():  # false for a lone surrogate
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def install_hint(extra: str) -> str:
    """How to install an optional extra of ptx.

    >>> install_hint("train")
    "pip install 'ptx-toolkit[train]', or '.[train]' in a clone"
    """
    return f"pip install 'ptx-toolkit[{extra}]', or '.[{extra}]' in a clone"


def pluralise(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun: `1 row`, `2,000 rows`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")


_MAX_LISTED_NAMES = 50  # in a message


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: similar names first, then the known names unless these are many.

    >>> did_you_mean("convet", ["convnet", "lstm"])
    "did you mean 'convnet'? Known: convnet, lstm"
    """
    import difflib

    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(match) for match in close)}? " if close else ""
    if len(names) > _MAX_LISTED_NAMES:
        return f"{hint}{len(names):,} names are known"
    return f"{hint}Known: {', '.join(names) or 'none'}"
