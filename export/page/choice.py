"""Which runtime a page carries where nobody says it: by its operators, and how much they compute."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from ptx.export.page.page import engine
from ptx.export.page.runtime import find_runtime
from ptx.infer.backends.javascript.hosts import open_host
from ptx.infer.errors import AgreementError, BackendError
from ptx.infer.signature import Signature

PLAIN, ORT = "javascript", "ort"
MOST: Final = (
    20_000_000  # floating-point operations of a row that plain JavaScript is quick enough for
)
Shape = tuple[int, ...]
LENGTH: Final = 28  # of an axis that is free: a word, or the lines of a digit


@dataclass(frozen=True)
class Choice:
    """A runtime, and why.

    Attributes:
        warning: What speaks against it; empty where nothing does.
    """

    runtime: str
    reason: str
    warning: str = ""


def choose_runtime(content: bytes, signature: Signature) -> Choice:
    """Plain JavaScript for small graphs of its operators, else ONNX Runtime where it is at hand.

    Args:
        content: An ONNX file.

    Raises:
        AgreementError: an operator that plain JavaScript lacks, and ONNX Runtime is not at hand.
        BackendError: nothing here runs JavaScript.
    """
    missing, flop = _missing_operators(content), count_flop(content, row_sizes(signature))
    cost = "an unknown number of operations" if flop is None else f"{flop / 1e6:.1f} MFLOP a row"
    if not missing and flop is not None and flop <= MOST:
        return Choice(PLAIN, f"{cost}, at most {MOST / 1e6:.0f}")
    named = ", ".join(missing)
    against = (
        f"plain JavaScript lacks {named}" if missing else f"{cost} are slow in plain JavaScript"
    )
    absent = _why_absent()
    if not absent:
        return Choice(ORT, against)
    if missing:
        raise AgreementError(
            f"a page does not compute the operator {named} in plain JavaScript, and {absent}"
        )
    return Choice(PLAIN, "it has all operators", f"{against}, and {absent}")


def row_sizes(signature: Signature) -> dict[str, int]:
    """The size of each free axis of the row that is counted."""
    return signature.equal_sizes(LENGTH, batch=1)


def _why_absent() -> str:
    """What `--runtime ort` lacks here; nothing where it is at hand."""
    try:
        find_runtime()
    except BackendError as error:
        return str(error)
    if shutil.which("node") is None:
        return (
            "--runtime ort needs Node.js for its proof: apt-get install nodejs, https://nodejs.org"
        )
    return ""


def _missing_operators(content: bytes) -> list[str]:
    """The operators of a graph that plain JavaScript has not."""
    import onnx

    nodes = onnx.load_from_string(content).graph.node
    used = {
        node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}:{node.op_type}"
        for node in nodes
    }
    return sorted(used - _operators())


@cache
def _operators() -> frozenset[str]:
    """What the page's own engine computes, as it says itself."""
    host = open_host()
    try:
        host.run(
            f"{engine()}const listOperators = () => JSON.stringify(Object.keys(ptx.OPERATORS));"
        )
        return frozenset(json.loads(host.call("listOperators", "")))
    finally:
        host.close()


def count_flop(content: bytes, sizes: Mapping[str, int]) -> int | None:
    """How many floating-point operations a row takes, counted from the shapes of an ONNX graph.

    A multiplication and an addition for each factor of the products, convolutions and recurrences.
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
