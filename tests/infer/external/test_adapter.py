"""External ONNX files (without a manifest): run and predicted with ONNX Runtime."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from ptx.infer import ArtifactError, InputError, UsageError, load, read_artifact, verify
from ptx.infer.artifact.onnx_bytes import read_header
from ptx.infer.external.onnx_graph import Graph, read_graph

LABELS = ["daisy", "rose", "tulip"]
PHOTO = {"kind": "rgb-image", "resize": 5, "size": [4, 4], "mean": [0.5] * 3, "std": [0.5] * 3}
ABOUT: dict[str, Any] = {"task": "classification", "labels": LABELS, "preprocessing": PHOTO}


def value(name: str, axes: Any, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, axes)


def saved(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: tuple[onnx.TensorProto, ...] = (),
) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def classifier(
    path: Path, *, batch: Any = "N", out: Any = "N", softmax: bool = False, listed: bool = False
) -> Path:
    """The mean of each colour is the logit of a label; the batch axis as asked for."""
    nodes = [
        helper.make_node("ReduceMean", ["data"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Mul", ["means", "scale"], ["scaled"]),
        helper.make_node("Softmax" if softmax else "Identity", ["scaled"], ["scores"]),
    ]
    scale = numpy_helper.from_array(np.array(4, np.float32), "scale")
    inputs = [value("data", [batch, 3, 4, 4])]
    if listed:  # as files before IR version 4 list their weights among the inputs
        inputs.append(value("scale", []))
    return saved(path, nodes, inputs, [value("scores", [out, 3])], (scale,))


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """A red, a green and a blue photograph."""
    paths = []
    for index, colour in enumerate(((250, 9, 9), (9, 250, 9), (9, 9, 250))):
        paths.append(tmp_path / f"{index}.png")
        Image.new("RGB", (9, 7), colour).save(paths[-1])
    return paths


def graph_of(path: Path) -> Graph:
    data = path.read_bytes()
    return read_graph(data, read_header(data, name="a"), name="a")


# The graph's inputs and outputs, from the bytes.


@pytest.mark.parametrize(
    ("axes", "kind", "expected"),
    [
        (["N", 3, "height", 4], TensorProto.FLOAT, "float32 (N, 3, height, 4)"),
        ([None, 3], TensorProto.INT64, "int64 (?, 3)"),
        ([-1, 0, 5], TensorProto.UINT8, "uint8 (?, ?, 5)"),
        ([], TensorProto.BOOL, "bool ()"),
        (None, TensorProto.DOUBLE, "float64 of any shape"),
        ([7], TensorProto.FLOAT16, "float16 (7,)"),
        (["长"], TensorProto.STRING, "string (长)"),
    ],
)
def test_a_graph_s_input_is_read(axes: Any, kind: int, expected: str, tmp_path: Path) -> None:
    item = value(
        "x", [1 if axis in (-1, 0) else axis for axis in axes] if axes is not None else axes, kind
    )
    if axes and -1 in axes:
        for axis, size in zip(item.type.tensor_type.shape.dim, axes, strict=True):
            axis.dim_value = size
    path = saved(
        tmp_path / "a.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [item],
        [value("y", axes, kind)],
    )
    (tensor,) = graph_of(path).inputs
    if expected == "string (长)":
        expected = "string (长,)"
    assert (tensor.name, tensor.describe()) == ("x", expected)


def test_sequences_and_maps_are_told_apart(tmp_path: Path) -> None:
    text = helper.make_tensor_type_proto(TensorProto.STRING, None)
    sequence = helper.make_value_info("s", helper.make_sequence_type_proto(text))
    kinds = [sequence, helper.make_value_info("o", helper.make_optional_type_proto(text))]
    found = onnx.ValueInfoProto(name="m")
    found.type.map_type.key_type = TensorProto.INT64
    path = saved(tmp_path / "a.onnx", [], [*kinds, found], [])
    found_types = [tensor.describe() for tensor in graph_of(path).inputs]
    assert found_types == ["sequence(string)", "optional(string)", "map"]


def test_weights_among_the_inputs_are_not_asked_for(tmp_path: Path) -> None:
    graph = graph_of(classifier(tmp_path / "a.onnx", listed=True))
    assert [tensor.name for tensor in graph.inputs] == ["data"]
    assert [tensor.name for tensor in graph.outputs] == ["scores"]


def test_sparse_weights_among_the_inputs_are_not_asked_for(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.onnx", [], [value("x", ["N", 3]), value("w", [3])], [])
    model = onnx.ModelProto.FromString(path.read_bytes())
    weights = numpy_helper.from_array(np.ones(1, np.float32), "w")
    places = numpy_helper.from_array(np.zeros(1, np.int64), "places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(weights, places, [3]))
    path.write_bytes(model.SerializeToString())
    assert [tensor.name for tensor in graph_of(path).inputs] == ["x"]


def test_an_element_type_of_a_later_onnx_is_shown_by_its_number(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.onnx", [], [value("x", ["N"], 99)], [])
    assert graph_of(path).inputs[0].describe() == "element type 99 (N,)"


def test_the_graph_of_every_cut_file_is_read_or_refused(tmp_path: Path) -> None:
    path = classifier(tmp_path / "a.onnx")
    data = path.read_bytes()
    header = read_header(data, name="a")
    start, end = header.graph
    for cut in range(start, end):
        try:
            graph = read_graph(
                data, type(header)(**{**vars(header), "graph": (start, cut)}), name="a"
            )
        except ArtifactError:
            continue
        assert len(graph.inputs) <= 1


# Predicting.


def test_without_a_spec_it_is_run_and_does_not_predict(tmp_path: Path) -> None:
    path = classifier(tmp_path / "a.onnx")
    with load(path, backend="ort-cpu") as predictor:
        inputs = predictor.signature.example({"batch": 2})
        assert {len(output) for output in predictor.run(inputs).values()} == {2}
        for predict in (predictor.predict, lambda value: list(predictor.predict_many([value]))):
            with pytest.raises(UsageError, match="a spec that has another task"):
                predict("a.png")


def results(path: Path, **options: Any) -> dict[str, bool]:
    """The checks of `verify` by name."""
    return {check.name: check.passed for check in verify(path, backend="ort-cpu", **options)}


def test_a_file_without_a_manifest_is_not_verified_but_is_loaded(tmp_path: Path) -> None:
    path = classifier(tmp_path / "a.onnx")
    unverified = {"content digest": False, "samples": False}
    assert results(path) == {**unverified, "spec": True, "load": True}
    assert results(path, run=False) == {**unverified, "spec": True}
    assert results(path, spec={"outputs": {"missing": ["float32", ["batch", 5]]}}) == {
        **unverified,
        "spec": False,
    }
    model = onnx.load(path)
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, path)
    assert results(path) == {**unverified, "spec": True, "load": False}


@pytest.mark.parametrize(
    ("batch", "out"), [("N", "N"), (None, None), ("N", "unk__7"), (1, 1), (2, 2)]
)
def test_it_predicts_whatever_its_batch_axis_is(
    batch: Any, out: Any, tmp_path: Path, photos: list[Path]
) -> None:
    path = classifier(tmp_path / "a.onnx", batch=batch, out=out)
    with load(path, backend="ort-cpu", **ABOUT) as predictor:
        assert predictor.manifest.model == "a"
        assert predictor.signature.inputs[0].describe() == "(batch, 3, 4, 4)"
        assert predictor.predict(photos[1]).label == "rose"
        answers = list(predictor.predict_many([*photos, *photos[:2]], batch_size=256))
        assert [answer.label for answer in answers] == [*LABELS, "daisy", "rose"]
        assert [answer.backend for answer in answers] == ["ort-cpu"] * 5
        batch_of = np.random.default_rng(0).standard_normal((5, 3, 4, 4), np.float32)
        expected = 4 * batch_of.mean(axis=(2, 3))
        got = predictor.run({"data": batch_of})["scores"]
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
        assert predictor.run({"data": batch_of[:0]})["scores"].shape == (0, 3)


def test_raw_it_runs_without_preprocessing(tmp_path: Path) -> None:
    with load(classifier(tmp_path / "a.onnx"), task="passthrough") as predictor:
        outputs = predictor.run({"data": np.ones((2, 3, 4, 4), np.float32)})
        assert np.allclose(outputs["scores"], 4)
        with pytest.raises(UsageError, match="passthrough"):
            predictor.predict(np.ones((3, 4, 4), np.float32))
        with pytest.raises(InputError, match="expected"):
            predictor.run({"data": np.ones((2, 3, 5, 4), np.float32)})


def test_a_file_that_ends_in_a_softmax_gives_probabilities(
    tmp_path: Path, photos: list[Path]
) -> None:
    soft, logits = (
        classifier(tmp_path / f"{name}.onnx", softmax=name == "soft") for name in ("soft", "logits")
    )
    about = {**ABOUT, "task": "probabilities"}
    with load(soft, **about) as predictor, load(logits, **ABOUT) as other:
        got, expected = predictor.predict(photos[2]), other.predict(photos[2])
    assert got.label == expected.label == "tulip"
    assert got.score == pytest.approx(expected.score, abs=1e-6)
    wrong = pytest.raises(ArtifactError, match=r"not probabilities: .* expected the task 'classif")
    with load(logits, **about) as predictor, wrong:
        predictor.predict(photos[2])


def test_a_description_in_a_file_serves_the_library_and_the_command_line(
    tmp_path: Path, photos: list[Path], ptx: Any
) -> None:
    path = classifier(tmp_path / "a.onnx", batch=1, out=1)
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    about = tmp_path / "about.json"
    about.write_text(json.dumps({**ABOUT, "name": "garden", "labels": "labels.txt"}))
    with load(path, spec=about) as predictor:
        assert predictor.predict(photos[0]).model == "garden"
    with load(path, spec=about, labels=["a", "b", "c"]) as predictor:
        assert predictor.predict(photos[0]).label == "a"
    done = ptx("predict", *photos, "--model", path, "--spec", about, "--json")
    assert done.code == 0, done.err
    assert [json.loads(line)["label"] for line in done.out.splitlines()] == LABELS
    shown = ptx("inspect", path)
    assert shown.code == 0
    facts = " ".join(shown.out.split())
    assert "input data: float32 (1, 3, 4, 4)" in facts
    assert "output scores: float32 (1, 3)" in facts
    assert "--spec FILE" in shown.out
    assert ptx("verify", path, "--spec", about).code == 1  # there are no golden samples


def test_what_is_not_wanted_can_be_left_out(tmp_path: Path) -> None:
    """A classifier of scikit-learn gives labels and a sequence of maps beside its scores."""
    text = helper.make_tensor_type_proto(TensorProto.STRING, ["N", 3])
    nodes = [
        helper.make_node("Identity", ["x"], ["scores"]),
        helper.make_node("Cast", ["x"], ["words"], to=TensorProto.STRING),
        helper.make_node("SequenceConstruct", ["words"], ["parts"]),
    ]
    parts = helper.make_value_info("parts", helper.make_sequence_type_proto(text))
    path = saved(
        tmp_path / "a.onnx", nodes, [value("x", ["N", 3])], [parts, value("scores", ["N", 3])]
    )
    with pytest.raises(
        ArtifactError, match=r"'parts' is sequence\(string\), .* list the other outputs"
    ):
        load(path, task="passthrough")
    about = {"outputs": {"scores": ["float32", ["batch", 3]]}}
    with load(path, spec=about) as predictor:
        assert list(predictor.run({"x": np.ones((2, 3), np.float32)})) == ["scores"]


@pytest.mark.parametrize(
    ("inputs", "outputs", "changes", "message"),
    [
        (
            [value("x", ["N"], TensorProto.STRING)],
            None,
            {},
            "'x' is string .* ptx cannot run the file",
        ),
        ([value("x", ["N"], TensorProto.BFLOAT16)], None, {}, "'x' is bfloat16 .* ptx cannot run"),
        (
            None,
            [value("y", [3], TensorProto.BFLOAT16)],
            {},
            "'y' is bfloat16 .* list the other outputs",
        ),
        ([value("x", None)], None, ABOUT, "it has no known batch axis: describe all inputs"),
        ([value("x", [])], None, ABOUT, "it has no known batch axis"),
        (
            [value("x", [1, 3]), value("z", [2, 3])],
            None,
            {"inputs": {name: ["float32", ["batch", 3]] for name in "xz"}},
            "'z' has a fixed batch of 2, and another input one of 1",
        ),
    ],
)
def test_an_unsupported_signature_is_refused(
    inputs: Any, outputs: Any, changes: Any, message: str, tmp_path: Path
) -> None:
    inputs = [value("x", ["N", 3])] if inputs is None else inputs
    outputs = [value("y", ["N", 3])] if outputs is None else outputs
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    path = saved(tmp_path / "a.onnx", nodes, inputs, outputs)
    with pytest.raises(ArtifactError, match=message) as caught:
        load(path, spec=changes)
    assert caught.value.code == "E-ONNX-SIGNATURE"


@pytest.mark.parametrize("axes", [["N", "boxes", 4], [5, 3], []])
def test_an_output_that_a_task_does_not_read_is_refused(axes: Any, tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    path = saved(tmp_path / "a.onnx", nodes, [value("x", ["N", 3])], [value("y", axes)])
    about = {"task": "classification", "labels": LABELS}
    with pytest.raises(InputError, match="labels are 3, which does not match the output 'y'"):
        load(path, spec=about)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"inputs": {"image": ["float32", ["batch", 3, 4, 4]]}},
            r"inputs are \['image'\]; .*'data'",
        ),
        ({"inputs": {"data": ["int64", ["batch", 3, 4, 4]]}}, "inputs.data is int64 .*has float32"),
        ({"inputs": {"data": ["float32", ["batch", 3, 8, 8]]}}, r"has float32 \(N, 3, 4, 4\)"),
        ({"inputs": {"data": ["float32", ["batch", 3, 16]]}}, "inputs.data is"),
        ({"inputs": {"data": ["float32", ["batch", 3, "h", 4]]}}, "inputs.data is"),
        (
            {"outputs": {"score": ["float32", ["batch", 3]]}},
            "outputs 'score': did you mean 'scores'",
        ),
        ({"outputs": {"scores": ["float32", ["batch", 4]]}}, "outputs.scores is"),
        ({"labels": LABELS[:2]}, "labels are 2, which does not match the output 'scores'"),
        ({"preprocessing": {**PHOTO, "size": [5, 5]}}, "preprocessing an image of 5×5"),
    ],
)
def test_a_description_that_does_not_fit_the_file_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        load(classifier(tmp_path / "a.onnx"), spec={**ABOUT, **changes})


def test_a_free_size_can_be_fixed_by_the_description(tmp_path: Path, photos: list[Path]) -> None:
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)]
    path = saved(
        tmp_path / "a.onnx", nodes, [value("x", ["N", 3, "h", "w"])], [value("y", ["N", "k"])]
    )
    about = {**ABOUT, "inputs": {"x": ["float32", ["batch", 3, 4, 4]]}}
    with load(path, spec=about) as predictor:
        assert predictor.predict(photos[2]).label == "tulip"
    with load(path, spec={**ABOUT, "preprocessing": {**PHOTO}}) as predictor:
        assert predictor.signature.inputs[0].describe() == "(batch, 3, h, w)"
        assert predictor.predict(photos[2]).label == "tulip"


def test_outputs_of_another_shape_than_said_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Concat", ["x", "x"], ["y"], axis=1)]
    path = saved(tmp_path / "a.onnx", nodes, [value("x", ["N", 3])], [value("y", ["N", "k"])])
    wrong = pytest.raises(ArtifactError, match=r"output 'y' is float32 \(2, 6\); its manifest says")
    with load(path, spec={"outputs": {"y": ["float32", ["batch", 3]]}}) as predictor, wrong:
        predictor.run({"x": np.ones((2, 3), np.float32)})


def test_a_fixed_batch_that_gives_fewer_rows_than_it_takes_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[0])]
    path = saved(tmp_path / "a.onnx", nodes, [value("x", [2, 3])], [value("y", ["k", 3])])
    wrong = (
        r"'y' has shape \(1, 3\) for a batch of 2",
        r"'y' is float32 \(1, 3\); its manifest says",
    )
    with load(path, spec={"outputs": {"y": ["float32", ["batch", 3]]}}) as predictor:
        for rows, message in zip((4, 2), wrong, strict=True):
            with pytest.raises(ArtifactError, match=message):
                predictor.run({"x": np.ones((rows, 3), np.float32)})


def test_a_spec_needs_an_onnx_file_without_a_manifest(artifact: Any, tmp_path: Path) -> None:
    for kind, message in (
        ("onnx", "has a manifest of its own"),
        ("torchscript", "is a TorchScript"),
    ):
        with pytest.raises(UsageError, match=message):
            load(artifact("linear-model", kind), task="passthrough")
    with zipfile.ZipFile(tmp_path / "bare.torchscript", "w") as archive:
        for name in ("a/constants.pkl", "a/code/x.py"):
            archive.writestr(name, b"")
    with pytest.raises(
        UsageError, match="is a TorchScript archive; a model spec can describe only an ONNX file"
    ):
        load(tmp_path / "bare.torchscript", task="passthrough")


def test_an_external_file_has_no_content_digest(tmp_path: Path) -> None:
    assert not read_artifact(classifier(tmp_path / "a.onnx")).digest_ok
