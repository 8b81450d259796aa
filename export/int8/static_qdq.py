"""Static int8 in the form of QDQ: the one that ONNX Runtime neither breaks nor bends.

Not offered, each with a reason that was measured (docs/deploy.md): QOperator, which drops a Relu behind
a MaxPool; dynamic int8, where an answer depends on the other rows of its batch; weights of 8 whole bits,
with which a processor without VNNI answers otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ptx.export.int8.calibration import find_ranges
from ptx.export.int8.known_rows import KnownRows
from ptx.infer.errors import ArtifactError
from ptx.infer.signature import Signature

_MULTIPLYING = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def quantise(content: bytes, signature: Signature, calibration: KnownRows) -> bytes:
    """An ONNX file that computes in int8, with the ranges that its numbers have over the rows.

    Activations are unsigned, weights signed and of 7 bits, with a scale for each output channel. What is
    computed from the first output, such as the probabilities of `--inputs pixels`, stays float32.

    Raises:
        ArtifactError: E-EXPORT: it has no convolution or matrix that computes in int8.
            E-NONFINITE: a tensor overflows.
    """
    import onnx
    from onnxruntime.quantization import QDQQuantizer, QuantType
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content), data_prop=True)
    with _quiet():
        ranges = find_ranges(model.SerializeToString(), signature, calibration)
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=True,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=_behind(model.graph, signature.outputs[0].name),
            op_types_to_quantize=sorted({*QDQRegistry, *QLinearOpsRegistry}),
            extra_options={},
        )
        quantizer.quantize_model()
    quantizer.model.topological_sort()
    made = quantizer.model.model
    if not _counts_in_int8(made.graph):
        raise ArtifactError(
            "the graph has no convolution or matrix product that computes in int8 (recurrent layers do"
            " not): take --weights int8, which makes the file as small",
            code="E-EXPORT",
        )
    onnx.checker.check_model(made, full_check=True)
    quantised: bytes = made.SerializeToString(deterministic=True)
    return quantised


def _behind(graph: Any, name: str) -> list[str]:
    """The nodes that compute something from that tensor."""
    reached, nodes = {name}, []
    for node in graph.node:  # each stands behind those that it takes from
        if reached.intersection(node.input):
            reached.update(node.output)
            nodes.append(node.name)
    return nodes


def _counts_in_int8(graph: Any) -> int:
    """How many convolutions and products take what was an integer."""
    whole = {
        output
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        for output in node.output
    }
    return sum(
        node.op_type in _MULTIPLYING and whole.issuperset(node.input[:2]) for node in graph.node
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantizer's remarks, which it gives to the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
