"""The task `boxes`: pixels of the original picture, the threshold, the formats, the drawing, HTTP."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient
from torch import Tensor, nn

import ptx.serve
from ptx.export import export
from ptx.infer import ArtifactError, InputError, Predictor, UsageError, load, read_artifact
from ptx.infer.boxes import BoxFormat
from ptx.infer.tables.predictions import PredictionTable
from ptx.report.boxes import box_colours

CELLS, CELL = 8, 8
SIDE = CELLS * CELL  # pixels of the network's input
LABELS = ["red", "green", "blue"]
PICTURE = (400, 160)  # width and height; the red square is at 220, 60 to 240, 80
RED = (220.0, 60.0, 240.0, 80.0)


class Cells(nn.Module):
    """A candidate for each cell of a grid; the score is the share of its colour: no training."""

    grid: Tensor

    def __init__(self, form: str, units: str, scores: str, joined: bool) -> None:
        super().__init__()
        self.form, self.units, self.scores, self.joined = form, units, scores, joined
        starts = torch.arange(CELLS, dtype=torch.float32) / CELLS
        left, top = starts.repeat(CELLS), starts.repeat_interleave(CELLS)
        boxes = torch.stack([left, top, left + 1 / CELLS, top + 1 / CELLS], 1)
        if form == "cxcywh":
            middle = (boxes[:, :2] + boxes[:, 2:]) / 2
            boxes = torch.cat([middle, boxes[:, 2:] - boxes[:, :2]], 1)
        self.register_buffer("grid", boxes * (SIDE if units == "pixels" else 1))

    def forward(self, image: Tensor) -> Any:
        share = nn.functional.avg_pool2d(image, CELL).flatten(2).transpose(1, 2)
        boxes = self.grid + 0 * share[..., :1]
        if self.scores != "probability":
            share = 20 * (share - 0.5)
        if self.scores == "softmax":
            share = torch.cat([share, 0 * share[..., :1]], -1)
        return torch.cat([boxes, share], -1) if self.joined else (boxes, share)


def spec_of(form: str, units: str, scores: str, joined: bool) -> dict[str, Any]:
    classes = len(LABELS) + (scores == "softmax")
    cells = CELLS * CELLS
    outputs = {"both": ["float32", ["batch", cells, 4 + classes]]}
    if not joined:
        outputs = {
            "boxes": ["float32", ["batch", cells, 4]],
            "scores": ["float32", ["batch", cells, classes]],
        }
    return {
        "task": "boxes",
        "labels": LABELS,
        "signature": {
            "inputs": {"image": ["float32", ["batch", 3, SIDE, SIDE]]},
            "outputs": outputs,
        },
        # The shorter side of the picture becomes 80 pixels, of whose middle 64 are cut out.
        "preprocessing": {"kind": "rgb-image", "resize": 80, "size": [SIDE, SIDE]},
        "boxes": {"format": form, "units": units, "scores": scores},
    }


def exported(folder: Path, *variant: Any, format_name: str = "onnx") -> Path:
    path = folder / f"{'-'.join(map(str, variant))}.{format_name}"
    export(Cells(*variant), format_name, path, **spec_of(*variant))
    return path


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("boxes"), "cxcywh", "fraction", "softmax", False)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Black, with a red square: a cell of the input is 16 pixels of the picture."""
    pixels = np.zeros((PICTURE[1], PICTURE[0], 3), np.uint8)
    left, top, right, bottom = map(int, RED)
    pixels[top:bottom, left:right, 0] = 255
    path = tmp_path_factory.mktemp("picture") / "red.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(
    "variant",
    [
        ("xyxy", "fraction", "probability", False),
        ("xyxy", "pixels", "sigmoid", True),
        ("cxcywh", "pixels", "softmax", False),
        ("cxcywh", "fraction", "softmax", True),
    ],
    ids=str,
)
def test_boxes_are_in_pixels_of_the_picture(
    tmp_path: Path, picture: Path, variant: tuple[Any, ...]
) -> None:
    # The cell from 40 to 48 pixels across and 24 to 32 down: the picture is halved, 80 of 200 pixels
    # are 68 from the left and 8 from the top.
    with load(exported(tmp_path, *variant), threshold=0.0) as predictor:
        prediction = predictor.predict(picture)
    assert prediction.label is None
    assert prediction.boxes is not None
    assert len(prediction.boxes) == CELLS * CELLS
    scores = [each.score for each in prediction.boxes]
    assert scores == sorted(scores, reverse=True)
    best = prediction.boxes[0]
    assert best.label == "red"
    assert best.box == pytest.approx((2 * (68 + 40), 2 * (8 + 24), 2 * (68 + 48), 2 * (8 + 32)))
    assert all(0 <= each.box[0] <= each.box[2] <= PICTURE[0] for each in prediction.boxes)


