"""How far a file's floats may be from the reference: for each output, and each column of it.

What the eager network itself shows in its own precision, float32 as a rule, against the reference, over
the same inputs, gives the tolerance of an output: a backend may be FACTOR times as far away, no more.
An output may mix scales, pixels of ±4000 beside a probability: its fixed axes make columns, and each is
held to its own magnitude too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ptx.export.precision import Precision
from ptx.infer.errors import ArtifactError
from ptx.infer.signature import Array, TensorSpec

FACTOR = (
    8.0  # times the eager network's own largest error: twice the worst seen, 4.2 of a trained RNN
)
# A column is allowed what the whole output is, unless its numbers are so many times smaller than the
# largest: the ten logits of a digit differ in size, and one error runs through them all.
LEEWAY = 16.0
NOTHING = 1e-9  # relative to the largest output: a column of less has no magnitude of its own
COLUMNS = (
    4096  # of an output at most; the largest fixed axes, those of a picture, are taken together
)

# Where all positions of an input are alike, the roundings of a sum over them all go one way: n equal
# numbers that are added in turn, in LANES sums side by side, are off by up to n/LANES/2 units of
# rounding. Eager's own error does not show it, since torch adds in pairs; ONNX Runtime adds in turn.
ALIKE = ("zeros", "ones", "extremes")
LANES = 8


@dataclass(frozen=True)
class Seen:
    """The largest numbers of one output over some inputs, in each column."""

    magnitude: Array  # of the reference
    error: Array  # of the network in its own precision

    @property
    def scale(self) -> Array:
        """What an error in each column is held against."""
        scale: Array = np.maximum(self.magnitude, NOTHING * self.magnitude.max())
        return scale


def column_axes(spec: TensorSpec) -> tuple[int, ...]:
    """The positions of the axes that make columns: the fixed ones, the smallest first, up to COLUMNS."""
    fixed = [(axis, place) for place, axis in enumerate(spec.axes) if isinstance(axis, int)]
    taken: list[int] = []
    columns = 1
    for size, place in sorted(fixed):
        columns *= size
        if columns > COLUMNS:
            break
        taken.append(place)
    return tuple(sorted(taken))


def largest_by_column(spec: TensorSpec, array: Array) -> Array:
    """The largest of these absolute numbers in each column."""
    kept = column_axes(spec)
    others = tuple(axis for axis in range(array.ndim) if axis not in kept)
    largest: Array = array.max(axis=others)
    return largest


def largest_by_row(spec: TensorSpec, array: Array) -> Array:
    """The largest of these absolute numbers in each sample and column: (batch, columns)."""
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
    """The columns' numbers with the output's axes: of size 1 along those that make no columns."""
    kept = dict(zip(column_axes(spec), columns.shape, strict=True))
    return columns.reshape([kept.get(axis, 1) for axis in range(len(spec.axes))])


def see(spec: TensorSpec, exact: Array, errors: Mapping[str, Array]) -> Seen:
    """What one batch shows; of integers nothing, since they have no tolerance.

    `errors`: by float output, how far the network in its own precision is off at each number.
    """
    if not spec.is_float:
        nothing = np.zeros_like(largest_by_column(spec, exact), np.float64)
        return Seen(nothing, nothing)
    return Seen(largest_by_column(spec, np.abs(exact)), largest_by_column(spec, errors[spec.name]))


def merge(seen: Iterable[Seen]) -> Seen:
    """What several show."""
    parts = list(seen)
    return Seen(
        np.maximum.reduce([part.magnitude for part in parts]),
        np.maximum.reduce([part.error for part in parts]),
    )


def allowed_errors(seen: Seen, overall: Seen, precision: Precision, *, alike: float = 0.0) -> Array:
    """The largest absolute error that is accepted in each column.

    Args:
        seen: Over the inputs of one fill, which the whole output is held to.
        overall: Over all inputs; it says how large each column is.
        alike: What the sums over positions that are alike may be off by, relative to the largest
            output.
    """
    magnitude = float(seen.magnitude.max())
    whole = max(
        FACTOR * max(float(seen.error.max()), precision.rounding * magnitude), alike * magnitude
    )
    scale = overall.scale
    share = scale / (scale.max() or 1.0)
    column = np.maximum(whole * LEEWAY * share, FACTOR * overall.error)
    allowed: Array = np.minimum(np.minimum(whole, column), precision.ceiling * scale)
    return allowed


def nearest_column(errors: Array, allowed: Array) -> int:
    """Where an error is nearest to what is allowed, or farthest beyond; in the flat array."""
    shares = np.where(errors > 0, np.inf, 0.0)
    np.divide(errors, allowed, out=shares, where=allowed > 0)
    return int(shares.argmax())


def share_of(error: float, tolerance: float) -> float:
    """How much of what is allowed an error takes up; where nothing is allowed, all errors do."""
    if tolerance:
        return float(error / tolerance)
    return math.inf if error else 0.0


def check_ceiling(spec: TensorSpec, overall: Seen, precision: Precision) -> None:
    """Refuse an output that its precision does not compute to the ceiling of its magnitude.

    Raises:
        ArtifactError: no file could be held to it, since the eager network is not.
    """
    beyond = overall.error - precision.ceiling * overall.scale
    if beyond.max() <= 0:
        return
    place = int(beyond.argmax())
    error, scale = overall.error.flat[place], overall.scale.flat[place]
    name = precision.name
    raise ArtifactError(
        f"{name_column(spec, overall.error, place)} of eager {name} is off by {error:.3g}, and its"
        f" largest number is {scale:.3g}: {name} does not compute it to {precision.ceiling:g} of that,"
        " so no file can be proved: look for a difference of large numbers, or for inputs that are not"
        " scaled",
        code="E-PRECISION",
    )


def name_column(spec: TensorSpec, allowed: Array, place: int) -> str:
    """`output 'boxes'`, and `column (3, 4)` of it where not all columns are held alike."""
    if allowed.size == 1 or math.isclose(allowed.flat[place], allowed.max()):
        return f"output {spec.name!r}"
    column = np.unravel_index(place, allowed.shape)
    return f"output {spec.name!r}, column {', '.join(str(int(index)) for index in column)},"
