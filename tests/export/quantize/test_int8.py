"""Files that compute in int8: what is written, what holds it, and what each gate refuses."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from ptx.export import (
    export_int8,
    quantize_weights,
    read_model,
)
from ptx.export.formats import EXPORTERS
from ptx.export.quantize import int8
from ptx.export.quantize.qdq import quantize
from ptx.export.quantize.quality import CRITERIA, QualityReport, enforce
from ptx.infer import (
    AgreementError,
    ArtifactError,
    InputError,
    Manifest,
    UsageError,
    load,
    read_artifact,
    verify,
)
from ptx.infer.artifact.accuracy import AccuracyComparison

from ...faults.nearest import LABELS, SIZE, Nearest, Overflowing, Recurrent, known, nearest, trial

Ptx = Callable[..., Any]


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The speed of this machine is not what is tested."""
    monkeypatch.setattr(int8, "measure_speedup", lambda *_: {1: 2.0, 64: 0.5})


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8, "measure_speedup", lambda *_: {1: 2.0, 64: 0.5})
        path = tmp_path_factory.mktemp("int8") / "nearest.onnx"
        return export_int8(nearest(), path, trial()).path


def measured(**changes: Any) -> QualityReport:
    counts = {"changed": 3, "newly_wrong": 2, "newly_right": 1} | {
        key: changes.pop(key) for key in ("changed", "newly_wrong", "newly_right") if key in changes
    }
    accuracy = AccuracyComparison("lines", 10_000, 0.99, 0.9899, max_drop=0.1, **counts)
    found = QualityReport(accuracy, 256, 0, {1: 1.2, 64: 0.9}, 100, 400, for_size=False)
    return replace(found, **changes)


# What is written.


def test_the_file_is_static_qdq_with_weights_of_seven_bits_by_channel(written: Path) -> None:
    graph = onnx.load(written).graph
    arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    kinds = {node.op_type for node in graph.node}
    assert kinds == {"QuantizeLinear", "DequantizeLinear", "Gemm"}, "no QOperator, nothing dynamic"
    weights = [array for array in arrays.values() if array.dtype == np.int8 and array.ndim == 2]
    assert len(weights) == 2
    assert max(int(np.abs(array.astype(int)).max()) for array in weights) == 64
    assert arrays["last.weight_scale"].shape == (len(LABELS),)
    zero_points = [a for name, a in arrays.items() if name.startswith(("row", "relu", "logits"))]
    assert {a.dtype.name for a in zero_points} == {"uint8", "float32"}


def test_the_manifest_says_what_holds_the_file(written: Path) -> None:
    manifest = read_artifact(written).require_manifest()
    assert manifest.compute == "int8"
    held = manifest.quantization
    assert held is not None
    assert (held.predictions, held.data, held.max_drop) == (2000, "lines", 0.1)
    assert manifest.verification["reference"] == "int8, by accuracy"
    checks = verify(written, backend="ort-cpu")
    assert all(check.passed for check in checks)
    assert [c.detail for c in checks if c.name == "accuracy"] == [str(held)]
    assert str(held).startswith("int8, by accuracy: ")


def test_the_same_rows_give_the_same_file(written: Path, fast: None, tmp_path: Path) -> None:
    again = export_int8(nearest(), tmp_path / "again.onnx", trial()).path
    assert again.read_bytes() == written.read_bytes()


def test_each_row_alone_gets_the_bits_that_it_gets_in_a_batch(written: Path) -> None:
    inputs, _ = next(known(64, seed=3).batches())
    rows = np.concatenate([inputs["row"], 20 * inputs["row"]])
    with load(written, backend="ort-cpu") as predictor:
        whole = predictor.run({"row": rows})["logits"]
        alone = [predictor.run({"row": rows[[place]]})["logits"] for place in range(len(rows))]
    assert np.concatenate(alone).tobytes() == whole.tobytes()


def rewritten(path: Path, target: Path, change: Callable[[Manifest], Manifest]) -> Path:
    artifact = read_artifact(path)
    model = onnx.load_from_string(artifact.data)
    del model.metadata_props[:]
    manifest = change(artifact.require_manifest())
    target.write_bytes(
        EXPORTERS["onnx"].embed_manifest(model.SerializeToString(), manifest.to_json())
    )
    return target


