"""Tables and numbers as text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

from ptx.infer.errors import escape_controls

WIDTH = 80  # maximum characters of a line

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    gap: int = 2,
    columns: int | None = None,
) -> str:
    """A table with its header, columns `gap` spaces apart, numbers right-aligned.

    Args:
        columns: Width of the terminal: a last column that is too wide is wrapped. None means no limit.
    """
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(header))]
    right = [
        all(_is_number(row[column]) for row in rows) and bool(rows) for column in range(len(header))
    ]
    before = sum(widths[:-1]) + gap * (len(widths) - 1)
    joined = ((" " * gap).join(map(_pad, line, widths, right)).rstrip() for line in lines)
    return "\n".join(_indent(line, before, columns) for line in joined)


def facts(pairs: Iterable[tuple[str, object]], *, columns: int | None = None) -> str:
    """`key: value` lines with aligned values. Control characters, such as newlines, are escaped."""
    listed = [(f"{escape_controls(key)}:", escape_controls(str(value))) for key, value in pairs]
    width = max((len(key) for key, _ in listed), default=0) + 1
    return "\n".join(_indent(f"{key:{width}}{value}", width, columns) for key, value in listed)


def _indent(line: str, indent: int, columns: int | None) -> str:
    """Wrap a line to `columns`, further lines indented. None means no limit."""
    if columns is None or len(line) <= columns or indent > columns // 2:
        return line
    return textwrap.fill(
        line[indent:],
        columns,
        initial_indent=line[:indent],
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def percent(fraction: float) -> str:
    """A fraction as a percentage, such as `99.12 %`."""
    return f"{100 * fraction:.2f} %"


def file_size(size: int) -> str:
    """A number of bytes as text, such as `108.6 kB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"


def _width(cell: str) -> int:
    return len(_COLOUR.sub("", cell))


def _pad(cell: str, width: int, right: bool) -> str:
    space = " " * (width - _width(cell))
    return space + cell if right else cell + space


def _is_number(cell: str) -> bool:
    bare = cell.removesuffix("%").strip()
    return cell in ("", "-") or re.sub(r"[.,]|e-", "", bare).isdigit()
