"""How far a file's floats may be from the reference: for each output, and each column of it.

The error of the eager network in its own precision, usually float32, over the same inputs gives the
tolerance of an output: a backend may be FACTOR times as far off. An output may mix scales, such as
pixels of ±4000 and a probability. So its fixed axes form columns, each limited by its own magnitude too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ptx.export.check.precision import Precision
from ptx.infer.errors import ArtifactError
from ptx.infer.signature import Array, TensorSpec

# Times the eager network's own largest error: twice the worst that was seen, 4.2 with a trained RNN.
FACTOR = 8.0
# A column has the tolerance of its output unless its values are so many times smaller than the largest:
# ten logits differ in size, and one error goes through them all.
SCALE_SLACK = 16.0
ZERO_SCALE = 1e-9  # relative to the largest output: a smaller column has no magnitude of its own
SMALL_COLUMN = 1e-3  # relative to the largest column: see `has_small_columns`
MAX_COLUMNS = (
    4096  # of an output; beyond it the largest fixed axes, those of an image, are not split
)

# For constant inputs, rounding errors correlate: a sum of n equal terms in SIMD_ACCUMULATORS
# accumulators is off by up to n / SIMD_ACCUMULATORS / 2 ulp. Eager's own error does not show it: torch
# sums pairwise, ONNX Runtime in order.
CONSTANT_PATTERNS = ("zeros", "ones", "extremes")
SIMD_ACCUMULATORS = 8


@dataclass(frozen=True)
class ErrorStats:
    """The largest absolute values of one output over some inputs, in each column."""

    magnitude: Array  # of the reference
    error: Array  # of the network in its own precision

    @classmethod
    def collect(cls, spec: TensorSpec, exact: Array, errors: Mapping[str, Array]) -> ErrorStats:
        """From one batch; zeros for an integer output, which has no tolerance.

        `errors`: by float output, the absolute errors of the network in its own precision.
        """
        if not spec.is_float:
            zeros = np.zeros_like(largest_by_column(spec, exact), np.float64)
            return cls(zeros, zeros)
        return cls(
            largest_by_column(spec, np.abs(exact)), largest_by_column(spec, errors[spec.name])
        )

    @classmethod
    def merge(cls, parts: Iterable[ErrorStats]) -> ErrorStats:
        """Over all inputs of several."""
        listed = list(parts)
        return cls(
            np.maximum.reduce([part.magnitude for part in listed]),
            np.maximum.reduce([part.error for part in listed]),
        )

    @property
    def scale(self) -> Array:
        """The magnitude by which an error in each column is judged."""
        scale: Array = np.maximum(self.magnitude, ZERO_SCALE * self.magnitude.max())
        return scale


def column_axes(spec: TensorSpec) -> tuple[int, ...]:
    """The positions of the axes that form columns: fixed ones, the smallest first, up to MAX_COLUMNS."""
    fixed = [(axis, place) for place, axis in enumerate(spec.axes) if isinstance(axis, int)]
    taken: list[int] = []
    columns = 1
    for size, place in sorted(fixed):
        columns *= size
        if columns > MAX_COLUMNS:
            break
        taken.append(place)
    return tuple(sorted(taken))


def largest_by_column(spec: TensorSpec, array: Array) -> Array:
    """The largest of these absolute values in each column."""
    kept = column_axes(spec)
    others = tuple(axis for axis in range(array.ndim) if axis not in kept)
    largest: Array = array.max(axis=others)
    return largest


def largest_by_row(spec: TensorSpec, array: Array) -> Array:
    """The largest of these absolute values in each row and column: (batch, columns)."""
    kept = (spec.batch_axis, *column_axes(spec))
    others = tuple(axis for axis in range(array.ndim) if axis not in kept)
    largest = np.moveaxis(array.max(axis=others, keepdims=True), spec.batch_axis, 0)
    rows: Array = largest.reshape(len(largest), -1)
    return rows


def distance(got: Array, exact: Array) -> Array:
    """The absolute differences in float64."""
    difference: Array = np.abs(got.astype(np.float64) - exact)
    return difference


def along_output(spec: TensorSpec, columns: Array) -> Array:
    """Per-column values in the output's axes: size 1 along those that form no columns."""
    kept = dict(zip(column_axes(spec), columns.shape, strict=True))
    return columns.reshape([kept.get(axis, 1) for axis in range(len(spec.axes))])


