"""What a person says about a model: read from TOML, JSON or a mapping, every mistake by its key."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.infer.artifact.manifest import Manifest
from ptx.infer.errors import InputError
from ptx.infer.external.spec import SIZE_LIMIT, ModelSpec, read_spec
from ptx.infer.limits import Limits
from ptx.infer.preprocessing import batch_key, open_preprocessing
from ptx.infer.signature import Signature

TOML = """
name = "flowers"
task = "classification"
labels = "labels.txt"

[inputs]
image = ["float32", ["batch", 3, 8, 8]]

[outputs]
logits = ["float32", ["batch", 2]]

[preprocessing]
kind = "rgb-image"
resize = 10
size = [8, 8]
"""
DATA: dict[str, Any] = {
    "name": "flowers",
    "task": "classification",
    "labels": ["daisy", "rose"],
    "inputs": {"image": ["float32", ["batch", 3, 8, 8]]},
    "outputs": {"logits": ["float32", ["batch", 2]]},
    "preprocessing": {"kind": "rgb-image", "resize": 10, "size": [8, 8]},
}


def manifest_of(model_spec: ModelSpec) -> Manifest:
    return model_spec.manifest(model_spec.signature(), name="unnamed")


def test_toml_json_and_a_mapping_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text(TOML)
    (tmp_path / "net.json").write_text(json.dumps({**DATA, "labels": "labels.txt"}))
    (tmp_path / "labels.txt").write_text("\ufeffdaisy\r\nrose\n", encoding="utf-8")
    manifests = [manifest_of(read_spec(tmp_path / name)) for name in ("net.toml", "net.json")]
    manifests.append(manifest_of(ModelSpec.from_data(DATA)))
    assert manifests[0] == manifests[1] == manifests[2]
    assert (manifests[0].model, manifests[0].task, manifests[0].labels) == (
        "flowers",
        "classification",
        ("daisy", "rose"),
    )
    assert manifests[0].preprocessing == DATA["preprocessing"]
    assert Manifest.from_json(manifests[0].to_json().encode(), name="a") == manifests[0]


def test_what_is_left_out_is_not_done() -> None:
    model_spec = ModelSpec.from_data({key: DATA[key] for key in ("inputs", "outputs")})
    manifest = manifest_of(model_spec)
    assert (manifest.model, manifest.task, manifest.labels) == ("unnamed", "passthrough", ())
    assert manifest.preprocessing == {"kind": "none"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lables": []}, "lables is unknown; did you mean 'labels'"),
        ({"name": "a/b"}, "name is 'a/b'; expected up to 64 letters"),
        ({"name": 3}, "name is 3; expected"),
        ({"task": "clasification"}, "task is 'clasification'; did you mean 'classification'"),
        ({"task": ["end_to_end"]}, "task is"),
        ({"inputs": []}, "inputs is"),
        ({"inputs": None}, "inputs is missing"),
        ({"outputs": None}, "outputs is missing"),
        ({"inputs": {"image": "float32"}}, "inputs.image is 'float32': tensor 'image': expected"),
        ({"inputs": {"image": ["string", ["batch"]]}}, "inputs.image is .*dtype 'string'"),
        ({"inputs": {"image": ["int64", ["batch"], 5]}}, "inputs.image is .*cannot unpack"),
        ({"outputs": {"logits": ["float32", ["batch", 0]]}}, "outputs.logits is .*an axis 0"),
        ({"inputs": {"image": ["float32", [3, 8, 8]]}}, "inputs and outputs do not match.*'batch'"),
        ({"outputs": {"y": ["float32", ["batch", "n"]]}}, "no input has an axis named 'n'"),
        ({"preprocessing": "photo"}, "preprocessing is 'photo'; expected a kind and its settings"),
        (
            {"preprocessing": {"kind": "rgb-imag"}},
            "preprocessing.kind is 'rgb-imag'; did you mean 'rgb-image'",
        ),
        ({"preprocessing": {"kind": ["photo"]}}, "preprocessing.kind is"),
        (
            {"preprocessing": {"kind": "rgb-image", "resize": 10}},
            "preprocessing setting 'size' is missing",
        ),
        (
            {"preprocessing": {**DATA["preprocessing"], "means": []}},
            "preprocessing setting 'means' is unknown; did you mean 'mean'",
        ),
        (
            {"preprocessing": {**DATA["preprocessing"], "resize": 7}},
            "preprocessing resize is 7; expected",
        ),
        (
            {"preprocessing": {**DATA["preprocessing"], "mean": [float("nan")]}},
            "cannot be stored in a",
        ),
        (
            {"preprocessing": {**DATA["preprocessing"], "mean": {1, 2}}},
            "cannot be stored in a manifest",
        ),
        ({"labels": {"0": "daisy"}}, "labels is .*; expected a list, or a file"),
        ({"labels": ["daisy", 7]}, "label 2 is 7; expected text"),
        ({"labels": ["daisy", " "]}, "label 2 is ' '; expected text"),
        (
            {"labels": ["daisy"]},
            r"labels are 1, which does not match the output 'logits' \(batch, 2\)",
        ),
        ({"task": "passthrough"}, "labels are 2, .* for the task 'passthrough'"),
        ({"labels": "nowhere.txt"}, "nowhere.txt': no such file"),
        ({"axes": {"time": 64}}, "axes is .*time.*: expected"),
        ({"axes": {"time": [1, 64]}}, "do not match: 'time' has limits"),
    ],
)
def test_a_mistake_is_told_with_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        manifest_of(ModelSpec.from_data({**DATA, **changes}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name = flowers", "net.toml' is neither TOML nor a JSON object"),
        (b"\xff\xfe", "is neither TOML nor"),
        (b"a = " + b"[" * 3000, "is neither TOML nor"),
        (
            b'{"name": "a", "name": "b"}',
            "net.toml': the model spec is not valid JSON: an object contains a key twice",
        ),
        (b'{"name": NaN}', "NaN is not valid JSON"),
        (b'nmae = "flowers"', "net.toml': nmae is unknown; did you mean 'name'"),
        (b'labels = "labels.txt"', "labels.txt': label 2 is ''; expected text"),
        (b'labels = "latin.txt"', "are in .*latin.txt', which is not UTF-8 text"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_the_file(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "net.toml").write_bytes(content)
    (tmp_path / "labels.txt").write_text("daisy\n\nrose\n")
    (tmp_path / "latin.txt").write_bytes("pensée\n".encode("latin-1"))
    with pytest.raises(InputError, match=message):
        read_spec(tmp_path / "net.toml")


@pytest.mark.parametrize("name", ["net.toml", "labels.txt"])
def test_a_file_without_measure_is_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "net.toml").write_text('labels = "labels.txt"')
    (tmp_path / name).touch()
    os.truncate(tmp_path / name, SIZE_LIMIT + 1)
    with pytest.raises(InputError, match=f"{name}' has 8,388,609 bytes; at most") as caught:
        read_spec(tmp_path / "net.toml")
    assert caught.value.code == "E-IN-SIZE"


# A model without preprocessing takes arrays.


def test_a_ready_array_is_a_sample() -> None:
    signature = Signature.from_data(
        {
            "inputs": {"series": ["float32", ["time", "batch", 2]]},
            "outputs": {"y": ["float32", ["batch", 1]]},
        }
    )
    arrays = open_preprocessing({"kind": "none"}, signature)
    rows = [np.full((4, 2), index, np.float32) for index in range(3)]
    batch = arrays.collate([arrays.transform(row) for row in rows])["series"]
    assert batch.shape == (4, 3, 2)
    assert np.array_equal(batch[:, 1], rows[1])
    assert batch_key(arrays, rows[0]) != batch_key(arrays, rows[0][:3])
    with pytest.raises(InputError, match=r"shape \(4, 3\); expected one sample of 'series'"):
        arrays.transform(np.zeros((4, 3)))
    with pytest.raises(InputError, match=r"is a str, .*expected one sample .*array \(time, 2\)"):
        arrays.transform("a.png")


def test_a_model_with_several_inputs_says_that_run_takes_them() -> None:
    signature = Signature.from_data(
        {
            "inputs": {"a": ["float32", ["batch", 1]], "b": ["float32", ["batch", 1]]},
            "outputs": {"y": ["float32", ["batch", 1]]},
        }
    )
    with pytest.raises(InputError, match=r"2 inputs and no preprocessing.*run\(\)"):
        open_preprocessing({"kind": "none"}, signature).transform(np.zeros(1))


def test_the_limits_of_axes_are_read(tmp_path: Path) -> None:
    text = (
        '[inputs]\nx = ["float32", ["batch", "time"]]\n[outputs]\ny = ["float32", ["batch", 2]]\n'
    )
    (tmp_path / "net.toml").write_text(text + "[axes]\ntime = [3]\n")
    signature = read_spec(tmp_path / "net.toml").signature()
    assert signature.limits == {"time": Limits(3)}
