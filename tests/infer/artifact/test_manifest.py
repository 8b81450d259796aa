"""The manifest: what was written comes back; anything else is an ArtifactError, within limits."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptx.infer.artifact.golden import EndToEndSample, ExpectedPrediction, GoldenSample
from ptx.infer.artifact.manifest import DEPTH_LIMIT, SIZE_LIMIT, Manifest, parse_json
from ptx.infer.errors import ArtifactError
from ptx.infer.signature import Signature

SIGNATURE = Signature.from_data(
    {"inputs": {"x": ["float32", ["batch", 1]]}, "outputs": {"y": ["float32", ["batch", 1]]}}
)
MANIFEST = Manifest(
    model="linear-model",
    task="regression",
    signature=SIGNATURE,
    preprocessing={"kind": "tabular", "names": ["größe"]},
    config={"bias": True},
    training={"seed": 0, "metrics": {"train_loss": 0.1}},
    weights_sha256="00",
    versions={"torch": "2.15"},
    golden=(
        GoldenSample({"x": np.array([[4.0]], np.float32)}, {"y": np.array([[8.1]])}, {"y": 1e-6}),
        GoldenSample({"x": np.array([[3]], ">i8")}, {"y": np.array([[1.0]], ">f8")}, {"y": 0}),
    ),
    end_to_end=(
        EndToEndSample(
            (b"\x89PNG", "größe", (4.0, 0.1)),
            "ab",
            tuple(np.array([value], np.uint8) for value in (0, 128, 255)),
            {"y": np.array([[8.1]])},
            {"y": 1e-6},
            (
                ExpectedPrediction(None, None, 8.1),
                ExpectedPrediction("a", 0.5, None),
                ExpectedPrediction("b", 1.0, None),
            ),
        ),
    ),
)
DATA = json.loads(MANIFEST.to_json())

PROOF = {"fingerprint": "0", "samples": "0"}


def read(data: Any) -> Manifest:
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Manifest.from_json(text, name="'a.onnx'")


def test_a_calibration_is_stored_only_if_there_is_one() -> None:
    assert "calibration" not in DATA
    assert read(DATA).calibration == {}
    manifest = read({**DATA, "calibration": {"temperature": 2.0}})
    assert manifest.calibration == {"temperature": 2.0}
    assert read(manifest.to_json().encode()) == manifest
    assert manifest.fingerprint == MANIFEST.fingerprint
    with pytest.raises(ArtifactError, match="'calibration' is a list"):
        read({**DATA, "calibration": []})


def test_a_manifest_comes_back_bit_for_bit() -> None:
    manifest = read(MANIFEST.to_json().encode())
    assert manifest.to_json() == MANIFEST.to_json()
    assert manifest.preprocessing == {"kind": "tabular", "names": ["größe"]}
    assert manifest.golden[0].inputs["x"].dtype == np.float32
    assert np.asarray(manifest.golden[0].outputs["y"]).tobytes() == np.array([[8.1]]).tobytes()
    big_endian = manifest.golden[1].inputs["x"]
    assert big_endian.dtype.isnative
    assert big_endian.tolist() == [[3]]
    assert big_endian.flags.writeable
    assert manifest.end_to_end[0].values == MANIFEST.end_to_end[0].values
    assert manifest.end_to_end[0].predictions == MANIFEST.end_to_end[0].predictions
    assert [array.tolist() for array in manifest.end_to_end[0].read] == [[0], [128], [255]]


def test_the_digest_of_a_statement_sees_each_field_that_an_answer_depends_on() -> None:
    changes: list[dict[str, Any]] = [
        {"labels": ("a",)},
        {"preprocessing": {"kind": "tabular", "names": ["x"]}},
        {"task": "passthrough"},
        {"config": {}},
        {"weights_sha256": "01"},
        {"model": "x"},
    ]
    digests = {MANIFEST.fingerprint, *(replace(MANIFEST, **c).fingerprint for c in changes)}
    assert len(digests) == 1 + len(changes)
    assert read(DATA).fingerprint == MANIFEST.fingerprint
    assert replace(MANIFEST, versions={}, golden=()).fingerprint == MANIFEST.fingerprint


def test_a_manifest_with_a_label_that_could_not_be_read_again_is_not_written() -> None:
    with pytest.raises(ArtifactError, match=r"'a\\nb' contains a control character"):
        Manifest("m", "classification", SIGNATURE, {}, labels=("a\nb",)).to_json()
    assert Manifest("m", "classification", SIGNATURE, {}, labels=("n01\ttench", "größe")).to_json()


def test_a_manifest_with_nan_is_not_written() -> None:
    manifest = Manifest("m", "regression", SIGNATURE, {}, training={"loss": float("nan")})
    with pytest.raises(ValueError, match="Out of range float"):
        manifest.to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not valid JSON"),
        (b"\xff{}", "not valid JSON"),
        (b"[]", "it is a list; expected an object"),
        (b'"manifest"', "it is a str; expected an object"),
        (b'{"a": 1, "a": 2}', "a key twice"),
        (b'{"b": {"a": 1, "a": 1}}', "a key twice"),
        (b'{"a": NaN}', "NaN is not valid JSON"),
        (b'{"a": -Infinity}', "-Infinity is not valid JSON"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": %s}' % (b"9" * 5000), "not valid JSON"),
        (b'{"a": 1} x', "not valid JSON"),
        (b'{"a": ' + b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT + b"}", "nested more than 32 deep"),
        (b'{"a":' * 100_000, "nested more than 32 deep"),
        (b'{"a": "' + b"x" * SIZE_LIMIT + b'"}', "at most 8,388,608"),
    ],
)
def test_what_is_no_plain_json_object_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(ArtifactError, match=message) as caught:
        parse_json(text, name="'a.onnx'")
    assert caught.value.code == "E-MANIFEST"
    assert "'a.onnx': its manifest is not valid JSON" in str(caught.value)


@pytest.mark.parametrize(
    "text", [b'{"a": "[[[[\\"[[[[\\\\"}', b'{"a": "\\\\\\"' + b"[" * 40 + b'"}']
)
def test_brackets_in_text_are_not_nesting(text: bytes) -> None:
    assert parse_json(text, name="") == json.loads(text)


def test_the_allowed_depth_is_read() -> None:
    text = b'{"a": ' + b"[" * (DEPTH_LIMIT - 1) + b"]" * (DEPTH_LIMIT - 1) + b"}"
    assert "a" in parse_json(text, name="")


ARRAY = {"dtype": "float32", "shape": [1], "base64": "AAAAAA=="}


def golden(**changes: Any) -> dict[str, Any]:
    sample = {"inputs": {"x": ARRAY}, "outputs": {}, "tolerance": {}}
    return {"golden": [{**sample, **changes}]}


def array(**changes: Any) -> dict[str, Any]:
    return golden(inputs={"x": {**ARRAY, **changes}})


def raw(*values: Any, **changes: Any) -> dict[str, Any]:
    sample = {"values": values, "sha256": "", "read": [], "outputs": {}, "tolerance": {}}
    return {"end_to_end": [{**sample, **changes}]}


def verification(output: str, found: object) -> dict[str, Any]:
    return {"verification": {**PROOF, "cases": 1, "backends": {"ort-cpu": {output: found}}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format is 2; this ptx reads 1"),
        ({"format": True}, "'format' is a bool; expected int"),
        ({"format": "1"}, "'format' is a str; expected int"),
        ({"model": None}, "'model' is a NoneType; expected str"),
        ({"signature": {}}, "not a signature"),
        ({"signature": []}, "'signature' is a list; expected dict"),
        ({"labels": "ab"}, "'labels' is a str; expected list"),
        ({"labels": ["a", 1]}, "'labels' contains a value that is not text"),
        ({"golden": [1]}, "a golden sample is not an object"),
        (golden(inputs=[]), "'inputs' is a list; expected dict"),
        (golden(inputs={"x": 1}), "an array is not an object"),
        (golden(tolerance={"y": -1}), "a tolerance is -1"),
        (golden(tolerance={"y": "1"}), "a tolerance is '1'"),
        (golden(tolerance={"y": True}), "a tolerance is True"),
        (golden(predictions=1), "'predictions' is a int; expected list"),
        (golden(predictions=[["a", 1.0]]), "a prediction is"),
        (golden(predictions=[[1, 1.0, None]]), "a prediction's label is 1"),
        (golden(predictions=[["a", "1", None]]), "a prediction's score or value is '1'"),
        ({"end_to_end": 1}, "'end_to_end' is a int; expected list"),
        ({"end_to_end": [1]}, "an end-to-end sample is not an object"),
        (raw(), "an end-to-end sample has 0 values and 0 preprocessed values"),
        (raw({"text": "a"}, read=[ARRAY, ARRAY]), "has 1 values and 2 preprocessed values"),
        (raw({"text": "a"}, sha256=1), "'sha256' is a int"),
        (raw("a"), "a raw value is not an object with one key"),
        (raw({"text": "a", "base64": ""}), "a raw value is not an object with one key"),
        (raw({"text": 1}), "'text' is a int; expected str"),
        (raw({"base64": "*"}), "manifest is not valid"),
        (raw({"numbers": []}), "it has no numbers"),
        (raw({"numbers": [[1.0]]}), "manifest is not valid"),
        (raw({"numbers": [10**400]}), "manifest is not valid"),
        (raw({"numbers": ["x"]}), "manifest is not valid"),
        ({"training": {"test": 1}}, "'test' is a int; expected dict"),
        ({"training": {"test": {"data": "a", "sha256": "", "rows": "x"}}}, "'rows' is a str"),
        ({"labels": ["a\nb"]}, r"'a\\nb' contains a control character; expected a line of text"),
        ({"labels": ["\x1b[31mred"]}, "contains a control character"),
        ({"labels": ["\x9b31mred"]}, "contains a control character"),
        ({"model": "a\x07"}, "contains a control character"),
        ({"training": {"data": 1}}, "'data' is a int; expected dict"),
        ({"training": {"recipe": []}}, "'recipe' is a list; expected dict"),
        ({"training": {"metrics": "x"}}, "'metrics' is a str; expected dict"),
        ({"training": {"selected": 1}}, "'selected' is a int; expected dict"),
        ({"training": {"selected": {"data": []}}}, "'data' is a list; expected str"),
        ({"verification": {"backends": {}}}, "'cases' is missing; expected int"),
        ({"verification": {"cases": 1, "backends": {}}}, "'fingerprint' is missing; expected str"),
        (
            {"verification": {**PROOF, "cases": 1, "backends": []}},
            "'backends' is a list; expected dict",
        ),
        (
            {"verification": {**PROOF, "cases": 1, "backends": {"a": 1}}},
            "'a' is a int; expected dict",
        ),
        (verification("y", 1), "'y' is a int; expected dict"),
        (verification("y", {"error": "x", "tolerance": 0.0}), "'error' is a str; expected float"),
        (verification("y", {"error": 0.0}), "'tolerance' is missing; expected float"),
        (array(dtype="object"), "an array has dtype 'object'"),
        (array(dtype="uint16"), "an array has dtype 'uint16'"),
        (array(shape=[2]), r"an array of shape \[2\] has 4 bytes"),
        (array(shape=[-1]), r"an array has shape \[-1\]"),
        (array(shape=[True]), r"an array has shape \[True\]"),
        (array(shape=[2**31]), "an array has shape"),
        (array(shape=[0] + [2**31 - 1] * 5, base64=""), "manifest is not valid"),
        (array(shape=[1] * 80), "manifest is not valid"),
        (array(base64="AAAA*AA=="), "manifest is not valid"),
        (array(base64="é"), "manifest is not valid"),
    ],
)
def test_a_field_that_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message) as caught:
        read({**DATA, **changes})
    assert caught.value.code == "E-MANIFEST"


@pytest.mark.parametrize("key", sorted(DATA.keys() - {"end_to_end"}))
def test_a_field_that_is_missing_is_named(key: str) -> None:
    with pytest.raises(ArtifactError, match=f"'{key}' is missing; expected"):
        read({name: value for name, value in DATA.items() if name != key})


def test_a_field_that_is_unknown_is_for_a_later_ptx() -> None:
    assert read({**DATA, "mood": "good"}).to_json() == MANIFEST.to_json()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)


def paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data)
    found = []
    for key, value in items:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += paths(value, (*path, key))
    return found


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(paths(DATA)), JSON)
def test_any_value_anywhere_gives_a_manifest_or_an_artifact_error(
    path: tuple[Any, ...], value: Any
) -> None:
    data = copy.deepcopy(DATA)
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    try:
        manifest = read(data)
    except ArtifactError:
        return
    manifest.to_json()


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_give_an_artifact_error(text: bytes) -> None:
    with pytest.raises(ArtifactError):
        Manifest.from_json(text, name="x")


def test_the_largest_manifest_is_parsed_in_a_few_seconds() -> None:
    text = b'{"a": "' + b'\\"' * (SIZE_LIMIT // 2 - 10) + b'"}'
    start = time.perf_counter()
    parse_json(text, name="")
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("text", ['{"a": "' + '\\"' * 10**6, "[" * 10**6, '"' * (10**6 + 1)])
def test_a_hostile_text_is_refused_in_one_walk(text: str) -> None:
    with pytest.raises(ArtifactError, match="its manifest is not valid JSON"):
        parse_json(text.encode(), name="x")
