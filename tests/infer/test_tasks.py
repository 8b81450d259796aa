"""From outputs to answers, held against numbers that are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from ptx.infer.errors import ArtifactError
from ptx.infer.tasks import TASKS, softmax

LABELS = ("a", "b", "c")


def logits(*probabilities: float) -> Any:
    return np.log(np.array([probabilities], np.float32))


@given(npst.arrays("f4", (3, 5), elements=st.floats(-(2.0**99), 2.0**99, width=32)))
def test_softmax_gives_probabilities(output: Any) -> None:
    probabilities = softmax(output)
    assert probabilities.dtype == np.float64
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-12)
    best = np.take_along_axis(probabilities, output.argmax(-1, keepdims=True), -1)
    assert (best[:, 0] == probabilities.max(-1)).all()


def test_softmax_of_known_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([[0.0, math.log(3)]])), [[0.25, 0.75]], rtol=1e-12)


def test_classification_ranks_the_labels() -> None:
    (decoded,) = TASKS["classification"].decode(logits(0.2, 0.7, 0.1), LABELS, 2)
    assert decoded.label == "b"
    assert decoded.score == pytest.approx(0.7, rel=1e-6)
    assert [label for label, _ in decoded.top] == ["b", "a"]
    assert decoded.value is None


def test_more_labels_than_there_are_give_all() -> None:
    (decoded,) = TASKS["classification"].decode(logits(0.2, 0.7, 0.1), LABELS, 99)
    assert [label for label, _ in decoded.top] == ["b", "a", "c"]


def test_of_equal_logits_the_first_label_is_the_answer_everywhere() -> None:
    output = np.zeros((1, 3), np.float32)
    task = TASKS["classification"]
    assert task.decode(output, LABELS, 1)[0].label == "a"
    assert task.classes is not None
    assert task.classes(output).tolist() == [0]


@pytest.mark.parametrize(
    ("probability", "label", "score"), [(0.9, "yes", 0.9), (0.5, "yes", 0.5), (0.25, "no", 0.75)]
)
def test_a_probability_is_of_the_second_label(probability: float, label: str, score: float) -> None:
    output, task = np.array([[probability]], np.float32), TASKS["binary"]
    (decoded,) = task.decode(output, ("no", "yes"), 3)
    assert decoded.label == label
    assert decoded.score == pytest.approx(score)
    assert sum(part for _, part in decoded.top) == pytest.approx(1)
    assert len(task.decode(output, ("no", "yes"), 1)[0].top) == 1
    assert task.classes is not None
    assert task.classes(output).tolist() == [("no", "yes").index(label)]


@pytest.mark.parametrize("probability", [1.0000001, 1.004, -1e-7])
def test_a_score_is_in_0_to_1_whatever_rounding_did(probability: float) -> None:
    alone = np.array([[probability]], np.float32)
    pair = np.array([[max(probability, 0), max(0, 1 - probability)]], np.float32)
    for name, output in (("binary", alone), ("probabilities", pair)):
        (decoded,) = TASKS[name].decode(output, ("no", "yes"), 2)
        assert all(0 <= score <= 1 for _, score in decoded.top)


@pytest.mark.parametrize("probability", [1.5, -0.2])
def test_what_is_no_probability_is_refused(probability: float) -> None:
    output = np.array([[0.5], [probability]], np.float32)
    with pytest.raises(ArtifactError, match=r"not probabilities: from .* end with a sigmoid"):
        TASKS["binary"].decode(output, ("no", "yes"), 2)


def test_a_regression_gives_its_value() -> None:
    (decoded,) = TASKS["regression"].decode(np.array([[8.25]], np.float32), (), 3)
    assert decoded[:4] == (None, None, (), 8.25)
    assert TASKS["regression"].classes is None


def test_tagging_spells_a_word_with_the_product_of_its_scores() -> None:
    output = np.concatenate([logits(0.5, 0.3, 0.2), logits(0.1, 0.1, 0.8)])[np.newaxis]
    task = TASKS["sequence-labeling"]
    (decoded,) = task.decode(output, LABELS, 3)
    assert decoded.label == "ac"
    assert decoded.score == pytest.approx(0.4)
    assert decoded.top == ((decoded.label, decoded.score),)
    assert task.classes is not None
    assert task.classes(output).tolist() == [[0, 2]]


@pytest.mark.parametrize(
    ("task", "axes", "labels", "fits"),
    [
        ("classification", (10,), 10, True),
        ("classification", (10,), 9, False),
        ("classification", ("time", 10), 10, False),
        ("classification", (), 0, False),
        ("binary", (1,), 2, True),
        ("binary", (2,), 2, False),
        ("binary", (1,), 0, False),
        ("regression", (1,), 0, True),
        ("regression", (), 0, False),
        ("regression", (1,), 2, False),
        ("sequence-labeling", ("time", 4), 4, True),
        ("sequence-labeling", (4,), 4, False),
    ],
)
def test_an_output_that_does_not_fit_its_task_is_told(
    task: str, axes: tuple[int | str, ...], labels: int, fits: bool
) -> None:
    assert TASKS[task].fits(axes, labels) is fits
