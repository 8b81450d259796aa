"""What the verbs print: tables, verdicts, notes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import click
from click.core import ParameterSource


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under their titles, two spaces apart; numbers stand to the right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    right = [
        all(_is_number(row[column]) for row in rows) and bool(rows) for column in range(len(header))
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def note(text: str) -> None:
    """A remark on stderr."""
    click.echo(f"ptx: {text}", err=True)


def verdict(text: str, following: str = "") -> None:
    """The one line that a finished verb ends with, and the next command to try, in this workspace."""
    if text:
        click.echo(text)
    if following:
        click.echo(f"next: {following}{_workspace() if following.startswith('ptx ') else ''}")


def _workspace() -> str:
    """The option --workspace as it was given."""
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