@pytest.mark.parametrize(
    ("format_name", "backend"),
    [("onnx", "openvino"), ("torchscript", "torchscript"), ("pt2", "pt2")],
)
def test_every_backend_gives_them(
    tmp_path: Path, finder: Path, picture: Path, format_name: str, backend: str
) -> None:
    variant = "cxcywh", "fraction", "softmax", False
    path = exported(tmp_path, *variant, format_name=format_name)
    with load(finder) as expected, load(path, backend=backend, trust=True) as predictor:
        for one, other in zip(
            expected.predict(picture).boxes or (),
            predictor.predict(picture).boxes or (),
            strict=True,
        ):
            assert one.label == other.label
            assert one.box == pytest.approx(other.box)
            assert one.score == pytest.approx(other.score, abs=1e-5)


def test_the_threshold_leaves_out_boxes(finder: Path, picture: Path) -> None:
    found = {}
    for threshold in (None, 0.1, 1.0):
        with load(finder, threshold=threshold) as predictor:
            found[threshold] = predictor.predict(picture).boxes
            if threshold == 1.0:
                again: Predictor = pickle.loads(pickle.dumps(predictor))
                assert again.predict(picture).boxes == ()
                assert "no box" in predictor.predict(picture).text
    boxes = found[None]
    assert boxes
    assert all(each.score >= 0.5 for each in boxes)
    assert found[1.0] == ()
    assert len(found[0.1] or ()) > len(boxes)
    with pytest.raises(UsageError, match="the threshold is 2"):
        load(finder, threshold=2)


def test_a_threshold_needs_boxes(artifact: Any) -> None:
    with pytest.raises(UsageError, match="task 'boxes'"):
        load(artifact("linear-model", "onnx"), threshold=0.5)


def test_many_pictures_of_different_sizes_keep_their_own_pixels(
    finder: Path, picture: Path, tmp_path: Path
) -> None:
    with Image.open(picture) as original:
        for index in range(3):
            size = (PICTURE[0] * (index + 1), PICTURE[1] * (index + 1))
            original.resize(size, Image.Resampling.NEAREST).save(tmp_path / f"{index}.png")
    paths = sorted(str(path) for path in tmp_path.glob("*.png"))
    with load(finder) as predictor:
        together = [prediction.boxes for prediction in predictor.predict_many(paths)]
        assert together == [predictor.predict(path).boxes for path in paths]
        ready = predictor.preprocessing.collate([predictor.preprocessing.transform(paths[0])])
        sample = ready["image"][0]
        of_sample = predictor.predict(sample).boxes
    lefts = [boxes[0].box[0] for boxes in together if boxes]
    assert lefts == pytest.approx([216, 432, 648], abs=1)
    assert of_sample is not None
    assert of_sample[0].box == pytest.approx((40, 24, 48, 32))  # of the sample itself


def test_worker_processes_keep_the_pixels(finder: Path, picture: Path) -> None:
    from ptx.infer.prefetch import Prefetcher, decoder_processes

    with load(finder) as predictor:
        expected = predictor.predict(picture).boxes
        with decoder_processes(predictor.preprocessing, 1, chunks_ahead=1) as pool:
            values = [str(picture)] * 3
            many = list(predictor.predict_many(Prefetcher(pool, values, 2), on_error="yield"))
    assert [getattr(each, "boxes", None) for each in many] == [expected] * 3


def test_the_commands_take_them(ptx: Any, finder: Path, picture: Path, tmp_path: Path) -> None:
    model = ("--model", finder)
    told = ptx("predict", picture, *model)
    assert told.code == 0, told.err
    assert "red.png: red (" in told.out
    assert " at 216 64 232 80" in told.out
    (line,) = ptx("predict", picture, *model, "--json", "--threshold", "0.1").out.splitlines()
    boxes = json.loads(line)["boxes"]
    assert {one["label"] for one in boxes} == {"red"}
    assert boxes[0]["box"] == pytest.approx([216, 64, 232, 80], abs=0.01)
    assert len(boxes) > told.out.count(";") + 1
    drawn = tmp_path / "drawn.png"
    assert ptx("predict", picture, *model, "--output", drawn).code == 0
    pixels = np.asarray(Image.open(drawn).convert("RGB"))
    outlines = (pixels == box_colours(LABELS)["red"]).all(axis=2)
    assert outlines.any()
    assert ptx("verify", finder).code == 0
    for refused in (
        ("predict", picture, *model, "--output", tmp_path / "x.csv"),
        ("evaluate", finder, "--data", tmp_path),
        ("predict", picture, *model, "--threshold", "1.5"),
    ):
        assert ptx(*refused).code == 2


