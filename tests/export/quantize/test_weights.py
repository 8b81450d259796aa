"""Weights in fewer bits: what is rounded, what is proved, what is stored, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from ptx.export import describe, export, quantize_weights, read_model
from ptx.export.quantize.weights import MAX_CODE, MIN_SIZE, WEIGHT_DTYPES
from ptx.infer import ArtifactError, Manifest, UsageError, load, read_artifact, verify

Checkpoint = Callable[[str], Path]
Export = Callable[[str, str], Path]
Ptx = Callable[..., Any]

SIGNATURE = {
    "inputs": {"image": ["float32", ["batch", 3, 8, 8]]},
    "outputs": {"logits": ["float32", ["batch", 5]]},
}


def normalised() -> nn.Module:
    """A convolution whose batch normalisation the exporter folds into it."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5)
    )
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(16, 3, 8, 8) * 2 + 1)
    return network.eval()


def graph_size(path: Path) -> int:
    """Bytes without manifest and content digest."""
    model = onnx.load(path)
    del model.metadata_props[:]
    return len(model.SerializeToString())


def initializers(path: Path) -> dict[str, NDArray[Any]]:
    return {one.name: numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}


@pytest.mark.parametrize(("form", "share"), [("float16", 0.56), ("int8", 0.36)])
@pytest.mark.parametrize("model", ["convnet", "mlp", "lstm", "name-classifier"])
def test_a_rounded_model_is_proved_and_its_graph_is_smaller(
    model: str, form: str, share: float, checkpoint: Checkpoint, artifact: Export, tmp_path: Path
) -> None:
    path = tmp_path / "rounded.onnx"
    trained = quantize_weights(read_model(checkpoint(model)), form)
    done = export(trained, "onnx", path)
    assert 0 < done.error <= done.tolerance < 1e-3
    plain = artifact(model, "onnx")
    assert graph_size(path) < share * graph_size(plain)
    assert done.saved == graph_size(plain) - graph_size(path)
    assert all(check.passed for check in verify(path, backend="ort-cpu"))
    manifest = read_artifact(path).require_manifest()
    assert manifest.weights == form
    assert manifest.weights_sha256 == trained.manifest.weights_sha256
    assert manifest.weights_sha256 != read_artifact(plain).require_manifest().weights_sha256


@pytest.mark.parametrize("form", WEIGHT_DTYPES)
def test_the_model_that_is_rounded_stays_as_it_is(form: str, checkpoint: Checkpoint) -> None:
    trained = read_model(checkpoint("mlp"))
    before = {name: weight.clone() for name, weight in trained.network.state_dict().items()}
    rounded = quantize_weights(trained, form).network.state_dict()
    for name, weight in trained.network.state_dict().items():
        assert torch.equal(weight, before[name])
        kept = weight.ndim < 2 or weight.numel() < MIN_SIZE
        assert torch.equal(weight, rounded[name]) == kept, name


def test_an_int8_weight_is_a_code_times_the_scale_of_its_channel() -> None:
    weight = np.random.default_rng(0).standard_normal((7, 4, 3, 3)).astype(np.float32)
    weight[3] = 0
    weight[5] *= 1e-30
    rounded = WEIGHT_DTYPES["int8"](weight)
    assert rounded.dtype == np.float32
    for channel, before in zip(rounded, weight, strict=True):
        scale = np.abs(channel).max() / np.float32(MAX_CODE)
        assert np.abs(channel - before).max() <= 0.51 * np.abs(before).max() / MAX_CODE
        if scale:
            assert np.array_equal(np.rint(channel / scale) * scale, channel)
    assert not rounded[3].any()


