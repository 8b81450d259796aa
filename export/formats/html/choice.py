"""The default runtime of a page, chosen by the graph's operators and its floating-point operations."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from ptx.export.formats.html.page import engine
from ptx.export.formats.html.runtime import find_runtime
from ptx.infer.backends.javascript.hosts import open_host
from ptx.infer.errors import AgreementError, BackendError
from ptx.infer.signature import Signature

PLAIN, ORT = "javascript", "ort"
# Floating-point operations of a row for which plain JavaScript is fast enough.
MAX_FLOP: Final = 20_000_000
Shape = tuple[int, ...]
LENGTH: Final = 28  # assumed size of dynamic axes: a word, or the lines of a digit


@dataclass(frozen=True)
class Choice:
    """A runtime, and why it was chosen.

    Attributes:
        warning: A drawback of the runtime, or empty.
    """

    runtime: str
    reason: str
    warning: str = ""


def choose_runtime(content: bytes, signature: Signature) -> Choice:
    """Plain JavaScript for small graphs of supported operators, otherwise ONNX Runtime if installed.

    Args:
        content: An ONNX file.

    Raises:
        AgreementError: plain JavaScript lacks an operator, and ONNX Runtime is not installed.
        BackendError: no JavaScript runtime is installed.
    """
    missing, flop = _missing_operators(content), count_flop(content, row_sizes(signature))
    cost = "an unknown number of operations" if flop is None else f"{flop / 1e6:.1f} MFLOP a row"
    if not missing and flop is not None and flop <= MAX_FLOP:
        return Choice(PLAIN, f"{cost}, at most {MAX_FLOP / 1e6:.0f}")
    named = ", ".join(missing)
    drawback = (
        f"plain JavaScript lacks {named}" if missing else f"{cost} are slow in plain JavaScript"
    )
    absent = _why_ort_missing()
    if not absent:
        return Choice(ORT, drawback)
    if missing:
        raise AgreementError(
            f"a page does not compute the operator {named} in plain JavaScript, and {absent}"
        )
    return Choice(PLAIN, "it has all operators", f"{drawback}, and {absent}")


def row_sizes(signature: Signature) -> dict[str, int]:
    """The sizes of the dynamic axes for which operations are counted: one row."""
    return signature.equal_sizes(LENGTH, batch=1)


def _why_ort_missing() -> str:
    """What `--runtime ort` lacks here; empty if it is installed."""
    try:
        find_runtime()
    except BackendError as error:
        return str(error)
    if shutil.which("node") is None:
        return (
            "--runtime ort needs Node.js to be verified: apt-get install nodejs, https://nodejs.org"
        )
    return ""


def _missing_operators(content: bytes) -> list[str]:
    """The operators of a graph that plain JavaScript lacks."""
    import onnx

    nodes = onnx.load_from_string(content).graph.node
    used = {
        node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}:{node.op_type}"
        for node in nodes
    }
    return sorted(used - _operators())


@cache
def _operators() -> frozenset[str]:
    """The operators of the page's JavaScript engine, as it lists them itself."""
    host = open_host()
    try:
        host.run(
            f"{engine()}const listOperators = () => JSON.stringify(Object.keys(ptx.OPERATORS));"
        )
        return frozenset(json.loads(host.call("listOperators", "")))
    finally:
        host.close()


def count_flop(content: bytes, sizes: Mapping[str, int]) -> int | None:
    """The floating-point operations of a row, counted from the shapes of an ONNX graph.

    A multiply-add of products, convolutions and recurrent layers counts as 2. Elementwise operations are
    not counted: they are few in comparison.

    Args:
        sizes: The sizes of the dynamic axes by name; 1 for the batch.

    Returns:
        None if a shape depends on values that are known only at run time.
    """
    import onnx

    model = onnx.load_from_string(content)
    known = [value for value in model.graph.value_info if _bind_dims(value, sizes)]
    del model.graph.value_info[:]
    model.graph.value_info.extend(known)
    for value in (*model.graph.input, *model.graph.output):
        _bind_dims(value, sizes)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes: dict[str, Shape | None] = {
        weight.name: tuple(weight.dims) for weight in inferred.initializer
    }
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        shapes[value.name] = _shape(value)
    factors = [
        _FLOP_COUNTERS[node.op_type](node, shapes)
        for node in inferred.node
        if node.op_type in _FLOP_COUNTERS
    ]
    return None if None in factors else 2 * sum(count or 0 for count in factors)


def _bind_dims(value: Any, sizes: Mapping[str, int]) -> bool:
    """Replace the names of axes by their sizes; whether all sizes are known now."""
    axes = value.type.tensor_type.shape.dim
    for axis in axes:
        if axis.dim_param in sizes:
            axis.dim_value = sizes[axis.dim_param]
    return all(axis.HasField("dim_value") for axis in axes)


def _shape(value: Any) -> Shape | None:
    """The shape; None unless all sizes are known."""
    tensor = value.type.tensor_type
    axes = tuple(axis.dim_value for axis in tensor.shape.dim)
    return axes if tensor.HasField("shape") and all(axes) else None


def _convolution(node: Any, shapes: Mapping[str, Shape | None]) -> int | None:
    """Each output element takes one kernel: (outputs, inputs of a group, height, width)."""
    kernel, output = shapes.get(node.input[1]), shapes.get(node.output[0])
    return None if kernel is None or output is None else math.prod(output) * math.prod(kernel[1:])


def _transposed_convolution(node: Any, shapes: Mapping[str, Shape | None]) -> int | None:
    """Each input element takes one kernel: (inputs, outputs of a group, height, width)."""
    inputs, kernel = (shapes.get(name) for name in node.input[:2])
    return None if inputs is None or kernel is None else math.prod(inputs) * math.prod(kernel[1:])


def _product(node: Any, shapes: Mapping[str, Shape | None]) -> int | None:
    """Each output element takes a row of the first matrix, which Gemm may transpose."""
    left, output = shapes.get(node.input[0]), shapes.get(node.output[0])
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    if left is None or output is None:
        return None
    return math.prod(output) * (left[0] if transposed else left[-1])


def _recurrence(node: Any, shapes: Mapping[str, Shape | None]) -> int | None:
    """Each step of each row takes all weights: (directions, gates, inputs or hidden)."""
    inputs, *weights = (shapes.get(name) for name in node.input[:3])
    if inputs is None or None in weights:
        return None
    return math.prod(inputs[:2]) * sum(math.prod(weight or ()) for weight in weights)


_FLOP_COUNTERS: dict[str, Callable[[Any, Mapping[str, Shape | None]], int | None]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Gemm": _product,
    "MatMul": _product,
    "LSTM": _recurrence,
    "GRU": _recurrence,
    "RNN": _recurrence,
}
