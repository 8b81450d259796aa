"""Replay: raw inputs through the whole predictor, and what may differ between processors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ptx.infer import Predictor, load
from ptx.infer.artifact.golden import (
    EndToEndSample,
    ExpectedPrediction,
    input_digest,
    labels_digest,
)
from ptx.infer.replay import PIXEL_TOLERANCE, replay

Export = Callable[[str, str], Path]


@pytest.fixture
def digits(artifact: Export) -> Iterator[Predictor]:
    with load(artifact("softmax-regression", "onnx"), backend="ort-cpu") as predictor:
        yield predictor


def failed(predictor: Predictor, sample: EndToEndSample) -> list[str]:
    manifest = replace(predictor.manifest, golden=(), end_to_end=(sample,))
    return [check.name for check in replay(predictor, manifest) if not check.passed]


def with_kept(predictor: Predictor, off: int) -> EndToEndSample:
    """The end-to-end sample as a processor would have written it whose pixels are `off` away
    from ours.
    """
    (sample,) = predictor.manifest.end_to_end
    kept = tuple(
        np.where(pixels > 100, pixels - off, pixels).astype(np.uint8) for pixels in sample.read
    )
    inputs = predictor.preprocessing.collate(kept)
    outputs = {name: array.astype(np.float64) for name, array in predictor.run(inputs).items()}
    told = predictor.decode_outputs(outputs, [None] * len(kept), top=1)
    answers = tuple(ExpectedPrediction(each.label, each.score, each.value) for each in told)
    tolerance = dict.fromkeys(outputs, 1e-4)
    digest = labels_digest(predictor.labels)
    return EndToEndSample(
        sample.values, input_digest(inputs), kept, outputs, tolerance, answers, labels_sha256=digest
    )


def test_pixels_that_another_processor_rounds_otherwise_hold(digits: Predictor) -> None:
    assert failed(digits, with_kept(digits, PIXEL_TOLERANCE)) == []


def test_pixels_that_are_further_off_do_not(digits: Predictor) -> None:
    found = failed(digits, with_kept(digits, PIXEL_TOLERANCE + 1))
    assert "end-to-end sample 1, preprocessing" in found


def test_kept_pixels_do_not_excuse_other_arrays(digits: Predictor) -> None:
    sample = replace(with_kept(digits, 0), sha256="00")
    assert failed(digits, sample) == ["end-to-end sample 1, preprocessing"]


def test_a_raw_input_that_cannot_be_read_fails(digits: Predictor) -> None:
    (sample,) = digits.manifest.end_to_end
    broken = replace(sample, values=(b"no picture", *sample.values[1:]))
    assert failed(digits, broken) == ["end-to-end sample 1"]


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: replace(answer, label="no label"),
        lambda answer: replace(answer, score=(answer.score or 0) + 0.01),
        lambda answer: replace(answer, label=str((int(answer.label or 0) + 1) % 10)),
        lambda answer: ExpectedPrediction(None, None, 1.0),
    ],
)
def test_another_answer_fails(
    digits: Predictor, change: Callable[[ExpectedPrediction], ExpectedPrediction]
) -> None:
    (sample,) = digits.manifest.end_to_end
    wrong = replace(sample, predictions=(change(sample.predictions[0]), *sample.predictions[1:]))
    assert failed(digits, wrong) == ["end-to-end sample 1, predictions"]


def test_of_two_labels_that_are_level_either_may_lead(digits: Predictor) -> None:
    (sample,) = digits.manifest.end_to_end
    (first, second), *_ = (
        [*each.top[:2]] for each in digits.predict_many(sample.values[:1], top=2)
    )
    apart = first[1] - second[1]
    answers = (ExpectedPrediction(second[0], second[1], None), *sample.predictions[1:])
    assert failed(digits, replace(sample, predictions=answers)) == [
        "end-to-end sample 1, predictions"
    ]
    ties = replace(sample, predictions=answers, tolerance={"logits": apart})
    assert failed(digits, ties) == []


def test_an_answer_too_few_fails(digits: Predictor) -> None:
    (sample,) = digits.manifest.end_to_end
    assert failed(digits, replace(sample, predictions=sample.predictions[1:])) == [
        "end-to-end sample 1, predictions"
    ]
