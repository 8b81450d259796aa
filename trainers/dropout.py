"""Dropout of one half from single random bits, in a tenth of the time on the CPU.

PyTorch's CPU generator draws a number for each element, on one processor: a fifth of an epoch of the
ConvNet. Here 64 random bits make eight elements of the mask. The distribution is that of `nn.Dropout`;
the masks that a seed gives are others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class HalfDropout(nn.Module):
    """`nn.Dropout(0.5)`: in training each element is 0 or twice itself, each with probability 1/2."""

    def forward(self, values: Tensor) -> Tensor:
        """`values`: any shape; returns the same."""
        if not self.training:
            return values
        return values * _noise(values)


def use_bits(network: nn.Module, device: str) -> None:
    """Replace the dropouts of one half in a network that is to be trained on the CPU."""
    if device != "cpu":
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout and child.p == 0.5:
                setattr(module, name, HalfDropout())


def _noise(values: Tensor) -> Tensor:
    """0 or 2 for each element, in the layout of `values`."""
    count = values.numel()
    # The lowest bit of each byte; the highest bit of an int64 from `random_` is always 0.
    draws = torch.empty((count + 7) // 8, dtype=torch.int64).random_().view(torch.uint8)
    mask = draws[:count].bitwise_and_(1).bitwise_left_shift_(1)
    if values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last):
        return mask.as_strided(values.shape, values.stride())
    return mask.view(values.shape)
