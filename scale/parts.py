"""The work in parts: which rows of which files are answered together, the same in every run.

A part is what is computed again after a failure, and one file of the output. Its size comes from the
inputs and the card alone, never from the cluster, so that a resumed job finds the same parts.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from math import ceil, prod
from typing import Any, NamedTuple

from ptx.infer.errors import InputError, UsageError, quote
from ptx.infer.preprocessing import Preprocessing
from ptx.scale.store import Store

PARTS = 32  # at least, where there are rows enough: so that no worker waits long for the last
FEWEST = 1024  # rows of a part: what a part costs beside its rows is small beside them
MOST = 16_384  # rows: a few seconds of work, which a killed worker loses
BYTES = 64 * 2**20  # of a part's samples, as the network takes them, and of a part's files
SLICES = 16  # of one row group or CSV file, each of which reads past those before it
_AT_ONCE = 16  # files whose ends are read at once


@dataclass(frozen=True)
class Part:
    """Some rows of the inputs."""

    kind: str  # a key of `ptx.scale.reading.READERS`
    files: tuple[str, ...]
    groups: tuple[int, ...] = ()  # row groups of a Parquet file
    first: int = 0  # the number in its file of the first row of these groups
    skip: int = 0  # rows of them that are not of the part
    rows: int = 0  # of the part; 0 where it is not known before it is read


class _Piece(NamedTuple):
    """What stands together in a file: a row group, a whole CSV file."""

    file: str
    group: int
    first: int
    rows: int


def plan(
    inputs: Sequence[str], preprocessing: Preprocessing, store: Store, column: str | None
) -> list[Part]:
    """The parts of these files, folders, globs and tables.

    Raises:
        InputError: one is not there, or is damaged.
        UsageError: a file of a kind that this model does not take, or no such column.
    """
    found = list(
        dict.fromkeys(chain.from_iterable(_list(name, preprocessing, store) for name in inputs))
    )
    kinds: dict[str, list[tuple[str, int]]] = {}
    for name, size in found:
        kinds.setdefault(_kind(name, preprocessing), []).append((name, size))
    pieces = {
        kind: _pieces(count, [name for name, _ in kinds.get(kind, [])], store, column)
        for kind, count in _COUNTED.items()
    }
    files = kinds.get("files", [])
    total = len(files) + sum(piece.rows for some in pieces.values() for piece in some)
    rows = part_rows(total, preprocessing)
    parts = list(_file_parts(files, rows))
    parts += [part for kind in pieces for part in _piece_parts(kind, pieces[kind], rows)]
    return parts + [Part("tar", (name,)) for name, _ in kinds.get("tar", [])]


def part_rows(total: int, preprocessing: Preprocessing) -> int:
    """How many rows a part has, of so many in all."""
    sample = 4 * prod(preprocessing.rows[1]) if preprocessing.rows else 1
    most = max(FEWEST // 4, min(MOST, BYTES // max(1, sample)))
    return min(most, max(FEWEST, ceil(total / PARTS)))


def digest(parts: Iterable[Part], *facts: object) -> str:
    """Twelve hexadecimal digits that name a job: its parts, and whatever its answers depend on."""
    state = hashlib.sha256(repr(facts).encode())
    for part in parts:
        state.update(repr(sorted(asdict(part).items())).encode("utf-8", "surrogatepass"))
    return state.hexdigest()[:12]


def _list(name: str, preprocessing: Preprocessing, store: Store) -> Iterator[tuple[str, int]]:
    if any(sign in name for sign in "*?["):
        base = re.split(r"[^/]*[*?[]", name, maxsplit=1)[0]
        pattern = re.compile(_translate(name))
        files = [(path.removeprefix("./") if not base else path, size)
                 for path, size in store.list(base or ".")]  # fmt: skip
        matching = [(path, size) for path, size in files if pattern.fullmatch(path)]
        if not matching:
            raise InputError(f"{quote(name)} matches no file", code="E-IN-MISSING")
        yield from matching
        return
    files = store.list(name)
    if [path for path, _ in files] == [name]:
        yield from files
        return
    endings = (*preprocessing.suffixes, *_TABLES)
    taken = [(path, size) for path, size in files if path.lower().endswith(endings)]
    if not taken:
        raise InputError(
            f"{quote(name)} holds no {preprocessing.noun} and no table", code="E-IN-EMPTY"
        )
    yield from taken


def _translate(pattern: str) -> str:
    """A glob as a regular expression: `*` stays within a folder, `**/` goes through them."""
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    words = re.findall(r"\*\*/|\*\*|\*|\?|\[[^]]+\]|.", pattern, re.DOTALL)
    for index, word in enumerate(words):
        chosen = word.replace("[!", "[^") if len(word) > 1 else re.escape(word)
        words[index] = signs.get(word, chosen)
    return "".join(words)


_TABLES = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tar": "tar"}


def _kind(name: str, preprocessing: Preprocessing) -> str:
    for ending, kind in _TABLES.items():
        if name.lower().endswith(ending):
            return kind
    if not preprocessing.suffixes:
        raise UsageError(
            f"{quote(name)} is no table; a model of {preprocessing.noun}s takes {', '.join(_TABLES)}"
        )
    return "files"


def _file_parts(files: list[tuple[str, int]], rows: int) -> Iterator[Part]:
    names: list[str] = []
    total = 0
    for name, size in files:
        if names and (len(names) == rows or total + size > BYTES):
            yield Part("files", tuple(names), rows=len(names))
            names, total = [], 0
        names.append(name)
        total += size
    if names:
        yield Part("files", tuple(names), rows=len(names))


def _piece_parts(kind: str, pieces: list[_Piece], rows: int) -> Iterator[Part]:
    """Small pieces of a file together, large ones in slices."""
    held: list[_Piece] = []
    for piece in pieces:
        if held and (held[-1].file != piece.file or sum(p.rows for p in held) + piece.rows > rows):
            yield _whole(kind, held)
            held = []
        if piece.rows <= rows:
            held.append(piece)
            continue
        slices = min(SLICES, ceil(piece.rows / rows))
        size = ceil(piece.rows / slices)  # all alike, and no small rest
        for skip in range(0, piece.rows, size):
            count = min(size, piece.rows - skip)
            yield Part(kind, (piece.file,), (piece.group,), piece.first, skip, count)
    if held:
        yield _whole(kind, held)


def _whole(kind: str, pieces: list[_Piece]) -> Part:
    groups = tuple(piece.group for piece in pieces)
    rows = sum(piece.rows for piece in pieces)
    return Part(kind, (pieces[0].file,), groups, pieces[0].first, rows=rows)


_Count = Callable[[str, Store, str | None], list[_Piece]]


def _pieces(count: _Count, names: list[str], store: Store, column: str | None) -> list[_Piece]:
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        found = threads.map(lambda name: count(name, store, column), names)
        return [piece for pieces in found for piece in pieces if piece.rows]


def _row_groups(name: str, store: Store, column: str | None) -> list[_Piece]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with store.open(name) as file:
        try:
            footer: Any = pq.ParquetFile(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(
                f"{quote(name)} is no whole Parquet file", code="E-IN-FORMAT"
            ) from error
        names = footer.schema_arrow.names
        if column is not None and column not in names and column.split(".")[0] not in names:
            raise UsageError(
                f"{quote(name)} has no column {quote(column)}: --column names one of {', '.join(names)}"
            )
        counts = [footer.metadata.row_group(i).num_rows for i in range(footer.num_row_groups)]
    return [_Piece(name, i, sum(counts[:i]), count) for i, count in enumerate(counts)]


def _csv_rows(name: str, store: Store, column: str | None) -> list[_Piece]:
    """A CSV file is one piece; how many lines it has is as much as a plan must know."""
    with io.TextIOWrapper(store.open(name), "utf-8", "replace", newline="") as text:
        return [_Piece(name, 0, 0, sum(1 for _ in csv.reader(text)))]


_COUNTED: dict[str, _Count] = {"parquet": _row_groups, "csv": _csv_rows}
