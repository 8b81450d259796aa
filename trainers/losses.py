"""The documented losses, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional


class Loss(NamedTuple):
    """What an optimiser makes small."""

    compute: Callable[[Tensor, Tensor], Tensor]  # (outputs, targets) → ()
    summed: bool = False  # over the rows of a batch; else their mean


def mse_mean(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean of the squared differences; both float (batch, 1)."""
    return functional.mse_loss(outputs, targets)


def mse_sum(outputs: Tensor, targets: Tensor) -> Tensor:
    """Sum of the squared differences; both float (batch, 1)."""
    return functional.mse_loss(outputs, targets, reduction="sum")


def bce_mean(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy; probabilities (batch, 1) against classes 0 or 1 (batch,)."""
    return functional.binary_cross_entropy(outputs[:, 0], targets.to(outputs.dtype))


def bce_sum(outputs: Tensor, targets: Tensor) -> Tensor:
    """Summed binary cross-entropy; probabilities (batch, 1) against classes 0 or 1 (batch,)."""
    return functional.binary_cross_entropy(
        outputs[:, 0], targets.to(outputs.dtype), reduction="sum"
    )


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy; logits (batch, ..., classes) against class indices (batch, ...)."""
    return functional.cross_entropy(outputs.flatten(0, -2), targets.flatten())


LOSSES: dict[str, Loss] = {
    "mse-mean": Loss(mse_mean),
    "mse-sum": Loss(mse_sum, summed=True),
    "bce-mean": Loss(bce_mean),
    "bce-sum": Loss(bce_sum, summed=True),
    "cross-entropy": Loss(cross_entropy),
}
