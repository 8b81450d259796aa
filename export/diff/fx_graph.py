"""Evaluates a torch.export program node by node, in float64 or in its own precision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.utils._pytree import tree_map

from ptx.infer.signature import DTYPES, Array, TensorSpec

_TORCH_FOLDER = str(Path(torch.__file__).parent)


@dataclass(frozen=True)
class Origin:
    """Where a value comes from in the network.

    Attributes:
        operator: Such as `aten.conv2d.default`.
        module: Path of the innermost module, such as `features.3.conv`; empty: the network itself.
        source: The innermost line outside of torch, `net.py:12: x = self.conv(x)`; empty if unknown.
    """

    operator: str = ""
    module: str = ""
    source: str = ""


class FxGraph:
    """The values of a program for one input.

    Args:
        inputs: The user inputs in the order of the forward method, in the network's own precision.
    """

    def __init__(self, program: ExportedProgram, inputs: Sequence[Tensor]) -> None:
        self._program = program
        self.nodes = {node.name: node for node in program.graph.nodes}
        self._order = {node: index for index, node in enumerate(program.graph.nodes)}
        self._own = dict(self._read_placeholders(inputs))

    @cached_property
    def outputs(self) -> list[str]:
        """The names of the nodes that the network returns, in their order."""
        (output,) = (node for node in self.nodes.values() if node.op == "output")
        specs = self._program.graph_signature.output_specs
        return [
            node.name
            for node, spec in zip(output.args[0], specs, strict=True)
            if spec.kind is OutputKind.USER_OUTPUT
        ]

    @cached_property
    def exact(self) -> dict[str, Any]:
        """The value of every node in float64, computed from the inputs."""
        values: dict[fx.Node, Any] = {}
        for node in self._program.graph.nodes:
            if node.op != "output":
                values[node] = self._compute(node, values, double=True)
        return {node.name: value for node, value in values.items()}

    def evaluate(self, name: str, known: Mapping[str, Array], *, double: bool) -> Any:
        """Compute one node from known values of other nodes.

        Nodes that do not depend on a known value have the value of `exact`.

        Args:
            known: By node name; the values are cast to float64 if `double`, else to the node's type.
        """
        target = self.nodes[name]
        stops = {self.nodes[other]: other for other in known}
        cone = self.find_cone(target, stops)
        values: dict[fx.Node, Any] = {
            node: self._as_value(node, known[other], double=double) for node, other in stops.items()
        }
        dependent = set(stops)
        for node in cone:
            if node is target or dependent.intersection(node.all_input_nodes):
                dependent.add(node)
        for node in cone:
            for needed in node.all_input_nodes:
                if needed not in values and needed not in dependent:
                    exact = self.exact[needed.name]
                    values[needed] = exact if double else _to_own(needed, exact)
            if node in dependent:
                values[node] = self._compute(node, values, double=double)
        return values[target]

    @cached_property
    def weights(self) -> set[str]:
        """The names of the nodes that are weights, buffers or constants."""
        specs = self._program.graph_signature.input_specs
        return {
            getattr(spec.arg, "name", "") for spec in specs if spec.kind is not InputKind.USER_INPUT
        }

    def own_value(self, name: str) -> Any:
        """An input or a weight in the network's own precision."""
        return self._own[name]

    def origin(self, name: str) -> Origin:
        """Where a node comes from."""
        node = self.nodes[name]
        while getattr(node.target, "__name__", "") == "getitem":
            node = node.all_input_nodes[0]
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        path = str(stack[-1][0]) if stack else ""
        if path.startswith("L['self']"):  # from dynamo's tracer
            path = path.removeprefix("L['self']").lstrip(".")
        if path.startswith("_empty_nn_module_stack"):  # torch's own, for a size
            path = ""
        operator = str(node.target)
        if not operator.startswith("aten."):
            operator = getattr(node.target, "__name__", operator)
        return Origin(operator, path, _find_source(node.meta.get("stack_trace") or ""))

    def spec(self, name: str) -> TensorSpec:
        """Type and axes of a node's tensor; symbolic sizes are dynamic axes.

        Raises:
            ValueError: the type of the tensor is not supported.
        """
        value = self.nodes[name].meta.get("val")
        if not isinstance(value, Tensor):
            return TensorSpec(name, "int64", ())
        axes = tuple(
            size if isinstance(size, int) else f"axis{index}"
            for index, size in enumerate(value.shape)
        )
        return TensorSpec(name, str(value.dtype).removeprefix("torch."), axes)

    def is_comparable(self, name: str) -> bool:
        """Whether a node computes a tensor of a supported type, or a size."""
        node = self.nodes.get(name)
        if node is None or node.op != "call_function":
            return False
        value = node.meta.get("val")
        if isinstance(value, Tensor):
            return str(value.dtype).removeprefix("torch.") in DTYPES and 0 not in value.shape
        return isinstance(value, int | torch.SymInt)

    def _read_placeholders(self, inputs: Sequence[Tensor]) -> Iterator[tuple[str, Any]]:
        remaining = iter(inputs)
        for spec in self._program.graph_signature.input_specs:
            name = getattr(spec.arg, "name", "")
            if spec.kind is InputKind.USER_INPUT:
                yield name, next(remaining)
            elif spec.target in self._program.state_dict:
                yield name, self._program.state_dict[spec.target].detach()
            else:
                yield name, self._program.constants.get(spec.target)

    def find_cone(self, target: fx.Node, stops: Iterable[fx.Node]) -> list[fx.Node]:
        """The nodes from which `target` is computed, without the stops, in the graph's order."""
        ends, cone, pending = set(stops), {target}, [target]
        while pending:
            for node in pending.pop().all_input_nodes:
                if node not in ends and node not in cone and node.op != "placeholder":
                    cone.add(node)
                    pending.append(node)
        return sorted(cone, key=self._order.__getitem__)

    def _compute(self, node: fx.Node, values: Mapping[fx.Node, Any], *, double: bool) -> Any:
        if node.op == "placeholder":
            own = self._own.get(node.name)
            return _widen_value(own) if double else own
        if node.op == "get_attr":
            attribute: Any = self._program.graph_module
            for part in str(node.target).split("."):
                attribute = getattr(attribute, part)
            return _widen_value(attribute) if double else attribute
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
        if double:
            args, kwargs = tree_map(_widen, (args, kwargs))
        schema = getattr(node.target, "_schema", None)
        if schema is not None and schema.is_mutable:
            args, kwargs = tree_map(_copy, (args, kwargs))
        with torch.no_grad():
            return node.target(*args, **kwargs)  # type: ignore[operator]

    @staticmethod
    def _as_value(node: fx.Node, array: Array, *, double: bool) -> Any:
        if not isinstance(node.meta.get("val"), Tensor):
            return int(array)
        tensor = torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape))
        return tensor.double() if double and _is_float(tensor) else _to_own(node, tensor)


