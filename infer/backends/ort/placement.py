"""Which nodes of a graph ONNX Runtime placed on the CPU, and whether they only compute sizes.

The CUDA provider leaves nodes to the CPU for which it has no kernel, and on purpose also nodes that
compute sizes (`Shape`, and nodes that depend only on it), because copying a few integers to the device
takes longer. See GetCpuPreferredNodes in onnxruntime/core/framework/fallback_cpu_capability.cc.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ptx.infer.artifact.onnx_bytes import OnnxHeader, parts

CPU = "CPUExecutionProvider"
RECORD = "session.record_ep_graph_assignment_info"  # session option that `cpu_nodes` needs

_SIZES = ("Shape", "Size")  # operators that read the sizes of a tensor, but not its elements
# Operators that ONNX Runtime's transpose optimizer adds after a `Shape`, with names that are not in the
# file. CUDA has kernels for them, so ONNX Runtime placed them on the CPU on purpose.
_ADDED_FOR_SIZES = ("Gather",)
_WITH_SUBGRAPHS = ("If", "Loop", "Scan", "SequenceMap")  # their subgraphs may read other values
# Field numbers of GraphProto, NodeProto and TensorProto.
_NODE, _INITIALIZER, _TENSOR_NAME = 1, 5, 8
_INPUT, _OUTPUT, _NAME, _OPERATOR = 1, 2, 3, 4


class Node(NamedTuple):
    """A node of a session's graph."""

    name: str
    operator: str


def cpu_nodes(session: Any) -> list[Node] | None:
    """The nodes that the session runs on the CPU; None if ONNX Runtime does not report them."""
    assigned = session.get_provider_graph_assignment_info()
    if not assigned:
        return None
    return [
        Node(node.name, node.op_type)
        for part in assigned
        if part.ep_name == CPU
        for node in part.get_nodes()
    ]


def find_data_nodes(nodes: list[Node], data: bytes, header: OnnxHeader) -> list[Node]:
    """The nodes that may depend on input data, and not only on sizes and constants."""
    in_file, from_sizes = _node_names(data, header)
    return [
        node
        for node in nodes
        if node.operator not in _SIZES
        and node.name not in from_sizes
        and not (node.operator in _ADDED_FOR_SIZES and node.name not in in_file)
    ]


def _node_names(data: bytes, header: OnnxHeader) -> tuple[set[str], set[str]]:
    """The names of the file's nodes, and of those that depend only on sizes and constants.

    The nodes of a file are in topological order.
    """
    size_values = {""}  # values that do not depend on input data; an omitted input has no name
    in_file, from_sizes = set[str](), set[str]()
    for number, *part in parts(data, *header.graph):
        if number == _INITIALIZER:
            size_values.update(_texts(data, part, _TENSOR_NAME))
    for number, *part in parts(data, *header.graph):
        if number != _NODE:
            continue
        in_file.update(_texts(data, part, _NAME))
        operator = next(_texts(data, part, _OPERATOR), "")
        if operator in _SIZES or (
            operator not in _WITH_SUBGRAPHS and size_values.issuperset(_texts(data, part, _INPUT))
        ):
            size_values.update(_texts(data, part, _OUTPUT))
            from_sizes.update(_texts(data, part, _NAME))
    return in_file, from_sizes - {""}


def _texts(data: bytes, part: list[int], field: int) -> Iterator[str]:
    for number, start, end in parts(data, *part):
        if number == field:
            yield data[start:end].decode("utf-8", "replace")
