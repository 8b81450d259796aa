"""ONNX files as others make them, in ONNX's own text form, with inputs for them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx.parser
from onnx import helper

SIZES = {"N": 3, "M": 5, "batch": 4, "time": 6, "width": 3}  # of named axes; others are 2


@dataclass(frozen=True)
class Case:
    """One file with its inputs."""

    name: str
    text: str  # `(float[N,3] x) => (float[N,3] y) { y = Relu(x) }`
    inputs: Mapping[str, Any] = field(default_factory=dict)  # what is not random
    opset: int = 17
    meant: bool = False  # an infinity in it is
    refused: str = ""  # the type that is refused by its name

    def model(self) -> bytes:
        """The file's content."""
        ir = 3 if self.opset < 9 else 8 if self.opset < 21 else 10
        more = ', "ai.onnx.ml": 1' if "ai.onnx.ml" in self.text else ""
        head = f'<ir_version: {ir}, opset_import: ["": {self.opset}{more}]> net '
        content: bytes = onnx.parser.parse_model(head + self.text).SerializeToString()
        return content

    def feed(self) -> dict[str, Any]:
        """An array, a sequence or nothing for each input."""
        graph = onnx.ModelProto.FromString(self.model()).graph
        random = np.random.default_rng(zlib.crc32(self.name.encode()))
        given = {item.name for item in graph.initializer}
        return {
            value.name: self.inputs[value.name]
            if value.name in self.inputs
            else _random(value.type, random)
            for value in graph.input
            if value.name not in given
        }


def _random(kind: Any, random: np.random.Generator) -> Any:
    if kind.HasField("sequence_type"):
        return [_random(kind.sequence_type.elem_type, random) for _ in range(2)]
    if kind.HasField("optional_type"):
        return _random(kind.optional_type.elem_type, random)
    tensor = kind.tensor_type
    shape = (2, 3) if not tensor.HasField("shape") else tuple(map(_size, tensor.shape.dim))
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if dtype.kind == "f":
        return np.asarray(random.standard_normal(shape)).astype(dtype)
    if dtype.kind == "b":
        return np.asarray(random.random(shape) > 0.5)
    return np.asarray(random.integers(0, 5, shape)).astype(dtype)


def _size(axis: Any) -> int:
    return int(axis.dim_value) if axis.dim_value > 0 else SIZES.get(axis.dim_param, 2)
