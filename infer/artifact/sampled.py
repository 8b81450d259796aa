"""Large arrays of which a file stores a few elements, and checksums of all.

The stored elements are compared one by one. A checksum is the sum of a block of the flat array, in which
each element has a pseudo-random sign, so that exchanged elements change it too. Its tolerance is the sum
of the tolerances of the elements. So an error is found if it is large compared with the rounding errors
of its block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ptx.infer.artifact.seeded import random_words
from ptx.infer.signature import Array

SIGN_SEED = 0
_EPSILON = 2.0**-52


@dataclass(frozen=True)
class SampledArray:
    """Some elements of an array, and checksums of it.

    Attributes:
        shape: The shape of the entire array.
        indices: int64 (elements,), ascending: positions in the flat array.
        values: (elements,), with the dtype of the array.
        checksums: float64 (blocks,).
        slack: float64 (blocks,): the tolerance of each checksum.
    """

    shape: tuple[int, ...]
    indices: Array
    values: Array
    checksums: Array
    slack: Array

    @property
    def size(self) -> int:
        """The number of elements of the entire array."""
        return math.prod(self.shape)

    def take(self, array: Array) -> Array:
        """(elements,): the same elements of another array of this shape."""
        taken: Array = array.reshape(-1)[self.indices]
        return taken

    def wrong_blocks(self, array: Array) -> Array:
        """bool (blocks,): where the checksum of another array of this shape is wrong.

        The tolerance includes the effect of the order of summation, which may differ by language.
        """
        sums, rounding = checksums(array, self.checksums.size)
        close = np.abs(sums - self.checksums) <= self.slack + rounding
        wrong: Array = ~(close & np.isfinite(sums))  # the tolerance of an infinite sum is infinite
        return wrong


def checksums(array: Array, blocks: int) -> tuple[Array, Array]:
    """The checksums, and their rounding error in any order of summation: float64 (blocks,) each."""
    flat = array.reshape(-1)
    edges = block_edges(flat.size, blocks)
    sums, rounding = np.zeros((2, blocks))
    for block, (start, stop) in enumerate(pairwise(edges)):
        elements = flat[start:stop].astype(np.float64)
        negative = random_words(SIGN_SEED, start, stop - start) >> np.uint32(31)
        sums[block] = np.where(negative, -elements, elements).sum()
        rounding[block] = elements.size * _EPSILON * np.abs(elements).sum()
    return sums, rounding


def block_edges(size: int, blocks: int) -> list[int]:
    """The boundaries of the blocks of a flat array: `blocks` + 1 positions from 0 to `size`."""
    return [size * block // blocks for block in range(blocks + 1)]
