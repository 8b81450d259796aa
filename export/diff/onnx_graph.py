"""An ONNX graph that is cut at some of its values, so that parts of it run alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any

import onnx

_FLOAT = "::float"  # suffix of a value before it is quantized
_DEQUANTIZED = "_DequantizeLinear_Output"  # suffix of a value after it
REFERENCE = "::reference"  # suffix of the inputs that replace a value where the graph is cut


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
        """The place of the node that computes each value."""
        return {
            name: place for place, node in enumerate(self.nodes) for name in node.output if name
        }

    def segment(self, name: str, cut: Collection[str]) -> tuple[list[int], list[str]]:
        """The places of the nodes that compute a value from the cut ones, and these.

        The list of values also has the graph's inputs that the nodes take.
        """
        places, ends = {self.producers[name]}, dict[str, None]()
        pending = [self.producers[name]]
        while pending:
            for needed in find_inputs(self.nodes[pending.pop()]):
                if needed in cut or needed in self.inputs:
                    ends[needed] = None
                elif (place := self.producers.get(needed)) is not None and place not in places:
                    places.add(place)
                    pending.append(place)
        return sorted(places), list(ends)

    def extract(self, targets: Collection[str], cut: Collection[str]) -> tuple[bytes, list[str]]:
        """A model that computes `targets`, and the cut values and inputs that it takes.

        Where a node takes a cut value, the model has an input of that name with REFERENCE appended.
        """
        places: set[int] = set()
        needed: dict[str, None] = {}
        for target in targets:
            if target not in self.producers:  # a graph output that is an input
                needed[target] = None
                continue
            part, ends = self.segment(target, cut)
            places.update(part)
            needed.update(dict.fromkeys(ends))
        model = onnx.ModelProto()
        model.CopyFrom(self._empty)
        used: set[str] = set()
        for place in sorted(places):
            node = model.graph.node.add()
            node.CopyFrom(self.nodes[place])
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
        """The type of a value as ONNX numbers it; of what ONNX does not infer, float32."""
        return self._element_types.get(name, onnx.TensorProto.FLOAT)

    @cached_property
    def _element_types(self) -> dict[str, int]:
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        # Shapes may contradict each other in a graph that is wrong; only the types are used.
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=False).graph
        known = (*inferred.value_info, *inferred.input, *inferred.output, *self.inputs.values())
        return {
            value.name: value.type.tensor_type.elem_type
            for value in known
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
    """A quantized model whose values have their names after QuantizeLinear and DequantizeLinear.

    ONNX Runtime's quantizer leaves a value its name before these two, where a Relu that they do by
    saturation is still missing.
    """
    model = onnx.load_from_string(content)
    computed = {name for node in model.graph.node for name in node.output}
    names: dict[str, str] = {}
    for name in computed:
        if (dequantized := name + _DEQUANTIZED) in computed:
            names |= {name: name + _FLOAT, dequantized: name}
    for node in model.graph.node:
        rename_inputs(node, names)
        for place, name in enumerate(node.output):
            node.output[place] = names.get(name, name)
    del model.graph.value_info[:]
    result: bytes = model.SerializeToString()
    return result


def find_inputs(node: Any) -> Iterator[str]:
    """The values that a node takes, also within the graphs of its branches and loops."""
    yield from filter(None, node.input)
    for graph in _subgraphs(node):
        inner = {name for each in graph.node for name in each.output}
        inner |= {item.name for item in (*graph.input, *graph.initializer)}
        for each in graph.node:
            yield from (name for name in find_inputs(each) if name not in inner)
        yield from (value.name for value in graph.output if value.name not in inner)


def rename_inputs(node: Any, names: dict[str, str]) -> None:
    """Have a node take other values, also within its branches and loops."""
    for place, name in enumerate(node.input):
        if name in names:
            node.input[place] = names[name]
    for graph in _subgraphs(node):
        for each in graph.node:
            rename_inputs(each, names)


def _subgraphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs
