"""The inputs of the proof at export: the test matrix.

None of them is only the traced size. There are real samples, random numbers, zeros, ones and the
extremes of what was seen.

| | complete | short |
|---|---|---|
| networks | random cases of up to WORK operations | the others |
| random | all batches × all lengths | 3 rows, these as 1 and 2 rows; each length once |
| real | as random, and all samples | 3 rows, and all samples |
| zeros, ones, extremes | the 2nd and 4th batch × all lengths | one row |
| rows of 3 apart from each other | each alone | the first alone, the others together |
| run twice, to the same bits | all | random, one row |
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ptx.infer.artifact.seeded import SPAN_LIMIT, SeededArray, seeded_array
from ptx.infer.signature import BATCH, Array, Signature, TensorSpec, bound

BATCHES = (1, 2, 3, 7, 64)
LENGTHS = (1, 2, 14, 28, 40)
# Numbers in one case's inputs, at most, unless its batch is 7 or less: with 64 photographs of 224×224
# (9.6 million) the proof of a vision transformer would take an hour of one processor.
ELEMENTS = 2**20
ALWAYS = 7  # batches up to this one are never left out
ALONE = 3  # rows of the batches whose rows are also computed apart from each other
SHORT_BATCHES = (1, 2, ALONE)
SHORT_APART = (
    (0,),
    (1, 2),
)  # of the rows of a batch of ALONE: the short matrix has these as batches
# Additions and multiplications in the random cases of a complete matrix, at most: beyond it the runs of
# the matrix take longer than the export itself.
WORK = 2**33

GridCase = tuple[str, dict[str, int], dict[str, Array]]


def grid(
    signature: Signature,
    samples: Mapping[str, Array],
    further_sizes: Sequence[Mapping[str, int]] = (),
    *,
    short: bool = False,
) -> Iterable[GridCase]:
    """(fill, sizes, inputs) for each case; the last one is all real samples at their own length.

    `further_sizes` beside those of the matrix (see `ptx.export.tracing`) take random inputs alone.
    """
    done = []
    for case in (_short if short else _complete)(signature, samples):
        done.append(case[1])
        yield case
    for sizes in map(dict, further_sizes):
        if sizes not in done:
            yield "random", sizes, signature.example(sizes)
    if samples:
        yield "real", own_sizes(signature, samples), dict(samples)


def _complete(signature: Signature, samples: Mapping[str, Array]) -> Iterator[GridCase]:
    axes = signature.dynamic_axes
    batches = grid_batches(signature)
    choices = [batches if axis == BATCH else grid_lengths(signature, axis) for axis in axes]
    for seed, sizes in enumerate(
        dict(zip(axes, c, strict=True)) for c in itertools.product(*choices)
    ):
        real = _cut(signature, samples, sizes)
        if real is not None:
            yield "real", sizes, real
        yield "random", sizes, signature.example(sizes, seed=seed)
        if sizes[BATCH] in BATCHES[1::2]:  # zeros and the like need no more than a few batches
            yield from _constants(signature, samples, sizes)


def _short(signature: Signature, samples: Mapping[str, Array]) -> Iterator[GridCase]:
    def sized(lengths: Mapping[str, int], batch: int) -> dict[str, int]:
        return {axis: {**lengths, BATCH: batch}[axis] for axis in signature.dynamic_axes}

    first, *others = _length_choices(signature)
    batch = _make(signature, sized(first, ALONE))
    yield "random", sized(first, ALONE), batch
    for rows in SHORT_APART:
        yield "random", sized(first, len(rows)), take_rows(signature.inputs, batch, rows)
    for place, lengths in enumerate(others, 1):
        sizes = sized(lengths, SHORT_BATCHES[place % len(SHORT_BATCHES)])
        yield "random", sizes, _make(signature, sizes)
    yield from _constants(signature, samples, sized(first, 1))
    real = first_rows(signature, samples, ALONE)
    if real is not None:
        yield "real", {**own_sizes(signature, samples), BATCH: ALONE}, real


def seeded_inputs(signature: Signature, sizes: Mapping[str, int]) -> dict[str, SeededArray]:
    """Random inputs that a file stores as seeds; of other batches at the same lengths the first rows.

    The short matrix runs over these, so that what is answered there serves the golden samples too.
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
    """Sizes of the axes but the batch: each length of each axis once, other ones at a time."""
    lengths = {axis: grid_lengths(signature, axis) for axis in signature.dynamic_axes[1:]}
    starts = range(max(map(len, lengths.values()), default=1))
    return [
        {
            axis: known[(len(known) // 2 + start + place) % len(known)]
            for place, (axis, known) in enumerate(lengths.items())
        }
        for start in starts
    ]


def grid_batches(signature: Signature, *, short: bool = False) -> tuple[int, ...]:
    """The batch sizes of the grid: all of BATCHES but those that inputs of this size make too heavy."""
    if short:
        return SHORT_BATCHES
    size = sample_size(signature)
    return tuple(batch for batch in BATCHES if batch <= ALWAYS or batch * size <= ELEMENTS)


def grid_lengths(signature: Signature, axis: str) -> tuple[int, ...]:
    """The sizes of the grid of an axis that is not the batch: those of LENGTHS within its limits."""
    return tuple(dict.fromkeys(signature.clamp(axis, length) for length in LENGTHS))


def is_heavy(signature: Signature, operations: int) -> bool:
    """Whether the complete matrix takes too long; `operations`: of one row at the largest lengths."""
    lengths = [grid_lengths(signature, axis) for axis in signature.dynamic_axes[1:]]
    shares = math.prod(sum(known) / max(known) for known in lengths)
    return operations * shares * sum(grid_batches(signature)) > WORK


def largest_row(signature: Signature) -> dict[str, int]:
    """The sizes of one row at the largest lengths of the grid."""
    return signature.equal_sizes(max(LENGTHS), batch=1)


def apart(*, short: bool) -> tuple[tuple[int, ...], ...]:
    """Which rows of a batch of ALONE are computed together, apart from the others."""
    return SHORT_APART if short else tuple((row,) for row in range(ALONE))


def runs_twice(fill: str, sizes: Mapping[str, int], *, short: bool) -> bool:
    """Whether a case is run a second time, which must give the same bits."""
    return not short or (fill == "random" and sizes[BATCH] == 1)


def sample_size(signature: Signature) -> int:
    """How many numbers the inputs of one sample hold, at the largest lengths of the grid."""
    sizes = largest_row(signature)
    return sum(math.prod(spec.shape(sizes)) for spec in signature.inputs)


def own_sizes(signature: Signature, samples: Mapping[str, Array]) -> dict[str, int]:
    """The sizes of the dynamic axes that the real samples have."""
    shapes = {
        axis: size
        for spec in signature.inputs
        for axis, size in zip(spec.axes, samples[spec.name].shape, strict=True)
    }
    return {axis: shapes[axis] for axis in signature.dynamic_axes}


def first_rows(
    signature: Signature, samples: Mapping[str, Array], rows: int
) -> dict[str, Array] | None:
    """The first real samples at their own length; None where there are fewer."""
    if not samples:
        return None
    return _cut(signature, samples, {**own_sizes(signature, samples), BATCH: rows})


def take_rows(
    specs: Iterable[TensorSpec], arrays: Mapping[str, Array], rows: Sequence[int]
) -> dict[str, Array]:
    """Some samples of a batch, as a batch of their own."""
    return {spec.name: np.take(arrays[spec.name], rows, spec.batch_axis) for spec in specs}


def _range(samples: Mapping[str, Array]) -> tuple[float, float]:
    floats = [array for array in samples.values() if array.dtype.kind == "f" and array.size]
    if not floats:
        return -3.0, 3.0  # of standard normal numbers
    return min(float(a.min()) for a in floats), max(float(a.max()) for a in floats)


def _cut(
    signature: Signature, samples: Mapping[str, Array], sizes: Mapping[str, int]
) -> dict[str, Array] | None:
    """The first rows and steps of the real samples; None where they are not that many."""
    cut = {}
    for spec in signature.inputs:
        if not samples:
            return None
        shape = spec.shape(sizes)
        if any(size > have for size, have in zip(shape, samples[spec.name].shape, strict=True)):
            return None
        array = samples[spec.name][tuple(slice(size) for size in shape)]
        if spec.bounds is not None:
            array = np.clip(array, *bound(spec, sizes))  # a length is at most what is left
        cut[spec.name] = np.ascontiguousarray(array)
    return cut


def _constants(
    signature: Signature, samples: Mapping[str, Array], sizes: dict[str, int]
) -> Iterator[GridCase]:
    pairs = {"zeros": (0.0, 0.0), "ones": (1.0, 1.0), "extremes": _range(samples)}
    for fill, pair in pairs.items():
        yield fill, sizes, _constant(signature, sizes, *pair)


def _constant(
    signature: Signature, sizes: Mapping[str, int], low: float, high: float
) -> dict[str, Array]:
    """`low` and `high` in turn; of integers and bools what stands for these."""
    inputs: dict[str, Any] = {}
    for spec in signature.inputs:
        shape = spec.shape(sizes)
        ends = (low, high) if spec.is_float else _whole_ends(spec, sizes, low, high)
        flat = np.resize(np.asarray(ends, spec.numpy_dtype), math.prod(shape))
        inputs[spec.name] = flat.reshape(shape)
    return inputs


def _whole_ends(
    spec: TensorSpec, sizes: Mapping[str, int], low: float, high: float
) -> tuple[int, int]:
    """For zeros 0, or what is nearest to it in the range; for ones its upper end; else both ends."""
    first, last = (0, 1) if spec.dtype == "bool" else bound(spec, sizes)
    if low != high:
        return first, last
    alike = last if low else min(max(first, 0), last)
    return alike, alike
