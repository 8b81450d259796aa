"""The test matrix of the equivalence check: sizes and inputs, never only the traced size.

Input patterns are real samples, random numbers, zeros, ones, and the extremes of the real samples.

| | complete | short |
|---|---|---|
| networks | random cases of up to WORK operations | the others |
| random | all batches × all lengths | a batch of 3, its rows as batches of 1 and 2; each length once |
| real | as random, and all samples | 3 rows, and all samples |
| zeros, ones, extremes | the 2nd and 4th batch × all lengths | one row |
| rows of 3 that are run without the others | each alone | the first alone, the others together |
| run twice, to the same bits | all | random, one row |
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptx.infer.artifact.golden import Ties
from ptx.infer.artifact.seeded import SPAN_LIMIT, SeededArray, seeded_array
from ptx.infer.limits import NO_LIMITS
from ptx.infer.signature import BATCH, Array, Signature, TensorSpec, bound

BATCHES = (1, 2, 3, 7, 64)
LENGTHS = (1, 2, 14, 28, 40)
MIN_LENGTHS = 3  # sizes of an axis whose limits allow them
# Maximum input elements of one case, unless its batch is 7 or less: with 64 photographs of 224×224
# (9.6 million) the check of a vision transformer would take an hour on one processor.
MAX_ELEMENTS = 2**20
SMALL_BATCH = 7  # batches up to this one are never left out
INVARIANCE_BATCH = 3  # the batch whose rows are also run without the others
SHORT_BATCHES = (1, 2, INVARIANCE_BATCH)
# Rows of an INVARIANCE_BATCH that are run together; the short matrix has them as batches.
SHORT_GROUPS = ((0,), (1, 2))
# Maximum operations in the random cases of a complete matrix: beyond it the matrix takes longer than the
# export itself.
WORK = 2**33

MatrixEntry = tuple[str, dict[str, int], dict[str, Array]]


@dataclass(frozen=True)
class Case:
    """One input of the matrix with the network's reference outputs."""

    pattern: str  # real, random, zeros, ones, extremes
    sizes: dict[str, int]
    inputs: dict[str, Array]
    exact: dict[str, Array]  # float64; integers and bools in their own type
    ties: dict[str, Ties]  # by output, the integers that rounding decides

    @property
    def title(self) -> str:
        """`real input, time 14, batch 7`."""
        sizes = ", ".join(f"{axis} {size}" for axis, size in self.sizes.items())
        return f"{self.pattern} input, {sizes}"


def make_matrix(
    signature: Signature,
    samples: Mapping[str, Array],
    further_sizes: Sequence[Mapping[str, int]] = (),
    *,
    short: bool = False,
) -> Iterable[MatrixEntry]:
    """(pattern, sizes, inputs) of each case; the last one is all real samples at their own length.

    `further_sizes` (see `ptx.export.tracing`) are added with random inputs only.
    """
    done = []
    for case in (_short if short else _complete)(signature, samples):
        done.append(case[1])
        yield case
    for sizes in map(dict, further_sizes):
        if sizes not in done:
            yield "random", sizes, signature.example(sizes)
    if samples:
        yield "real", sample_sizes(signature, samples), dict(samples)


def _complete(signature: Signature, samples: Mapping[str, Array]) -> Iterator[MatrixEntry]:
    axes = signature.dynamic_axes
    batches = batch_sizes(signature)
    choices = [batches if axis == BATCH else axis_lengths(signature, axis) for axis in axes]
    for seed, sizes in enumerate(
        dict(zip(axes, c, strict=True)) for c in itertools.product(*choices)
    ):
        real = _cut(signature, samples, sizes)
        if real is not None:
            yield "real", sizes, real
        yield "random", sizes, signature.example(sizes, seed=seed)
        if sizes[BATCH] in BATCHES[1::2]:  # constant inputs need only a few batches
            yield from _constants(signature, samples, sizes)


