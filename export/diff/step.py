"""A step of a network: a value that the file and the reference both compute, and how far they differ."""

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

_INFINITE = 1e30  # a mask writes the least float32 in the place of minus infinity, or the reverse
# Operators that move values and compute none.
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
    """How far a value is from the reference.

    Attributes:
        error: The absolute error that is largest relative to its tolerance.
        cost: The root of the mean square error, relative to that of the value.
        problem: Why the values cannot be subtracted; empty: they can.
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
    """One step of the graph, run alone on the reference's inputs.

    Attributes:
        name: Of the value in the file; of a TorchScript file the module's path.
        nodes: The nodes of the file that compute it: `Conv node_conv2d`.
        origin: Where it comes from in the network.
        local: The error of the step alone.
        inherited: The error of the value when the file runs from its inputs, relative to the value's
            magnitude; None if the value is not seen then.
        changed: Of the nodes those that differ from a new conversion of the network.
        frontier: The values that it is computed from.
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
        """Whether its error is larger than its own inputs explain."""
        return not self.local.share <= 1

    @property
    def node(self) -> str:
        """The node to look at: one that differs from a new conversion, else the last that computes."""
        computing = [node for node in self.nodes if node.partition(" ")[0] not in _MOVING]
        return (self.changed or computing or self.nodes or (self.name,))[-1]

    @property
    def title(self) -> str:
        """`Conv node_conv2d (aten.conv2d.default in features.3.conv, net.py:12: x = self.conv(x))`."""
        origin = self.origin
        place = f" in {origin.module}" if origin.module else ""
        parts = [f"{origin.operator}{place}".strip(), origin.source]
        text = ", ".join(part for part in parts if part)
        return f"{self.node} ({text})" if text else self.node

    def to_data(self) -> dict[str, Any]:
        """As JSON has it; an infinite error is null."""
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
    spec: TensorSpec, got: Any, exact: Array, native: Array, *, constant_error: float = 0.0
) -> Difference:
    """The difference of a step from the reference, with the tolerance of the equivalence check.

    Args:
        exact: The reference in float64.
        native: The reference in the network's own precision, over the same inputs.
        constant_error: The error of sums over constant inputs, relative to the largest value.
    """
    if not isinstance(got, np.ndarray) or got.shape != exact.shape:
        shape = got.shape if isinstance(got, np.ndarray) else "no array"
        return Difference(math.inf, 0.0, math.inf, f"shape {shape} instead of {exact.shape}")
    if not spec.is_float:
        wrong = (got.astype(exact.dtype) != exact) & (native == exact)
        return Difference(float(wrong.sum()), 0.0, float(wrong.mean()))
    got, exact, native = (np.asarray(array, np.float64) for array in (got, exact, native))
    masked = (np.abs(exact) >= _INFINITE) | np.isnan(exact)
    same = np.where(np.isnan(exact), np.isnan(got), got * np.sign(exact) >= _INFINITE)
    if not (same[masked].all() and np.isfinite(got[~masked]).all()):
        return Difference(math.inf, 0.0, math.inf, "not finite in the same places")
    got, exact, native = (np.where(masked, 0.0, array) for array in (got, exact, native))
    native = np.where(np.isfinite(native), native, exact)
    errors = distance(got, exact)
    stats = ErrorStats.collect(spec, exact, {spec.name: distance(native, exact)})
    tolerances = np.asarray(
        compute_tolerance(stats, stats, _precision(spec), constant_error=constant_error)
    )
    columns = np.asarray(largest_by_column(spec, errors))
    place = worst_column(columns, tolerances)
    cost = float(np.sqrt(np.mean(errors**2)) / (np.sqrt(np.mean(exact**2)) or 1.0))
    return Difference(float(columns.flat[place]), float(tolerances.flat[place]), cost)


def relative_distance(got: Any, exact: Array) -> float | None:
    """The largest difference, relative to the largest value; None if they cannot be subtracted."""
    if not isinstance(got, np.ndarray) or got.shape != exact.shape or not exact.size:
        return None
    exact = np.asarray(exact, np.float64)
    finite = np.abs(exact) < _INFINITE
    if not finite.any():
        return 0.0
    difference = float(np.abs(got.astype(np.float64) - exact)[finite].max())
    return difference / (float(np.abs(exact[finite]).max()) or 1.0)


def _precision(spec: TensorSpec) -> Precision:
    return PRECISIONS[spec.dtype]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
