"""External ONNX files in every type: equal to ONNX Runtime bit for bit, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ptx.infer import ArtifactError, load
from ptx.infer.backends.ort.cpu import import_onnxruntime

ELEMENTS = {
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}
FLOATS = ("float16", "float32", "float64")


def saved(path: Path, nodes: list[Any], inputs: Any, outputs: Any, weights: Any = ()) -> Path:
    """`inputs`, `outputs`: (name, element type, axes) each."""
    given, gives = (
        [helper.make_tensor_value_info(*it) for it in part] for part in (inputs, outputs)
    )
    graph = helper.make_graph(nodes, "g", given, gives, list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def network(path: Path, kind: str, batch: Any = "N") -> Path:
    """Something of each type that ONNX Runtime computes in it."""
    weights: list[onnx.TensorProto] = []
    if kind in FLOATS:
        matrix = np.random.default_rng(0).standard_normal((4, 4)).astype(kind)
        weights = [numpy_helper.from_array(matrix, "w")]
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["h"]),
            helper.make_node("Tanh", ["h"], ["y"]),
        ]
    elif kind == "bool":
        nodes = [helper.make_node("Not", ["x"], ["y"])]
    else:
        weights = [numpy_helper.from_array(np.array([3, 0, 2, 1]), "order")]
        nodes = [helper.make_node("Gather", ["x", "order"], ["y"], axis=1)]
    tensor = ELEMENTS[kind], [batch, 4]
    return saved(path, nodes, [("x", *tensor)], [("y", *tensor)], weights)


def values(kind: str, rows: int) -> Any:
    generator = np.random.default_rng(1)
    if kind in FLOATS:
        return generator.standard_normal((rows, 4)).astype(kind)
    if kind == "bool":
        return generator.random((rows, 4)) > 0.5
    limits = np.iinfo(kind)
    return generator.integers(limits.min, limits.max, (rows, 4), kind, endpoint=True)


@pytest.mark.parametrize("batch", ["N", 2])
@pytest.mark.parametrize("kind", ELEMENTS)
def test_every_type_is_answered_as_onnx_runtime_answers_it(
    kind: str, batch: Any, tmp_path: Path
) -> None:
    path, x = network(tmp_path / "net.onnx", kind, batch), values(kind, 6)
    session = import_onnxruntime().InferenceSession(path, providers=["CPUExecutionProvider"])
    parts = [x] if batch == "N" else np.split(x, 3)
    expected = np.concatenate([session.run(None, {"x": part})[0] for part in parts])
    with load(path, spec={}) as predictor:
        assert predictor.signature.inputs[0].dtype == kind
        got = predictor.run({"x": x})["y"]
    assert got.dtype == expected.dtype == kind
    assert got.tobytes() == expected.tobytes()


def test_inputs_and_outputs_of_mixed_types_are_answered_bit_for_bit(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["codes"], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("Where", ["mask", "wide", "x"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("ArgMax", ["sum"], ["best"], axis=1, keepdims=0),
        helper.make_node("Not", ["mask"], ["rest"]),
    ]
    inputs = [
        ("codes", TensorProto.INT32, ["N", 4]),
        ("mask", TensorProto.BOOL, ["N", 4]),
        ("x", TensorProto.DOUBLE, ["N", 4]),
    ]
    outputs = [
        ("half", TensorProto.FLOAT16, ["N", 4]),
        ("best", TensorProto.INT64, ["N"]),
        ("rest", TensorProto.BOOL, ["N", 4]),
    ]
    path = saved(tmp_path / "net.onnx", nodes, inputs, outputs)
    given = {
        "codes": values("int32", 5) % 1000,
        "mask": values("bool", 5),
        "x": values("float64", 5),
    }
    session = import_onnxruntime().InferenceSession(path, providers=["CPUExecutionProvider"])
    expected = session.run(None, given)
    with load(path, spec={}) as predictor:
        got = predictor.run(given)
    for (name, array), other in zip(got.items(), expected, strict=True):
        assert array.dtype == other.dtype, name
        assert array.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (TensorProto.STRING, "string"),
        (TensorProto.BFLOAT16, "bfloat16"),
        (TensorProto.COMPLEX64, "complex64"),
        (TensorProto.UINT4, "uint4"),
    ],
)
def test_another_type_is_refused_by_name(kind: int, name: str, tmp_path: Path) -> None:
    path = saved(
        tmp_path / "net.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [("x", kind, ["N", 4])],
        [("y", kind, ["N", 4])],
    )
    with pytest.raises(
        ArtifactError, match=rf"input 'x' is {name} \(N, 4\), and ptx supports float16"
    ):
        load(path, spec={})