def _short(signature: Signature, samples: Mapping[str, Array]) -> Iterator[MatrixEntry]:
    def sized(lengths: Mapping[str, int], batch: int) -> dict[str, int]:
        return {axis: {**lengths, BATCH: batch}[axis] for axis in signature.dynamic_axes}

    first, *others = _length_choices(signature)
    batch = _make(signature, sized(first, INVARIANCE_BATCH))
    yield "random", sized(first, INVARIANCE_BATCH), batch
    for rows in SHORT_GROUPS:
        yield "random", sized(first, len(rows)), take_rows(signature.inputs, batch, rows)
    for place, lengths in enumerate(others, 1):
        sizes = sized(lengths, SHORT_BATCHES[place % len(SHORT_BATCHES)])
        yield "random", sizes, _make(signature, sizes)
    yield from _constants(signature, samples, sized(first, 1))
    real = first_rows(signature, samples, INVARIANCE_BATCH)
    if real is not None:
        yield "real", {**sample_sizes(signature, samples), BATCH: INVARIANCE_BATCH}, real


def seeded_inputs(signature: Signature, sizes: Mapping[str, int]) -> dict[str, SeededArray]:
    """Random inputs that a file stores as seeds; a smaller batch has the first rows of a larger one.

    The short matrix uses them, so that its reference outputs serve the golden samples too.
    """
    seed = 100 * sum(size for axis, size in sizes.items() if axis != BATCH)
    return {
        spec.name: seeded_array(
            spec.numpy_dtype.name, spec.shape(sizes), seed + index, _seeded_bounds(spec, sizes)
        )
        for index, spec in enumerate(signature.inputs)
    }


def _seeded_bounds(spec: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, int] | None:
    if spec.is_float:
        return None
    low, high = (0, 1) if spec.dtype == "bool" else bound(spec, sizes)
    return low, min(high, low + SPAN_LIMIT - 1)


def _make(signature: Signature, sizes: Mapping[str, int]) -> dict[str, Array]:
    return {name: array.make() for name, array in seeded_inputs(signature, sizes).items()}


