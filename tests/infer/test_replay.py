"""Replay: raw inputs through the whole predictor, and what may differ between processors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptx.infer import Predictor, load
from ptx.infer.artifact.golden import Answer, RawSample, input_digest, labels_digest
from ptx.infer.replay import LEVELS, replay

Export = Callable[[str, str], Path]


@pytest.fixture
def digits(artifact: Export) -> Iterator[Predictor]:
    with load(artifact("softmax-regression", "onnx"), backend="ort-cpu") as predictor:
        yield predictor


def failed(predictor: Predictor, sample: RawSample) -> list[str]:
    card = replace(predictor.card, golden=(), raw=(sample,))
    return [check.name for check in replay(predictor, card) if not check.holds]


def with_kept(predictor: Predictor, off: int) -> RawSample:
    """The raw sample as a processor would have written it whose pixels are `off` away from ours."""
    (sample,) = predictor.card.raw
    kept = tuple(
        np.where(pixels > 100, pixels - off, pixels).astype(np.uint8) for pixels in sample.read
    )
    inputs = predictor.preprocessing.collate(kept)
    outputs = {name: array.astype(np.float64) for name, array in predictor.run(inputs).items()}
    told = predictor.answers(outputs, [None] * len(kept), top=1)
    answers = tuple(Answer(each.label, each.score, each.value) for each in told)
    tolerance = dict.fromkeys(outputs, 1e-4)
    digest = labels_digest(predictor.labels)
    return RawSample(
        sample.values, input_digest(inputs), kept, outputs, tolerance, answers, labels_sha256=digest
    )


def test_pixels_that_another_processor_rounds_otherwise_hold(digits: Predictor) -> None:
    assert failed(digits, with_kept(digits, LEVELS)) == []


def test_pixels_that_are_further_off_do_not(digits: Predictor) -> None:
    found = failed(digits, with_kept(digits, LEVELS + 1))
    assert "raw sample 1, preprocessing" in found


def test_kept_pixels_do_not_excuse_other_arrays(digits: Predictor) -> None:
    sample = replace(with_kept(digits, 0), sha256="00")
    assert failed(digits, sample) == ["raw sample 1, preprocessing"]


def test_a_raw_input_that_cannot_be_read_fails(digits: Predictor) -> None:
    (sample,) = digits.card.raw
    broken = replace(sample, values=(b"no picture", *sample.values[1:]))
    assert failed(digits, broken) == ["raw sample 1"]


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: replace(answer, label="no label"),
        lambda answer: replace(answer, score=(answer.score or 0) + 0.01),
        lambda answer: replace(answer, label=str((int(answer.label or 0) + 1) % 10)),
        lambda answer: Answer(None, None, 1.0),
    ],
)
def test_another_answer_fails(digits: Predictor, change: Callable[[Answer], Answer]) -> None:
    (sample,) = digits.card.raw
    wrong = replace(sample, answers=(change(sample.answers[0]), *sample.answers[1:]))
    assert failed(digits, wrong) == ["raw sample 1, answers"]


def test_of_two_labels_that_are_level_either_may_lead(digits: Predictor) -> None:
    (sample,) = digits.card.raw
    (first, second), *_ = (
        [*each.top[:2]] for each in digits.predict_many(sample.values[:1], top=2)
    )
    apart = first[1] - second[1]
    answers = (Answer(second[0], second[1], None), *sample.answers[1:])
    assert failed(digits, replace(sample, answers=answers)) == ["raw sample 1, answers"]
    level = replace(sample, answers=answers, tolerance={"logits": apart})
    assert failed(digits, level) == []


def test_an_answer_too_few_fails(digits: Predictor) -> None:
    (sample,) = digits.card.raw
    assert failed(digits, replace(sample, answers=sample.answers[1:])) == ["raw sample 1, answers"]
