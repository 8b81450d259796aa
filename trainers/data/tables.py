"""Tables of numbers: the diabetes table, or a CSV file whose last column is the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptx.infer.artifact.files import read_bytes
from ptx.infer.errors import InputError, quote
from ptx.infer.tables.numbers import Table, read_table
from ptx.trainers.data.dataset import Dataset, Split, read_bundled
from ptx.trainers.data.split import split_by_content, stratified_folds, stratified_split

DIABETES_LABELS = ("no diabetes", "diabetes")
CSV_LIMIT = 1 << 30  # bytes


def open_diabetes() -> Dataset:
    """Pima Indians Diabetes: 768 rows of 8 raw columns, split 80/20 within each class."""
    rows = _diabetes_rows()
    return _diabetes("diabetes", rows, *stratified_split(rows.targets))


def diabetes_folds(count: int = 5) -> tuple[Dataset, ...]:
    """The diabetes table in folds for cross-validation: each row is a test row in one of them."""
    rows = _diabetes_rows()
    return tuple(
        _diabetes(f"diabetes-fold-{fold}", rows, train, test)
        for fold, (train, test) in enumerate(stratified_folds(rows.targets, count), start=1)
    )


def open_table(
    path: Path,
    labels: tuple[str, ...] | None,
    load_default: Callable[[], Dataset],
    options: Mapping[str, Any],
) -> Dataset:
    """A CSV file of numbers, split 80/20: the last column is the target, the others are inputs.

    It must have as many inputs as the model's default data set. If the header has the names in the
    option `columns`, these are the inputs in this order, and the remaining column is the target. A
    header without any of them is an error for a model that is `trained`; otherwise it names the columns.
    With `labels`, or else with those of the default data set, the target is a class index and the split
    is stratified; without any, it is the number to predict.

    Raises:
        InputError: the file cannot be used; the message names the line and the column.
    """
    expected = load_default()
    labels = labels or expected.labels
    content = read_bytes(path, limit=CSV_LIMIT)
    table = read_table(content, name=str(path), columns=options["columns"])
    _check_width(table, path, expected.train.inputs["columns"].shape[1] + 1)
    columns = _name_columns(table, path, options["columns"], trained=options["trained"])
    rows = _rows(table, str(path), labels)
    classes = rows.targets if labels else np.zeros(len(rows), np.int64)
    if labels:
        _check_classes(rows.targets, str(path), labels)
    elif len(rows) < 2:
        raise InputError(
            f"{quote(path)} has one row; expected two or more, for a training and a test split",
            code="E-DATA",
        )
    train, test, bounds = split_by_content(
        classes, [row.tobytes() for row in table.rows], max(len(labels), 1), options["split_bounds"]
    )
    assumption = (
        f"no header: the columns are assumed to be {', '.join(options['columns'])} and the target"
    )
    return Dataset(
        path.stem,
        "columns",
        rows.take(train),
        rows.take(test),
        labels,
        f"the file {path.name}",
        columns=columns,
        split_bounds=bounds,
        note="" if table.header or len(options["columns"]) < 2 else assumption,
    )


def _name_columns(
    table: Table, path: Path, expected: Sequence[str], *, trained: bool
) -> tuple[str, ...]:
    """The names of a table's inputs: the model's, or those of the header if it has none of these."""
    if table.header is None or not expected or table.by_name:
        return tuple(expected)
    names = tuple(table.header[index] for index in table.places[:-1])
    if trained and len(expected) > 1:
        raise InputError(
            f"{quote(path)} has a header with none of the columns {', '.join(expected)} that the model"
            " was trained on: name all of them in any order, or remove the header and keep this order",
            code="E-CSV",
        )
    if not all(names) or len(set(names)) < len(names):
        raise InputError(
            f"{quote(path)} has a column without a name, or two of one name; expected a different"
            " name for each: correct the header, or remove it",
            code="E-CSV",
        )
    return names


def _diabetes_rows() -> Split:
    name = "diabetes.csv"
    return _rows(read_table(read_bundled(name), name=name), name, DIABETES_LABELS)


def _diabetes(name: str, rows: Split, train: NDArray[np.int64], test: NDArray[np.int64]) -> Dataset:
    source = "Pima Indians Diabetes (NIDDK), 768 rows"
    return Dataset(name, "columns", rows.take(train), rows.take(test), DIABETES_LABELS, source)


def _rows(table: Table, name: str, labels: tuple[str, ...]) -> Split:
    with np.errstate(over="ignore"):
        columns = table.rows.astype(np.float32)
    if not np.isfinite(columns).all():
        row, column = np.argwhere(~np.isfinite(columns))[0].tolist()
        raise InputError(
            f"{quote(name)} {table.place(row, column)} is {table.rows[row, column]:g}; expected a "
            "number that fits into float32: scale the column",
            code="E-CSV",
        )
    targets: NDArray[Any] = columns[:, -1:]
    if labels:
        targets = _class_indices(table, name, labels)
    return Split({"columns": np.ascontiguousarray(columns[:, :-1])}, targets)


def _class_indices(table: Table, name: str, labels: tuple[str, ...]) -> NDArray[np.int64]:
    last = table.rows[:, -1]
    wrong = np.flatnonzero(~np.isin(last, np.arange(len(labels))))
    if len(wrong):
        row = int(wrong[0])
        place = table.place(row, table.rows.shape[1] - 1)
        meaning = ", ".join(f"{index} {label}" for index, label in enumerate(labels))
        raise InputError(
            f"{quote(name)} {place} is {last[row]:g}; expected a class index ({meaning}): the "
            "last column is the target",
            code="E-CSV",
        )
    return last.astype(np.int64)


def _check_width(table: Table, path: Path, expected: int) -> None:
    width = table.rows.shape[1]
    if width != expected:
        raise InputError(
            f"{quote(path)} has {width} column{'s' if width > 1 else ''}; expected {expected}, "
            "the inputs and then the target: correct the file",
            code="E-CSV",
        )


def _check_classes(targets: NDArray[Any], name: str, labels: tuple[str, ...]) -> None:
    present, counts = np.unique(targets, return_counts=True)
    if len(present) < 2 or counts.min() < 2:
        counted = ", ".join(
            f"{count} of {labels[label]!r}" for label, count in zip(present, counts, strict=True)
        )
        raise InputError(
            f"{quote(name)} has {counted}; expected two or more classes of two or more rows each: "
            "add rows",
            code="E-DATA",
        )