def test_they_are_served(finder: Path, picture: Path) -> None:
    content = picture.read_bytes()
    with load(finder) as predictor:
        expected = predictor.predict(picture).to_data()["boxes"]
        client = TestClient(ptx.serve.app({"finder": predictor}))
        assert client.post("/predict/finder", content=content).json()["boxes"] == expected
        raw = client.get("/v2/models/finder").json()["parameters"]
        assert raw["raw_outputs"] == [{"name": "boxes", "datatype": "BYTES", "shape": [-1]}]
        element = len(content).to_bytes(4, "little") + content
        tensor = {
            "name": raw["raw_input"]["name"],
            "shape": [1],
            "datatype": "BYTES",
            "parameters": {"binary_data_size": len(element)},
        }
        head = json.dumps({"inputs": [tensor]}).encode()
        response = client.post(
            "/v2/models/finder/infer",
            content=head + element,
            headers={"Inference-Header-Content-Length": str(len(head))},
        )
        assert response.status_code == 200, response.text
        (output,) = response.json()["outputs"]
        assert [json.loads(text) for text in output["data"]] == [expected]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"boxes": {}}, "format is None"),
        ({"boxes": {"format": "yxyx", "units": "pixels"}}, "format is 'yxyx'"),
        ({"boxes": {"format": "xyxy"}}, "units is None"),
        ({"boxes": {"format": "xyxy", "units": "pixels", "threshold": 2}}, "threshold is 2"),
        ({"boxes": {"format": "xyxy", "units": "pixels", "nms": True}}, "'nms' is unknown"),
        ({"boxes": {"format": "xyxy", "units": "pixels", "threshold": "0.5"}}, "threshold is"),
        ({"preprocessing": {"kind": "none"}}, "'rgb-image'"),
        ({"labels": ["a", "b"]}, "labels are 2, which does not match the output 'boxes'"),
        ({"task": "passthrough", "labels": []}, "the task is 'passthrough'"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    variant = "cxcywh", "fraction", "softmax", False
    with pytest.raises(InputError, match=told) as raised:
        export(Cells(*variant), "onnx", tmp_path / "x.onnx", **{**spec_of(*variant), **changes})
    assert raised.value.code == "E-SPEC"


def test_numbers_that_the_format_excludes_are_refused() -> None:
    numbers = np.array([[[0.1, 0.1, 0.2, 0.2, 3.0, -1.0]]])
    with pytest.raises(ArtifactError, match="not probabilities") as raised:
        BoxFormat("xyxy", "fraction").read(numbers, 2, (10, 10))
    assert raised.value.code == "E-OUTPUT"
    with pytest.raises(ArtifactError, match="not fractions"):
        BoxFormat("xyxy", "fraction", "sigmoid").read(100 * numbers, 2, (10, 10))


def test_a_box_that_ends_before_it_starts_is_empty() -> None:
    numbers = np.array([[[0.5, 0.5, 0.2, 0.9, 1.0]]])
    read = BoxFormat("xyxy", "fraction").read(numbers, 1, (10, 10))
    assert read[0, 0].tolist() == [0.5, 0.5, 0.5, 0.9, 1.0]


def test_another_tool_s_file_has_boxes(
    finder: Path, picture: Path, tmp_path: Path, ptx: Any
) -> None:
    """The graph of the artifact without its manifest, with a specification."""
    import onnx

    model = onnx.load_from_string(read_artifact(finder).data)
    del model.metadata_props[:]
    path, spec = tmp_path / "foreign.onnx", tmp_path / "foreign.json"
    onnx.save(model, path)
    variant = "cxcywh", "fraction", "softmax", False
    data = {key: value for key, value in spec_of(*variant).items() if key != "signature"}
    spec.write_text(json.dumps(data))
    with load(finder) as known, load(path, spec=spec) as foreign:
        assert foreign.predict(picture).boxes == known.predict(picture).boxes
    adopted = tmp_path / "adopted.onnx"
    done = ptx("export", "--adopt", path, "--spec", spec, "--output", adopted)
    assert done.code == 0, done.err
    assert read_artifact(adopted).require_manifest().boxes == data["boxes"]


def test_a_page_and_a_table_have_no_boxes(finder: Path, picture: Path, tmp_path: Path) -> None:
    variant = "cxcywh", "fraction", "softmax", False
    with pytest.raises(UsageError, match="no decoder for the task 'boxes'"):
        export(Cells(*variant), "html", tmp_path / "x.html", **spec_of(*variant))
    with load(finder) as predictor, pytest.raises(UsageError, match="class maps and boxes"):
        list(PredictionTable().csv_lines([(predictor.predict(picture), None)]))