def test_weights_are_stored_behind_a_cast_and_never_as_quantised_operators(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = export(
        quantize_weights(read_model(checkpoint("mlp")), "int8"), "onnx", tmp_path / "rounded.onnx"
    ).path
    found = {node.op_type for node in onnx.load(path).graph.node}
    assert found >= {"Cast", "Mul", "Gemm"}
    assert not [name for name in found if "Quantize" in name or "Integer" in name]
    sizes = {array.dtype.name: array.size for array in initializers(path).values()}
    assert {"int8", "float32"} <= sizes.keys()


@pytest.mark.parametrize("form", WEIGHT_DTYPES)
def test_a_factor_that_the_exporter_puts_into_a_kernel_stays_beside_the_stored_codes(
    form: str, tmp_path: Path
) -> None:
    trained = quantize_weights(describe(normalised(), signature=SIGNATURE), form)
    done = export(trained, "onnx", tmp_path / "rounded.onnx")
    assert done.error <= done.tolerance
    found = initializers(done.path)
    stored = [name for name, array in found.items() if array.dtype.name == form]
    assert len(stored) == 2, "the convolution and the linear layer"
    assert not [name for name, a in found.items() if a.dtype == np.float32 and a.size > 16]


def test_rows_of_a_batch_and_a_row_alone_get_the_same_answer(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """As it is not where activations are quantised by the range of their batch."""
    trained = quantize_weights(read_model(checkpoint("softmax-regression")), "int8")
    images = np.concatenate([trained.samples["image"], 20 * trained.samples["image"]])
    with load(export(trained, "onnx", tmp_path / "model.onnx").path) as predictor:
        whole = predictor.run({"image": images})["logits"]
        alone = [predictor.run({"image": images[[row]]})["logits"] for row in range(len(images))]
    np.testing.assert_allclose(np.concatenate(alone), whole, rtol=1e-6, atol=1e-4)


# What is refused.


@pytest.mark.parametrize(
    ("form", "number", "code", "match"),
    [
        (
            "int8",
            np.nan,
            "E-NONFINITE",
            "weight '0.weight' is not finite and cannot be quantized to int8",
        ),
        ("float16", np.inf, "E-NONFINITE", "weight '0.weight' is not finite"),
        (
            "float16",
            7e4,
            "E-EXPORT",
            "weight '0.weight' has the value 7e.04; float16 ends at 65,504",
        ),
    ],
)
def test_a_weight_that_cannot_be_rounded_is_refused_by_name(
    form: str, number: float, code: str, match: str
) -> None:
    network = normalised()
    with torch.no_grad():
        next(network.parameters()).view(-1)[5] = number
    trained = describe(normalised(), signature=SIGNATURE)
    trained.network.load_state_dict(network.state_dict())
    with pytest.raises(ArtifactError, match=match) as caught:
        quantize_weights(trained, form)
    assert caught.value.code == code


def test_a_model_of_a_few_numbers_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ArtifactError, match="no float32 weight of 64 numbers or more") as caught:
        quantize_weights(read_model(checkpoint("linear-model")), "int8")
    assert caught.value.code == "E-EXPORT"


def test_an_unknown_form_and_a_second_rounding_are_refused(checkpoint: Checkpoint) -> None:
    trained = read_model(checkpoint("mlp"))
    with pytest.raises(UsageError, match=r"no weights of 'int4'; .*int8"):
        quantize_weights(trained, "int4")
    with pytest.raises(UsageError, match="quantized to int8 already"):
        quantize_weights(quantize_weights(trained, "int8"), "float16")


@pytest.mark.parametrize("format_name", ["torchscript", "pt2"])
def test_a_format_that_holds_no_rounded_weights_is_refused_before_any_work(
    format_name: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    trained = quantize_weights(read_model(checkpoint("mlp")), "int8")
    with pytest.raises(
        UsageError, match=f"a file of {format_name} .*--quantize-weights is for onnx"
    ):
        export(
            trained, format_name, tmp_path / "model", announce=lambda digest: pytest.fail(digest)
        )
    assert "equivalence_check" not in vars(trained), "it was refused before the check"


def test_weights_that_the_exporter_computes_with_are_refused(tmp_path: Path) -> None:
    """They stand in the graph as float32 numbers that no code makes."""

    class Bent(nn.Linear):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(image.flatten(1), self.weight.tanh(), self.bias)

    trained = quantize_weights(describe(Bent(192, 5), signature=SIGNATURE), "int8")
    with pytest.raises(ArtifactError, match="the exporter has computed with them") as caught:
        export(trained, "onnx", tmp_path / "model.onnx")
    assert caught.value.code == "E-EXPORT"
    assert not list(tmp_path.iterdir())


# The command line.


def test_the_line_says_what_rounding_cost_and_the_file_has_a_name_of_its_own(
    workspace: Path, ptx: Ptx
) -> None:
    done = ptx("export", "convnet", "--quantize-weights", "int8", "--workspace", workspace)
    assert done.code == 0, done.err
    path = workspace / "convnet" / "convnet.int8.onnx"
    first, second, last = done.out.splitlines()
    assert first.startswith(f"{path}: ")
    assert " instead of " in first
    assert "agrees with eager float64 of the quantized network in 17 cases" in first
    assert second.startswith("quantization: ")
    assert second.split("% of ")[1].startswith("2,000 test predictions, ")
    assert last.startswith(f"next: ptx verify {path}")
    assert ptx("verify", path, "--backend", "ort-cpu").code == 0
    assert "int8" in ptx("inspect", path).out


def test_without_its_data_the_cost_is_said_not_to_be_counted(
    checkpoint: Checkpoint, ptx: Ptx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTX_DATA", str(tmp_path))
    trained = read_model(checkpoint("softmax-regression"))
    trained.manifest.training["data"] = {"name": "mnist"}
    path = tmp_path / "own.pt"
    trained.save(path)
    done = ptx("export", path, "--quantize-weights", "float16", "--workspace", tmp_path)
    assert done.code == 0, done.err
    assert "the change in accuracy was not measured" in done.err
    assert (tmp_path / "own.float16.onnx").exists()


@pytest.mark.parametrize("formats", ["torchscript", "all"])
def test_the_command_line_refuses_a_format_by_name(formats: str, ptx: Ptx, tmp_path: Path) -> None:
    done = ptx(
        "export", "mlp", "--format", formats, "--quantize-weights", "int8", "--workspace", tmp_path
    )
    assert done.code == 2
    assert (
        "a file of torchscript cannot store quantized weights: --quantize-weights is for onnx"
        in done.err
    )


# Files that were changed.


@pytest.fixture
def rounded(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    trained = quantize_weights(read_model(checkpoint("softmax-regression")), "int8")
    return export(trained, "onnx", tmp_path / "model.onnx").path


def test_a_changed_byte_of_the_codes_breaks_the_digest_and_the_answers(rounded: Path) -> None:
    model = onnx.load(rounded)
    codes = next(one for one in model.graph.initializer if one.data_type == onnx.TensorProto.INT8)
    data, raw = bytearray(rounded.read_bytes()), codes.raw_data
    place = data.index(raw) + int(np.abs(np.frombuffer(raw, np.int8)).argmax())
    data[place] ^= 0x40
    rounded.write_bytes(data)
    with pytest.raises(ArtifactError, match="does not match its content digest") as caught:
        load(rounded)
    assert caught.value.code == "E-HASH"
    failed = {check.name for check in verify(rounded, backend="ort-cpu") if not check.passed}
    assert len(failed) > 1, "a golden sample shows it too"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format": 2}, "format is 2; this ptx reads 1"),
        ({"weights": 8}, "'weights' is a int; expected str"),
        ({"weights": "int8\x1b[2J"}, "contains a control character"),
    ],
)
def test_a_manifest_of_a_newer_ptx_or_with_a_faulty_form_is_refused(
    rounded: Path, change: dict[str, Any], match: str
) -> None:
    manifest = json.loads(read_artifact(rounded).require_manifest().to_json()) | change
    with pytest.raises(ArtifactError, match=match) as caught:
        Manifest.from_json(json.dumps(manifest).encode(), name="the file")
    assert caught.value.code == "E-MANIFEST"
