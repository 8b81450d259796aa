"""Faults that are planted into one node of an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Plant = Callable[[Any, Any, np.random.Generator], bool]


def weight(model: Any, node: Any, rng: np.random.Generator) -> bool:
    """One weight has another sign."""
    return _change_constants(model, node, _flip_largest, count=1)


def precision(model: Any, node: Any, rng: np.random.Generator) -> bool:
    """The node's weights are rounded to float16."""
    return _change_constants(
        model, node, lambda w: w.astype(np.float16).astype(np.float32), count=9
    )


def rounded(model: Any, node: Any, rng: np.random.Generator) -> bool:
    """The node's result is rounded to bfloat16."""
    kinds = (
        "Conv",
        "MatMul",
        "Gemm",
        "Add",
        "Softmax",
        "LayerNormalization",
        "Relu",
        "Tanh",
        "Mul",
    )
    if node.op_type not in kinds or node.output[0] not in _float_values(model):
        return False
    name, place = node.output[0], list(model.graph.node).index(node)
    node.output[0] = "planted.value"
    down = helper.make_node(
        "Cast", ["planted.value"], ["planted.half"], "planted", to=onnx.TensorProto.BFLOAT16
    )
    up = helper.make_node("Cast", ["planted.half"], [name], "planted.up", to=onnx.TensorProto.FLOAT)
    model.graph.node.insert(place + 1, down)
    model.graph.node.insert(place + 2, up)
    return True


def padding(model: Any, node: Any, rng: np.random.Generator) -> bool:
    """The padding is on one side."""
    pads = _attribute(node, "pads")
    if not pads or not any(pads):
        return False
    half = len(pads) // 2
    _set(node, "pads", [0] * half + [a + b for a, b in zip(pads[:half], pads[half:], strict=True)])
    return True


def epsilon(model: Any, node: Any, rng: np.random.Generator) -> bool:
    """The epsilon of a normalization is larger."""
    kinds = (
        "LayerNormalization",
        "BatchNormalization",
        "InstanceNormalization",
        "GroupNormalization",
    )
    if node.op_type not in kinds:
        return False
    _set(node, "epsilon", 1e-2)
    return True


def axis(model: Any, node: Any, rng: np.random.Generator) -> bool:
    """The node works along another axis."""
    if node.op_type in ("Softmax", "LogSoftmax"):
        _set(node, "axis", 1 if _attribute(node, "axis") in (-1, 2, 3) else -1)
        return True
    if node.op_type == "Concat" and len(node.input) == 2:  # the parts in the other order
        node.input[:] = list(node.input)[::-1]
        return True
    if node.op_type in ("ReduceMean", "ReduceSum", "ReduceMax") and len(node.input) == 2:
        constants = {item.name: item for item in model.graph.initializer}
        axes = constants.get(node.input[1])
        if axes is None:
            return False
        moved = np.where(numpy_helper.to_array(axes) == 1, 2, 1).astype(np.int64)
        node.input[1] = "planted.axes"
        model.graph.initializer.append(numpy_helper.from_array(np.unique(moved), "planted.axes"))
        return True
    return False


def transposed(model: Any, node: Any, rng: np.random.Generator) -> bool:
    """Two dimensions are exchanged."""
    if node.op_type == "Transpose":
        order = list(_attribute(node, "perm"))
        first, second = sorted(rng.choice(len(order), 2, replace=False))
        order[first], order[second] = order[second], order[first]
        _set(node, "perm", order)
        return True

    def transpose(weight: np.ndarray) -> np.ndarray:
        return weight.T if weight.ndim == 2 and weight.shape[0] == weight.shape[1] else weight

    if node.op_type in ("MatMul", "Gemm"):
        return _change_constants(model, node, transpose, count=1)
    return False


def unfused(model: Any, node: Any, rng: np.random.Generator) -> bool:
    """A fusion has lost a part: the activation, the bias, a factor."""
    if node.op_type in ("Relu", "Tanh", "Sigmoid", "Erf"):
        node.op_type = "Identity"
        return True
    if node.op_type in ("Add", "Mul") and any(
        each in {item.name for item in model.graph.initializer} for each in node.input
    ):
        constants = {item.name for item in model.graph.initializer}
        node.input[:] = [each for each in node.input if each not in constants][:1]
        node.op_type = "Identity"
        return True
    if node.op_type == "Gemm" and len(node.input) == 3:
        _set(node, "beta", 0.0)
        return True
    if node.op_type in ("LSTM", "GRU"):
        zero = next(item for item in model.graph.initializer if item.name == node.input[3])
        model.graph.initializer.append(
            numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(zero)), "planted.bias")
        )
        node.input[3] = "planted.bias"
        return True
    if node.op_type == "Conv" and len(node.input) == 3:
        del node.input[2]
        return True
    return False


def gates(model: Any, node: Any, rng: np.random.Generator) -> bool:
    """The gates of a recurrent layer are in another order, or its reset gate is applied elsewhere."""
    if node.op_type == "GRU" and rng.integers(2):
        _set(node, "linear_before_reset", 0)
        return True
    if node.op_type not in ("LSTM", "GRU"):
        return False
    count = 4 if node.op_type == "LSTM" else 3

    def swap(array: Any) -> Any:
        parts = np.split(array, count, axis=1)
        parts[0], parts[1] = parts[1], parts[0]
        return np.concatenate(parts, axis=1)

    return _change_constants(model, node, swap, count=2)


PLANTS: dict[str, Plant] = {
    "weight": weight,
    "precision": precision,
    "rounded": rounded,
    "padding": padding,
    "epsilon": epsilon,
    "axis": axis,
    "transposed": transposed,
    "fused wrongly": unfused,
    "gates": gates,
}


def plant(content: bytes, kind: str, place: int, seed: int) -> tuple[bytes, list[str]] | None:
    """The graph with a fault in its node of that place, and the nodes that may be named for it."""
    model = onnx.load_from_string(content)
    node = model.graph.node[place]
    before = node.SerializeToString(), [i.SerializeToString() for i in model.graph.initializer]
    names = [f"{node.op_type} {node.name}"]
    if not PLANTS[kind](model, node, np.random.default_rng(seed)):
        return None
    if before == (
        node.SerializeToString(),
        [i.SerializeToString() for i in model.graph.initializer],
    ):
        return None
    names += [f"{node.op_type} {node.name}", "Cast planted", "Cast planted.up"]
    del model.graph.value_info[:]
    changed: bytes = model.SerializeToString()
    return changed, names


def _change_constants(model: Any, node: Any, change: Callable[[Any], Any], *, count: int) -> bool:
    """Give the node weights of its own, which are changed; others that shared them keep theirs."""
    constants = {item.name: item for item in model.graph.initializer}
    done = 0
    for place, name in enumerate(node.input):
        tensor = constants.get(name)
        if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT or done == count:
            continue
        before = numpy_helper.to_array(tensor)
        after = np.ascontiguousarray(change(before.copy()))
        if before.size < 2 or np.array_equal(before, after):
            continue
        model.graph.initializer.append(numpy_helper.from_array(after, f"planted.{place}"))
        node.input[place] = f"planted.{place}"
        done += 1
    return done > 0


def _flip_largest(weights: Any) -> Any:
    weights.flat[np.abs(weights).argmax()] *= -1
    return weights


def _float_values(model: Any) -> set[str]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name
        for value in (*graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }


def _attribute(node: Any, name: str) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return None


def _set(node: Any, name: str, value: Any) -> None:
    kept = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
