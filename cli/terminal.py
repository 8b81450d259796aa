"""What the verbs print: tables, facts, verdicts, notes."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TextIO

import click
from click.core import ParameterSource

WIDTH = 80  # columns that a table or a matrix fits into


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, gap: int = 2) -> str:
    """Columns under their titles, `gap` spaces apart; numbers stand to the right.

    On a terminal a last column that is too wide is broken into lines; a pipe gets each row whole.
    """
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(header))]
    right = [
        all(_is_number(row[column]) for row in rows) and bool(rows) for column in range(len(header))
    ]
    before = sum(widths[:-1]) + gap * (len(widths) - 1)
    return "\n".join(
        _hanging(
            (" " * gap)
            .join(
                _padded(cell, width, flush)
                for cell, width, flush in zip(line, widths, right, strict=True)
            )
            .rstrip(),
            before,
        )
        for line in lines
    )


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """`key: value` lines, the values in one column; a value that holds a newline has one line too."""
    from ptx.infer.errors import escaped

    listed = [(f"{escaped(key)}:", escaped(str(value))) for key, value in pairs]
    width = max((len(key) for key, _ in listed), default=0) + 1
    return "\n".join(_hanging(f"{key:{width}}{value}", width) for key, value in listed)


def note(text: str) -> None:
    """A remark on stderr."""
    click.echo(f"ptx: {text}", err=True)


def verdict(text: str, following: str = "", *, holds: bool = True) -> None:
    """The one line that a finished verb ends with, and the next command to try, in this workspace."""
    if text:
        click.echo(text if holds else styled(text, "red", sys.stdout))
    if following:
        click.echo(f"next: {following}{workspace_given() if following.startswith('ptx ') else ''}")


def judged(word: str, holds: bool) -> str:
    """`agrees` in green or `DIFFERS` in red, where stdout shows colours."""
    return styled(word, "green" if holds else "red", sys.stdout)


def styled(text: str, colour: str, stream: TextIO) -> str:
    """`text` in a colour where the stream is a terminal and NO_COLOR is not set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return text if plain else click.style(text, fg=colour)


def workspace_given() -> str:
    """The option --workspace as it was given, for the next command."""
    context = click.get_current_context(silent=True)
    source = None if context is None else context.get_parameter_source("workspace")
    if context is None or source is not ParameterSource.COMMANDLINE:
        return ""
    return f" --workspace {shlex.quote(str(context.params['workspace']))}"


def percent(share: float) -> str:
    """`99.12 %`."""
    return f"{100 * share:.2f} %"


def file_size(size: int) -> str:
    """`108.6 kB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"


def _hanging(line: str, indent: int) -> str:
    """A line broken to the terminal's width, what follows indented; whole where stdout is a pipe."""
    columns = shutil.get_terminal_size().columns
    if not sys.stdout.isatty() or len(line) <= columns or indent > columns // 2:
        return line
    return textwrap.fill(
        line[indent:],
        columns,
        initial_indent=line[:indent],
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _width(cell: str) -> int:
    return len(click.unstyle(cell))


def _padded(cell: str, width: int, flush: bool) -> str:
    space = " " * (width - _width(cell))
    return space + cell if flush else cell + space


def _is_number(cell: str) -> bool:
    return (
        cell in ("", "-")
        or cell.removesuffix("%")
        .strip()
        .replace(".", "")
        .replace("e-", "")
        .replace(",", "")
        .isdigit()
    )
