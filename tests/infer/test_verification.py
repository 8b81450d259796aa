"""verify: what a file promised is computed again, and what changed is said."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.infer.artifact import onnx_bytes
from ptx.infer.artifact.artifact import Artifact
from ptx.infer.artifact.golden import GoldenSample, samples_digest
from ptx.infer.artifact.seeded import seeded_array
from ptx.infer.errors import UsageError
from ptx.infer.replay import Check
from ptx.infer.verification import verify

Export = Callable[[str, str], Path]


def rewritten(artifact: Artifact, folder: Path, *golden: GoldenSample, model: bytes = b"") -> Path:
    assert artifact.manifest is not None
    graph_end = artifact.data.index(b"ptx.manifest")
    start = max(artifact.data.rindex(b"r", 0, graph_end), 0)
    verification = {
        **artifact.manifest.verification,
        "samples": samples_digest(golden, artifact.manifest.end_to_end),
    }
    manifest = replace(artifact.manifest, golden=golden, verification=verification)
    (folder / "a.onnx").write_bytes(
        onnx_bytes.embed_manifest(model or artifact.data[:start], manifest.to_json())
    )
    return folder / "a.onnx"


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.passed]


@pytest.mark.parametrize("model", ["linear-model", "lstm", "name-classifier"])
def test_a_fresh_export_holds(artifact: Export, model: str) -> None:
    checks = verify(artifact(model, "onnx"), backend="ort-cpu")
    output = "y" if model == "linear-model" else "logits"
    parts = [output, "predictions"]
    assert [check.name for check in checks] == [
        "content digest",
        "samples",
        "manifest",
        *(f"sample {index}, {part}" for index in (1, 2, 3) for part in parts),
        *(f"end-to-end sample 1, {part}" for part in ("preprocessing", *parts)),
    ]
    assert failed(checks) == []


@pytest.mark.parametrize("format_name", ["torchscript", "pt2"])
def test_the_torch_formats_hold_too(artifact: Export, format_name: str) -> None:
    assert failed(verify(artifact("linear-model", format_name), device="cpu", trust=True)) == []


def weight_of(artifact: Artifact) -> float:
    import onnx
    from onnx import numpy_helper

    graph = onnx.ModelProto.FromString(artifact.data).graph
    (weight,) = (t for t in graph.initializer if "weight" in t.name)
    return float(numpy_helper.to_array(weight).flat[0])


def test_a_changed_weight_fails_the_hash_and_the_samples(
    linear_onnx: Artifact, tmp_path: Path
) -> None:
    weight = struct.pack("<f", weight_of(linear_onnx))
    assert linear_onnx.data.count(weight) == 1
    data = bytearray(linear_onnx.data)
    data[linear_onnx.data.index(weight) + 3] ^= 1  # the exponent: four times as much, or a quarter
    (tmp_path / "a.onnx").write_bytes(data)
    checks = verify(tmp_path / "a.onnx", backend="ort-cpu")
    assert failed(checks) == [
        "content digest",
        *(
            f"{kind} {part}"
            for kind in ("sample 1,", "sample 2,", "sample 3,", "end-to-end sample 1,")
            for part in ("y", "predictions")
        ),
    ]
    assert "a byte has changed" in checks[0].detail
    assert re.search(r"largest error \S+, allowed \S+", checks[3].detail)


def test_a_changed_byte_that_changes_no_answer_fails_the_hash_alone(
    linear_onnx: Artifact, tmp_path: Path
) -> None:
    data = linear_onnx.data.replace(b"pytorch", b"pytorcH", 1)
    assert data != linear_onnx.data
    (tmp_path / "a.onnx").write_bytes(data)
    assert failed(verify(tmp_path / "a.onnx", backend="ort-cpu")) == ["content digest"]


def test_a_changed_program_is_not_run(artifact: Export, tmp_path: Path) -> None:
    data = bytearray(artifact("linear-model", "torchscript").read_bytes())
    data[10] ^= 1  # the time of a member, which no checksum covers
    (tmp_path / "a").write_bytes(data)
    checks = verify(tmp_path / "a", device="cpu", trust=True)
    assert failed(checks) == ["content digest", "load"]


def sample(inputs: Any, outputs: Any, tolerance: Any = 1e-6) -> GoldenSample:
    return GoldenSample(
        {name: np.array(value, np.float32) for name, value in inputs.items()},
        {name: np.array(value, np.float64) for name, value in outputs.items()},
        {"y": tolerance},
    )


@pytest.mark.parametrize(
    ("golden", "name", "detail"),
    [
        (sample({"x": [[1]]}, {"y": [[1e9]]}), "sample 1, y", "largest error 1e+09"),
        (sample({"x": [[1]]}, {"y": [[np.nan]]}, 1e30), "sample 1, y", "largest error nan"),
        (sample({"x": [[1]]}, {}), "sample 1, y", "the manifest expects no such output"),
        (sample({"x": [[1]]}, {"y": [1]}), "sample 1, y", "the manifest expects shape (1,)"),
        (
            sample({"x": np.ones((0, 1))}, {"y": np.ones((0, 1))}),
            "sample 1, y",
            "shape (0, 1); the manifest expects shape (0, 1)",
        ),
        (sample({"z": [[1]]}, {"y": [[1]]}), "sample 1", "inputs are named ['z']"),
        (sample({"x": [[np.nan]]}, {"y": [[1]]}), "sample 1", "expected finite numbers"),
    ],
)
def test_a_golden_sample_that_is_wrong_fails(
    linear_onnx: Artifact, tmp_path: Path, golden: GoldenSample, name: str, detail: str
) -> None:
    checks = verify(rewritten(linear_onnx, tmp_path, golden), backend="ort-cpu")
    (check,) = (check for check in checks if not check.passed)
    assert check.name == name
    assert detail in check.detail


def test_random_inputs_that_come_out_otherwise_fail(linear_onnx: Artifact, tmp_path: Path) -> None:
    seeded = seeded_array("float32", (3, 1), 1, None)
    assert linear_onnx.manifest is not None
    (first, *_) = linear_onnx.manifest.golden
    good = replace(first, arrays={"x": seeded}, predictions=())
    for array, detail in (
        (replace(seeded, seed=2), "does not match its sha256"),
        (replace(seeded, sha256=""), "does not match its sha256"),
        (seeded_array("float32", (3, 2), 1, None), "shape (3, 2)"),
        (seeded_array("int64", (3, 1), 1, (0, 9)), "dtype int64"),
    ):
        path = rewritten(linear_onnx, tmp_path, replace(good, arrays={"x": array}))
        (check,) = (c for c in verify(path, backend="ort-cpu") if not c.passed)
        assert check.name == "sample 1"
        assert detail in check.detail


def test_a_file_that_promises_nothing_does_not_hold(linear_onnx: Artifact, tmp_path: Path) -> None:
    checks = verify(rewritten(linear_onnx, tmp_path), backend="ort-cpu")
    assert failed(checks) == ["samples"]
    assert checks[1].detail == "the manifest contains 0 golden samples"


def test_golden_samples_that_are_not_those_of_the_proof_fail(
    linear_onnx: Artifact, tmp_path: Path
) -> None:
    manifest = linear_onnx.require_manifest()
    kept = replace(manifest, golden=manifest.golden[:1])
    model = linear_onnx.data[
        : linear_onnx.data.rindex(b"r", 0, linear_onnx.data.index(b"ptx.manifest"))
    ]
    (tmp_path / "a.onnx").write_bytes(onnx_bytes.embed_manifest(model, kept.to_json()))
    checks = verify(tmp_path / "a.onnx", backend="ort-cpu")
    assert failed(checks) == ["samples"]
    assert (
        checks[1].detail
        == "the manifest contains 1 golden sample; they are not those that were verified"
    )


def test_a_checkpoint_is_loaded(checkpoint: Callable[[str], Path]) -> None:
    checks = verify(checkpoint("linear-model"), device="cpu")
    assert [(check.name, check.passed) for check in checks] == [
        ("content digest", True),
        ("load", True),
    ]


def test_a_model_that_cannot_be_loaded_fails(linear_onnx: Artifact, tmp_path: Path) -> None:
    broken = b"\x08\x0a\x3a\x02\x0a\x00"  # a graph with one empty node
    assert linear_onnx.manifest is not None
    path = rewritten(linear_onnx, tmp_path, *linear_onnx.manifest.golden, model=broken)
    checks = verify(path, backend="ort-cpu")
    assert failed(checks) == ["load"]


def test_a_wrong_backend_is_an_error_and_not_a_failed_check(artifact: Export) -> None:
    with pytest.raises(UsageError, match="there is no backend 'ort'"):
        verify(artifact("linear-model", "onnx"), backend="ort")


def test_a_graph_without_a_manifest_and_without_outputs_fails(tmp_path: Path) -> None:
    (tmp_path / "bare.onnx").write_bytes(b"\x08\x0a\x3a\x00")
    assert failed(verify(tmp_path / "bare.onnx")) == ["content digest", "samples", "spec"]
