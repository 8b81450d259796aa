"""A confusion matrix as text and as cells of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ptx.infer import Array
from ptx.report.text import WIDTH, table

MAX_LISTED = 15  # most frequent confusions in text, if the matrix is too wide
MAX_LABELS = 30  # of a matrix; with more, the most frequent confusions are listed
MAX_LISTED_ON_PAGE = 20  # most frequent confusions in the report
MAX_HEADER = 60  # total characters of the labels; above it columns are numbered
MAX_LABEL = 24  # characters of a label in a matrix
SMALL_CELLS = 12  # labels; a matrix with more has small cells
WHITE_TEXT_SHARE = 0.45  # of a row's predictions: cells above it are dark and have white text


def confusion_text(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    """The matrix, with numbered columns if it is too wide, or else the most frequent confusions.

    Args:
        matrix: Rows by true label, columns by predicted label.
    """
    rows = [[str(count) for count in row] for row in matrix]
    full = table(("", *labels), [(label, *row) for label, row in zip(labels, rows, strict=True)])
    if _fits(full):
        return f"true labels in rows, predicted labels in columns\n{full}"
    numbers = [str(number) for number in range(1, len(labels) + 1)]
    numbered = table(
        ("", "", *numbers),
        [(number, label, *row) for number, label, row in zip(numbers, labels, rows, strict=True)],
        gap=1,
    )
    if _fits(numbered):
        return (
            f"true labels in rows, predicted labels in columns, numbered like the rows\n{numbered}"
        )
    return _most_confused(labels, matrix)


def _most_confused(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    pairs = [
        (count, sum(row), true, labels[column])
        for true, row in zip(labels, matrix, strict=True)
        for column, count in enumerate(row)
        if count and labels[column] != true
    ]
    pairs.sort(key=lambda pair: -pair[0])
    rows = [
        (true, predicted, f"{count:,}", f"{total:,}")
        for count, total, true, predicted in pairs[:MAX_LISTED]
    ]
    title = (
        f"the most frequent of {len(pairs):,} different confusions; --json shows the entire matrix"
    )
    return f"{title}\n{table(('true label', 'predicted', 'rows', 'of'), rows)}"


def _fits(text: str) -> bool:
    return max(map(len, text.splitlines())) <= WIDTH


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix."""

    text: str
    classes: str
    opacity: float  # 0 to 1


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix for the report."""

    total: str
    numbered: bool  # whether columns show the row numbers instead of labels
    many: bool
    heads: list[str]
    rows: list[tuple[str, list[Cell]]]


@dataclass(frozen=True)
class Confusions:
    """The most frequent confusions, for a matrix that is too large to show."""

    count: str  # number of different confusions
    # True label, predicted label, count, rows with the true label.
    rows: list[tuple[str, str, str, str]]


def matrix_view(matrix: Array, labels: Sequence[str]) -> Matrix:
    """Cells of a matrix: int64 (labels, labels), true labels in rows, predicted labels in columns."""
    numbered = sum(map(len, labels)) > MAX_HEADER
    clipped = [
        label if len(label) <= MAX_LABEL else f"{label[: MAX_LABEL - 1]}…" for label in labels
    ]
    heads = [str(n) if numbered else label for n, label in enumerate(clipped, 1)]
    names = [f"{n} {label}" if numbered else label for n, label in enumerate(clipped, 1)]
    rows = []
    for true, row in enumerate(matrix):
        shares = row / max(row.sum(), 1)
        pairs = enumerate(zip(row.tolist(), shares.tolist(), strict=True))
        rows.append((names[true], [_cell(n, share, true == label) for label, (n, share) in pairs]))
    return Matrix(f"{matrix.sum():,}", numbered, len(labels) > SMALL_CELLS, heads, rows)


def _cell(count: int, share: float, same: bool) -> Cell:
    classes = " ".join(["same"] * same + ["dark"] * (share > WHITE_TEXT_SHARE))
    # The square root makes rare confusions visible.
    return Cell(str(count or "·"), classes, round(float(np.sqrt(share)), 2))


def confusions_view(matrix: Array, labels: Sequence[str]) -> Confusions:
    """The most frequent confusions of a matrix: int64 (labels, labels)."""
    pairs = [(int(matrix[i, j]), i, j) for i, j in np.argwhere(matrix) if i != j]
    rows = [
        (labels[i], labels[j], f"{count:,}", f"{matrix[i].sum():,}")
        for count, i, j in sorted(pairs, reverse=True)[:MAX_LISTED_ON_PAGE]
    ]
    return Confusions(f"{len(pairs):,}", rows)


def class_rows(matrix: Array, labels: Sequence[str]) -> list[tuple[str, str, str, str, str]]:
    """Label, rows, precision, recall and F1 of each class, the lowest F1 first.

    A class that no row has, or that is never predicted, has a dash where there is nothing to divide by.
    """
    rows, predicted, right = matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal()
    f1 = 2 * right / np.maximum(rows + predicted, 1)
    return [
        (
            labels[index],
            f"{rows[index]:,}",
            _share(right[index], predicted[index]),
            _share(right[index], rows[index]),
            _share(2 * right[index], rows[index] + predicted[index]),
        )
        for index in np.argsort(f1, kind="stable")
        if rows[index] or predicted[index]
    ]


def _share(part: int, total: int) -> str:
    return f"{100 * part / total:.1f} %" if total else "-"
