"""A confusion matrix as text."""

from __future__ import annotations

from collections.abc import Sequence

from ptx.report.text import WIDTH, table

LISTED = 15  # most frequent confusions, where the matrix is too wide


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
