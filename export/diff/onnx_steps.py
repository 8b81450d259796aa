"""The steps of an ONNX file: each runs by itself on the reference's values and is compared with it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import onnx

from ptx.export.diff.fx_graph import FxGraph, Origin, round_to_own, to_array
from ptx.export.diff.onnx_graph import REFERENCE, OnnxGraph
from ptx.export.diff.runtimes import Runtime
from ptx.export.diff.step import Difference, Step, measure, relative_distance
from ptx.infer.signature import Array, TensorSpec

Values = dict[str, Array]


class OnnxReference(Protocol):
    """The expected values of an ONNX file, by their names in the file."""

    def names(self, graph: OnnxGraph) -> list[str]:
        """The values of the file that the reference also has, in the file's order."""

    def exact(self, name: str) -> Array:
        """A value in float64, computed from the inputs."""

    def rounded(self, name: str) -> Array:
        """A value in the network's own precision, as the input of a step."""

    def local(self, name: str, frontier: Collection[str]) -> tuple[Array, Array]:
        """A value computed from rounded values: in float64, and in the network's own precision."""

    def origin(self, name: str) -> Origin:
        """Where a value comes from in the network."""

    def spec(self, name: str) -> TensorSpec:
        """Type and axes of a value."""


class ProgramReference:
    """The unmodified network in float64, computed with the exporter's program of it.

    The exporter gives the values of a file the names of the program's nodes.
    """

    def __init__(self, program: FxGraph, outputs: Iterable[str]) -> None:
        self._program = program
        self._outputs = dict(zip(outputs, program.outputs, strict=True))

    def names(self, graph: OnnxGraph) -> list[str]:
        return [name for name in graph.producers if self._program.is_comparable(self._node(name))]

    def exact(self, name: str) -> Array:
        return to_array(self._program.exact[self._node(name)])

    def rounded(self, name: str) -> Array:
        return round_to_own(self._program, self._node(name))

    def local(self, name: str, frontier: Collection[str]) -> tuple[Array, Array]:
        values = {self._node(other): self.rounded(other) for other in frontier}
        values = {node: value for node, value in values.items() if node in self._program.nodes}
        exact, native = (
            to_array(self._program.evaluate(self._node(name), values, double=double))
            for double in (True, False)
        )
        return exact, native

    def origin(self, name: str) -> Origin:
        return self._program.origin(self._node(name))

    def spec(self, name: str) -> TensorSpec:
        return self._program.spec(self._node(name))

    def _node(self, name: str) -> str:
        return self._outputs.get(name, name)


def run_alone(
    graph: OnnxGraph,
    targets: Collection[str],
    values: Mapping[str, Array],
    runtime: Runtime,
    inputs: Mapping[str, Array],
    *,
    optimize: bool = True,
) -> dict[str, Array | Exception]:
    """Compute each of `targets` from `values`, which replace the values of the graph.

    All run together. If that fails, each half is tried, down to the targets that fail.
    """
    targets = list(targets)
    try:
        content, needed = graph.extract(targets, values)
        feeds = {
            name if name in graph.inputs else name + REFERENCE: _cast(
                graph, name, inputs[name] if name in graph.inputs else values[name]
            )
            for name in needed
        }
        return dict(runtime.run(content, feeds, optimize=optimize))
    except Exception as error:  # runtimes raise exceptions of many classes
        if len(targets) == 1:
            return {targets[0]: error}
    results: dict[str, Array | Exception] = {}
    middle = len(targets) // 2
    for part in (targets[:middle], targets[middle:]):
        results |= run_alone(graph, part, values, runtime, inputs, optimize=optimize)
    return results


def find_steps(
    graph: OnnxGraph,
    reference: OnnxReference,
    runtime: Runtime,
    inputs: Mapping[str, Array],
    *,
    constant_error: float = 0.0,
    optimize: bool = True,
) -> list[Step]:
    """Each value that the reference also has, as a step that runs by itself.

    Args:
        optimize: Whether the runtime may optimize within a step.
    """
    names = reference.names(graph)
    cut = set(names)
    rounded = {name: reference.rounded(name) for name in names}
    local_values = run_alone(graph, names, rounded, runtime, inputs, optimize=optimize)
    file_values = run_alone(graph, names, {}, runtime, inputs, optimize=optimize)
    steps = []
    for name in names:
        indices, ends = graph.segment(name, cut)
        frontier = [other for other in ends if other not in graph.inputs]
        local = _difference(reference, name, frontier, local_values[name], constant_error)
        if local is None:
            continue
        nodes = [graph.nodes[index] for index in indices]
        steps.append(
            Step(
                name,
                tuple(describe_node(node) for node in nodes),
                reference.origin(name),
                local,
                relative_distance(file_values.get(name), reference.exact(name)),
                frontier=tuple(frontier),
            )
        )
    return steps


