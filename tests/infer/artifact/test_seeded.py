"""Arrays of a seed: the documented numbers, of every type, and never others."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ptx.infer.artifact.seeded import content_digest, seeded_array
from ptx.infer.errors import ArtifactError
from ptx.infer.signature import DTYPES

MASK = 2**32 - 1
# Of the first release: who changes these makes every golden sample of a seed fail.
FIRST = [0.6709305644035339, -0.7130322456359863, 1.1329386234283447]
FLOATS = "1c45ac6e6248daf8a6c4ab248563edb1ec37cc78e9a8058522cd691432779b70"
INTEGERS = "a1dba69b0738f18173a41b182c57985e2573ef4e6f5c113bb40f3e361e742996"


def mix(word: int) -> int:
    word = (word ^ word >> 16) * 0x85EBCA6B & MASK
    word = (word ^ word >> 13) * 0xC2B2AE35 & MASK
    return word ^ word >> 16


def word(seed: int, index: int) -> int:
    return mix((index + 1) * 0x9E3779B9 + mix(seed) & MASK)


def element(seed: int, index: int, bounds: tuple[int, int] | None) -> float:
    """An element as the module's docstring says it, in Python's own integers."""
    first, second = word(seed, 2 * index), word(seed, 2 * index + 1)
    if bounds is None:
        halves = (first >> 16) + (first & 0xFFFF) + (second >> 16) + (second & 0xFFFF)
        return (halves - 131070) / 37837
    share = (first * 2**21 + (second >> 11)) / 2**53
    return bounds[0] + math.floor(share * (bounds[1] - bounds[0] + 1))


@pytest.mark.parametrize("dtype", sorted(set(DTYPES.values())))
def test_the_numbers_are_those_that_are_documented(dtype: str) -> None:
    bounds = {"f": None, "b": (0, 1)}.get(np.dtype(dtype).kind, (3, 120))
    array = seeded_array(dtype, (3, 25000), 7, bounds).make()  # more than are made at once
    assert (array.dtype, array.shape) == (np.dtype(dtype), (3, 25000))
    for index in (0, 1, 65535, 65536, 74999):
        assert array.flat[index] == np.array(element(7, index, bounds)).astype(dtype)


def test_the_numbers_never_change() -> None:
    floats = seeded_array("float32", (2, 3), 7, None)
    assert floats.make()[0].tolist() == FIRST
    assert floats.sha256 == FLOATS
    assert seeded_array("int64", (4,), 2**32 - 1, (-(2**51), 2**31)).sha256 == INTEGERS


def test_floats_are_close_to_normal_and_of_all_digits() -> None:
    array = seeded_array("float64", (100_000,), 1, None).make()
    assert abs(array.mean()) < 0.02
    assert abs(array.std() - 1) < 0.02
    assert 3 < np.abs(array).max() < 3.47
    single = seeded_array("float32", (1000,), 1, None).make()
    assert (single != single.astype(np.float16)).mean() > 0.9  # a file that rounds them shows


def test_integers_reach_both_bounds() -> None:
    array = seeded_array("uint8", (10_000,), 1, (0, 255)).make()
    assert (array.min(), array.max()) == (0, 255)
    assert set(seeded_array("bool", (99,), 1, (0, 1)).make().tolist()) == {False, True}
    assert seeded_array("int32", (9,), 1, (5, 5)).make().tolist() == [5] * 9


def test_another_digest_is_refused() -> None:
    seeded = seeded_array("float32", (2, 3), 7, None)
    assert content_digest(seeded.make()) == seeded.sha256
    for other in (replace(seeded, seed=8), replace(seeded, sha256="0" * 64)):
        with pytest.raises(ArtifactError, match=r"seed [0-9]+ does not match its sha256") as caught:
            other.make()
        assert caught.value.code == "E-MANIFEST"