def is_mostly_plain(inputs: Mapping[str, Array]) -> bool:
    """Whether in a row of some input most values equal their neighbour along the longest axis."""
    return any(
        (np.diff(row, axis=int(np.argmax(row.shape))) == 0).mean() > 0.5
        for array in inputs.values()
        if array.ndim > 1 and max(array.shape[1:]) > 1 and array.dtype.kind == "f"
        for row in array
    )


def has_small_columns(overall: ErrorStats) -> bool:
    """Whether a column is nearly 0 next to the largest, so that its own errors say little.

    As after a ReLU: its values are differences of much larger numbers, and in most runs exactly 0.
    """
    return bool((overall.magnitude < SMALL_COLUMN * overall.magnitude.max()).any())


def compute_tolerance(
    stats: ErrorStats,
    overall: ErrorStats,
    precision: Precision,
    *,
    constant_error: float = 0.0,
    rounding: Array | float = 0.0,
) -> Array:
    """The largest accepted absolute error in each column.

    Args:
        stats: Over the inputs of one pattern; they give the tolerance of the entire output.
        overall: Over all inputs; they give the magnitude of each column.
        constant_error: The error of sums over constant inputs, relative to the largest output.
        rounding: How much rounding each operator's result changes each column. FACTOR times that is
            accepted in any column.
    """
    magnitude = float(stats.magnitude.max())
    output = max(
        FACTOR * max(float(stats.error.max()), precision.rounding * magnitude),
        constant_error * magnitude,
    )
    scale = overall.scale
    share = scale / (scale.max() or 1.0)
    column = np.maximum(output * SCALE_SLACK * share, FACTOR * overall.error)
    column = np.maximum(
        np.minimum(column, precision.ceiling * scale), FACTOR * np.asarray(rounding)
    )
    tolerance: Array = np.minimum(output, column)
    return tolerance


def worst_column(errors: Array, tolerance: Array) -> int:
    """The index in the flat array of the error that is largest relative to its tolerance."""
    shares = np.where(errors > 0, np.inf, 0.0)
    np.divide(errors, tolerance, out=shares, where=tolerance > 0)
    return int(shares.argmax())


def relative_error(error: float, tolerance: float) -> float:
    """The error in units of its tolerance; infinite for any error where the tolerance is 0."""
    if tolerance:
        return float(error / tolerance)
    return math.inf if error else 0.0


def check_ceiling(
    spec: TensorSpec, overall: ErrorStats, precision: Precision, rounding: Array | float = 0.0
) -> None:
    """Refuse an output that the eager network computes too imprecisely; `rounding`: as in
    `compute_tolerance`.

    Raises:
        ArtifactError: E-PRECISION: its error is beyond the precision's ceiling, so no file could pass.
    """
    ceiling = np.maximum(precision.ceiling * overall.scale, FACTOR * np.asarray(rounding))
    beyond = overall.error - ceiling
    if beyond.max() <= 0:
        return
    place = int(beyond.argmax())
    error, scale = overall.error.flat[place], overall.scale.flat[place]
    name = precision.name
    raise ArtifactError(
        f"{name_column(spec, overall.error, place)} of eager {name} is off by {error:.3g}, and its"
        f" largest number is {scale:.3g}: {name} does not compute it to {precision.ceiling:g} of that,"
        " so no file can be verified: look for a difference of large numbers, or for inputs that are not"
        " scaled",
        code="E-PRECISION",
    )


def name_column(spec: TensorSpec, tolerance: Array, place: int) -> str:
    """`output 'boxes'`, with its column if the columns have different tolerances."""
    if tolerance.size == 1 or math.isclose(tolerance.flat[place], tolerance.max()):
        return f"output {spec.name!r}"
    column = np.unravel_index(place, tolerance.shape)
    return f"output {spec.name!r}, column {', '.join(str(int(index)) for index in column)},"
