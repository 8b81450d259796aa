"""Large arrays of which a file stores a few elements, and checksums of all.

The elements are held one by one. A checksum is the sum of a block of the flat array, each element with
a sign that a seed gives, so that exchanged elements show as well. It may be off by what its elements
may be off together. So any difference shows that is large compared with what rounding does in its block.
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
        shape: Of the entire array.
        indices: int64 (elements,), ascending, in the flat array.
        values: (elements,), in the array's type.
        checksums: float64 (blocks,).
        slack: float64 (blocks,): by how much each checksum may be off.
    """

    shape: tuple[int, ...]
    indices: Array
    values: Array
    checksums: Array
    slack: Array

    @property
    def size(self) -> int:
        """How many elements the entire array has."""
        return math.prod(self.shape)

    def take(self, array: Array) -> Array:
        """(elements,): those elements of another array of this shape."""
        taken: Array = array.reshape(-1)[self.indices]
        return taken

    def wrong_blocks(self, array: Array) -> Array:
        """bool (blocks,): where another array of this shape has another checksum.

        The order in which a block is added up may differ by language; what that may change is allowed.
        """
        sums, rounding = checksums(array, self.checksums.size)
        close = np.abs(sums - self.checksums) <= self.slack + rounding
        wrong: Array = ~(close & np.isfinite(sums))  # the rounding of an infinity has no limit
        return wrong


def checksums(array: Array, blocks: int) -> tuple[Array, Array]:
    """float64 (blocks,), twice: the checksums, and how far another order of addition may be off."""
    flat = array.reshape(-1)
    edges = block_edges(flat.size, blocks)
    sums, rounding = np.zeros((2, blocks))
    for block, (start, stop) in enumerate(pairwise(edges)):
        part = flat[start:stop].astype(np.float64)
        signs = random_words(SIGN_SEED, start, stop - start) >> np.uint32(31)
        sums[block] = np.where(signs, -part, part).sum()
        rounding[block] = part.size * _EPSILON * np.abs(part).sum()
    return sums, rounding


def block_edges(size: int, blocks: int) -> list[int]:
    """Where the blocks of a flat array of that size begin and end."""
    return [size * block // blocks for block in range(blocks + 1)]
