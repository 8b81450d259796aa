"""The data sets that models are trained on, by name or from files of one's own.

>>> from pathlib import Path
>>> data = open_dataset("bundled", default="mnist", cache=Path("runs"))
>>> data.train.inputs["image"].shape, data.train.targets.shape, data.labels[:3]
((10000, 28, 28), (10000,), ('0', '1', '2'))
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ptx.infer.errors import InputError, UsageError, nearest, quote
from ptx.trainers.data.dataset import KINDS, Dataset, Split

if TYPE_CHECKING:
    from ptx.trainers.data.folder import ReadPixels

__all__ = ["SOURCES", "Dataset", "Source", "Split", "open_dataset"]


@dataclass(frozen=True)
class Source:
    """A named data set: what it holds and what opens it.

    Attributes:
        kind: Of its rows: a key of `ptx.trainers.data.dataset.KINDS`.
        opener: "module:function", imported when the data set is asked for.
        bundled: The named source that stands for it in the package.
        download: The opener takes `cache`, the folder for what it fetches.
    """

    kind: str
    opener: str
    bundled: str
    download: bool = False


SOURCES: dict[str, Source] = {
    "mnist": Source(
        "image", "ptx.trainers.data.mnist:open_mnist", bundled="bundled-mnist", download=True
    ),
    "mnist-held-out": Source(
        "image",
        "ptx.trainers.data.mnist:open_mnist_held_out",
        bundled="bundled-mnist",
        download=True,
    ),
    "fashion-mnist": Source(
        "image", "ptx.trainers.data.mnist:open_fashion", bundled="bundled-mnist", download=True
    ),
    "bundled-mnist": Source(
        "image", "ptx.trainers.data.bundled:open_mnist", bundled="bundled-mnist"
    ),
    "names": Source("text", "ptx.trainers.data.names:open_names", bundled="names"),
    "diabetes": Source("columns", "ptx.trainers.data.tables:open_diabetes", bundled="diabetes"),
    "line": Source("columns", "ptx.trainers.data.bundled:open_line", bundled="line"),
    "three-points": Source(
        "columns", "ptx.trainers.data.bundled:open_three_points", bundled="three-points"
    ),
    "hours": Source("columns", "ptx.trainers.data.bundled:open_hours", bundled="hours"),
    "hello": Source("sequence", "ptx.trainers.data.bundled:open_hello", bundled="hello"),
}
"""The data sets by the name that `open_dataset` and `--data` take."""


def open_dataset(
    source: str,
    *,
    default: str,
    cache: Path,
    resize_mode: str = "mnist",
    size: tuple[int, int] = (28, 28),
    labels: tuple[str, ...] | None = None,
    read: ReadPixels | None = None,
    columns: Sequence[str] = (),
    trained: bool = False,
    split_bounds: Sequence[int] | None = None,
) -> Dataset:
    """The data set that `source` names, for a model whose own data set is `default`.

    `source` is `bundled` (the model's own data in the form that ptx carries), a name in `SOURCES`,
    or a path: a folder of class folders, a CSV file of `file,label` rows with its pictures, of
    `text,label` rows, or of numbers whose last column is the target. A name wins over a path of the
    same name; write `./mnist` for the path.

    `resize_mode` (a key of `RESIZE_MODES`) and `size` (height, width) are the form of pictures from
    files, or `read` makes the pixels of a decoded picture, in which case no named data set will do.
    `labels` are the only labels that rows from files may have, in the order of the indices; without them
    the labels are those of the files, sorted. `columns` are the names of the model's columns, by which
    those of a file with a header are found. A file whose header has none of them is refused for a model
    that is `trained`; one that is still to be trained takes the header's names.

    Rows from files are split by their content, a fifth of each class into the test part, unless a folder
    has sub-folders `train` and `test`. `split_bounds` of the data set that a model was trained on keep
    every row of its training out of the test part, also when the files have changed since; a manifest
    has them as `training["data"]["split_bounds"]`.

    Raises:
        UsageError: no such source, or one that does not fit the model.
        InputError: the data cannot be used or cannot be fetched.
    """
    own = SOURCES[default]
    name = own.bundled if source == "bundled" else source
    if name in SOURCES and read is None:
        return _open_named(name, own, default, cache)
    path = _require_path(source, own)
    kind = KINDS[own.kind]
    if kind.opener is None or (path.is_dir() and not kind.folders):
        raise _form_error(str(path), "files" if path.is_dir() else "a table", own)
    form = {
        "resize_mode": resize_mode,
        "size": size,
        "read": read,
        "columns": columns,
        "trained": trained,
        "split_bounds": split_bounds,
    }
    opener = pkgutil.resolve_name(kind.opener)
    dataset: Dataset = opener(path, labels, partial(_open_own, default, path.parent), form)
    return dataset


def _open_named(name: str, own: Source, default: str, cache: Path) -> Dataset:
    if SOURCES[name].kind != own.kind:
        raise _form_error(name, KINDS[SOURCES[name].kind].noun, own)
    dataset = _open_own(name, cache)
    if KINDS[own.kind].varies and name != default:
        expected = _open_own(default, cache)
        got, wanted = _form(dataset), _form(expected)
        if got != wanted:
            raise UsageError(
                f"--data {name} has {got}; the model takes {wanted}: "
                f"use --data {default}, or {KINDS[own.kind].files}"
            )
    return dataset


def _open_own(name: str, cache: Path) -> Dataset:
    opener = pkgutil.resolve_name(SOURCES[name].opener)
    dataset: Dataset = opener(cache=cache) if SOURCES[name].download else opener()
    return dataset


def _require_path(source: str, own: Source) -> Path:
    path = Path(source)
    if path.is_dir() or (path.exists() and path.suffix.lower() == ".csv"):
        return path
    if path.exists():
        raise InputError(
            f"--data {quote(source)} is neither a folder nor a .csv file; expected "
            f"{KINDS[own.kind].files}",
            code="E-DATA",
        )
    if os.sep in source or path.suffix:
        raise InputError(f"--data {quote(source)}: no such folder or file", code="E-IN-MISSING")
    names = ["bundled", *(name for name, known in SOURCES.items() if known.kind == own.kind)]
    raise UsageError(f"--data {quote(source)} is unknown: {nearest(source, names)}, or a path")


def _form(dataset: Dataset) -> str:
    features = dataset.train.inputs[dataset.kind].shape[1]
    target = "classes" if dataset.labels else "numbers"
    return f"{features} column{'s' if features > 1 else ''} and {target} as targets"


def _form_error(source: str, got: str, own: Source) -> UsageError:
    names = ", ".join(name for name, known in SOURCES.items() if known.kind == own.kind)
    return UsageError(
        f"--data {quote(source)} holds {got}; the model takes {KINDS[own.kind].noun}: "
        f"use bundled, {names}, or {KINDS[own.kind].files}"
    )
