"""How far an answer is to be doubted."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

from ptx.infer.artifact.golden import array_to_data
from ptx.infer.errors import ArtifactError
from ptx.infer.picture.doubt import Doubt

RANDOM = np.random.default_rng(6)
SHAPES = (5, 4), (3, 5)  # of a reader of pictures of 4x4, for two labels
DATA: dict[str, Any] = {
    "temperature": 2.0,
    "layers": [
        {
            "weights": array_to_data(RANDOM.integers(-127, 128, shape).astype(np.int8)),
            "scale": 0.01,
            "biases": array_to_data(RANDOM.normal(0, 1, shape[0]).astype(np.float32)),
        }
        for shape in SHAPES
    ],
}
PIXELS = RANDOM.integers(0, 256, (4, 4)).astype(np.uint8)


def shares(values: list[float]) -> list[float]:
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def test_a_doubt_is_what_scores_and_reader_leave() -> None:
    doubt = Doubt.from_data(DATA, (4, 4), 2)
    assert doubt is not None
    values = [
        PIXELS[row : row + 2, column : column + 2].astype(float).mean() / 255
        for row in (0, 2)
        for column in (0, 2)
    ]
    for at, (weights, biases) in enumerate(doubt.layers):
        before = [max(value, 0) for value in values] if at else values
        values = [
            sum(w * v for w, v in zip(row, before, strict=True)) + bias
            for row, bias in zip(weights.tolist(), biases.tolist(), strict=True)
        ]
    score = shares([0.4 / 2, 1.5 / 2])[1]
    expected = 1 - score * shares(values)[1]
    assert doubt.of(PIXELS, np.array([0.4, 1.5], np.float32)) == pytest.approx(expected, abs=1e-6)


def test_the_doubts_of_a_batch_are_those_of_its_rows() -> None:
    doubt = Doubt.from_data(DATA, (4, 4), 2)
    assert doubt is not None
    pictures = list(RANDOM.integers(0, 256, (7, 4, 4)).astype(np.uint8))
    logits = RANDOM.normal(0, 3, (7, 2)).astype(np.float32)
    alone = [doubt.of(*row) for row in zip(pictures, logits, strict=True)]
    assert doubt.of_many(pictures, logits) == pytest.approx(alone, abs=1e-6)
    assert len(set(alone)) == 7


def test_weights_are_their_integers_times_the_scale() -> None:
    doubt = Doubt.from_data(DATA, (4, 4), 2)
    assert doubt is not None
    weights, _ = doubt.layers[0]
    assert weights.dtype == np.float32
    assert np.abs(weights).max() <= 1.27
    assert float(weights.flat[0]) / 0.01 == pytest.approx(round(float(weights.flat[0]) / 0.01))


def test_a_card_that_says_nothing_has_no_doubt() -> None:
    assert Doubt.from_data({}, (), 0) is None


def changed(*path: Any, to: Any) -> dict[str, Any]:
    data = copy.deepcopy(DATA)
    at: Any = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    return data


@pytest.mark.parametrize(
    "data",
    [
        changed("temperature", to=0.0),
        changed("temperature", to="1"),
        changed("layers", to=[]),
        changed("layers", to=[3]),
        changed("layers", to=[DATA["layers"][0]] + 4 * [DATA["layers"][1]]),
        changed("layers", 0, "scale", to=1e300),
        changed("layers", 0, "weights", "shape", to=[4, 5]),
        changed("layers", 1, "biases", to=array_to_data(np.zeros(2, np.float32))),
        changed("layers", 1, "biases", to=array_to_data(np.zeros((3, 1), np.float32))),
        changed("layers", 1, "biases", to=array_to_data(np.full(3, np.nan, np.float32))),
    ],
)
def test_a_doubt_that_is_none_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match="the card's doubt is not valid") as caught:
        Doubt.from_data(data, (4, 4), 2)
    assert caught.value.code == "E-CARD"


@pytest.mark.parametrize(("size", "labels"), [((4, 6), 2), ((4, 4), 3), ((16,), 2), ((5, 5), 2)])
def test_a_doubt_for_another_model_is_refused(size: tuple[int, ...], labels: int) -> None:
    with pytest.raises(ArtifactError, match="the card's doubt is not valid"):
        Doubt.from_data(DATA, size, labels)
