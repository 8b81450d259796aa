"""Outputs of which some elements are stored: the checksums see the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ptx.infer.artifact.sampled import SampledArray, block_edges, checksums
from ptx.infer.signature import Array

EXACT = np.random.default_rng(0).normal(size=(2, 3, 50, 40))
BLOCKS = 40


def sampled(array: Array, allowed: float) -> SampledArray:
    sums, _ = checksums(array, BLOCKS)
    edges = np.array(block_edges(array.size, BLOCKS))
    indices = np.array([0, array.size - 1])
    values = array.reshape(-1)[indices]
    return SampledArray(array.shape, indices, values, sums, np.diff(edges) * allowed)


def test_what_each_element_may_be_off_by_passes() -> None:
    stored = sampled(EXACT, 1e-6)
    off = np.random.default_rng(1).choice([-1e-6, 1e-6], EXACT.shape)
    assert not stored.wrong_blocks(EXACT + off).any()
    assert not stored.wrong_blocks(EXACT.astype(np.float32)).any()
    assert stored.take(EXACT).tolist() == [EXACT.flat[0], EXACT.flat[-1]]


def one_element(array: Array) -> Array:
    array[1, 2, 10, 10] += 0.01
    return array


@pytest.mark.parametrize(
    "change",
    [
        one_element,
        lambda array: np.roll(array, 1, axis=3),
        lambda array: array[:, ::-1],
        lambda array: np.flip(array, 2),
        lambda array: np.where(array == array.max(), np.nan, array),
        lambda array: np.where(array == array.max(), np.inf, array),
    ],
)
def test_other_elements_have_other_checksums(change: Callable[[Array], Array]) -> None:
    assert sampled(EXACT, 1e-6).wrong_blocks(change(EXACT.copy())).any()


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
def test_of_integers_one_that_differs_shows(dtype: str) -> None:
    labels = (np.abs(EXACT) * 2).astype(dtype)
    stored = sampled(labels, 0.0)
    assert not stored.wrong_blocks(labels).any()
    for index in (0, 5000, labels.size - 1):
        other = labels.copy()
        other.flat[index] = other.flat[index] == 0
        assert stored.wrong_blocks(other).sum() == 1


def test_blocks_cover_all_elements_once() -> None:
    assert block_edges(10, 4) == [0, 2, 5, 7, 10]
    ones = np.ones(10)
    signs = [checksums(np.where(np.arange(10) == place, ones, 0.0), 4)[0] for place in range(10)]
    assert np.abs(signs).sum() == 10  # each element is in one block
    assert {-1.0, 1.0} <= set(np.sum(signs, axis=1))
