"""The tiny data sets, held against the words of their tutorials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ptx.trainers.data import Dataset, open_dataset


def opened(name: str) -> Dataset:
    return open_dataset(name, default=name, cache=Path("nowhere"))


@pytest.mark.parametrize("name", ["line", "three-points", "hours", "hello"])
def test_training_and_test_rows_are_the_same(name: str) -> None:
    data = opened(name)
    assert data.train is data.test
    assert open_dataset("bundled", default=name, cache=Path("nowhere")).sha256 == data.sha256


def test_line_is_two_x_with_the_tutorials_noise() -> None:
    data = opened("line")
    x, y = data.train.inputs["columns"], data.train.targets
    assert x.dtype == y.dtype == np.float32
    assert x.shape == y.shape == (101, 1)
    assert x[[0, 50, 100], 0].tolist() == [-1, 0, 1]
    with torch.random.fork_rng():
        torch.manual_seed(42)  # as the tutorial has it, line by line
        points = torch.linspace(-1, 1, 101)
        targets = 2 * points + torch.randn(points.size()) * 0.33
    np.testing.assert_allclose(x[:, 0], points.numpy(), atol=1e-7)
    np.testing.assert_allclose(y[:, 0], targets.numpy(), atol=1e-6)
    assert data.labels == ()


def test_three_points_are_on_y_equals_two_x() -> None:
    data = opened("three-points")
    assert data.train.inputs["columns"].tolist() == [[1], [2], [3]]
    assert data.train.targets.tolist() == [[2], [4], [6]]
    assert data.train.targets.dtype == np.float32


def test_three_hours_are_enough_to_pass() -> None:
    data = opened("hours")
    assert data.train.inputs["columns"].tolist() == [[1], [2], [3]]
    assert [data.labels[target] for target in data.train.targets] == ["fail", "fail", "pass"]


def test_hello_becomes_ohlol() -> None:
    data = opened("hello")
    for indices, word in ((data.train.inputs["sequence"], "hello"), (data.train.targets, "ohlol")):
        assert indices.shape == (1, 5)
        assert indices.dtype == np.int64
        assert "".join(data.labels[index] for index in indices[0]) == word


def test_opening_the_line_leaves_the_random_state_of_others_alone() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    opened("line")
    assert torch.equal(torch.get_rng_state(), before)
