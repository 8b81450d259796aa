"""The CSV reader: cells, and numbers with nothing guessed: what is none is an error with its place.

NumPy's `genfromtxt` silently turns a bad cell, a byte order mark, `;` and decimal commas into NaN.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptx.infer.errors import InputError, quote

# float() alone would also take '1_000', 'nan' and the digits of other scripts.
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")


@dataclass(frozen=True, eq=False)
class Table:
    """The numbers of a CSV file."""

    header: tuple[str, ...] | None
    rows: NDArray[np.float64]  # (rows, columns), finite
    lines: tuple[int, ...]  # the line of the file on which each row begins, from 1
    places: tuple[int, ...]  # the position of each column in the file
    by_name: bool = False  # whether the header has the columns that were asked for

    def place(self, row: int, column: int) -> str:
        """The position of a cell in the file, for a message: `line 3, column 2 ('bmi')`."""
        return _place(self.lines[row], self.places[column], self.header)


def read_table(data: bytes, *, name: str, columns: Sequence[str] = ()) -> Table:
    """The rows of a comma-separated table of numbers, with or without a header line.

    The first line is a header when none of its cells is a number. A byte order mark and blank lines
    are passed over. `name` is used in messages.

    Args:
        columns: As of `read_rows`; those that are found by name come first, then all others.

    Raises:
        InputError: the file is empty or not UTF-8, a row is ragged, a cell is not a finite number; or
            as of `read_rows`.
    """
    records = _read_records(data, name)
    values = [records.numbers(line, cells) for line, cells in records.body]
    for row in values:
        if isinstance(row, InputError):
            raise row
    rows = np.array(values, np.float64)
    header = records.header
    found = _find_columns(header, columns, name) if header and columns else []
    places = [*found, *(place for place in range(rows.shape[1]) if place not in found)]
    lines = tuple(line for line, _ in records.body)
    return Table(header, rows[:, places], lines, tuple(places), by_name=bool(found))


@dataclass(frozen=True, eq=False)
class ModelRows:
    """The rows of a CSV file, each with the numbers of a model's columns, in the model's order."""

    rows: list[tuple[int, NDArray[np.float64] | InputError]]  # line, and numbers or what is wrong
    cells: list[dict[str, str]]  # of each row, all of them by title, or by the place in the line
    note: str = ""  # how the columns were found, where a person should know


def read_rows(data: bytes, *, name: str, columns: Sequence[str] = ()) -> ModelRows:
    """The same rows with their lines, each with its numbers or with why it cannot be used.

    Args:
        columns: The names of a model's columns. A file with a header must have all of them, in any
            order and next to any others; without a header the model's order is assumed. A file of one
            column for a model of one column may have any title.

    Raises:
        InputError: the file is empty, not UTF-8, or no table at all; its header lacks names.
    """
    records = _read_records(data, name)
    header, note = records.header, ""
    places: list[int] | None = None
    if not header and len(columns) > 1:
        note = f"no header: the columns are taken as {', '.join(columns)}, in this order"
    elif header and columns and not len(columns) == len(header) == 1:
        places = _find_columns(header, columns, name)
        if not places:
            raise _missing_error(name, columns, columns)
        ignored = [title for place, title in enumerate(header) if place not in places]
        note = f"not used: {', '.join(map(_shorten, ignored))}" if ignored else ""
    titles = header or [f"column {place + 1}" for place in range(records.width)]
    return ModelRows(
        [(line, records.numbers(line, cells, places)) for line, cells in records.body],
        [dict(zip(titles, cells, strict=False)) for _, cells in records.body],
        note,
    )


def _find_columns(header: tuple[str, ...], columns: Sequence[str], name: str) -> list[int]:
    """The index of each of a model's columns in the file; none where the header names none of them.

    Raises:
        InputError: the header has some of them and not all, or one title twice.
    """
    titles = [_comparable(title) for title in header]
    expected = [_comparable(column) for column in columns]
    if not any(column in titles for column in expected):
        return []
    missing = [column for column in columns if _comparable(column) not in titles]
    if missing:
        raise _missing_error(name, missing, columns)
    double = [title for title in header if titles.count(_comparable(title)) > 1]
    if double:
        raise _table_error(name, f"has the column {_shorten(double[0])} twice", "each column once")
    return [titles.index(column) for column in expected]


def _missing_error(name: str, missing: Sequence[str], columns: Sequence[str]) -> InputError:
    return _table_error(
        name,
        f"has a header without {', '.join(map(_shorten, missing))}",
        f"the columns {', '.join(columns)}",
        "name them all in any order, or leave the header out and keep this order",
    )


def _comparable(title: str) -> str:
    """`Body_Mass-Index` as `body mass index`."""
    return " ".join(title.casefold().replace("_", " ").replace("-", " ").split())


@dataclass(frozen=True)
class _Records:
    """The lines of a CSV file: the header, if there is one, and the cells of the others."""

    name: str
    first: int  # the line of the first record, whose cells are counted
    width: int
    header: tuple[str, ...] | None
    body: list[tuple[int, list[str]]]

    def numbers(
        self, line: int, cells: list[str], places: Sequence[int] | None = None
    ) -> NDArray[np.float64] | InputError:
        """The numbers of the cells at these places, or of all; the error if one is no number."""
        try:
            if len(cells) != self.width:
                what = f"line {line} has {_count(len(cells))}, line {self.first} has {self.width}"
                raise _table_error(
                    self.name, what, "the same number of cells on each line", _hint(cells)
                )
            numbers = [
                _number(cells[place], self.name, _place(line, place, self.header), cells)
                for place in (range(self.width) if places is None else places)
            ]
        except InputError as error:
            return error
        return np.array(numbers, np.float64)


def _read_records(data: bytes, name: str) -> _Records:
    found = read_cells(data, name=name, expected="rows of comma-separated numbers")
    first, titles = found[0]
    header = tuple(titles) if _is_header(titles) else None
    body = found[1:] if header else found
    if not body:
        what = "has a header line but no rows"
        raise _table_error(name, what, "rows of comma-separated numbers", _hint(titles))
    return _Records(name, first, len(titles), header, body)


def read_cells(data: bytes, *, name: str, expected: str) -> list[tuple[int, list[str]]]:
    """Each record that is not blank: the line where it begins, its cells without outer spaces.

    Args:
        expected: What the file should hold, for messages.

    Raises:
        InputError: the file is empty, not UTF-8, or no CSV file.
    """
    found = list(_records(_decode(data, name), name, expected))
    if not found:
        raise _table_error(name, "is empty", expected)
    return found


def _decode(data: bytes, name: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _table_error(name, "is UTF-16 text", "UTF-8", "save it as 'CSV UTF-8'")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _table_error(
            name, f"line {line} is not UTF-8", "UTF-8", "save it as 'CSV UTF-8'"
        ) from error


def _records(text: str, name: str, expected: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begin = 1
    try:
        for cells in reader:
            if cells:
                yield begin, [cell.strip() for cell in cells]
            begin = reader.line_num + 1
    except csv.Error as error:
        raise _table_error(name, f"line {begin}: {error}", expected) from error


def _is_header(cells: list[str]) -> bool:
    return any(cells) and not any(_NUMBER.fullmatch(c) or _NOT_FINITE.fullmatch(c) for c in cells)


def _number(cell: str, name: str, place: str, cells: list[str]) -> float:
    if _NUMBER.fullmatch(cell):
        value = float(cell)
        if math.isfinite(value):
            return value
        raise _table_error(name, f"{place} is {_shorten(cell)}, too large", "a finite number")
    if _NOT_FINITE.fullmatch(cell):
        raise _table_error(name, f"{place} is {_shorten(cell)}", "a finite number")
    got = f"{place} is {_shorten(cell)}" if cell else f"{place} is empty"
    raise _table_error(name, got, "a number", _hint(cells))


def _hint(cells: list[str]) -> str:
    if any(";" in cell for cell in cells):
        return "the cells seem to be separated by ';': separate them by ',' and write 1.5, not 1,5"
    if any("\t" in cell for cell in cells):
        return "the cells seem to be separated by tabs: separate them by ','"
    if any(_DECIMAL_COMMA.fullmatch(cell) for cell in cells):
        return "write decimals with a point: 1.5, not 1,5"
    return "correct the file"


def _place(line: int, column: int, header: tuple[str, ...] | None) -> str:
    title = f" ({_shorten(header[column])})" if header and header[column] else ""
    return f"line {line}, column {column + 1}{title}"


def _shorten(cell: str) -> str:
    return quote(cell if len(cell) <= 40 else f"{cell[:39]}…")


def _count(cells: int) -> str:
    return "1 cell" if cells == 1 else f"{cells} cells"


def _table_error(name: str, got: str, expected: str, todo: str = "correct the file") -> InputError:
    return InputError(f"{quote(name)} {got}; expected {expected}: {todo}", code="E-CSV")
