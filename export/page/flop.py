"""How many floating-point operations one row takes, counted from the shapes of an ONNX graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

Shape = tuple[int, ...]


def count_flop(content: bytes, sizes: Mapping[str, int]) -> int | None:
    """A multiplication and an addition for each factor of the products, convolutions and recurrences.

    What else a graph does, a sum or a sigmoid for each number, is not counted: it is little beside them.

    Args:
        sizes: Of the free axes, by name: 1 for the batch.

    Returns:
        None where the shape of a factor follows from numbers that are known at run time alone.
    """
    import onnx

    model = onnx.load_from_string(content)
    known = [value for value in model.graph.value_info if _settle(value, sizes)]
    del model.graph.value_info[:]
    model.graph.value_info.extend(known)
    for value in (*model.graph.input, *model.graph.output):
        _settle(value, sizes)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes: dict[str, Shape | None] = {
        weight.name: tuple(weight.dims) for weight in inferred.initializer
    }
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        shapes[value.name] = _shape(value)
    factors = [
        _FACTORS[node.op_type](node, shapes) for node in inferred.node if node.op_type in _FACTORS
    ]
    return None if None in factors else 2 * sum(count or 0 for count in factors)


def _settle(value: Any, sizes: Mapping[str, int]) -> bool:
    """Put numbers for the names of axes; whether there is a number for each now."""
    axes = value.type.tensor_type.shape.dim
    for axis in axes:
        if axis.dim_param in sizes:
            axis.dim_value = sizes[axis.dim_param]
    return all(axis.HasField("dim_value") for axis in axes)


def _shape(value: Any) -> Shape | None:
    """Where all axes are known."""
    tensor = value.type.tensor_type
    axes = tuple(axis.dim_value for axis in tensor.shape.dim)
    return axes if tensor.HasField("shape") and all(axes) else None


def _convolution(node: Any, shapes: Mapping[str, Shape | None]) -> int | None:
    """For each number of the output, one of a kernel: (outputs, inputs of a group, height, width)."""
    kernel, output = shapes.get(node.input[1]), shapes.get(node.output[0])
    return None if kernel is None or output is None else math.prod(output) * math.prod(kernel[1:])


def _turned_convolution(node: Any, shapes: Mapping[str, Shape | None]) -> int | None:
    """For each number of the input, one of a kernel: (inputs, outputs of a group, height, width)."""
    taken, kernel = (shapes.get(name) for name in node.input[:2])
    return None if taken is None or kernel is None else math.prod(taken) * math.prod(kernel[1:])


def _product(node: Any, shapes: Mapping[str, Shape | None]) -> int | None:
    """For each number of the output, a row of the first matrix; Gemm may turn that."""
    left, output = shapes.get(node.input[0]), shapes.get(node.output[0])
    turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    if left is None or output is None:
        return None
    return math.prod(output) * (left[0] if turned else left[-1])


def _recurrence(node: Any, shapes: Mapping[str, Shape | None]) -> int | None:
    """For each step of each row, all weights: (directions, gates, inputs or hidden)."""
    taken, *weights = (shapes.get(name) for name in node.input[:3])
    if taken is None or None in weights:
        return None
    return math.prod(taken[:2]) * sum(math.prod(weight or ()) for weight in weights)


_FACTORS: dict[str, Callable[[Any, Mapping[str, Shape | None]], int | None]] = {
    "Conv": _convolution,
    "ConvTranspose": _turned_convolution,
    "Gemm": _product,
    "MatMul": _product,
    "LSTM": _recurrence,
    "GRU": _recurrence,
    "RNN": _recurrence,
}
