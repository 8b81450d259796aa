"""The arrays of golden samples as JSON: every type, and the integers that rounding decides."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from ptx.infer.artifact.golden import (
    GoldenSample,
    Level,
    golden_from_data,
    golden_to_data,
    wrong_integers,
)
from ptx.infer.signature import DTYPES

LABELS = np.array([[3, 1], [0, 2]])
LEVEL = Level(np.array([2]), np.array([[0], [4]]))


def again(sample: GoldenSample) -> GoldenSample:
    return golden_from_data(json.loads(json.dumps(golden_to_data(sample))))


@pytest.mark.parametrize("kind", sorted(set(DTYPES.values())))
def test_arrays_of_every_type_come_back_bit_for_bit(kind: str) -> None:
    array = np.array([[0, 1, 1], [1, 0, 1]], kind)
    got = again(GoldenSample({"x": array}, {"y": array[:, :1]}, {"y": 0.0}))
    assert got.inputs["x"].dtype == got.outputs["y"].dtype == kind
    assert got.inputs["x"].tobytes() == array.tobytes()
    assert got.level == {}


def test_what_is_level_comes_back_and_lets_its_values_pass() -> None:
    got = again(GoldenSample({}, {"y": LABELS}, {"y": 0.0}, level={"y": LEVEL})).level["y"]
    for value, place, wrong in ((4, (1, 0), 0), (0, (1, 0), 0), (5, (1, 0), 1), (4, (0, 0), 1)):
        answer = LABELS.copy()
        answer[place] = value
        assert wrong_integers(answer, LABELS, got).sum() == wrong
    assert wrong_integers(LABELS + 1, LABELS, None).all()


@pytest.mark.parametrize(
    "level",
    [
        {"z": {}},
        {"y": {}},
        {"y": (np.array([4]), np.array([[0]]))},
        {"y": (np.array([-1]), np.array([[0]]))},
        {"y": (np.array([1.0]), np.array([[0]]))},
        {"y": (np.array([1]), np.array([[0, 1]]))},
    ],
)
def test_what_is_level_must_fit_the_output(level: Any) -> None:
    data = golden_to_data(GoldenSample({}, {"y": LABELS}, {"y": 0.0}))
    pair = level.get("y")
    if pair:
        planted = GoldenSample({}, {"y": LABELS}, {"y": 0.0}, level={"y": Level(*pair)})
        level = golden_to_data(planted)["level"]
    with pytest.raises(ValueError, match=r"what is level in '[yz]'"):
        golden_from_data({**data, "level": level})