def _length_choices(signature: Signature) -> list[dict[str, int]]:
    """Sizes of all axes except the batch: each length of each axis once, in different combinations."""
    lengths = {axis: axis_lengths(signature, axis) for axis in signature.dynamic_axes[1:]}
    starts = range(max(map(len, lengths.values()), default=1))
    return [
        {
            axis: known[(len(known) // 2 + start + place) % len(known)]
            for place, (axis, known) in enumerate(lengths.items())
        }
        for start in starts
    ]


def batch_sizes(signature: Signature, *, short: bool = False) -> tuple[int, ...]:
    """The batch sizes of the matrix: BATCHES without those that are too large for these inputs."""
    if short:
        return SHORT_BATCHES
    size = sample_size(signature)
    return tuple(batch for batch in BATCHES if batch <= SMALL_BATCH or batch * size <= MAX_ELEMENTS)


def axis_lengths(signature: Signature, axis: str) -> tuple[int, ...]:
    """The sizes of another axis than the batch: LENGTHS within the limits of the axis.

    If these are too few, as for the height of an image, the smallest sizes that the axis accepts.
    """
    lengths = dict.fromkeys(signature.clamp(axis, length) for length in LENGTHS)
    first, _, step = signature.limits.get(axis, NO_LIMITS)
    for size in (first, first + step, first + 2 * step):
        if len(lengths) < MIN_LENGTHS:
            lengths.setdefault(signature.clamp(axis, size))
    return tuple(lengths)


def is_heavy(signature: Signature, operations: int) -> bool:
    """Whether the complete matrix takes too long; `operations`: for one row at the largest lengths."""
    lengths = [axis_lengths(signature, axis) for axis in signature.dynamic_axes[1:]]
    shares = math.prod(sum(known) / max(known) for known in lengths)
    return operations * shares * sum(batch_sizes(signature)) > WORK


def largest_row(signature: Signature) -> dict[str, int]:
    """The sizes of one row at the largest lengths of the matrix."""
    axes = signature.dynamic_axes[1:]
    return {BATCH: 1} | {axis: max(axis_lengths(signature, axis)) for axis in axes}


def row_groups(*, short: bool) -> tuple[tuple[int, ...], ...]:
    """Which rows of an INVARIANCE_BATCH are run together, without the others."""
    return SHORT_GROUPS if short else tuple((row,) for row in range(INVARIANCE_BATCH))


def runs_twice(pattern: str, sizes: Mapping[str, int], *, short: bool) -> bool:
    """Whether a case is run a second time, which must give the same bits."""
    return not short or (pattern == "random" and sizes[BATCH] == 1)


def sample_size(signature: Signature) -> int:
    """How many elements the inputs of one row have, at the largest lengths of the matrix."""
    sizes = largest_row(signature)
    return sum(math.prod(spec.shape(sizes)) for spec in signature.inputs)


def sample_sizes(signature: Signature, samples: Mapping[str, Array]) -> dict[str, int]:
    """The sizes of the dynamic axes in the real samples."""
    shapes = {
        axis: size
        for spec in signature.inputs
        for axis, size in zip(spec.axes, samples[spec.name].shape, strict=True)
    }
    return {axis: shapes[axis] for axis in signature.dynamic_axes}


def first_rows(
    signature: Signature, samples: Mapping[str, Array], rows: int
) -> dict[str, Array] | None:
    """The first real samples at their own length; None if there are fewer."""
    if not samples:
        return None
    return _cut(signature, samples, {**sample_sizes(signature, samples), BATCH: rows})


def take_rows(
    specs: Iterable[TensorSpec], arrays: Mapping[str, Array], rows: Sequence[int] | Array
) -> dict[str, Array]:
    """Some rows of a batch, as a batch."""
    return {spec.name: np.take(arrays[spec.name], rows, spec.batch_axis) for spec in specs}


def _range(samples: Mapping[str, Array]) -> tuple[float, float]:
    floats = [array for array in samples.values() if array.dtype.kind == "f" and array.size]
    if not floats:
        return -3.0, 3.0  # of standard normal values
    return min(float(a.min()) for a in floats), max(float(a.max()) for a in floats)


def _cut(
    signature: Signature, samples: Mapping[str, Array], sizes: Mapping[str, int]
) -> dict[str, Array] | None:
    """The first rows and steps of the real samples; None if there are not that many."""
    cut = {}
    for spec in signature.inputs:
        if not samples:
            return None
        shape = spec.shape(sizes)
        if any(size > have for size, have in zip(shape, samples[spec.name].shape, strict=True)):
            return None
        array = samples[spec.name][tuple(slice(size) for size in shape)]
        if spec.bounds is not None:
            # a length is at most the number of steps that are left
            array = np.clip(array, *bound(spec, sizes))
        cut[spec.name] = np.ascontiguousarray(array)
    return cut


def _constants(
    signature: Signature, samples: Mapping[str, Array], sizes: dict[str, int]
) -> Iterator[MatrixEntry]:
    pairs = {"zeros": (0.0, 0.0), "ones": (1.0, 1.0), "extremes": _range(samples)}
    for pattern, pair in pairs.items():
        yield pattern, sizes, _constant(signature, sizes, *pair)


def _constant(
    signature: Signature, sizes: Mapping[str, int], low: float, high: float
) -> dict[str, Array]:
    """`low` and `high` in turn; for integers and bools the corresponding values."""
    inputs: dict[str, Any] = {}
    for spec in signature.inputs:
        shape = spec.shape(sizes)
        ends = (low, high) if spec.is_float else _integer_bounds(spec, sizes, low, high)
        flat = np.resize(np.asarray(ends, spec.numpy_dtype), math.prod(shape))
        inputs[spec.name] = flat.reshape(shape)
    return inputs


def _integer_bounds(
    spec: TensorSpec, sizes: Mapping[str, int], low: float, high: float
) -> tuple[int, int]:
    """For zeros the value nearest to 0; for ones the upper bound; otherwise both bounds."""
    first, last = (0, 1) if spec.dtype == "bool" else bound(spec, sizes)
    if low != high:
        return first, last
    constant = last if low else min(max(first, 0), last)
    return constant, constant
