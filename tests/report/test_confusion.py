"""The confusion matrix as text."""

from __future__ import annotations

import numpy as np

from ptx.report.confusion import confusion_text


def test_labels_that_fit_stand_above_their_columns() -> None:
    text = confusion_text(["healthy", "diabetes"], [[90, 10], [3, 50]])
    assert text.splitlines()[1:] == [
        "          healthy  diabetes",
        "healthy        90        10",
        "diabetes        3        50",
    ]


def test_long_labels_have_numbers_above_their_columns() -> None:
    labels = [f"language {letter}" for letter in "ABCDEFGHIJKLMNOP"]
    text = confusion_text(labels, np.eye(16, dtype=int).tolist())
    lines = text.splitlines()
    assert lines[1].split() == [str(number) for number in range(1, 17)]
    assert lines[2].startswith(" 1 language A 1 0")
    assert max(map(len, lines)) <= 80


def test_of_a_matrix_that_is_too_wide_the_most_frequent_confusions_are_listed() -> None:
    labels = [f"class {number}" for number in range(40)]
    matrix = np.eye(40, dtype=int) * 5
    matrix[3, 7], matrix[9, 1] = 4, 2
    lines = confusion_text(labels, matrix.tolist()).splitlines()
    assert lines[0].startswith("the most frequent of 2 different confusions")
    assert [line.split() for line in lines[2:]] == [
        ["class", "3", "class", "7", "4", "9"],
        ["class", "9", "class", "1", "2", "7"],
    ]
