"""An ONNX graph from which parts can be extracted, by cutting it at some of its values."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any

import onnx

_FLOAT = "::float"  # suffix of a value before it is quantized
_DEQUANTIZED = "_DequantizeLinear_Output"  # suffix of a value after it
REFERENCE = "::reference"  # suffix of the inputs that replace values at which the graph is cut


class OnnxGraph:
    """An ONNX model; its values are the outputs of its nodes, by name."""

    def __init__(self, content: bytes) -> None:
        self.model = onnx.load_from_string(content)
        self.nodes = list(self.model.graph.node)
        self.inputs = {
            value.name: value
            for value in self.model.graph.input
            if value.name not in {item.name for item in self.model.graph.initializer}
        }
        self.outputs = [value.name for value in self.model.graph.output]
        self.constants = {item.name: item for item in self.model.graph.initializer}
        self._sparse = {item.values.name: item for item in self.model.graph.sparse_initializer}

    @cached_property
    def producers(self) -> dict[str, int]:
        """The index of the node that computes each value."""
        return {
            name: index for index, node in enumerate(self.nodes) for name in node.output if name
        }

    def segment(self, name: str, cut: Collection[str]) -> tuple[list[int], list[str]]:
        """The nodes that compute a value from the cut values.

        Returns:
            The indices of the nodes, and the cut values and graph inputs from which they compute.
        """
        indices, ends = {self.producers[name]}, dict[str, None]()
        pending = [self.producers[name]]
        while pending:
            for needed in find_inputs(self.nodes[pending.pop()]):
                if needed in cut or needed in self.inputs:
                    ends[needed] = None
                elif (index := self.producers.get(needed)) is not None and index not in indices:
                    indices.add(index)
                    pending.append(index)
        return sorted(indices), list(ends)

    def extract(self, targets: Collection[str], cut: Collection[str]) -> tuple[bytes, list[str]]:
        """A model that computes `targets`, and the cut values and inputs that it needs.

        For each cut value, the model has an input with the name of the value and REFERENCE.
        """
        indices: set[int] = set()
        needed: dict[str, None] = {}
        for target in targets:
            if target not in self.producers:  # a graph output that is an input
                needed[target] = None
                continue
            part, ends = self.segment(target, cut)
            indices.update(part)
            needed.update(dict.fromkeys(ends))
        model = onnx.ModelProto()
        model.CopyFrom(self._empty)
        used: set[str] = set()
        for index in sorted(indices):
            node = model.graph.node.add()
            node.CopyFrom(self.nodes[index])
            rename_inputs(node, {name: name + REFERENCE for name in cut})
            used.update(find_inputs(node))
        for name in needed:
            value = model.graph.input.add()
            value.name = name if name in self.inputs else name + REFERENCE
            value.type.tensor_type.elem_type = self.element_type(name)
        for name in sorted(used & self.constants.keys()):
            model.graph.initializer.add().CopyFrom(self.constants[name])
        for name in sorted(used & self._sparse.keys()):
            model.graph.sparse_initializer.add().CopyFrom(self._sparse[name])
        for target in targets:
            model.graph.output.add().name = target
        return model.SerializeToString(), list(needed)

    def element_type(self, name: str) -> int:
        """The ONNX element type of a value; float32 if ONNX cannot infer it."""
        return self._element_types.get(name, onnx.TensorProto.FLOAT)

    @cached_property
    def _element_types(self) -> dict[str, int]:
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        # Only the types are used: in a wrong graph, shapes may contradict each other.
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=False).graph
        values = (*inferred.value_info, *inferred.input, *inferred.output, *self.inputs.values())
        return {
            value.name: value.type.tensor_type.elem_type
            for value in values
            if value.type.tensor_type.elem_type
        }

    @cached_property
    def _empty(self) -> Any:
        model = onnx.ModelProto(ir_version=self.model.ir_version)
        model.opset_import.extend(self.model.opset_import)
        model.functions.extend(self.model.functions)
        model.graph.name = "part"
        return model


def name_dequantized(content: bytes) -> bytes:
    """Rename the values of a quantized model so that the original names denote dequantized values.

    ONNX Runtime's quantizer keeps the original name for the value before QuantizeLinear. If saturation
    replaces a Relu, that value is still without the Relu.
    """
    model = onnx.load_from_string(content)
    computed = {name for node in model.graph.node for name in node.output}
    names: dict[str, str] = {}
    for name in computed:
        if (dequantized := name + _DEQUANTIZED) in computed:
            names |= {name: name + _FLOAT, dequantized: name}
    for node in model.graph.node:
        rename_inputs(node, names)
        for index, name in enumerate(node.output):
            node.output[index] = names.get(name, name)
    del model.graph.value_info[:]
    result: bytes = model.SerializeToString()
    return result


def find_inputs(node: Any) -> Iterator[str]:
    """The input values of a node, including those of the graphs in its branches and loops."""
    yield from filter(None, node.input)
    for graph in _subgraphs(node):
        inner = {name for each in graph.node for name in each.output}
        inner |= {item.name for item in (*graph.input, *graph.initializer)}
        for each in graph.node:
            yield from (name for name in find_inputs(each) if name not in inner)
        yield from (value.name for value in graph.output if value.name not in inner)


def rename_inputs(node: Any, names: dict[str, str]) -> None:
    """Rename the inputs of a node, also within its branches and loops."""
    for index, name in enumerate(node.input):
        if name in names:
            node.input[index] = names[name]
    for graph in _subgraphs(node):
        for each in graph.node:
            rename_inputs(each, names)


def _subgraphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs
