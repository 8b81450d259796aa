"""One number in, one number out."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LinearModel(nn.Module):
    """y = w·x, plus b with a bias.

    >>> LinearModel()(torch.zeros(3, 1)).shape
    torch.Size([3, 1])
    """

    def __init__(self, *, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """`x`: float32 (batch, 1); returns float32 (batch, 1)."""
        y: Tensor = self.linear(x)
        return y


class LogisticRegression(nn.Module):
    """The probability sigmoid(w·x + b).

    >>> LogisticRegression()(torch.zeros(3, 1)).shape
    torch.Size([3, 1])
    """

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def forward(self, hours: Tensor) -> Tensor:
        """`hours`: float32 (batch, 1); returns probabilities, float32 (batch, 1)."""
        return torch.sigmoid(self.linear(hours))
