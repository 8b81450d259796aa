"""The tasks `segmentation` and `embedding`: all backends, other tools' files, the drawing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image
from torch import Tensor, nn

from ptx.export import export
from ptx.infer import Prediction, UsageError, load
from ptx.report import class_map

SIDE = 16
PREPROCESSING = {"kind": "rgb-image", "resize": [SIDE, SIDE], "size": [SIDE, SIDE]}
COLOURS = ["red", "green", "blue"]
SPEC_KEYS = ("task", "preprocessing", "labels")
BACKENDS = [
    ("onnx", "ort-cpu"),
    ("onnx", "openvino"),
    ("torchscript", "torchscript"),
    ("pt2", "pt2"),
]


class ColourMap(nn.Module):
    """The logits of a pixel are its colour channels: the answer can be seen in the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 1, bias=False)
        self.convolution.weight.data = torch.eye(3).reshape(3, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.convolution(image)
        return logits


class ColourVector(nn.Module):
    """The mean colour of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3, bias=False)
        self.linear.weight.data = torch.eye(3)

    def forward(self, image: Tensor) -> Tensor:
        vector: Tensor = self.linear(image.mean(dim=(2, 3)))
        return vector


def spec_of(task: str) -> dict[str, Any]:
    size: list[int | str] = [3, SIDE, SIDE] if task == "segmentation" else [3]
    return {
        "task": task,
        "preprocessing": PREPROCESSING,
        "labels": COLOURS if task == "segmentation" else [],
        "signature": {
            "inputs": {"image": ["float32", ["batch", 3, SIDE, SIDE]]},
            "outputs": {"result": ["float32", ["batch", *size]]},
        },
    }


def exported(folder: Path, task: str, format_name: str) -> Path:
    network = ColourMap() if task == "segmentation" else ColourVector()
    path = folder / f"net.{format_name}"
    export(network.eval(), format_name, path, **spec_of(task))
    return path


def foreign(folder: Path, task: str) -> tuple[Path, Path]:
    """An ONNX file of somebody else and the model spec that names its task."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    if task == "segmentation":
        nodes = [helper.make_node("Identity", ["image"], ["result"])]
        # Rows and columns are axes that no input has.
        axes: list[str | int | None] = ["batch", 3, "rows", "columns"]
        result = helper.make_tensor_value_info("result", TensorProto.FLOAT, axes)
    else:
        nodes = [
            helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["result"]),
        ]
        result = helper.make_tensor_value_info("result", TensorProto.FLOAT, ["batch", "size"])
    graph = helper.make_graph(nodes, "net", [image], [result])
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path, spec = folder / "foreign.onnx", folder / "foreign.json"
    onnx.save(model, path)
    keys = {key: spec_of(task)[key] for key in SPEC_KEYS if spec_of(task)[key]}
    spec.write_text(json.dumps(keys))
    return path, spec


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    """A red picture, a green one, and one with a red left quarter that is blue elsewhere."""
    paths = {}
    for name, colour in (("red", (255, 0, 0)), ("green", (0, 255, 0)), ("both", (0, 0, 255))):
        image = Image.new("RGB", (SIDE, SIDE), colour)
        if name == "both":
            image.paste((255, 0, 0), (0, 0, SIDE // 4, SIDE))
        paths[name] = tmp_path / f"{name}.png"
        image.save(paths[name])
    return paths


@pytest.mark.parametrize(("format_name", "backend"), BACKENDS)
def test_every_backend_gives_the_class_map(
    tmp_path: Path, pictures: dict[str, Path], format_name: str, backend: str
) -> None:
    path = exported(tmp_path, "segmentation", format_name)
    with load(path, backend=backend, trust=True) as predictor:
        prediction = predictor.predict(pictures["both"])
    assert prediction.class_map is not None
    assert prediction.class_map.shape == (SIDE, SIDE)
    assert (prediction.class_map[:, : SIDE // 4] == 0).all()
    assert (prediction.class_map[:, SIDE // 4 :] == 2).all()
    data = prediction.to_data()
    assert data["classes"] == [
        {"label": "blue", "share": 0.75},
        {"label": "red", "share": 0.25},
        {"label": "green", "share": 0.0},
    ]
    assert prediction.text == "blue (75.0 %), red (25.0 %)"
    assert data["size"] == [SIDE, SIDE]
    assert "label" not in data


@pytest.mark.parametrize(("format_name", "backend"), BACKENDS)
def test_every_backend_gives_the_vector(
    tmp_path: Path, pictures: dict[str, Path], format_name: str, backend: str
) -> None:
    path = exported(tmp_path, "embedding", format_name)
    with load(path, backend=backend, trust=True) as predictor:
        red, green, both = (predictor.predict(pictures[name]) for name in pictures)
    np.testing.assert_allclose(red.to_data()["vector"], [1, 0, 0], atol=1e-6)
    assert red.cosine(red) == pytest.approx(1)
    assert red.cosine(green) == pytest.approx(0, abs=1e-6)
    assert red.cosine(both) == pytest.approx(0.25 / np.hypot(0.25, 0.75), abs=1e-6)


@pytest.mark.parametrize("task", ["segmentation", "embedding"])
def test_an_html_page_is_refused(tmp_path: Path, task: str) -> None:
    with pytest.raises(UsageError, match=task):
        exported(tmp_path, task, "html")


@pytest.mark.parametrize("task", ["segmentation", "embedding"])
def test_a_foreign_file_with_a_spec_predicts_on_the_command_line(
    ptx: Any, tmp_path: Path, pictures: dict[str, Path], task: str
) -> None:
    path, spec = foreign(tmp_path, task)
    model = ("--model", path, "--spec", spec)
    done = ptx("predict", pictures["both"], *model, "--json")
    assert done.code == 0, done.err
    data = json.loads(done.out)
    if task == "segmentation":
        assert [item["label"] for item in data["classes"]] == ["blue", "red", "green"]
    else:
        np.testing.assert_allclose(data["vector"], [0.25, 0, 0.75], atol=1e-6)
    shown = ptx("predict", pictures["both"], *model)
    assert ("blue (75.0 %)" if task == "segmentation" else "0.75") in shown.out


def test_the_class_map_is_drawn_over_the_picture_with_a_legend(
    ptx: Any, tmp_path: Path, pictures: dict[str, Path]
) -> None:
    path, spec = foreign(tmp_path, "segmentation")
    output = tmp_path / "drawn.png"
    done = ptx("predict", pictures["both"], "--model", path, "--spec", spec, "--output", output)
    assert done.code == 0, done.err
    with Image.open(output) as drawn:
        colours = {colour for _, colour in drawn.convert("RGB").getcolors(2**20) or []}
    first, absent, last = class_map.palette(3)
    assert {first, last} <= colours  # the legend's squares
    assert absent not in colours
    gray_of_red = 76
    expected = (1 - class_map.OPACITY) * gray_of_red + class_map.OPACITY * np.array(first)
    assert min(np.abs(np.array(colour) - expected).max() for colour in colours) <= 1


def test_the_palette_gives_each_label_its_own_colour() -> None:
    colours = class_map.palette(151)
    assert len(set(colours)) == 151
    assert colours[:3] == class_map.palette(3)


@pytest.mark.parametrize("task", ["segmentation", "embedding"])
def test_an_own_network_is_exported_verified_and_predicts_on_the_command_line(
    ptx: Any,
    tmp_path: Path,
    pictures: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    task: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(Path(__file__).parent)
    network: nn.Module = ColourMap() if task == "segmentation" else ColourVector()
    torch.save(network.state_dict(), "weights.pth")
    described = spec_of(task)
    Path("net.json").write_text(
        json.dumps(
            {
                "name": "colours",
                **{key: described[key] for key in SPEC_KEYS if described[key]},
                **described["signature"],
            }
        )
    )
    reference = f"{Path(__file__).stem}:{type(network).__name__}"
    done = ptx("export", reference, "--checkpoint", "weights.pth", "--spec", "net.json")
    assert done.code == 0, done.err
    verified = ptx("verify", "colours")
    assert verified.code == 0, verified.out + verified.err
    predicted = ptx("predict", pictures["both"], "--model", "colours", "--json")
    assert predicted.code == 0, predicted.err
    assert ("classes" if task == "segmentation" else "vector") in json.loads(predicted.out)


def test_numbers_that_are_not_finite_are_null_in_json() -> None:
    vector = np.array([1, -np.inf, np.nan], np.float32)
    prediction = Prediction(None, None, (), None, "net", "ort-cpu", vector=vector)
    assert json.loads(prediction.to_json())["vector"] == [1, None, None]


def test_each_label_has_its_colour_on_a_map_with_more_than_the_legend_shows(
    ptx: Any, tmp_path: Path
) -> None:
    labels = [f"class {index}" for index in range(60)]
    logits = np.zeros((60, 8, 8), np.float32)
    logits[np.arange(64) % 60, np.arange(64) // 8, np.arange(64) % 8] = 1
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 60, 8, 8])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 60, 8, 8])
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "net", [image], [result])
    opsets = [helper.make_opsetid("", 17)]
    path, spec = tmp_path / "net.onnx", tmp_path / "net.json"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    spec.write_text(json.dumps({"task": "segmentation", "labels": labels}))
    np.save(tmp_path / "x.npy", logits)
    output = tmp_path / "drawn.png"
    model = ("--model", path, "--spec", spec)
    done = ptx("predict", tmp_path / "x.npy", *model, "--output", output)
    assert done.code == 0, done.err
    with Image.open(output) as drawn:
        colours = {colour for _, colour in drawn.convert("RGB").getcolors(2**20) or []}
    assert set(class_map.palette(60)) <= colours  # unchanged without a picture below
