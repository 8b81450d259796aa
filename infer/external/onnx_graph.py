"""The inputs and outputs of an ONNX file's graph, read from its bytes without the onnx package.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (field numbers).
"""

from __future__ import annotations

from dataclasses import dataclass

from ptx.infer.artifact.onnx_bytes import OnnxHeader, parts, walk
from ptx.infer.errors import ArtifactError

# Field numbers of GraphProto, ValueInfoProto, TypeProto and its parts, and TensorProto.
_INITIALIZER, _INPUT, _OUTPUT, _SPARSE_INITIALIZER = 5, 11, 12, 15
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TENSOR_TYPE, _ELEMENT, _SHAPE, _DIMENSION, _DIM_VALUE, _DIM_NAME = 1, 1, 2, 1, 1, 2
_TENSOR_NAME, _SPARSE_VALUES = 8, 1
_CONTAINERS = {4: "sequence", 9: "optional"}
_OTHER_TYPES = {5: "map", 7: "opaque"}
_SPARSE_TENSOR_TYPE, _CONTAINED = 8, 1

ELEMENTS = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8e4m3fn",
    18: "float8e4m3fnuz",
    19: "float8e5m2",
    20: "float8e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4e2m1",
    24: "float8e8m0",
}
_MAX_SIZE = (
    2**31
)  # of a fixed axis; a larger number is an encoded negative one, which means nothing


@dataclass(frozen=True)
class GraphTensor:
    """An input or output of a graph."""

    name: str
    type: str  # `float32`, or for other types `sequence(int64)`, `optional(bool)`, `map`, …
    axes: tuple[int | str | None, ...] | None  # sizes, names, or None if unnamed; None: no shape

    def describe(self) -> str:
        """`float32 (N, 3, 224, 224)`; `?` stands for an axis without a name."""
        if self.axes is None:
            return f"{self.type} of any shape" if self.type in ELEMENTS.values() else self.type
        axes = ["?" if axis is None else str(axis) for axis in self.axes]
        return f"{self.type} ({', '.join(axes)}{',' * (len(axes) == 1)})"


@dataclass(frozen=True)
class Graph:
    """The inputs and outputs of a graph."""

    inputs: tuple[GraphTensor, ...]  # without those that have an initializer
    outputs: tuple[GraphTensor, ...]


def read_graph(data: bytes, header: OnnxHeader, *, name: str) -> Graph:
    """Read the inputs and outputs of the file's graph, without its nodes and weights.

    Raises:
        ArtifactError: the file is damaged.
    """
    inputs, outputs, initialized = [], [], set()
    try:
        for number, start, end in parts(data, *header.graph):
            if number == _INPUT:
                inputs.append(_value(data, start, end))
            elif number == _OUTPUT:
                outputs.append(_value(data, start, end))
            elif number == _INITIALIZER:
                initialized.add(_tensor_name(data, start, end))
            elif number == _SPARSE_INITIALIZER:
                initialized |= {
                    _tensor_name(data, *part)
                    for field, *part in parts(data, start, end)
                    if field == _SPARSE_VALUES
                }
    except (ValueError, UnicodeDecodeError) as error:
        raise ArtifactError(
            f"{name} is damaged, or is not an ONNX file: {error}", code="E-ONNX-PARSE"
        ) from error
    return Graph(tuple(item for item in inputs if item.name not in initialized), tuple(outputs))


def _value(data: bytes, start: int, end: int) -> GraphTensor:
    name, kind, axes = "", "unknown type", None
    for number, first, last in parts(data, start, end):
        if number == _VALUE_NAME:
            name = data[first:last].decode("utf-8")
        elif number == _VALUE_TYPE:
            kind, axes = _type(data, first, last)
    return GraphTensor(name, kind, axes)


def _type(data: bytes, start: int, end: int) -> tuple[str, tuple[int | str | None, ...] | None]:
    kind, axes = "unknown type", None
    for number, first, last in parts(data, start, end):
        if number in _OTHER_TYPES:
            return _OTHER_TYPES[number], None
        if number in _CONTAINERS:
            contained = [part for field, *part in parts(data, first, last) if field == _CONTAINED]
            inner = _type(data, *contained[-1])[0] if contained else kind
            return f"{_CONTAINERS[number]}({inner})", None
        if number not in (_TENSOR_TYPE, _SPARSE_TENSOR_TYPE):
            continue
        for _, field, value in walk(data, first, last):
            if field == _ELEMENT and isinstance(value, int):
                kind = ELEMENTS.get(value, f"element type {value}")
            elif field == _SHAPE and isinstance(value, tuple):
                axes = tuple(
                    _axis(data, *part)
                    for inner, *part in parts(data, *value)
                    if inner == _DIMENSION
                )
        if number == _SPARSE_TENSOR_TYPE:
            return f"sparse({kind})", axes
    return kind, axes


def _axis(data: bytes, start: int, end: int) -> int | str | None:
    axis: int | str | None = None
    for _, number, value in walk(data, start, end):
        if number == _DIM_VALUE and isinstance(value, int):
            axis = value if 0 < value < _MAX_SIZE else None
        elif number == _DIM_NAME and isinstance(value, tuple):
            axis = data[slice(*value)].decode("utf-8") or None
    return axis


def _tensor_name(data: bytes, start: int, end: int) -> str:
    for number, first, last in parts(data, start, end):
        if number == _TENSOR_NAME:
            return data[first:last].decode("utf-8")
    return ""
