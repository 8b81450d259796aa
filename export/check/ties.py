"""Integer and boolean outputs: equal to the reference, except where rounding alone decides (ties).

If two scores are almost equal, the index of the largest may be either. Such positions are found by
running the network in float64, in its own precision, and in float64 with weights and inputs perturbed by
as much as rounding may change them. Where all runs agree, a file must agree too; elsewhere it must give
the value of one of the runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ptx.export.network_copy import copy_network
from ptx.infer.artifact.golden import Ties
from ptx.infer.errors import AgreementError
from ptx.infer.replay import wrong_integers
from ptx.infer.signature import Array

# (seed, sign) of each perturbation. Opposite signs come in pairs: one of a pair reverses a tie, unless
# it moves both scores alike; the second pair is for that.
PERTURBATIONS = ((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0))
# Of an output's positions over real and random inputs: with more ties there is nothing left to check.
MAX_TIED_FRACTION = 0.25


def find_ties(runs: Sequence[Array]) -> Ties | None:
    """The positions at which the runs differ, with the values of all; None if they are the same."""
    first = runs[0]
    differ = np.zeros(first.shape, np.bool_)
    for other in runs[1:]:
        differ |= other != first
    places = np.flatnonzero(differ).astype(np.int64)
    if not places.size:
        return None
    return Ties(places, np.stack([run.reshape(-1)[places] for run in runs]))


def assert_integers(title: str, got: Array, exact: Array, ties: Ties | None) -> None:
    """Check an integer output; `title`: backend, case and output in the message.

    Raises:
        AgreementError: an integer differs, and rounding does not decide there.
    """
    wrong = wrong_integers(got, exact, ties)
    if wrong.any():
        place = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise AgreementError(
            f"{title} differs in {int(wrong.sum()):,} of {got.size:,} places: {got[place]} at {place},"
            f" expected {exact[place]}; {got.dtype} outputs must be equal unless rounding decides"
        )


def perturbed_networks(network: nn.Module, by: float) -> list[nn.Module]:
    """Copies whose float weights are each larger or smaller by the relative amount `by`."""
    copies = []
    for seed, sign in PERTURBATIONS:
        perturbed = copy_network(network)
        weights = [w for w in perturbed.state_dict().values() if w.is_floating_point()]
        with torch.no_grad():
            for weight, factor in zip(weights, _factors(weights, by * sign, seed), strict=True):
                weight.mul_(factor)
        copies.append(perturbed)
    return copies


def perturbed_inputs(tensors: Sequence[Tensor], by: float) -> Iterator[list[Tensor]]:
    """The inputs for each perturbed network; integers stay as they are."""
    for seed, sign in PERTURBATIONS:
        factors = _factors(tensors, by * sign, seed)
        yield [
            tensor * factor if tensor.is_floating_point() else tensor
            for tensor, factor in zip(tensors, factors, strict=True)
        ]


def _factors(tensors: Sequence[Tensor], by: float, seed: int) -> Iterator[Tensor]:
    """1 + by or 1 − by for each number, at random."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in tensors:
        signs = torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1
        factors = 1 + signs.double() * by
        yield factors.to(tensor.dtype) if tensor.is_floating_point() else factors
