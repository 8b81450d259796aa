"""Pixels as the input: the graph prepares them to the bit, and answers with probabilities and label."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor, nn

from ptx.export import (
    TrainedModel,
    describe,
    embed_preprocessing,
    export,
    quantize_weights,
    read_model,
)
from ptx.infer import InputError, UsageError, load, read_artifact, verify
from ptx.infer.preprocessing import open_preprocessing

Checkpoint = Callable[[str], Path]
Export = Callable[[str, str], Path]
Ptx = Callable[..., Any]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FORMS = {  # axes of the input, kind and settings
    "gray": (["batch", 1, 5, 4], {"kind": "gray-image", "resize_mode": "mnist", "size": [5, 4]}),
    "normalised": (
        ["batch", 20],
        {
            "kind": "gray-image",
            "resize_mode": "mnist",
            "size": [5, 4],
            "mean": 0.1307,
            "std": 0.3081,
        },
    ),
    "rows": (
        ["time", "batch", 4],
        {"kind": "gray-image", "resize_mode": "mnist", "size": [5, 4], "mean": 0.5},
    ),
    "photo": (
        ["batch", 3, 5, 4],
        {"kind": "rgb-image", "resize": 6, "size": [5, 4], "mean": list(MEAN), "std": list(STD)},
    ),
    "last": (
        ["batch", 5, 4, 3],
        {"kind": "rgb-image", "resize": 6, "size": [5, 4], "std": list(STD)},
    ),
}


class Same(nn.Module):
    """Gives back what it was given: what the graph makes of pixels is seen."""

    def forward(self, image: Tensor) -> Tensor:
        return image * 1.0


def same(form: str) -> TrainedModel:
    axes, preprocessing = FORMS[form]
    signature = {"inputs": {"image": ["float32", axes]}, "outputs": {"seen": ["float32", axes]}}
    return describe(Same(), signature=signature, task="passthrough", preprocessing=preprocessing)


def prepared(model: TrainedModel, pixels: NDArray[np.uint8]) -> NDArray[Any]:
    """As prediction prepares them."""
    opened = open_preprocessing(model.manifest.preprocessing, model.manifest.signature)
    return opened.collate(list(pixels))["image"]


@pytest.mark.parametrize("form", FORMS)
def test_each_value_at_each_place_is_prepared_bit_for_bit(form: str, tmp_path: Path) -> None:
    model = same(form)
    taken = embed_preprocessing(model)
    path = export(taken, "onnx", tmp_path / "same.onnx").path
    (spec,) = taken.manifest.signature.inputs
    values = np.arange(256, dtype=np.uint8).reshape(-1, *[1] * (len(spec.axes) - 1))
    pixels = np.broadcast_to(values, (256, *map(int, spec.axes[1:]))).copy()
    with load(path, backend="ort-cpu") as predictor:
        seen = predictor.run({"pixels": pixels})["seen"]
    assert seen.tobytes() == prepared(model, pixels).tobytes()


@pytest.mark.parametrize("format_name", ["onnx", "torchscript", "pt2"])
def test_logits_are_those_of_the_plain_file_and_the_label_is_the_largest(
    format_name: str, checkpoint: Checkpoint, artifact: Export, tmp_path: Path
) -> None:
    model = "softmax-regression"
    done = export(
        embed_preprocessing(read_model(checkpoint(model))), format_name, tmp_path / "model"
    )
    pixels = np.random.default_rng(0).integers(0, 256, (500, 28, 28), np.uint8)
    plain = load(artifact(model, format_name), device="cpu", trust=True)
    with load(done.path, device="cpu", trust=True) as predictor, plain:
        expected = plain.run(plain.preprocessing.collate(list(pixels)))["logits"]
        outputs = predictor.run({"pixels": pixels})
    assert outputs["logits"].tobytes() == expected.tobytes()
    assert outputs["label"].dtype == np.int64
    assert np.array_equal(outputs["label"], expected.argmax(axis=1))
    np.testing.assert_allclose(outputs["probabilities"].sum(axis=1), 1, rtol=1e-6)
    assert np.array_equal(outputs["probabilities"].argmax(axis=1), outputs["label"])


@pytest.mark.parametrize("model", ["convnet", "lstm"])
def test_a_pixel_file_is_proved_verified_and_predicts_pictures(
    model: str, checkpoint: Checkpoint, artifact: Export, tmp_path: Path
) -> None:
    taken = embed_preprocessing(read_model(checkpoint(model)))
    assert taken.samples["pixels"].shape == (64, 28, 28), "the verified samples are pixels too"
    done = export(taken, "onnx", tmp_path / "model.onnx")
    assert done.rows == 64
    assert all(check.passed for check in verify(done.path, backend="ort-cpu"))
    manifest = read_artifact(done.path).require_manifest()
    assert [spec.name for spec in manifest.signature] == [
        "pixels",
        "logits",
        "probabilities",
        "label",
    ]
    assert not {"mean", "std"} & manifest.preprocessing.keys()
    picture = taken.samples["pixels"][0]
    with load(done.path) as pixels, load(artifact(model, "onnx")) as plain:
        got, expected = pixels.predict(picture), plain.predict(picture)
    assert (got.label, got.score) == (expected.label, expected.score)


def test_rounded_weights_and_pixels_go_together(checkpoint: Checkpoint, tmp_path: Path) -> None:
    trained = embed_preprocessing(quantize_weights(read_model(checkpoint("mlp")), "int8"))
    done = export(trained, "onnx", tmp_path / "model.onnx")
    assert done.saved > 300_000
    assert [one.weights for one in [read_artifact(done.path).require_manifest()]] == ["int8"]


# What is refused.


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("diabetes", "preprocessing 'tabular', float32"),
        ("name-classifier", "preprocessing 'char-codes', int64"),
    ],
)
def test_a_model_whose_values_are_no_pictures_is_refused_by_name(
    model: str, said: str, checkpoint: Checkpoint
) -> None:
    with pytest.raises(UsageError, match=f"the inputs of {model} are not images .*{said}"):
        embed_preprocessing(read_model(checkpoint(model)))


def test_a_pixel_model_and_an_output_of_the_same_name_are_refused(checkpoint: Checkpoint) -> None:
    taken = embed_preprocessing(read_model(checkpoint("softmax-regression")))
    with pytest.raises(UsageError, match=r"are not images .*uint8"):
        embed_preprocessing(taken)
    signature = {
        "inputs": {"image": ["float32", ["batch", 1, 5, 4]]},
        "outputs": {"label": ["float32", ["batch", 2]]},
    }
    network = nn.Sequential(nn.Flatten(), nn.Linear(20, 2))
    own = describe(
        network,
        signature=signature,
        task="classification",
        labels=["a", "b"],
        preprocessing=FORMS["gray"][1],
    )
    with pytest.raises(UsageError, match="already has an output 'label'"):
        embed_preprocessing(own)


def test_float_pixels_are_refused_and_the_grid_of_bytes_is_exhaustive_in_type(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    taken = embed_preprocessing(read_model(checkpoint("softmax-regression")))
    with load(export(taken, "onnx", tmp_path / "model.onnx").path) as predictor:
        with pytest.raises(InputError, match=r"pixels.*float32.*uint8"):
            predictor.run({"pixels": np.zeros((1, 28, 28), np.float32)})
        assert predictor.run({"pixels": np.zeros((0, 28, 28), np.uint8)})["label"].shape == (0,)
        with pytest.raises(InputError, match=r"has shape \(1, 0, 28\); expected \(batch, 28, 28\)"):
            predictor.run({"pixels": np.zeros((1, 0, 28), np.uint8)})
        with pytest.raises(InputError, match="none of them 0"):
            predictor.predict(np.zeros((0, 28), np.uint8))


def test_mean_and_std_beside_a_uint8_input_are_refused() -> None:
    """They would not be heeded: the pixels go into the network as they are."""
    axes, _ = FORMS["gray"]
    signature = {"inputs": {"image": ["uint8", axes]}, "outputs": {"seen": ["float32", axes]}}

    with pytest.raises(InputError, match="mean and std need a float32 input") as caught:
        describe(
            Same(), signature=signature, task="passthrough", preprocessing=FORMS["normalised"][1]
        )
    assert caught.value.code == "E-SPEC"


# The command line.


def test_the_file_has_a_name_of_its_own_and_is_predicted_by_its_path(
    workspace: Path, ptx: Ptx, seven: Path
) -> None:
    done = ptx("export", "convnet", "--embed-preprocessing", "--workspace", workspace)
    assert done.code == 0, done.err
    path = workspace / "convnet" / "convnet.pixels.onnx"
    assert done.out.startswith(f"{path}: ")
    assert f"next: ptx verify {path}" in done.out
    pixels = ptx("predict", seven, "--model", path)
    plain = ptx("predict", seven, "--model", "convnet", "--workspace", workspace)
    assert (pixels.code, pixels.out) == (plain.code, plain.out)
