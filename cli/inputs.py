"""What the INPUT arguments mean: files, folders, globs, standard input, values."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptx import infer
from ptx.cli.terminal import print_note
from ptx.infer.artifact.files import read_bytes
from ptx.infer.errors import InputError, quote

if TYPE_CHECKING:
    from ptx.infer.preprocessing import Preprocessing

STDIN = "-"
STDIN_LIMIT = 256 * 2**20  # bytes of one picture or of all lines
# Titles of the first column by which a header row is recognised.
TITLES = ("name", "text", "word", "input", "file", "filename", "path", "image")
TABLE_LIMIT = 2**30  # bytes of a .csv or .npy file


def find_inputs(arguments: Sequence[str], preprocessing: Preprocessing) -> Iterator[Any]:
    """The values of the arguments, in order; an argument that cannot be read yields its error."""
    expand = _files if preprocessing.extensions else _values
    for argument in arguments:
        try:
            yield from expand(argument, preprocessing)
        except InputError as error:
            yield infer.NamedInput(argument, error)


def count_inputs(arguments: Sequence[str], preprocessing: Preprocessing) -> int | None:
    """The number of values; None if one is standard input, which can be read only once."""
    if STDIN in arguments:
        return None
    return sum(1 for _ in find_inputs(arguments, preprocessing))


def _files(argument: str, preprocessing: Preprocessing) -> Iterator[Any]:
    silence_decoders()
    if argument == STDIN:
        yield infer.NamedInput(STDIN, _read_stdin())
    elif os.path.isdir(argument):  # noqa: PTH112 - pathlib raises on a name that is too long
        yield from _folder(argument, preprocessing)
    elif argument.lower().endswith(".npy"):
        yield from _array_rows(argument, preprocessing)
    elif argument.lower().endswith(".csv"):
        folder = os.path.dirname(argument)  # noqa: PTH120
        data = read_bytes(argument, limit=TABLE_LIMIT)
        for row in _first_cells(argument, data.decode("utf-8-sig", "replace")):
            path = os.path.join(folder, row.value)  # noqa: PTH118
            yield infer.NamedInput(path, path, row.cells)
    elif any(character in argument for character in "*?[") and not os.path.lexists(argument):
        yield from _matches(argument)
    else:
        yield argument


def _matches(pattern: str) -> Iterator[str]:
    import glob

    paths = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - takes absolute patterns
    if not paths:
        raise InputError(f"{quote(pattern)} matches no file", code="E-IN-MISSING")
    yield from (path for path in paths if not os.path.isdir(path))  # noqa: PTH112


def _folder(path: str, preprocessing: Preprocessing) -> Iterator[str]:
    """The files below a folder that the model reads, sorted by name."""
    empty = True
    for root, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            if name.lower().endswith(preprocessing.extensions):
                empty = False
                yield os.path.join(root, name)  # noqa: PTH118 - many times as fast as pathlib
    if empty:
        raise InputError(f"{quote(path)} contains no {preprocessing.plural}", code="E-IN-EMPTY")


def _values(argument: str, preprocessing: Preprocessing) -> Iterator[Any]:
    suffix = Path(argument).suffix.lower()
    if argument == STDIN:
        text = _read_stdin().decode("utf-8", "replace")
        yield from (line for line in text.splitlines() if line.strip())
    elif suffix in READERS and (os.path.lexists(argument) or preprocessing.feature_names):
        yield from READERS[suffix](argument, preprocessing)
    elif os.path.lexists(argument) and (preprocessing.feature_names or suffix):
        raise InputError(
            f"cannot read {quote(argument)} as input: expected a .csv or .npy file, a value, or - for"
            " lines on standard input",
            code="E-IN-FORMAT",
        )
    else:
        yield argument


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise InputError("standard input is closed", code="E-IN-READ")
    try:
        return sys.stdin.buffer.read(STDIN_LIMIT)
    except OSError as error:
        raise InputError(f"standard input: {error.strerror}", code="E-IN-READ") from error


def _table_rows(argument: str, preprocessing: Preprocessing) -> Iterator[infer.NamedInput]:
    data = read_bytes(argument, limit=TABLE_LIMIT)
    if not preprocessing.feature_names:
        yield from _first_cells(argument, data.decode("utf-8-sig", "replace"))
        return
    from ptx.infer.tables.numbers import read_rows

    table = read_rows(data, name=argument, columns=preprocessing.feature_names)
    if table.note:
        _note_once(f"{quote(argument)}: {table.note}")
    for (line, row), cells in zip(table.rows, table.cells, strict=True):
        yield infer.NamedInput(f"{argument}, line {line}", row, cells)


@cache
def _note_once(text: str) -> None:
    """Print a note once, even if a progress bar reads the table again to count its rows."""
    print_note(text)


def _first_cells(argument: str, text: str) -> Iterator[infer.NamedInput]:
    """The texts or file names of a CSV file: its first column, without a header."""
    import csv
    import io

    reader = csv.reader(io.StringIO(text, newline=""))
    titles: list[str] = []
    for index, cells in enumerate(reader):
        if index == 0 and cells and cells[0].strip().lower() in TITLES:
            titles = cells
        elif cells:
            names = titles or [f"column {number}" for number in range(1, len(cells) + 1)]
            row = dict(zip(names, cells, strict=False))
            yield infer.NamedInput(f"{argument}, line {reader.line_num}", cells[0], row)


def _array_rows(argument: str, preprocessing: Preprocessing) -> Iterator[infer.NamedInput]:
    """The rows of an array; without a batch axis the array is one row."""
    from ptx.infer.tables.npy import read_npy

    array = read_npy(read_bytes(argument, limit=TABLE_LIMIT), name=argument)
    single = array.ndim <= preprocessing.dimensions
    if single and not (preprocessing.feature_names and array.ndim == 0):
        yield infer.NamedInput(argument, array)
        return
    if len(array) and not array.size:  # a header can claim any number of such rows
        raise InputError(
            f"{quote(argument)} has shape {array.shape}: its {len(array):,} rows contain no numbers",
            code="E-SHAPE",
        )
    for index, row in enumerate(array):
        yield infer.NamedInput(f"{argument}[{index}]", row)


READERS: dict[str, Callable[[str, Preprocessing], Iterator[infer.NamedInput]]] = {
    ".csv": _table_rows,
    ".npy": _array_rows,
}


@cache
def silence_decoders() -> None:
    """Keep Pillow's warnings, its log and libtiff's messages off stderr.

    The command already prints one line about a damaged file. Only commands may call this, because it
    affects the whole process.
    """
    import ctypes
    import logging

    from PIL import _imaging

    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    # Pillow's module is linked to libtiff, unless it was built without it.
    handlers = ctypes.CDLL(_imaging.__file__)
    if hasattr(handlers, "TIFFSetErrorHandler"):
        handlers.TIFFSetErrorHandler(None)
