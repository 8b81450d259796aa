"""Each loss against its formula in NumPy, in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ptx.trainers.recipe import LOSSES

Array = NDArray[np.float64]
GENERATOR = np.random.default_rng(7)
ROWS = 13


def squares(outputs: Array, targets: Array) -> Array:
    return np.asarray((outputs - targets)[:, 0] ** 2)


def bernoulli(outputs: Array, targets: Array) -> Array:
    return np.asarray(-np.log(np.where(targets == 1, outputs[:, 0], 1 - outputs[:, 0])))


def surprise(outputs: Array, targets: Array) -> Array:
    """Of each step, or of each row where a row is one step."""
    logits = outputs.reshape(-1, outputs.shape[-1])
    normaliser = np.log(np.exp(logits).sum(axis=1))
    return np.asarray(normaliser - logits[np.arange(len(logits)), targets.astype(int).ravel()])


NUMBERS = (GENERATOR.normal(size=(ROWS, 1)), GENERATOR.normal(size=(ROWS, 1)))
PROBABILITIES = (GENERATOR.uniform(0.01, 0.99, (ROWS, 1)), GENERATOR.integers(0, 2, ROWS))
LOGITS = (GENERATOR.normal(size=(ROWS, 10)), GENERATOR.integers(0, 10, ROWS))
STEPS = (GENERATOR.normal(size=(ROWS, 5, 4)), GENERATOR.integers(0, 4, (ROWS, 5)))


@pytest.mark.parametrize(
    ("name", "case", "terms", "reduce"),
    [
        ("mse-mean", NUMBERS, squares, np.mean),
        ("mse-sum", NUMBERS, squares, np.sum),
        ("bce-mean", PROBABILITIES, bernoulli, np.mean),
        ("bce-sum", PROBABILITIES, bernoulli, np.sum),
        ("cross-entropy", LOGITS, surprise, np.mean),
        ("cross-entropy", STEPS, surprise, np.mean),
    ],
)
def test_a_loss_is_its_formula(
    name: str,
    case: tuple[Array, Array],
    terms: Callable[[Array, Array], Array],
    reduce: Callable[[Array], float],
) -> None:
    outputs, targets = case
    expected = reduce(terms(outputs, targets))
    computed = LOSSES[name].compute(torch.from_numpy(outputs), torch.from_numpy(targets))
    assert computed.shape == ()
    assert float(computed) == pytest.approx(expected, rel=1e-12)


def test_the_summed_losses_are_known_as_such() -> None:
    assert {name for name, loss in LOSSES.items() if loss.summed} == {"mse-sum", "bce-sum"}


def test_probabilities_of_0_and_1_give_a_finite_loss() -> None:
    outputs, targets = torch.tensor([[0.0], [1.0]]), torch.tensor([1, 0])
    assert float(LOSSES["bce-mean"].compute(outputs, targets)) == 100.0  # torch's cap of the log
