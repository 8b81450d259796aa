"""A step of a network: a value that both the file and the reference compute, and its error."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ptx.export.check.precision import PRECISIONS, Precision
from ptx.export.check.tolerance import (
    ErrorStats,
    compute_tolerance,
    distance,
    largest_by_column,
    relative_error,
    worst_column,
)
from ptx.export.diff.fx_graph import Origin
from ptx.infer.signature import Array, TensorSpec

_INFINITE = 1e30  # larger values count as infinite: masks use -inf or the lowest float32
# Operators that only move or convert values.
_MOVING = {
    "Cast",
    "Concat",
    "DequantizeLinear",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "QuantizeLinear",
    "Reshape",
    "Shape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
}


@dataclass(frozen=True)
class Difference:
    """The difference of a value from the reference.

    Attributes:
        error: The absolute error that is largest relative to its tolerance.
        cost: The RMS error, relative to the RMS of the value.
        problem: Why the values cannot be compared; empty if they can.
    """

    error: float
    tolerance: float
    cost: float = 0.0
    problem: str = ""

    @property
    def share(self) -> float:
        """The error in units of its tolerance; above 1 it is a disagreement."""
        return math.inf if self.problem else relative_error(self.error, self.tolerance)


@dataclass(frozen=True)
class Step:
    """One step of the graph, which runs by itself on the values of the reference.

    Attributes:
        name: Name of the value in the file; for a TorchScript file the path of the module.
        nodes: The nodes of the file that compute it, such as `Conv node_conv2d`.
        origin: Where it comes from in the network.
        local: The error of the step itself.
        inherited: The error of the value when the entire file runs, relative to the value's magnitude;
            None if the value cannot be read then.
        changed: The nodes that differ from a new conversion of the network.
        frontier: The values from which it is computed.
    """

    name: str
    nodes: tuple[str, ...]
    origin: Origin
    local: Difference
    inherited: float | None = None
    changed: tuple[str, ...] = ()
    frontier: tuple[str, ...] = ()

    @property
    def disagrees(self) -> bool:
        """Whether its own error is larger than its tolerance."""
        return not self.local.share <= 1

    @property
    def node(self) -> str:
        """The node to report: one that differs from a new conversion, else the last that computes."""
        computing = [node for node in self.nodes if node.partition(" ")[0] not in _MOVING]
        return (self.changed or computing or self.nodes or (self.name,))[-1]

    @property
    def title(self) -> str:
        """`Conv node_conv2d (aten.conv2d.default in features.3.conv, net.py:12: x = self.conv(x))`."""
        origin = self.origin
        module = f" in {origin.module}" if origin.module else ""
        parts = [f"{origin.operator}{module}".strip(), origin.source]
        text = ", ".join(part for part in parts if part)
        return f"{self.node} ({text})" if text else self.node

    def to_data(self) -> dict[str, Any]:
        """The step as JSON data; an infinite error becomes null."""
        local = {key: _finite(value) for key, value in asdict(self.local).items()}
        return {
            "value": self.name,
            "node": self.node,
            "nodes": list(self.nodes),
            **asdict(self.origin),
            **local,
            "share": _finite(self.local.share),
            "inherited": _finite(self.inherited),
            "changed": list(self.changed),
        }


def measure(
    spec: TensorSpec, value: Any, exact: Array, native: Array, *, constant_error: float = 0.0
) -> Difference:
    """The difference of a step from the reference, with the tolerance of the equivalence check.

    Args:
        value: The value in the file.
        exact: The reference in float64.
        native: The reference in the network's own precision, for the same inputs.
        constant_error: The error of sums over constant inputs, relative to the largest value.
    """
    if not isinstance(value, np.ndarray) or value.shape != exact.shape:
        shape = value.shape if isinstance(value, np.ndarray) else "no array"
        return Difference(math.inf, 0.0, math.inf, f"shape {shape} instead of {exact.shape}")
    if not spec.is_float:
        wrong = (value.astype(exact.dtype) != exact) & (native == exact)
        return Difference(float(wrong.sum()), 0.0, float(wrong.mean()))
    value, exact, native = (np.asarray(array, np.float64) for array in (value, exact, native))
    masked = (np.abs(exact) >= _INFINITE) | np.isnan(exact)
    same = np.where(np.isnan(exact), np.isnan(value), value * np.sign(exact) >= _INFINITE)
    if not (same[masked].all() and np.isfinite(value[~masked]).all()):
        return Difference(math.inf, 0.0, math.inf, "NaN or infinity at other positions")
    value, exact, native = (np.where(masked, 0.0, array) for array in (value, exact, native))
    native = np.where(np.isfinite(native), native, exact)
    errors = distance(value, exact)
    stats = ErrorStats.collect(spec, exact, {spec.name: distance(native, exact)})
    tolerances = np.asarray(
        compute_tolerance(stats, stats, _precision(spec), constant_error=constant_error)
    )
    columns = np.asarray(largest_by_column(spec, errors))
    worst = worst_column(columns, tolerances)
    cost = float(np.sqrt(np.mean(errors**2)) / (np.sqrt(np.mean(exact**2)) or 1.0))
    return Difference(float(columns.flat[worst]), float(tolerances.flat[worst]), cost)


def relative_distance(value: Any, exact: Array) -> float | None:
    """The largest difference, relative to the largest value; None if the shapes differ."""
    if not isinstance(value, np.ndarray) or value.shape != exact.shape or not exact.size:
        return None
    exact = np.asarray(exact, np.float64)
    finite = np.abs(exact) < _INFINITE
    if not finite.any():
        return 0.0
    difference = float(np.abs(value.astype(np.float64) - exact)[finite].max())
    return difference / (float(np.abs(exact[finite]).max()) or 1.0)


def _precision(spec: TensorSpec) -> Precision:
    return PRECISIONS[spec.dtype]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
