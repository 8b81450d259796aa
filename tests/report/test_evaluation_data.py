"""When the share of right answers raises a question."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ptx.report.evaluation_data import is_suspicious
from ptx.trainers.evaluation import Evaluation


def evaluation(confusion: list[list[int]]) -> Evaluation:
    matrix: Any = np.array(confusion)
    share = float(matrix.trace() / matrix.sum())
    return Evaluation(int(matrix.sum()), share, matrix, None, np.zeros(0, np.int64))


@pytest.mark.parametrize(
    ("confusion", "suspicious"),
    [
        ([[9, 1], [1, 9]], False),
        ([[65, 0], [35, 0]], True),  # what is most frequent, always
        ([[60, 5], [20, 15]], False),
        ([[1, 9], [9, 1]], True),
        ([[4, 3, 3], [3, 4, 3], [3, 3, 4]], True),  # above chance, and fewer than half
        ([[6, 2, 2], [2, 6, 2], [2, 2, 6]], False),
    ],
)
def test_few_right_answers_are_suspicious(confusion: list[list[int]], suspicious: bool) -> None:
    assert is_suspicious(evaluation(confusion)) == suspicious


def test_the_error_of_a_regression_raises_no_question() -> None:
    assert not is_suspicious(Evaluation(3, None, None, 99.0, np.zeros(0, np.int64)))
