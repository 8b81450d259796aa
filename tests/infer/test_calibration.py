"""The probability that a prediction is wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx import infer
from ptx.infer import Predictor
from ptx.infer.calibration import Calibration
from ptx.infer.digits import ood
from ptx.infer.errors import ArtifactError

RANDOM = np.random.default_rng(6)
PIXELS = list(RANDOM.integers(0, 256, (7, 28, 28)).astype(np.uint8))
LOGITS = RANDOM.normal(0, 3, (7, 10)).astype(np.float32)


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def test_without_a_detector_it_is_what_the_calibrated_score_leaves() -> None:
    wrong = Calibration(2.0).error_probabilities(LOGITS, [])
    expected = [1 - max(softmax([value / 2 for value in row])) for row in LOGITS.tolist()]
    assert wrong == pytest.approx(expected, abs=1e-6)


def test_with_a_detector_both_must_agree_on_the_label() -> None:
    detector = ood.load_detector(ood.CURRENT)
    assert detector is not None
    wrong = Calibration(2.0, ood.CURRENT).error_probabilities(LOGITS, PIXELS)
    expected = []
    for logits, seen in zip(LOGITS.tolist(), detector.logits(PIXELS).tolist(), strict=True):
        label = logits.index(max(logits))
        expected.append(1 - max(softmax([value / 2 for value in logits])) * softmax(seen)[label])
    assert wrong == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("pixels", [[], [row.astype(np.float32) for row in PIXELS]])
def test_with_a_detector_but_without_pixels_there_is_none(pixels: list[Any]) -> None:
    assert Calibration(2.0, ood.CURRENT).error_probabilities(LOGITS, pixels) is None


def test_huge_logits_do_not_overflow() -> None:
    huge = np.array([[3e38, -3e38], [-3e38, 3e38]], np.float32)
    assert Calibration(0.01).error_probabilities(huge, []) == [0.0, 0.0]


def test_a_manifest_that_holds_nothing_has_none() -> None:
    assert Calibration.from_data({}, "regression", (), 0) is None


@pytest.mark.parametrize(
    ("data", "task", "size", "labels"),
    [
        ({}, "classification", (28, 28), 10),
        ({"temperature": 0.0}, "classification", (28, 28), 10),
        ({"temperature": "1"}, "classification", (28, 28), 10),
        ({"temperature": 1.0}, "regression", (28, 28), 0),
        ({"temperature": 1.0, "ood_detector": 3}, "classification", (28, 28), 10),
        ({"temperature": 1.0, "ood_detector": "../ood.npz"}, "classification", (28, 28), 10),
        ({"temperature": 1.0, "ood_detector": ood.CURRENT}, "classification", (32, 32), 10),
        ({"temperature": 1.0, "ood_detector": ood.CURRENT}, "classification", (), 10),
        ({"temperature": 1.0, "ood_detector": ood.CURRENT}, "classification", (28, 28), 11),
    ],
)
def test_a_calibration_that_is_not_valid_or_does_not_fit_is_refused(
    data: dict[str, Any], task: str, size: tuple[int, ...], labels: int
) -> None:
    data = data or {"ood_detector": ood.CURRENT}
    with pytest.raises(ArtifactError, match="calibration") as caught:
        Calibration.from_data(data, task, size, labels)
    assert caught.value.code == "E-MANIFEST"


def calibrated(artifact: Any, **calibration: Any) -> Predictor:
    path: Path = artifact("convnet", "onnx")
    opened = infer.load(path, backend="ort-cpu")
    manifest = replace(opened.manifest, calibration=calibration)
    return Predictor(manifest, lambda: opened.backend)


@pytest.mark.parametrize("digest", ["0" * 64, ood.CURRENT])
def test_a_predictor_gives_none_if_it_does_not_have_the_detector(
    artifact: Any, digest: str
) -> None:
    predictor = calibrated(artifact, temperature=1.0, ood_detector=digest)
    (prediction,) = predictor.predict_samples([PIXELS[0]], [None])
    assert (prediction.error_probability is None) == (digest != ood.CURRENT)
    if digest != ood.CURRENT:
        assert prediction.low_confidence is False


def test_a_predictor_uses_the_temperature_of_any_classifier(artifact: Any) -> None:
    samples = [PIXELS[0]]
    predictor = calibrated(artifact, temperature=3.0)
    outputs = predictor.run(predictor.preprocessing.collate(samples))
    (prediction,) = predictor.predict_samples(samples, [None])
    logits = outputs[predictor.signature.outputs[0].name][0].tolist()
    assert prediction.error_probability == pytest.approx(
        1 - max(softmax([v / 3 for v in logits])), abs=1e-6
    )
