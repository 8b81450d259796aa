"""The tasks whose predictions are arrays: embedding and segmentation, in Python, the CLI and HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from starlette.testclient import TestClient

import ptx.serve
from ptx.infer import ArtifactError, InputError, Predictor, UsageError, load
from ptx.infer.tasks import embedding, segmentation

SIZE = (8, 12)
PREPROCESSING = {"kind": "rgb-image", "resize": list(SIZE), "size": list(SIZE)}


def save(path: Path, nodes: list[Any], weights: dict[str, Any], shape: list[Any]) -> Path:
    """A graph from `x`, a batch of pictures, to `y`."""
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, *SIZE]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", *shape]),
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


@pytest.fixture
def segmenter(tmp_path: Path) -> Path:
    """Red pixels are `red`, blue ones `blue`; written with a spec next to it."""
    weights = np.array([[0, 0, 0], [3, -3, -3], [-3, -3, 3]], np.float32)[:, :, None, None]
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"])]
    bias = np.array([0.5, 0, 0], np.float32)
    path = save(tmp_path / "colours.onnx", nodes, {"w": weights, "b": bias}, [3, *SIZE])
    spec = {
        "task": "segmentation",
        "labels": ["background", "red", "blue"],
        "preprocessing": PREPROCESSING,
    }
    (tmp_path / "colours.json").write_text(json.dumps(spec))
    return path


@pytest.fixture
def embedder(tmp_path: Path) -> Path:
    """The mean of each colour."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    path = save(tmp_path / "means.onnx", nodes, {}, [3])
    spec = {"task": "embedding", "preprocessing": PREPROCESSING}
    (tmp_path / "means.json").write_text(json.dumps(spec))
    return path


def picture(path: Path, left: str, right: str) -> Path:
    """Two halves."""
    image = Image.new("RGB", (24, 16), left)
    image.paste(right, (12, 0, 24, 16))
    image.save(path)
    return path


@pytest.fixture(params=["ort-cpu", "openvino"])
def segmenting(segmenter: Path, request: pytest.FixtureRequest) -> Iterator[Predictor]:
    spec = segmenter.with_suffix(".json")
    with load(segmenter, backend=request.param, spec=spec) as predictor:
        yield predictor


def test_a_segmentation_has_a_class_for_each_pixel(segmenting: Predictor, tmp_path: Path) -> None:
    prediction = segmenting.predict(picture(tmp_path / "a.png", "red", "black"))
    assert prediction.class_map is not None
    assert prediction.class_map.shape == SIZE
    assert prediction.class_map.dtype == np.uint8
    assert (prediction.class_map[:, :5] == 1).all()
    assert (prediction.class_map[:, 7:] == 0).all()
    shares = dict(prediction.top)
    assert {label for label, share in shares.items() if share} == {"background", "red"}
    assert shares["blue"] == 0
    assert sum(shares.values()) == pytest.approx(1)
    assert prediction.label is None
    data = json.loads(prediction.to_json())
    assert [one["label"] for one in data["classes"]] == [label for label, _ in prediction.top]
    assert data["size"] == list(SIZE)


def test_an_embedding_is_a_vector_and_is_compared(embedder: Path, tmp_path: Path) -> None:
    with load(embedder, backend="ort-cpu", spec=embedder.with_suffix(".json")) as predictor:
        red, black = (
            predictor.predict(picture(tmp_path / "a.png", c, c)) for c in ("red", "black")
        )
        wide = predictor.run({"x": np.ones((2, 3, *SIZE), np.float32)})
    assert red.vector is not None
    assert red.vector.dtype == np.float32
    assert np.allclose(red.vector, [1, 0, 0])
    assert red.cosine(red) == pytest.approx(1)
    assert red.cosine(black) == 0  # of a vector of zeros
    assert json.loads(red.to_json())["vector"] == red.vector.tolist()
    assert wide["y"].shape == (2, 3)


def test_the_cosine_is_of_embeddings_alone(segmenting: Predictor, tmp_path: Path) -> None:
    prediction = segmenting.predict(picture(tmp_path / "a.png", "red", "blue"))
    with pytest.raises(UsageError):
        prediction.cosine(prediction)


def test_many_labels_need_two_bytes() -> None:
    logits = np.zeros((1, 300, 2, 2), np.float32)
    logits[0, 299] = 1
    (one,) = segmentation(logits, [str(index) for index in range(300)], 1)
    assert one.class_map is not None
    assert one.class_map.dtype == np.uint16
    assert one.top[0] == ("299", 1.0)
    assert len(one.top) == 300
    assert not any(share for _, share in one.top[1:])
    assert [row.vector for row in embedding(np.zeros((0, 3)), (), 1)] == []


