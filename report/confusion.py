"""A confusion matrix: as text, and for the page: which cells, how dark, under which names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ptx.infer import Array
from ptx.report.text import WIDTH, table

LISTED = 15  # most frequent confusions, where the matrix is too wide
LIMIT = 30  # labels of a matrix; of more the most frequent confusions are listed
LISTED_ON_PAGE = 20  # of these, on the page
LONG_LABELS = 60  # characters of all labels together; above it columns are numbered
CLIP = 24  # characters of a label that a matrix shows
MANY = 12  # labels; a matrix of more has small cells
SHARE_OF_WHITE = 0.45  # of a row's answers: a darker cell has white figures


def confusion_text(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    """The matrix with its labels, or with their numbers; where that is too wide, what is confused most.

    Args:
        matrix: Rows by true label, columns by predicted label.
    """
    rows = [[str(count) for count in row] for row in matrix]
    whole = table(("", *labels), [(label, *row) for label, row in zip(labels, rows, strict=True)])
    if _fits(whole):
        return f"true label by row, predicted by column\n{whole}"
    numbers = [str(number) for number in range(1, len(labels) + 1)]
    numbered = table(
        ("", "", *numbers),
        [(number, label, *row) for number, label, row in zip(numbers, labels, rows, strict=True)],
        gap=1,
    )
    if _fits(numbered):
        return f"true label by row, predicted by column, under the number of its row\n{numbered}"
    return _most_confused(labels, matrix)


def _most_confused(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> str:
    pairs = [
        (count, sum(row), true, labels[column])
        for true, row in zip(labels, matrix, strict=True)
        for column, count in enumerate(row)
        if count and labels[column] != true
    ]
    pairs.sort(key=lambda pair: -pair[0])
    found = [(true, got, f"{count:,}", f"{of:,}") for count, of, true, got in pairs[:LISTED]]
    title = f"the most frequent of {len(pairs):,} confusions; --json has the whole matrix"
    return f"{title}\n{table(('true label', 'predicted', 'rows', 'of'), found)}"


def _fits(text: str) -> bool:
    return max(map(len, text.splitlines())) <= WIDTH


@dataclass(frozen=True)
class Cell:
    """One count."""

    text: str
    classes: str
    level: float  # of the colour, 0 to 1


@dataclass(frozen=True)
class Matrix:
    """The whole matrix, its labels as they fit."""

    total: str
    numbered: bool  # whether the columns have the numbers of the rows
    many: bool
    heads: list[str]
    rows: list[tuple[str, list[Cell]]]


@dataclass(frozen=True)
class Confusions:
    """The most frequent confusions of a matrix that is too large."""

    count: str  # of all of them
    rows: list[tuple[str, str, str, str]]  # true label, predicted label, how often, of how many


def matrix_view(matrix: Array, labels: Sequence[str]) -> Matrix:
    """The matrix: int64 (labels, labels), true label by row, predicted by column."""
    numbered = sum(map(len, labels)) > LONG_LABELS
    clipped = [label if len(label) <= CLIP else f"{label[: CLIP - 1]}…" for label in labels]
    heads = [str(n) if numbered else label for n, label in enumerate(clipped, 1)]
    names = [f"{n} {label}" if numbered else label for n, label in enumerate(clipped, 1)]
    rows = []
    for true, row in enumerate(matrix):
        shares = row / max(row.sum(), 1)
        pairs = enumerate(zip(row.tolist(), shares.tolist(), strict=True))
        rows.append((names[true], [_cell(n, share, true == got) for got, (n, share) in pairs]))
    return Matrix(f"{matrix.sum():,}", numbered, len(labels) > MANY, heads, rows)


def _cell(count: int, share: float, same: bool) -> Cell:
    classes = " ".join(["same"] * same + ["dark"] * (share > SHARE_OF_WHITE))
    # The square root lets a few of many confusions be seen.
    return Cell(str(count or "·"), classes, round(float(np.sqrt(share)), 2))


def confusions_view(matrix: Array, labels: Sequence[str]) -> Confusions:
    """Of a matrix of many labels."""
    pairs = [(int(matrix[i, j]), i, j) for i, j in np.argwhere(matrix) if i != j]
    rows = [
        (labels[i], labels[j], f"{count:,}", f"{matrix[i].sum():,}")
        for count, i, j in sorted(pairs, reverse=True)[:LISTED_ON_PAGE]
    ]
    return Confusions(f"{len(pairs):,}", rows)
