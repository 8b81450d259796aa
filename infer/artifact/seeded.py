"""Random arrays that are generated from a seed instead of being stored, identical on every machine.

The numbers depend on neither NumPy's generators nor any mathematical function, only on 32-bit integers
and on the rounding of IEEE 754, so that any language can generate them:

    mix(h):   h ^= h >> 16;  h *= 0x85EBCA6B;  h ^= h >> 13;  h *= 0xC2B2AE35;  h ^= h >> 16
    word(k) = mix((k + 1) * 0x9E3779B9 + mix(seed))               all of this modulo 2^32

Element i of an array in C order takes a = word(2i) and b = word(2i + 1):

    floats:    ((a >> 16) + (a & 0xFFFF) + (b >> 16) + (b & 0xFFFF) - 131070) / 37837, divided in
               float64, rounded to the array's type: close to normal, within ±3.47
    integers:  low + floor((a * 2^21 + (b >> 11)) / 2^53 * (high - low + 1)), in float64 but for low

The mixing function is the finalizer of MurmurHash3, the sequence that of SplitMix with 32 bits.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from ptx.infer.errors import ArtifactError
from ptx.infer.signature import Array

SEEDED_LIMIT = (
    2**30
)  # maximum bytes of one sample's arrays: what a file can make `ptx verify` allocate
SPAN_LIMIT = 2**53  # maximum number of integers within the bounds: all are exact in float64
_CHUNK = 2**16  # elements that are generated at once
_GOLDEN = 0x9E3779B9


@dataclass(frozen=True)
class SeededArray:
    """An array that is generated from a seed.

    Attributes:
        dtype: NumPy's name of the dtype.
        bounds: Minimum and maximum of integers and bools, both included; None for floats.
        sha256: Digest of the little-endian content in C order.
    """

    dtype: str
    shape: tuple[int, ...]
    seed: int
    bounds: tuple[int, int] | None
    sha256: str

    @property
    def nbytes(self) -> int:
        """The size of the array in bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def make(self) -> Array:
        """Generate the array.

        Raises:
            ArtifactError: E-MANIFEST: the generated array has another digest.
        """
        array = _make(self.dtype, self.shape, self.seed, self.bounds)
        if content_digest(array) != self.sha256:
            raise ArtifactError(
                f"the array of seed {self.seed} does not match its sha256 in the manifest: the seed,"
                " the bounds or the digest has changed; export or download it again",
                code="E-MANIFEST",
            )
        return array


def seeded_array(
    dtype: str, shape: tuple[int, ...], seed: int, bounds: tuple[int, int] | None
) -> SeededArray:
    """Generate an array to compute its digest; `bounds` as in `SeededArray`."""
    digest = content_digest(_make(dtype, shape, seed, bounds))
    return SeededArray(dtype, shape, seed, bounds, digest)


def content_digest(array: Array) -> str:
    """The sha256 of an array's little-endian content in C order."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data).hexdigest()


def random_words(seed: int, start: int, count: int) -> Array:
    """uint32 (count,): the words of a seed, from index `start` on."""
    counters = np.arange(start + 1, start + count + 1, dtype=np.uint32)
    return _mix(counters * np.uint32(_GOLDEN) + _mix(np.array([seed], np.uint32)))


def _mix(words: Array) -> Array:
    words = (words ^ (words >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    words = (words ^ (words >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    words ^= words >> np.uint32(16)
    return words


def _make(dtype: str, shape: tuple[int, ...], seed: int, bounds: tuple[int, int] | None) -> Array:
    array = np.empty(math.prod(shape), dtype)
    for start in range(0, array.size, _CHUNK):
        chunk = array[start : start + _CHUNK]
        first, second = random_words(seed, 2 * start, 2 * chunk.size).reshape(-1, 2).T
        chunk[:] = _floats(first, second) if bounds is None else _integers(first, second, *bounds)
    return array.reshape(shape)


def _floats(first: Array, second: Array) -> Array:
    halves = (first >> np.uint32(16)) + (first & np.uint32(0xFFFF))
    halves += (second >> np.uint32(16)) + (second & np.uint32(0xFFFF))
    floats: Array = (halves.astype(np.int64) - 131070) / 37837
    return floats


def _integers(first: Array, second: Array, low: int, high: int) -> Array:
    uniform = (first * 2.0**21 + (second >> np.uint32(11))) / 2.0**53  # in [0, 1)
    return low + np.floor(uniform * (high - low + 1)).astype(np.int64)
