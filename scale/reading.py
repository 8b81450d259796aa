"""The rows of a part, under the names that their answers bear."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from ptx.infer.errors import InputError, UsageError, quote
from ptx.infer.prediction import Named
from ptx.infer.preprocessing import Preprocessing
from ptx.infer.tables.numbers import read_rows
from ptx.scale.parts import Part
from ptx.scale.records import column_values, find_column
from ptx.scale.store import Store

_AT_ONCE = 16  # small files of a store that are read at once: each waits for the network alone
_RECORDS = 1024  # rows of a Parquet file in memory


def read_part(
    part: Part, preprocessing: Preprocessing, store: Store, column: str | None
) -> Iterator[Named]:
    """The values of a part in order; an InputError as the value of a row that cannot be read.

    Raises:
        InputError: the store cannot be read now, or the file is damaged: the job ends, the part is left
            for the next run.
    """
    return READERS[part.kind](part, preprocessing, store, column)


def _files(
    part: Part, preprocessing: Preprocessing, store: Store, column: str | None
) -> Iterator[Named]:
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for start in range(0, len(part.files), 16 * _AT_ONCE):
            names = part.files[start : start + 16 * _AT_ONCE]
            yield from map(Named, names, threads.map(store.value, names))


def _parquet(
    part: Part, preprocessing: Preprocessing, store: Store, column: str | None
) -> Iterator[Named]:
    """Paths are their rows' names; other rows are named `digits.parquet[12]`."""
    import pyarrow.parquet as pq

    (name,) = part.files
    column, place = column or "bytes", 0
    with store.open(name) as file:
        for records in pq.ParquetFile(file).iter_batches(
            _RECORDS, row_groups=list(part.groups), columns=[column]
        ):
            begin = max(0, part.skip - place)
            end = min(records.num_rows, part.skip + part.rows - place)
            if begin < end:
                values = column_values(find_column(records.slice(begin, end - begin), column))
                for row, value in enumerate(values, part.first + place + begin):
                    if isinstance(value, str) and preprocessing.suffixes:
                        yield Named(value, store.value(value))
                    else:
                        yield Named(f"{name}[{row}]", value)
            place += records.num_rows
            if place >= part.skip + part.rows:
                return


def _csv(
    part: Part, preprocessing: Preprocessing, store: Store, column: str | None
) -> Iterator[Named]:
    (name,) = part.files
    with store.open(name) as file:
        rows = _csv_rows(name, file, preprocessing, store, column)
        yield from islice(rows, part.skip, part.skip + part.rows)


def _csv_rows(
    name: str,
    file: io.BufferedReader,
    preprocessing: Preprocessing,
    store: Store,
    column: str | None,
) -> Iterator[Named]:
    if preprocessing.columns:
        for line, row in read_rows(file.read(), name=name, columns=preprocessing.columns):
            yield Named(f"{name}, line {line}", row)
        return
    with io.TextIOWrapper(file, "utf-8-sig", "replace", newline="") as text:
        reader = csv.reader(text)
        place = 0
        if column is not None:
            header = next(reader, [])
            if column not in header:
                raise UsageError(
                    f"{quote(name)} has no column {quote(column)}: the first line is {','.join(header)}"
                )
            place = header.index(column)
        for cells in reader:
            if len(cells) <= place:
                missing = InputError(f"{quote(name)}, line {reader.line_num}: no such cell")
                yield Named(f"{name}, line {reader.line_num}", missing)
            elif preprocessing.suffixes:
                yield Named(cells[place], store.value(cells[place]))
            else:
                yield Named(f"{name}, line {reader.line_num}", cells[place])


def _tar(
    part: Part, preprocessing: Preprocessing, store: Store, column: str | None
) -> Iterator[Named]:
    """The members of a WebDataset shard with the ending `column`, or with that of an input."""
    (name,) = part.files
    endings = (f".{column.lstrip('.')}",) if column else preprocessing.suffixes or (".txt",)
    try:
        with store.open(name) as file, tarfile.open(fileobj=file, mode="r|*") as archive:
            for member in archive:
                if member.isfile() and member.name.lower().endswith(endings):
                    content = archive.extractfile(member)
                    data = b"" if content is None else content.read()
                    text = (
                        None if preprocessing.suffixes else data.decode("utf-8", "replace").strip()
                    )
                    yield Named(f"{name}/{member.name}", data if text is None else text)
    except tarfile.TarError as error:
        raise InputError(
            f"{quote(name)} is no whole tar archive: {error}", code="E-IN-FORMAT"
        ) from error


READERS: dict[str, Callable[[Part, Preprocessing, Store, str | None], Iterator[Named]]] = {
    "files": _files,
    "parquet": _parquet,
    "csv": _csv,
    "tar": _tar,
}
