"""Golden samples as JSON: every type, what comes back, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ptx.infer.artifact.golden import (
    EndToEndSample,
    ExpectedPrediction,
    GoldenSample,
    Ties,
    end_to_end_from_data,
    end_to_end_to_data,
    golden_from_data,
    golden_to_data,
    labels_digest,
    samples_digest,
)
from ptx.infer.artifact.sampled import SampledArray
from ptx.infer.artifact.seeded import SEEDED_LIMIT, seeded_array
from ptx.infer.replay import wrong_integers
from ptx.infer.signature import DTYPES

OUTPUTS = {"head": np.arange(6.0).reshape(2, 3)}
COLUMNS = {"head": np.array([[0.1, 0.1, 1e-6]], np.float32)}
SAMPLE = GoldenSample({"x": np.ones((2, 4), np.float32)}, OUTPUTS, {"head": 0.1}, columns=COLUMNS)
RAW = EndToEndSample(
    values=((1.0, 2.0),),
    sha256="0",
    read=(),
    outputs={"head": OUTPUTS["head"][:1]},
    tolerance={"head": 0.1},
    predictions=(ExpectedPrediction("a", 0.5, None),),
    columns=COLUMNS,
    labels_sha256=labels_digest(["a", "b"]),
    names=("width", "height"),
)


def test_what_a_sample_holds_comes_back() -> None:
    golden, raw = (
        golden_from_data(golden_to_data(SAMPLE)),
        end_to_end_from_data(end_to_end_to_data(RAW)),
    )
    assert np.array_equal(golden.columns["head"], COLUMNS["head"])
    assert (raw.names, raw.labels_sha256) == (RAW.names, RAW.labels_sha256)
    assert samples_digest([golden], [raw]) == samples_digest([SAMPLE], [RAW])
    assert samples_digest([golden], [raw]) != samples_digest([golden], [])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"other": COLUMNS["head"]}, "the columns of 'other' have no matching output"),
        ({"head": np.zeros(3, np.float32)}, "the columns of 'head' have no matching output"),
        ({"head": np.zeros((1, 2), np.float32)}, r"are float32 \(1, 2\); its output has shape"),
        ({"head": np.zeros((1, 3), np.int64)}, r"are int64 \(1, 3\)"),
        ({"head": np.full((1, 3), np.nan)}, "not a number of at least 0"),
        ({"head": np.full((1, 3), -1.0)}, "not a number of at least 0"),
    ],
)
def test_tolerances_of_columns_that_are_for_another_output_are_refused(
    columns: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        golden_from_data(golden_to_data(replace(SAMPLE, columns=columns)))


def test_names_that_are_no_texts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"has the names \[1\]"):
        end_to_end_from_data({**end_to_end_to_data(RAW), "names": [1]})


LABELS = np.array([[3, 1], [0, 2]])
LEVEL = Ties(np.array([2]), np.array([[0], [4]]))


def again(sample: GoldenSample) -> GoldenSample:
    return golden_from_data(json.loads(json.dumps(golden_to_data(sample))))


@pytest.mark.parametrize("kind", sorted(set(DTYPES.values())))
def test_arrays_of_every_type_come_back_bit_for_bit(kind: str) -> None:
    array = np.array([[0, 1, 1], [1, 0, 1]], kind)
    got = again(GoldenSample({"x": array}, {"y": array[:, :1]}, {"y": 0.0}))
    assert got.inputs["x"].dtype == np.asarray(got.outputs["y"]).dtype == kind
    assert got.inputs["x"].tobytes() == array.tobytes()
    assert got.ties == {}


def test_what_is_level_comes_back_and_lets_its_values_pass() -> None:
    got = again(GoldenSample({}, {"y": LABELS}, {"y": 0.0}, ties={"y": LEVEL})).ties["y"]
    for value, place, wrong in ((4, (1, 0), 0), (0, (1, 0), 0), (5, (1, 0), 1), (4, (0, 0), 1)):
        answer = LABELS.copy()
        answer[place] = value
        assert wrong_integers(answer, LABELS, got).sum() == wrong
    assert wrong_integers(LABELS + 1, LABELS, None).all()


@pytest.mark.parametrize(
    "ties",
    [
        {"z": {}},
        {"y": {}},
        {"y": (np.array([4]), np.array([[0]]))},
        {"y": (np.array([-1]), np.array([[0]]))},
        {"y": (np.array([1.0]), np.array([[0]]))},
        {"y": (np.array([1]), np.array([[0, 1]]))},
    ],
)
def test_what_is_level_must_fit_the_output(ties: Any) -> None:
    data = golden_to_data(GoldenSample({}, {"y": LABELS}, {"y": 0.0}))
    pair = ties.get("y")
    if pair:
        injected = GoldenSample({}, {"y": LABELS}, {"y": 0.0}, ties={"y": Ties(*pair)})
        ties = golden_to_data(injected)["ties"]
    with pytest.raises(ValueError, match=r"the ties of '[yz]'"):
        golden_from_data({**data, "ties": ties})


SEEDED = {
    "x": seeded_array("float32", (2, 4), 7, None),
    "codes": seeded_array("int64", (2,), 8, (1, 4)),
}
SAMPLED = SampledArray(
    (2, 3, 8), np.array([0, 9, 47]), np.array([1.5, 2.5, -1.0]), np.array([3.0, 4.0]), np.zeros(2)
)


def test_inputs_of_a_seed_come_back_as_the_same_arrays() -> None:
    sample = GoldenSample({**SEEDED, "y": np.ones(3, np.float32)}, {}, {})
    got = again(sample)
    assert got.arrays["x"] == SEEDED["x"]
    assert got.is_seeded
    for name, array in sample.inputs.items():
        assert got.inputs[name].dtype == array.dtype
        assert np.array_equal(got.inputs[name], array)
    assert len(json.dumps(golden_to_data(sample))) < 600
    assert not SAMPLE.is_seeded


def test_a_sampled_output_comes_back() -> None:
    columns, ties = {"y": np.array([0.1, 0.2, 0.3], np.float32)}, {"z": LEVEL}
    labels = replace(SAMPLED, values=np.array([1, 2, 3]))
    sample = GoldenSample({}, {"y": SAMPLED, "z": labels}, {"y": 0.3}, (), columns, "", ties)
    got = again(sample)
    for name, expected in sample.outputs.items():
        output = got.outputs[name]
        assert isinstance(output, SampledArray)
        assert isinstance(expected, SampledArray)
        assert output.shape == (2, 3, 8)
        for part in ("indices", "values", "checksums", "slack"):
            assert np.array_equal(getattr(output, part), getattr(expected, part))
            assert getattr(output, part).dtype == getattr(expected, part).dtype
    assert got.columns["y"].tolist() == columns["y"].tolist()
    assert got.ties["z"].indices.tolist() == [2]  # of the three elements
    with pytest.raises(ValueError, match="the columns of 'y'"):
        again(replace(sample, columns={"y": np.ones((1, 3, 1), np.float32)}))
    with pytest.raises(ValueError, match="do not match the output"):
        again(replace(sample, ties={"z": replace(LEVEL, indices=np.array([3]))}))


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": -1},
        {"seed": 2**32},
        {"seed": 1.0},
        {"seed": True},
        {"seed": "1"},
        {"sha256": 1},
        {"dtype": "complex64"},
        {"dtype": "float32"},  # which has no bounds
        {"dtype": "int8"},  # which does not hold the upper one
        {"bounds": [1]},
        {"bounds": [4, 1]},
        {"bounds": [1, 4.0]},
        {"bounds": [0, 2**63]},
        {"bounds": [0, 2**53]},
        {"bounds": None},
        {"shape": [2**31]},
        {"shape": [-1]},
        {"shape": [2**30, 2**30]},
        {"shape": [SEEDED_LIMIT // 8 + 1]},
        {"shape": [1] * 33},
    ],
)
def test_an_input_of_a_seed_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    sample = GoldenSample({"codes": seeded_array("int64", (2,), 8, (1, 400))}, {}, {})
    data = golden_to_data(sample)
    golden_from_data(data)
    data["inputs"]["codes"].update(changes)
    with pytest.raises(ValueError, match=r"."):
        golden_from_data(data)


def test_floats_of_a_seed_have_no_bounds() -> None:
    data = golden_to_data(GoldenSample(SEEDED, {}, {}))
    data["inputs"]["x"]["bounds"] = [0, 1]
    with pytest.raises(ValueError, match="floats have none"):
        golden_from_data(data)


def test_all_inputs_together_have_a_limit() -> None:
    half = {
        "dtype": "bool",
        "shape": [SEEDED_LIMIT // 2 + 1],
        "seed": 1,
        "bounds": [0, 1],
        "sha256": "",
    }
    data = golden_to_data(GoldenSample({}, {}, {}))
    golden_from_data({**data, "inputs": {"a": half}})
    with pytest.raises(ValueError, match="more than"):
        golden_from_data({**data, "inputs": {"a": half, "b": half}})


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": (2, 3)},  # the last index lies beyond it
        {"shape": (2**31, 2)},
        {"indices": np.array([0, 9])},
        {"indices": np.array([0, 9, 48])},
        {"indices": np.array([-1, 9, 47])},
        {"indices": np.array([9, 0, 47])},
        {"indices": np.array([0, 9, 9])},
        {"indices": np.array([0.0, 9.0, 47.0])},
        {"indices": np.array([[0, 9, 47]]), "values": np.ones((1, 3))},
        {"indices": np.zeros(0, np.int64), "values": np.zeros(0)},
        {"checksums": np.zeros(3)},
        {"checksums": np.zeros(0), "slack": np.zeros(0)},
        {"checksums": np.zeros(49), "slack": np.zeros(49)},
        {"checksums": np.zeros(2, np.float32), "slack": np.zeros(2, np.float32)},
        {"checksums": np.array([np.nan, 0])},
        {"slack": np.array([-1.0, 0])},
        {"slack": np.array([np.nan, 0])},
        {"slack": np.array([np.inf, 0])},
    ],
)
def test_a_sampled_output_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    data = golden_to_data(GoldenSample({}, {"y": replace(SAMPLED, **changes)}, {"y": 0.0}))
    with pytest.raises(ValueError, match=r"sampled array|an array has shape"):
        golden_from_data(data)


@pytest.mark.parametrize("part", ["shape", "indices", "values", "checksums", "slack"])
def test_a_sampled_output_without_a_part_is_refused(part: str) -> None:
    data = golden_to_data(GoldenSample({}, {"y": SAMPLED}, {"y": 0.0}))
    del data["outputs"]["y"][part]
    with pytest.raises(ValueError, match="missing"):
        golden_from_data(data)