@pytest.mark.parametrize(("steps", "passed"), [(0.99, True), (1.01, False)])
def test_golden_samples_hold_within_one_step(
    steps: float, passed: bool, written: Path, tmp_path: Path
) -> None:
    """A step: the range of the output over the calibration rows, in 255 parts."""

    def moved(manifest: Manifest) -> Manifest:
        (first, *others) = manifest.golden
        outputs = {
            "logits": np.asarray(first.outputs["logits"]) + steps * first.tolerance["logits"]
        }
        golden = (replace(first, outputs=outputs, predictions=()), *others)
        changed = replace(manifest, golden=golden)
        verification = {**manifest.verification, "samples": changed.samples_sha256}
        return replace(changed, verification=verification)

    graph = onnx.load(written).graph
    scale = next(numpy_helper.to_array(i) for i in graph.initializer if i.name == "logits_scale")
    manifest = read_artifact(written).require_manifest()
    assert manifest.golden[0].tolerance["logits"] == pytest.approx(float(scale), rel=1e-4)
    found = verify(rewritten(written, tmp_path / "moved.onnx", moved), backend="ort-cpu")
    assert [c.passed for c in found if c.name == "sample 1, logits"] == [passed]


def test_a_manifest_that_hides_what_it_computes_in_is_found(written: Path, tmp_path: Path) -> None:
    def hidden(manifest: Manifest) -> Manifest:
        verification = {key: v for key, v in manifest.verification.items() if key != "quantization"}
        return replace(manifest, compute="", verification=verification)

    found = verify(rewritten(written, tmp_path / "hidden.onnx", hidden), backend="ort-cpu")
    assert [c.name for c in found if not c.passed] == ["manifest"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda data: data.update(compute="int4"), "it computes in 'int4'; expected int8"),
        (
            lambda data: data["verification"].pop("quantization"),
            "if and only if the file computes in int8",
        ),
        (lambda data: data.pop("compute"), "if and only if the file computes in int8"),
        (lambda data: data["verification"]["quantization"].pop("changed"), "'changed' is missing"),
        (
            lambda data: data["verification"]["quantization"].update(predictions=0),
            "expected counts",
        ),
    ],
)
def test_a_manifest_that_says_its_accuracy_wrongly_is_refused(
    change: Callable[[dict[str, Any]], Any], match: str, written: Path
) -> None:
    data = json.loads(read_artifact(written).require_manifest().to_json())
    change(data)
    with pytest.raises(ArtifactError, match=match) as caught:
        Manifest.from_json(json.dumps(data).encode(), name="a file")
    assert caught.value.code == "E-MANIFEST"


def test_a_manifest_of_before_has_neither_key(linear_onnx: Any) -> None:
    data = json.loads(linear_onnx.manifest.to_json())
    assert "compute" not in data
    assert "quantization" not in data["verification"]
    assert linear_onnx.manifest.quantization is None


# The gates.


def test_what_passes_every_gate_is_let_through() -> None:
    enforce("nearest", measured())
    enforce("nearest", measured(changed=40, newly_wrong=10, newly_right=0))


@pytest.mark.parametrize(
    ("gate", "changes", "match"),
    [
        (
            "accuracy",
            {"newly_wrong": 12, "newly_right": 1},
            r"accuracy falls by 0\.11 points; allowed are 0\.1: int8, by accuracy: 99\.00 → 98\.99 %",
        ),
        (
            "labels",
            {"changed": 41},
            "41 of 10,000 labels change; allowed are 40 .3 times the 0.1 points",
        ),
        ("batch", {"batch_variant_rows": 1}, "1 of 256 rows have different output bits alone"),
        (
            "benefit",
            {"speedup": {1: 1.09, 64: 0.6}},
            "1.09 times as fast at batch 1, 0.60 at 64 here; expected at least 1.1",
        ),
        ("benefit", {"for_size": True, "size": 361}, "361 bytes instead of 400: it is not smaller"),
    ],
)
def test_each_gate_bites_alone(gate: str, changes: dict[str, Any], match: str) -> None:
    found = measured(**changes)
    assert [name for name, check in CRITERIA.items() if check(found)] == [gate]
    with pytest.raises(AgreementError, match=match) as caught:
        enforce("nearest", found)
    assert caught.value.code == "E-INT8"
    assert caught.value.exit_code == 1


