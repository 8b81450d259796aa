"""A small network of Inception blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class InceptionA(nn.Module):
    """Four parallel branches, concatenated along the channels: 16 + 24 + 24 + 24 = 88.

    Source: Szegedy et al., "Going deeper with convolutions" (2014), with the two 3×3 convolutions of
    Inception v2 in the third branch.

    >>> InceptionA(10)(torch.zeros(2, 10, 12, 12)).shape
    torch.Size([2, 88, 12, 12])
    """

    CHANNELS = 88

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pointwise = nn.Conv2d(channels, 16, kernel_size=1)
        self.wide = nn.Sequential(
            nn.Conv2d(channels, 16, kernel_size=1),
            nn.Conv2d(16, 24, kernel_size=5, padding=2),
        )
        self.deep = nn.Sequential(
            nn.Conv2d(channels, 16, kernel_size=1),
            nn.Conv2d(16, 24, kernel_size=3, padding=1),
            nn.Conv2d(24, 24, kernel_size=3, padding=1),
        )
        self.pooled = nn.Sequential(
            nn.AvgPool2d(kernel_size=3, stride=1, padding=1),
            nn.Conv2d(channels, 24, kernel_size=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """`features`: float32 (batch, channels, height, width); returns the same with 88 channels."""
        branches = [
            branch(features) for branch in (self.pointwise, self.wide, self.deep, self.pooled)
        ]
        return torch.cat(branches, dim=1)


class Inception(nn.Module):
    """Convolution, Inception block, convolution, Inception block, and one linear layer.

    >>> Inception()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 10, kernel_size=5)
        self.first_block = InceptionA(10)
        self.second = nn.Conv2d(InceptionA.CHANNELS, 20, kernel_size=5)
        self.second_block = InceptionA(20)
        self.classifier = nn.Linear(1408, classes)

    def forward(self, image: Tensor) -> Tensor:
        """`image`: float32 (batch, 1, 28, 28); returns logits, float32 (batch, classes)."""
        features = functional.relu(functional.max_pool2d(self.first(image), 2))
        features = self.first_block(features)
        features = functional.relu(functional.max_pool2d(self.second(features), 2))
        features = self.second_block(features)
        logits: Tensor = self.classifier(features.flatten(1))
        return logits
