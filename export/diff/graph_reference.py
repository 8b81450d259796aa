"""The reference for an ONNX file of another tool: its own graph in float64."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property

import numpy as np
import onnx

from ptx.export.diff.fx_graph import Origin
from ptx.export.diff.onnx_graph import OnnxGraph
from ptx.export.diff.onnx_steps import run_alone
from ptx.export.diff.runtimes import Runtime, find_runtime
from ptx.export.external_onnx import open_evaluator
from ptx.infer.signature import Array, TensorSpec


class GraphReference:
    """The values of the file in float64, as computed by the evaluator of the `onnx` package.

    In the file's own precision, a step is computed by ONNX Runtime on the CPU without optimizations.
    """

    def __init__(self, graph: OnnxGraph, inputs: Mapping[str, Array]) -> None:
        self._graph, self._inputs = graph, dict(inputs)
        self._double, self._own = _Float64Evaluator(), find_runtime("ort-cpu")

    def names(self, graph: OnnxGraph) -> list[str]:
        return [name for name in graph.producers if name in self._values]

    def exact(self, name: str) -> Array:
        return self._values[name]

    def rounded(self, name: str) -> Array:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(self._graph.element_type(name))
        return self._values[name].astype(dtype)

    def local(self, name: str, frontier: Collection[str]) -> tuple[Array, Array]:
        values = {other: self.rounded(other) for other in frontier}
        return self._compute(name, values, self._double), self._compute(name, values, self._own)

    def origin(self, name: str) -> Origin:
        """The module according to the scopes in the name of the node: `/encoder/conv/Conv`."""
        node = self._graph.nodes[self._graph.producers[name]]
        return Origin(module=".".join([part for part in node.name.split("/") if part][:-1]))

    def spec(self, name: str) -> TensorSpec:
        value = self.rounded(name)
        axes = tuple(f"axis{index}" for index in range(value.ndim))
        return TensorSpec(name, str(value.dtype), axes)

    def _compute(self, name: str, values: Mapping[str, Array], runtime: Runtime) -> Array:
        value = run_alone(self._graph, [name], values, runtime, self._inputs, optimize=False)[name]
        if isinstance(value, Exception):
            raise value
        return value

    @cached_property
    def _values(self) -> dict[str, Array]:
        names = list(self._graph.producers)
        values = run_alone(self._graph, names, {}, self._double, self._inputs)
        return {
            name: value
            for name, value in values.items()
            if isinstance(value, np.ndarray) and value.size and value.dtype.kind in "fiub"
        }


class _Float64Evaluator:
    """A `Runtime` that computes in float64."""

    def run(
        self, content: bytes, inputs: Mapping[str, Array], *, optimize: bool = True
    ) -> dict[str, Array]:
        names = [value.name for value in onnx.load_from_string(content).graph.output]
        feeds = {
            name: array.astype(np.float64) if array.dtype.kind == "f" else array
            for name, array in inputs.items()
        }
        outputs = open_evaluator(content, names)(feeds)
        return dict(zip(names, map(np.asarray, outputs), strict=True))

    def optimized(self, content: bytes) -> bytes | None:
        return None