def test_a_slow_file_is_taken_for_its_size() -> None:
    enforce("nearest", measured(speedup={1: 0.4, 64: 0.4}, for_size=True))


def test_the_bound_is_that_of_the_paired_counts() -> None:
    accuracy = measured(newly_wrong=25, newly_right=16).accuracy
    assert accuracy.drop == pytest.approx(0.09)
    assert accuracy.bound == pytest.approx(0.09 + 1.645 * np.sqrt(41 - 81 / 10_000) / 100)
    none = measured(changed=0, newly_wrong=0, newly_right=0).accuracy
    assert none.bound == pytest.approx(0.03)


def spoilt(content: bytes, *rest: Any) -> bytes:
    """Quantised, and then two classes mixed up: no tolerance is held here, the gates must see it."""
    model = onnx.load_from_string(quantize(content, *rest))
    for one in model.graph.initializer:
        if one.name == "last.weight_quantized":
            one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one)[[1, 0, 2]], one.name))
    spoilt: bytes = model.SerializeToString()
    return spoilt


def test_a_file_that_answers_otherwise_is_not_written(
    fast: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ptx.export.quantize.qdq.quantize", spoilt)
    path = tmp_path / "nearest.onnx"
    path.write_bytes(b"before")
    with pytest.raises(AgreementError, match=r"accuracy falls by .* labels change"):
        export_int8(nearest(), path, trial(), announce=lambda digest: pytest.fail(digest))
    assert path.read_bytes() == b"before"


def test_a_file_that_ranges_over_its_batch_is_not_written(
    fast: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dynamic int8, as others offer it."""

    def dynamic(content: bytes, *_: Any) -> bytes:
        from onnxruntime.quantization import quantize_dynamic

        model, made = onnx.load_from_string(content), tmp_path / "dynamic"
        del model.graph.value_info[:]  # which it infers anew, of another shape
        quantize_dynamic(model, made)
        return made.read_bytes()

    monkeypatch.setattr("ptx.export.quantize.qdq.quantize", dynamic)
    with pytest.raises(AgreementError, match=r"of 256 rows have different output bits alone"):
        export_int8(nearest(), tmp_path / "nearest.onnx", trial(max_drop=5.0))
    assert not (tmp_path / "nearest.onnx").exists()


# What is refused before.


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"calibration": known(99)}, "99 rows to calibrate on; expected at least 100"),
        (
            {"calibration": known(512, of=1)},
            "all 512 calibration rows of lines are of one class, 'round'",
        ),
        (
            {"calibration": known(512, shift=1)},
            "they are rows of another model, or it is untrained",
        ),
        ({"test": known(999)}, "999 test rows, so one is 0.1 points, more than the drop of 0.1"),
    ],
)
def test_rows_that_say_nothing_of_the_model_are_refused(
    changes: dict[str, Any], match: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=match) as caught:
        export_int8(nearest(), tmp_path / "nearest.onnx", trial(**changes))
    assert caught.value.code == "E-DATA"
    assert not list(tmp_path.iterdir())


def test_calibration_that_overflows_is_refused(tmp_path: Path) -> None:
    trained = nearest(Overflowing())
    with pytest.raises(
        ArtifactError, match=r"calibration overflows: tensor .* to inf over lines"
    ) as caught:
        export_int8(trained, tmp_path / "nearest.onnx", trial())
    assert caught.value.code == "E-NONFINITE"
    assert not list(tmp_path.iterdir())


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    trained = nearest()
    with torch.no_grad():
        trained.network.get_parameter("last.weight").view(-1)[3] = torch.nan
    with pytest.raises(ArtifactError, match="not finite") as caught:
        export_int8(trained, tmp_path / "nearest.onnx", trial())
    assert caught.value.code == "E-NONFINITE"


def test_models_that_int8_is_not_for_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "nearest.onnx"
    with pytest.raises(
        UsageError, match=r"quantized to int8 already, and --compute int8 quantizes"
    ):
        export_int8(quantize_weights(nearest(), "int8"), path, trial())
    with pytest.raises(UsageError, match=r"has no labels, .* use --quantize-weights int8"):
        export_int8(nearest(task="passthrough", labels=()), path, trial())
    half = {
        "inputs": {"row": ["float16", ["batch", SIZE]]},
        "outputs": {"logits": ["float16", ["batch", len(LABELS)]]},
    }
    trained = nearest(Nearest().half(), signature=half)
    with pytest.raises(UsageError, match="computes in float16: --compute int8 is for networks"):
        export_int8(trained, path, trial())
    with pytest.raises(UsageError, match=r"max_drop is 0; expected a number from 0\.001 to 100"):
        export_int8(nearest(), path, trial(max_drop=0))


def test_a_graph_without_a_product_in_int8_is_refused(tmp_path: Path) -> None:
    from ptx.export.pipeline import verify_export

    trained = nearest(Recurrent())
    proved = verify_export(trained, "onnx", tmp_path / "recurrent.onnx")
    with pytest.raises(
        ArtifactError, match="no convolution or matrix product that computes in int8"
    ):
        quantize(proved.content, trained.manifest.signature, known(128))


# The command line.


@pytest.fixture(scope="module")
def int8_workspace(workspace: Path, tmp_path_factory: pytest.TempPathFactory, ptx: Ptx) -> Path:
    """The trained convnet with a file in int8, taken for its size: on few processors it is faster."""
    root = tmp_path_factory.mktemp("int8-workspace")
    shutil.copytree(workspace / "convnet", root / "convnet")
    told = ptx(
        "export",
        "convnet",
        "--compute",
        "int8",
        "--for-size",
        "--max-accuracy-drop",
        "2",
        "--workspace",
        root,
    )
    assert told.code == 0, told.err
    file, held, following = told.out.splitlines()
    path = root / "convnet" / "convnet.compute-int8.onnx"
    assert re.search(r"kB instead of .* kB, .* times as fast at batch 1, .* at 64, 256 rows", file)
    assert held.startswith("int8, by accuracy: ")
    assert following == f"next: ptx verify {path} --workspace {root}"
    return root


def test_compare_and_evaluate_say_by_accuracy(int8_workspace: Path, ptx: Ptx) -> None:
    given = ["--data", "bundled", "--workspace", int8_workspace]
    told = ptx("compare", "convnet", "--backends", "ort-cpu", *given)
    assert told.code == 0, told.out
    assert "convnet.compute-int8.onnx: int8, by accuracy: accuracy " in told.out
    path = int8_workspace / "convnet" / "convnet.compute-int8.onnx"
    assert ptx("evaluate", path, *given).code == 0
    shown = ptx("inspect", path)
    assert re.search(r"computes in: +int8, by accuracy: ", shown.out)
    assert "outputs (int8, by accuracy over" in shown.out
    verified = ptx("verify", path)
    assert verified.code == 0
    assert re.search(r"accuracy +passes +int8, by accuracy: ", verified.out)


def test_diff_orders_the_layers_by_what_int8_cost_them(int8_workspace: Path, ptx: Ptx) -> None:
    path = int8_workspace / "convnet" / "convnet.compute-int8.onnx"
    done = ptx("diff", "convnet", "--file", path, "--json", "--workspace", int8_workspace)
    assert done.code == 0, done.err
    worst = json.loads(done.out)["worst"]
    costs = [step["cost"] for step in worst]
    assert costs == sorted(costs, reverse=True)
    # A value is compared after QuantizeLinear, which also does the work of a Relu.
    assert 0.001 < costs[0] < 0.1
    assert worst[0]["node"].split()[0] in ("Conv", "Gemm")
    assert {"features.0", "features.3", "classifier.4"} <= {step["module"] for step in worst}
    settings = ("--nodes", "--backends", "ort-cpu", "--seconds", "0.01", "--json")
    done = ptx("benchmark", path, *settings, "--workspace", int8_workspace)
    assert done.code == 0, done.err
    products = [
        n for n in json.loads(done.out)["nodes"] if n["node"].startswith(("QLinear", "QGemm"))
    ]
    assert len(products) == 4
    assert all(0 < node["cost"] < 0.1 for node in products)


def test_compare_finds_that_a_file_in_int8_no_longer_answers(
    int8_workspace: Path, tmp_path: Path, ptx: Ptx
) -> None:
    root = tmp_path / "runs"
    shutil.copytree(int8_workspace, root)
    path = root / "convnet" / "convnet.compute-int8.onnx"
    model = onnx.load(path)
    manifest = read_artifact(path).require_manifest()
    del model.metadata_props[:]
    for one in model.graph.initializer:
        if one.name.endswith("weight_scale"):
            one.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(one), one.name))
    path.write_bytes(
        EXPORTERS["onnx"].embed_manifest(model.SerializeToString(), manifest.to_json())
    )
    told = ptx(
        "compare", "convnet", "--backends", "ort-cpu", "--data", "bundled", "--workspace", root
    )
    assert told.code == 1
    assert "convnet.compute-int8.onnx: sample 1, logits: largest error" in told.out


def test_compare_refuses_a_file_in_int8_in_the_place_of_the_plain_one(
    int8_workspace: Path, tmp_path: Path, ptx: Ptx
) -> None:
    root = tmp_path / "runs"
    shutil.copytree(int8_workspace, root)
    folder = root / "convnet"
    (folder / "convnet.compute-int8.onnx").replace(folder / "convnet.onnx")
    told = ptx(
        "compare", "convnet", "--backends", "ort-cpu", "--data", "bundled", "--workspace", root
    )
    assert told.code == 4
    assert "was accepted by its accuracy, so it is not compared with" in told.err


@pytest.mark.parametrize(
    ("arguments", "code", "match"),
    [
        (("--format", "pt2"), 2, "a file of pt2 computes in the network's own precision"),
        (("--format", "all"), 2, "a file of torchscript computes in the network's own precision"),
        (("--format", "html"), 2, "a file of html computes in the network's own precision"),
        (("--quantize-weights", "int8"), 2, "--compute int8 both quantize the weights"),
        (("--max-accuracy-drop", "0"), 2, "'0' is not a number from 0.001 to 100"),
    ],
)
def test_combinations_that_do_not_hold_are_refused_by_name(
    arguments: tuple[str, ...], code: int, match: str, workspace: Path, ptx: Ptx
) -> None:
    told = ptx("export", "convnet", "--compute", "int8", *arguments, "--workspace", workspace)
    assert (told.code, match in told.err) == (code, True), told.err


def test_limits_without_int8_are_refused(workspace: Path, ptx: Ptx) -> None:
    told = ptx("export", "convnet", "--for-size", "--workspace", workspace)
    assert told.code == 2
    assert "--max-accuracy-drop and --for-size need --compute int8" in told.err


def test_rows_that_are_not_at_hand_are_asked_for(
    checkpoint: Callable[[str], Path], tmp_path: Path, ptx: Ptx
) -> None:
    path = tmp_path / "checkpoint.pt"
    manifest = read_model(checkpoint("mlp")).manifest
    replace(
        read_model(checkpoint("mlp")),
        manifest=replace(manifest, training={"data": {"name": "elsewhere"}}),
    ).save(path)
    told = ptx("export", path, "--compute", "int8", "--workspace", tmp_path)
    assert told.code == 2
    assert "needs the training data (elsewhere)" in told.err


def test_pixels_and_int8_hold_together(int8_workspace: Path, tmp_path: Path, ptx: Ptx) -> None:
    path = tmp_path / "pixels.onnx"
    told = ptx(
        "export",
        "convnet",
        "--compute",
        "int8",
        "--embed-preprocessing",
        "--for-size",
        "--max-accuracy-drop",
        "2",
        "--output",
        path,
        "--workspace",
        int8_workspace,
    )
    assert told.code == 0, told.err
    inputs = np.random.default_rng(0).integers(0, 256, (16, 28, 28), np.uint8)
    with load(path, backend="ort-cpu") as predictor:
        found = predictor.run({"pixels": inputs})
    shares = np.exp(found["logits"]) / np.exp(found["logits"]).sum(1, keepdims=True)
    np.testing.assert_allclose(found["probabilities"], shares, atol=1e-6)
    assert (found["label"] == found["logits"].argmax(1)).all()
    assert all(check.passed for check in verify(path, backend="ort-cpu"))
