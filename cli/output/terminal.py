"""What the verbs print: tables, facts, verdicts, notes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

import click
from click.core import ParameterSource


def columns() -> int | None:
    """Of the terminal that stdout is; None of a pipe, which gets each row whole."""
    import shutil  # which imports every way of compressing

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that fits the terminal."""
    from ptx import report

    return report.table(header, rows, columns=columns())


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """`key: value` lines that fit the terminal."""
    from ptx import report

    return report.facts(pairs, columns=columns())


def note(remark: str) -> None:
    """A remark on stderr."""
    click.echo(f"ptx: {remark}", err=True)


def verdict(said: str, following: str = "", *, holds: bool = True) -> None:
    """The one line that a finished verb ends with, and the next command to try, in this workspace."""
    if said:
        click.echo(said if holds else style(said, "red", sys.stdout))
    if following:
        click.echo(f"next: {following}{workspace_option() if following.startswith('ptx ') else ''}")


def colour_verdict(word: str, holds: bool) -> str:
    """`agrees` in green or `DIFFERS` in red, where stdout shows colours."""
    return style(word, "green" if holds else "red", sys.stdout)


def style(word: str, colour: str, stream: TextIO) -> str:
    """`word` in a colour where the stream is a terminal and NO_COLOR is not set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return word if plain else click.style(word, fg=colour)


def workspace_option() -> str:
    """The option --workspace as it was given, for the next command."""
    context = click.get_current_context(silent=True)
    source = None if context is None else context.get_parameter_source("workspace")
    if context is None or source is not ParameterSource.COMMANDLINE:
        return ""
    import shlex

    return f" --workspace {shlex.quote(str(context.params['workspace']))}"
