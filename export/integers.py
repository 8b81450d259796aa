"""Integers and bools in an output: they are equal, but where rounding alone decides between two.

The index of the largest of two scores that are as good as level may be either. Which places are such is
found out, not guessed: the network is answered in float64, in its own precision, and in float64 with
weights and inputs that are nudged by what rounding may do. Where all of these say the same a file must
say it too; at the other places it must say what one of them says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ptx.export.network_copy import copy_network
from ptx.infer.artifact.golden import Level
from ptx.infer.errors import AgreementError
from ptx.infer.replay import wrong_integers
from ptx.infer.signature import Array

# (seed, sign) of each nudge. Opposite ones come in pairs: whichever way two level scores lean, one of
# the pair turns them round, unless it moves both alike; the second pair is for that.
NUDGES = ((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0))
# Of the places of an output, over real and random inputs: where rounding decides about more of them
# there is nothing left that a file could be held to.
MOST_LEVEL = 0.25


def find_level(answers: Sequence[Array]) -> Level | None:
    """The places at which the answers differ, with all of them; None where they are the same."""
    first = answers[0]
    differ = np.zeros(first.shape, np.bool_)
    for other in answers[1:]:
        differ |= other != first
    places = np.flatnonzero(differ).astype(np.int64)
    if not places.size:
        return None
    return Level(places, np.stack([answer.reshape(-1)[places] for answer in answers]))


def check_integers(title: str, got: Array, exact: Array, level: Level | None) -> None:
    """Hold an output to what it must be; `title`: of whom, where and which it is.

    Raises:
        AgreementError: an integer is another one, where rounding does not decide.
    """
    wrong = wrong_integers(got, exact, level)
    if wrong.any():
        place = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise AgreementError(
            f"{title} differs in {int(wrong.sum()):,} of {got.size:,} places: {got[place]} at {place},"
            f" expected {exact[place]}; {got.dtype} numbers are equal, but where rounding decides"
        )


def nudged_networks(network: nn.Module, by: float) -> list[nn.Module]:
    """Copies whose float weights are each larger or smaller by that share."""
    copies = []
    for seed, sign in NUDGES:
        nudged = copy_network(network)
        weights = [weight for weight in nudged.state_dict().values() if weight.is_floating_point()]
        with torch.no_grad():
            for weight, factor in zip(weights, _factors(weights, by * sign, seed), strict=True):
                weight.mul_(factor)
        copies.append(nudged)
    return copies


def nudged_inputs(tensors: Sequence[Tensor], by: float) -> Iterator[list[Tensor]]:
    """The inputs of each nudged network; what is no float stays as it is."""
    for seed, sign in NUDGES:
        factors = _factors(tensors, by * sign, seed)
        yield [
            tensor * factor if tensor.is_floating_point() else tensor
            for tensor, factor in zip(tensors, factors, strict=True)
        ]


def _factors(tensors: Sequence[Tensor], by: float, seed: int) -> Iterator[Tensor]:
    """1 + by or 1 − by for each number, by the seed."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in tensors:
        signs = torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1
        factors = 1 + signs.double() * by
        yield factors.to(tensor.dtype) if tensor.is_floating_point() else factors
