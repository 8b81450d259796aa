"""Golden samples as JSON: every type, what newer cards have, what older ones lack, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ptx.infer.artifact.golden import (
    Answer,
    GoldenSample,
    Level,
    RawSample,
    golden_from_data,
    golden_to_data,
    labels_digest,
    raw_from_data,
    raw_to_data,
    samples_digest,
)
from ptx.infer.replay import wrong_integers
from ptx.infer.signature import DTYPES

OUTPUTS = {"head": np.arange(6.0).reshape(2, 3)}
COLUMNS = {"head": np.array([[0.1, 0.1, 1e-6]], np.float32)}
SAMPLE = GoldenSample({"x": np.ones((2, 4), np.float32)}, OUTPUTS, {"head": 0.1}, columns=COLUMNS)
RAW = RawSample(
    values=((1.0, 2.0),), sha256="0", read=(), outputs={"head": OUTPUTS["head"][:1]},
    tolerance={"head": 0.1}, answers=(Answer("a", 0.5, None),), columns=COLUMNS,
    labels_sha256=labels_digest(["a", "b"]), names=("width", "height"),
)  # fmt: skip


def test_what_a_sample_holds_comes_back() -> None:
    golden, raw = golden_from_data(golden_to_data(SAMPLE)), raw_from_data(raw_to_data(RAW))
    assert np.array_equal(golden.columns["head"], COLUMNS["head"])
    assert (raw.names, raw.labels_sha256) == (RAW.names, RAW.labels_sha256)
    assert samples_digest([golden], [raw]) == samples_digest([SAMPLE], [RAW])
    assert samples_digest([golden], [raw]) != samples_digest([golden], [])


def test_an_older_sample_is_read_as_it_is() -> None:
    older = replace(RAW, columns={}, labels_sha256="", names=())
    data = raw_to_data(older)
    assert data.keys().isdisjoint({"columns", "labels_sha256", "names"})
    again = raw_from_data(data)
    assert (again.columns, again.labels_sha256, again.names) == ({}, "", ())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"other": COLUMNS["head"]}, "the columns of 'other' are for no output"),
        ({"head": np.zeros(3, np.float32)}, "the columns of 'head' are for no output"),
        ({"head": np.zeros((1, 2), np.float32)}, r"are float32 \(1, 2\); its output has shape"),
        ({"head": np.zeros((1, 3), np.int64)}, r"are int64 \(1, 3\)"),
        ({"head": np.full((1, 3), np.nan)}, "is no number of at least 0"),
        ({"head": np.full((1, 3), -1.0)}, "is no number of at least 0"),
    ],
)
def test_tolerances_of_columns_that_are_for_another_output_are_refused(
    columns: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        golden_from_data(golden_to_data(replace(SAMPLE, columns=columns)))


def test_names_that_are_no_texts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"has the names \[1\]"):
        raw_from_data({**raw_to_data(RAW), "names": [1]})


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
