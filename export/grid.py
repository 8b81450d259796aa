"""The inputs of the proof at export: several batch sizes crossed with several lengths.

None of them is only the traced size. There are real samples, random numbers, zeros, ones and the
extremes of what was seen.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ptx.infer.signature import BATCH, Array, Signature, TensorSpec, bound

BATCHES = (1, 2, 3, 7, 64)
LENGTHS = (1, 2, 14, 28, 40)
# Numbers in one case's inputs, at most, unless its batch is 7 or less: with 64 photographs of 224×224
# (9.6 million) the proof of a vision transformer would take an hour of one processor.
ELEMENTS = 2**20
ALWAYS = 7  # batches up to this one are never left out
ALONE = 3  # rows of the batches whose rows are also computed one by one


def grid(
    signature: Signature,
    samples: Mapping[str, Array],
    further_sizes: Sequence[Mapping[str, int]] = (),
) -> Iterable[tuple[str, dict[str, int], dict[str, Array]]]:
    """(fill, sizes, inputs) for each case; the last one is all real samples at their own length.

    `further_sizes` beside those of the grid (see `ptx.export.tracing`) take random inputs alone.
    """
    axes = signature.dynamic_axes
    batches = grid_batches(signature)
    choices = [batches if axis == BATCH else grid_lengths(signature, axis) for axis in axes]
    low, high = _range(samples)
    for seed, sizes in enumerate(
        dict(zip(axes, c, strict=True)) for c in itertools.product(*choices)
    ):
        real = _cut(signature, samples, sizes)
        if real is not None:
            yield "real", sizes, real
        yield "random", sizes, signature.example(sizes, seed=seed)
        if sizes[BATCH] in BATCHES[1::2]:  # zeros and the like need no more than a few batches
            for fill, pair in (
                ("zeros", (0.0, 0.0)),
                ("ones", (1.0, 1.0)),
                ("extremes", (low, high)),
            ):
                yield fill, sizes, _constant(signature, sizes, *pair)
    crossed = [*itertools.product(*choices)]
    for sizes in map(dict, further_sizes):
        if tuple(sizes[axis] for axis in axes) not in crossed:
            yield "random", sizes, signature.example(sizes)
    if samples:
        yield "real", own_sizes(signature, samples), dict(samples)


def grid_batches(signature: Signature) -> tuple[int, ...]:
    """The batch sizes of the grid: all of BATCHES but those that inputs of this size make too heavy."""
    size = sample_size(signature)
    return tuple(batch for batch in BATCHES if batch <= ALWAYS or batch * size <= ELEMENTS)


def grid_lengths(signature: Signature, axis: str) -> tuple[int, ...]:
    """The sizes of the grid of an axis that is not the batch: those of LENGTHS within its limits."""
    return tuple(dict.fromkeys(signature.clamp(axis, length) for length in LENGTHS))


def sample_size(signature: Signature) -> int:
    """How many numbers the inputs of one sample hold, at the largest lengths of the grid."""
    sizes = signature.equal_sizes(max(LENGTHS), batch=1)
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


def one_row(specs: Iterable[TensorSpec], arrays: Mapping[str, Array], row: int) -> dict[str, Array]:
    """One sample of a batch, as a batch of one."""
    return {spec.name: np.take(arrays[spec.name], [row], spec.batch_axis) for spec in specs}


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
