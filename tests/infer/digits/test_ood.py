"""The detector of pictures that are no digit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from ptx.infer.digits import ood
from ptx.infer.images.decode import decode

SEVEN = np.asarray(decode((Path(__file__).parents[2] / "pictures" / "mnist-7.png").read_bytes()))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def test_a_seven_is_one_and_noise_is_no_digit() -> None:
    detector = ood.load_detector(ood.CURRENT)
    assert detector is not None
    noise = np.random.default_rng(0).integers(0, 256, (28, 28)).astype(np.uint8)
    seven, other = detector.logits([SEVEN, noise])
    assert softmax(seven)[7] > 0.9
    assert softmax(other)[ood.LABELS] > 0.9


def test_the_layers_are_applied_to_means_of_2x2_pixels() -> None:
    detector = ood.load_detector(ood.CURRENT)
    assert detector is not None
    values = [
        SEVEN[row : row + 2, column : column + 2].astype(float).mean() / 255
        for row in range(0, 28, 2)
        for column in range(0, 28, 2)
    ]
    for at, (weights, biases) in enumerate(detector.layers):
        assert weights.dtype == biases.dtype == np.float32
        before = [max(value, 0.0) for value in values] if at else values
        values = [
            sum(w * v for w, v in zip(row, before, strict=True)) + bias
            for row, bias in zip(weights.tolist(), biases.tolist(), strict=True)
        ]
    (logits,) = detector.logits([SEVEN])
    assert logits.tolist() == pytest.approx(values, abs=1e-4)


def test_every_listed_detector_is_shipped_unchanged() -> None:
    for digest, name in ood.DETECTORS.items():
        content = (Path(ood.__file__).parent / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
        detector = ood.load_detector(digest)
        assert detector is not None
        assert detector.layers[-1][1].size == ood.LABELS + 1


def test_an_unknown_detector_is_none() -> None:
    assert ood.load_detector("0" * 64) is None


def test_a_file_that_is_not_the_one_of_its_digest_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ood.DETECTORS, "1" * 64, "ood.npz")
    assert ood.load_detector("1" * 64) is None