def to_array(value: Any) -> Array:
    """A node's value as an array: bfloat16 becomes float32, a size an int64 scalar."""
    if not isinstance(value, Tensor):
        return np.array(value, np.bool_ if isinstance(value, bool) else np.int64)
    tensor = value.float() if value.dtype is torch.bfloat16 else value
    array: Array = tensor.detach().cpu().numpy()
    return array


def round_to_own(graph: FxGraph, name: str) -> Array:
    """A node's float64 value, rounded to the type that it has in the network."""
    return to_array(_to_own(graph.nodes[name], graph.exact[name]))


def _to_own(node: fx.Node, value: Any) -> Any:
    own = node.meta.get("val")
    if _is_float(value) and isinstance(own, Tensor):
        return value.to(own.dtype)
    return value


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _widen_value(value: Any) -> Any:
    return value.double() if _is_float(value) else value


def _widen(argument: Any) -> Any:
    """Replace a float dtype among a node's arguments by float64: `_to_copy(x, dtype=float32)`."""
    if isinstance(argument, torch.dtype) and argument.is_floating_point:
        return torch.float64
    return argument


def _copy(argument: Any) -> Any:
    return argument.clone() if isinstance(argument, Tensor) else argument


def _find_source(trace: str) -> str:
    """The innermost line outside of torch in a trace of `File "net.py", line 12, in forward` lines."""
    lines = trace.splitlines()
    for index in range(len(lines) - 1, -1, -1):
        head = lines[index].strip()
        if head.startswith('File "') and not head.startswith(f'File "{_TORCH_FOLDER}'):
            path, _, rest = head.removeprefix('File "').partition('", line ')
            code = lines[index + 1].strip() if index + 1 < len(lines) else ""
            return f"{Path(path).name}:{rest.partition(',')[0]}: {code}"
    return ""
