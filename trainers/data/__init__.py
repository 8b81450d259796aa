"""The data sets that models are trained on: by name, or from the user's files.

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

from ptx.infer.errors import InputError, UsageError, did_you_mean, quote
from ptx.trainers.data.dataset import ROW_TYPES, Dataset, Split

if TYPE_CHECKING:
    from ptx.trainers.data.folder import ReadPixels

__all__ = ["DATASETS", "Dataset", "DatasetEntry", "Split", "open_dataset"]


@dataclass(frozen=True)
class DatasetEntry:
    """A named data set and the function that loads it.

    Attributes:
        row_type: A key of `ptx.trainers.data.dataset.ROW_TYPES`.
        loader: "module:function", imported when the data set is opened.
        bundled: The name of the data set in the package that `bundled` means for its models.
        download: The loader takes `cache`, the folder for downloaded files.
    """

    row_type: str
    loader: str
    bundled: str
    download: bool = False


DATASETS: dict[str, DatasetEntry] = {
    "mnist": DatasetEntry(
        "image", "ptx.trainers.data.mnist:open_mnist", bundled="bundled-mnist", download=True
    ),
    "mnist-validation": DatasetEntry(
        "image",
        "ptx.trainers.data.mnist:open_mnist_validation",
        bundled="bundled-mnist",
        download=True,
    ),
    "fashion-mnist": DatasetEntry(
        "image", "ptx.trainers.data.mnist:open_fashion", bundled="bundled-mnist", download=True
    ),
    "bundled-mnist": DatasetEntry(
        "image", "ptx.trainers.data.bundled:open_mnist", bundled="bundled-mnist"
    ),
    "names": DatasetEntry("text", "ptx.trainers.data.names:open_names", bundled="names"),
    "diabetes": DatasetEntry(
        "columns", "ptx.trainers.data.tables:open_diabetes", bundled="diabetes"
    ),
    "line": DatasetEntry("columns", "ptx.trainers.data.bundled:open_line", bundled="line"),
    "three-points": DatasetEntry(
        "columns", "ptx.trainers.data.bundled:open_three_points", bundled="three-points"
    ),
    "hours": DatasetEntry("columns", "ptx.trainers.data.bundled:open_hours", bundled="hours"),
    "hello": DatasetEntry("sequence", "ptx.trainers.data.bundled:open_hello", bundled="hello"),
}
"""The data sets by the names that `open_dataset` and `--data` accept."""


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
    """The data set that `source` names, for a model whose documented data set is `default`.

    Rows from files are split by their content: a fifth of each class is the test split, unless a folder
    has the sub-folders `train` and `test`.

    Args:
        source: `bundled` (the model's documented data, or a part of it, as included in ptx), a name in
            `DATASETS`, or a path: a folder of class folders, a CSV file of `file,label` rows with its
            images, of `text,label` rows, or of numbers whose last column is the target. A name takes
            precedence over a path; write `./mnist` for the path.
        default: The name of the model's documented data set, which determines the type of the rows.
        cache: The folder for downloaded data.
        resize_mode: How images from files are resized: a key of `RESIZE_MODES`.
        size: Their size (height, width).
        labels: The only labels that rows from files may have, in the order of the class indices. None
            means the labels in the files, sorted.
        read: Computes the pixels of a decoded image, instead of `resize_mode` and `size`; named data
            sets are then not available.
        columns: The names of the model's columns, by which those of a file with a header are found.
        trained: Whether the model is trained. Then a file whose header has none of `columns` is an
            error; otherwise the model takes the names of the header.
        split_bounds: From the manifest of a trained model, `training["data"]["split_bounds"]`. No row
            that it was trained on is a test row, even if the files have changed since.

    Raises:
        UsageError: there is no such source, or it is not for this model.
        InputError: the data cannot be used or cannot be downloaded.
    """
    documented = DATASETS[default]
    name = documented.bundled if source == "bundled" else source
    if name in DATASETS and read is None:
        return _open_named(name, documented, default, cache)
    path = _require_path(source, documented)
    row_type = ROW_TYPES[documented.row_type]
    if row_type.loader is None or (path.is_dir() and not row_type.accepts_folder):
        raise _type_error(str(path), "files" if path.is_dir() else "a table", documented)
    options = {
        "resize_mode": resize_mode,
        "size": size,
        "read": read,
        "columns": columns,
        "trained": trained,
        "split_bounds": split_bounds,
    }
    load = pkgutil.resolve_name(row_type.loader)
    dataset: Dataset = load(path, labels, partial(_load, default, path.parent), options)
    return dataset


def _open_named(name: str, documented: DatasetEntry, default: str, cache: Path) -> Dataset:
    if DATASETS[name].row_type != documented.row_type:
        raise _type_error(name, ROW_TYPES[DATASETS[name].row_type].plural, documented)
    dataset = _load(name, cache)
    if ROW_TYPES[documented.row_type].variable_width and name != default:
        expected = _load(default, cache)
        actual, required = _describe_columns(dataset), _describe_columns(expected)
        if actual != required:
            raise UsageError(
                f"--data {name} has {actual}; the model takes {required}: "
                f"use --data {default}, or {ROW_TYPES[documented.row_type].accepted_files}"
            )
    return dataset


def _load(name: str, cache: Path) -> Dataset:
    load = pkgutil.resolve_name(DATASETS[name].loader)
    dataset: Dataset = load(cache=cache) if DATASETS[name].download else load()
    return dataset


def _require_path(source: str, documented: DatasetEntry) -> Path:
    path = Path(source)
    if path.is_dir() or (path.exists() and path.suffix.lower() == ".csv"):
        return path
    if path.exists():
        raise InputError(
            f"--data {quote(source)} is neither a folder nor a .csv file; expected "
            f"{ROW_TYPES[documented.row_type].accepted_files}",
            code="E-DATA",
        )
    if os.sep in source or path.suffix:
        raise InputError(f"--data {quote(source)}: no such folder or file", code="E-IN-MISSING")
    names = [
        "bundled",
        *(name for name, entry in DATASETS.items() if entry.row_type == documented.row_type),
    ]
    raise UsageError(f"--data {quote(source)} is unknown: {did_you_mean(source, names)}, or a path")


def _describe_columns(dataset: Dataset) -> str:
    features = dataset.train.inputs[dataset.row_type].shape[1]
    target = "classes" if dataset.labels else "numbers"
    return f"{features} column{'s' if features > 1 else ''} and {target} as targets"


def _type_error(source: str, actual: str, documented: DatasetEntry) -> UsageError:
    names = ", ".join(
        name for name, entry in DATASETS.items() if entry.row_type == documented.row_type
    )
    return UsageError(
        f"--data {quote(source)} has {actual}; the model takes {ROW_TYPES[documented.row_type].plural}: "
        f"use bundled, {names}, or {ROW_TYPES[documented.row_type].accepted_files}"
    )
