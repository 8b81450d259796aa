"""Faults in an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Edit = Callable[[Any], None]
Numbers = NDArray[np.float32]


def weight(name: str, change: Callable[[Numbers], Numbers]) -> Edit:
    """The weights of that name are others."""

    def edit(model: Any) -> None:
        (tensor,) = (each for each in model.graph.initializer if each.name == name)
        _replace(tensor, change)

    return edit


def all_weights(change: Callable[[Numbers], Numbers]) -> Edit:
    """All weights are others."""

    def edit(model: Any) -> None:
        for tensor in model.graph.initializer:
            if tensor.data_type == tensor.FLOAT:
                _replace(tensor, change)

    return edit


def _replace(tensor: Any, change: Callable[[Numbers], Numbers]) -> None:
    from onnx import numpy_helper

    changed = change(numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(changed), tensor.name))


def flipped(index: int) -> Callable[[Numbers], Numbers]:
    """One number has the other sign."""

    def change(numbers: Numbers) -> Numbers:
        numbers.flat[index] *= -1
        return numbers

    return change


def swapped(first: int, second: int) -> Callable[[Numbers], Numbers]:
    """Two rows have changed places."""

    def change(numbers: Numbers) -> Numbers:
        numbers[[first, second]] = numbers[[second, first]]
        return numbers

    return change


def mantissa(numbers: Numbers) -> Numbers:
    """Ten bits after the point, as TF32 has."""
    bits = numbers.view(np.uint32)
    return ((bits + 0x1000) & np.uint32(0xFFFFE000)).view(np.float32)


def attribute(operator: str, name: str, value: float) -> Edit:
    """The first node of that operator has another attribute."""

    def edit(model: Any) -> None:
        from onnx import helper

        node = _first(model, operator)
        kept = [each for each in node.attribute if each.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return edit


def gates(model: Any) -> None:
    """The weights of an LSTM's input stand in PyTorch's order: i, f, g, o in the place of i, o, f, g."""
    concat = next(
        node for node in model.graph.node if node.op_type == "Concat" and len(node.input) == 4
    )
    i, o, f, g = concat.input
    concat.input[:] = [i, f, g, o]


def output(name: str, operator: str, constant: Any = None) -> Edit:
    """One more node before an output, with a constant where it takes one."""

    def edit(model: Any) -> None:
        from onnx import helper, numpy_helper

        (last,) = (node for node in model.graph.node if name in node.output)
        last.output[list(last.output).index(name)] = "injected"
        inputs = ["injected"]
        if constant is not None:
            added = numpy_helper.from_array(np.asarray(constant, np.float32), "injected_constant")
            model.graph.initializer.append(added)
            inputs.append("injected_constant")
        model.graph.node.append(helper.make_node(operator, inputs, [name]))

    return edit


def scaled(name: str, factor: float) -> Edit:
    """The input is multiplied before it is used."""

    def edit(model: Any) -> None:
        from onnx import helper, numpy_helper

        for node in model.graph.node:
            node.input[:] = ["injected" if each == name else each for each in node.input]
        added = numpy_helper.from_array(np.asarray(factor, np.float32), "injected_factor")
        model.graph.initializer.append(added)
        model.graph.node.insert(0, helper.make_node("Mul", [name, "injected_factor"], ["injected"]))

    return edit


def without_last(operator: str) -> Edit:
    """The last node of that operator does nothing."""

    def edit(model: Any) -> None:
        node = [each for each in model.graph.node if each.op_type == operator][-1]
        node.op_type = "Identity"

    return edit


def renamed(names: dict[str, str]) -> Edit:
    """What nodes give under one name stands under another; among the outputs too, if it is new."""

    def edit(model: Any) -> None:
        known = {each.name for each in model.graph.output}
        for node in model.graph.node:
            node.output[:] = [names.get(each, each) for each in node.output]
        for each in model.graph.output:
            if names.get(each.name, each.name) not in known:
                each.name = names[each.name]

    return edit


def frozen(size: int) -> Edit:
    """The batch has one size, that of the trace."""

    def edit(model: Any) -> None:
        for value in (*model.graph.input, *model.graph.output):
            for axis in value.type.tensor_type.shape.dim:
                if axis.dim_param == "batch":
                    axis.dim_value = size

    return edit


def _first(model: Any, operator: str) -> Any:
    return next(node for node in model.graph.node if node.op_type == operator)
