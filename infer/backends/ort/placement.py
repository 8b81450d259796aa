"""Which nodes of a graph ONNX Runtime put on the CPU, and whether they only compute sizes.

The CUDA provider leaves to the CPU what it has no kernel for, and on purpose also what turns shapes
into shapes (`Shape`, and what only depends on it): to copy a few integers to the device takes longer.
See GetCpuPreferredNodes in onnxruntime/core/framework/fallback_cpu_capability.cc.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ptx.infer.artifact.onnx_bytes import OnnxHeader, parts

CPU = "CPUExecutionProvider"
RECORD = "session.record_ep_graph_assignment_info"  # what `cpu_nodes` reads is kept for it

_SIZES = ("Shape", "Size")  # operators that look at a tensor's sizes and never at its numbers
# What ONNX Runtime's transpose optimizer adds behind a `Shape`, under names that the file has not. CUDA
# has a kernel for it: without one it would not stand here by choice.
_MADE_FOR_SIZES = ("Gather",)
_WITH_GRAPHS = (
    "If",
    "Loop",
    "Scan",
    "SequenceMap",
)  # their subgraphs read values too
# Field numbers of GraphProto, NodeProto and TensorProto.
_NODE, _INITIALIZER, _TENSOR_NAME = 1, 5, 8
_INPUT, _OUTPUT, _NAME, _OPERATOR = 1, 2, 3, 4


class Node(NamedTuple):
    """A node of a session's graph."""

    name: str
    operator: str


def cpu_nodes(session: Any) -> list[Node] | None:
    """The nodes that the session runs on the CPU; None where ONNX Runtime does not say."""
    assigned = session.get_provider_graph_assignment_info()
    if not assigned:
        return None
    return [
        Node(node.name, node.op_type)
        for part in assigned
        if part.ep_name == CPU
        for node in part.get_nodes()
    ]


def find_number_readers(nodes: list[Node], data: bytes, header: OnnxHeader) -> list[Node]:
    """Those of the nodes of which is not certain that they compute from sizes and constants alone."""
    written, certain = _names(data, header)
    return [
        node
        for node in nodes
        if node.operator not in _SIZES
        and node.name not in certain
        and not (node.operator in _MADE_FOR_SIZES and node.name not in written)
    ]


def _names(data: bytes, header: OnnxHeader) -> tuple[set[str], set[str]]:
    """The names of the file's nodes, and of those that no number of an input reaches.

    The nodes of a file stand in the order of their use.
    """
    known, written, certain = {""}, set[str](), set[str]()  # an input that is left out has no name
    for number, *part in parts(data, *header.graph):
        if number == _INITIALIZER:
            known.update(_texts(data, part, _TENSOR_NAME))
    for number, *part in parts(data, *header.graph):
        if number != _NODE:
            continue
        written.update(_texts(data, part, _NAME))
        operator = next(_texts(data, part, _OPERATOR), "")
        if operator in _SIZES or (
            operator not in _WITH_GRAPHS and known.issuperset(_texts(data, part, _INPUT))
        ):
            known.update(_texts(data, part, _OUTPUT))
            certain.update(_texts(data, part, _NAME))
    return written, certain - {""}


def _texts(data: bytes, part: list[int], field: int) -> Iterator[str]:
    for number, start, end in parts(data, *part):
        if number == field:
            yield data[start:end].decode("utf-8", "replace")