@pytest.mark.parametrize(("labels", "task"), [(["a"], "segmentation"), (["a", "b"], "embedding")])
def test_labels_that_do_not_fit_are_refused(segmenter: Path, labels: list[str], task: str) -> None:
    spec = {"task": task, "labels": labels, "preprocessing": PREPROCESSING}
    with pytest.raises((ArtifactError, InputError)):
        load(segmenter, backend="ort-cpu", spec=spec)


def test_the_command_line_shows_draws_and_compares(
    ptx: Any, segmenter: Path, embedder: Path, tmp_path: Path
) -> None:
    a, b = picture(tmp_path / "a.png", "red", "blue"), picture(tmp_path / "b.png", "red", "red")
    spec = ("--spec", segmenter.with_suffix(".json"))
    done = ptx("predict", a, "--model", segmenter, *spec, "--output", tmp_path / "drawn.png")
    assert done.code == 0, done.err
    drawn = np.asarray(Image.open(tmp_path / "drawn.png").convert("RGB"), np.int64)
    # The palette's orange over the gray of red, on the red half of the picture.
    orange = np.abs(drawn - np.array([161, 122, 34])).max(axis=2) < 4
    assert orange.sum() > 0.4 * 480 * 320
    done = ptx("predict", b, "--model", segmenter, *spec)
    assert done.out.strip().endswith("red (100.0 %)")
    embeds = ("--model", embedder, "--spec", embedder.with_suffix(".json"))
    done = ptx("predict", a, b, *embeds, "--cosine", "--json")
    assert json.loads(done.out)["cosine"] == pytest.approx(2**-0.5, abs=0.02)
    assert ptx("predict", a, *embeds, "--cosine").code == 2  # there is nothing to compare with
    for ending in ("csv", "parquet"):
        refused = ptx("predict", a, *embeds, "--output", tmp_path / f"x.{ending}")
        assert (refused.code, (tmp_path / f"x.{ending}").exists()) == (2, False)
    assert ptx("predict", a, b, "--model", segmenter, *spec, "--cosine").code == 2


def test_they_are_served(segmenting: Predictor, embedder: Path, tmp_path: Path) -> None:
    content = picture(tmp_path / "a.png", "red", "blue").read_bytes()
    with load(embedder, backend="ort-cpu", spec=embedder.with_suffix(".json")) as means:
        client = TestClient(ptx.serve.app({"colours": segmenting, "means": means}))
        answer = client.post("/predict/colours", content=content).json()
        assert {one["label"] for one in answer["classes"]} <= {"red", "blue", "background"}
        assert len(client.post("/predict/means", content=content).json()["vector"]) == 3
        found = infer(client, "colours", content)["outputs"][0]
        assert (found["datatype"], found["shape"]) == ("UINT8", [1, *SIZE])
        found = infer(client, "means", content)["outputs"][0]
        assert (found["name"], found["datatype"], found["shape"]) == ("vector", "FP32", [1, 3])
        assert client.get("/").status_code == 200
        classes = {"outputs": [{"name": "class_map", "parameters": {"classification": 2}}]}
        refused = infer(client, "colours", content, status=400, **classes)
        assert "no labels to rank" in refused["error"]


def infer(
    client: TestClient, model: str, content: bytes, *, status: int = 200, **request: Any
) -> Any:
    """The protocol's answer to a picture's file."""
    raw = client.get(f"/v2/models/{model}").json()["parameters"]
    assert raw["raw_outputs"][0]["datatype"] in ("UINT8", "FP32")
    element = len(content).to_bytes(4, "little") + content
    tensor = {
        "name": raw["raw_input"]["name"],
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(element)},
    }
    head = json.dumps({"inputs": [tensor], **request}).encode()
    response = client.post(
        f"/v2/models/{model}/infer",
        content=head + element,
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    assert response.status_code == status, response.text
    return response.json()


def test_an_adopted_segmentation_is_verified(ptx: Any, segmenter: Path, tmp_path: Path) -> None:
    adopted = tmp_path / "adopted.onnx"
    spec = segmenter.with_suffix(".json")
    done = ptx("export", "--adopt", segmenter, "--spec", spec, "--output", adopted)
    assert done.code == 0, done.err
    assert ptx("verify", adopted).code == 0
    done = ptx("predict", picture(tmp_path / "a.png", "red", "red"), "--model", adopted)
    assert done.out.strip().endswith("red (100.0 %)")
    assert ptx("evaluate", adopted, "--data", tmp_path).code == 2


def test_a_table_of_predictions_is_no_place_for_arrays() -> None:
    pytest.importorskip("pyarrow")
    from ptx.infer import Prediction
    from ptx.scale.records import prediction_arrays

    one = Prediction(None, None, (), None, "m", "ort-cpu", vector=np.zeros(2, np.float32))
    with pytest.raises(UsageError):
        prediction_arrays([one])