def _difference(
    reference: OnnxReference,
    name: str,
    frontier: Collection[str],
    value: Array | Exception,
    constant_error: float,
) -> Difference | None:
    try:
        exact, native = reference.local(name, frontier)
    except Exception:  # PyTorch cannot compute it, so there is nothing to compare with
        return None
    if isinstance(value, Exception):
        text = " ".join(str(value).split())
        return Difference(math.inf, 0.0, math.inf, f"the runtime fails: {text[:200]}")
    if exact.ndim == 0 and value.shape == (1,):  # a size, which may have one axis in ONNX
        value = value.reshape(())
    return measure(reference.spec(name), value, exact, native, constant_error=constant_error)


def describe_node(node: Any) -> str:
    """Operator and name, `Conv node_conv2d`; if it has no name, that of its first output."""
    return f"{node.op_type} {node.name or next(filter(None, node.output), '')}"


def mark_changed(graph: OnnxGraph, step: Step, conversion: OnnxGraph) -> Step:
    """Fill in the nodes of a step that differ from a new conversion; nodes that it lacks are last."""
    indices, _ = graph.segment(step.name, step.frontier)
    nodes = [graph.nodes[index] for index in indices]
    changed = [node for node in nodes if _is_changed(graph, node, conversion)]
    names = {node.name for node in conversion.nodes}
    changed.sort(key=lambda node: node.name not in names)
    return replace(step, changed=tuple(map(describe_node, changed)))


def _is_changed(graph: OnnxGraph, node: Any, conversion: OnnxGraph) -> bool:
    """Whether a new conversion computes the output by another node, or with other constants."""
    indices = [conversion.producers.get(name) for name in node.output if name]
    if not indices or indices[0] is None:
        return True
    other = conversion.nodes[indices[0]]
    if (node.op_type, list(node.input), sorted(map(_attribute, node.attribute))) != (
        other.op_type,
        list(other.input),
        sorted(map(_attribute, other.attribute)),
    ):
        return True
    for name in node.input:
        mine, theirs = graph.constants.get(name), conversion.constants.get(name)
        if mine is None and theirs is None:
            continue
        if mine is None or theirs is None:
            return True
        if mine.SerializeToString() != theirs.SerializeToString():
            first, second = onnx.numpy_helper.to_array(mine), onnx.numpy_helper.to_array(theirs)
            if first.tobytes() != second.tobytes() or first.shape != second.shape:
                return True
    return False


def _attribute(attribute: Any) -> bytes:
    content: bytes = attribute.SerializeToString(deterministic=True)
    return content


def _cast(graph: OnnxGraph, name: str, value: Array) -> Array:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(graph.element_type(name))
    return np.ascontiguousarray(value.astype(dtype, copy=False)).reshape(value.shape)


def evaluates_right(
    graph: OnnxGraph, reference: OnnxReference, name: str, inputs: Mapping[str, Array]
) -> bool | None:
    """Whether ONNX's own evaluator computes a step as the reference does; None if it cannot run it."""
    _, ends = graph.segment(name, set(reference.names(graph)))
    frontier = [other for other in ends if other not in graph.inputs]
    rounded = {other: reference.rounded(other) for other in frontier}
    value = run_alone(graph, [name], rounded, _Evaluator(), inputs)[name]
    if isinstance(value, Exception):
        return None
    exact, native = reference.local(name, frontier)
    return measure(reference.spec(name), np.asarray(value), exact, native).share <= 1


class _Evaluator:
    """ONNX's evaluator in Python, which follows the specification of each operator."""

    def run(
        self, content: bytes, inputs: Mapping[str, Array], *, optimize: bool = True
    ) -> dict[str, Array]:
        from onnx.reference import ReferenceEvaluator

        evaluator = ReferenceEvaluator(onnx.load_from_string(content))
        outputs = evaluator.run(None, dict(inputs))
        return dict(zip(evaluator.output_names, outputs, strict=True))

    def optimized(self, content: bytes) -> bytes | None:
        return None
