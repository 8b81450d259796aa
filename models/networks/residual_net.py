"""A small network of residual blocks."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions whose result is added to their input.

    Source: He et al., "Deep residual learning for image recognition" (2015).

    >>> ResidualBlock(16)(torch.zeros(2, 16, 12, 12)).shape
    torch.Size([2, 16, 12, 12])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.second = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """`features`: float32 (batch, channels, height, width); returns the same shape."""
        residual = self.second(functional.relu(self.first(features)))
        return functional.relu(features + residual)


class ResidualNet(nn.Module):
    """Convolution, residual block, convolution, residual block, and one linear layer.

    >>> ResidualNet()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, kernel_size=5)
        self.first_block = ResidualBlock(16)
        self.second = nn.Conv2d(16, 32, kernel_size=5)
        self.second_block = ResidualBlock(32)
        self.classifier = nn.Linear(512, classes)

    def forward(self, image: Tensor) -> Tensor:
        """`image`: float32 (batch, 1, 28, 28); returns logits, float32 (batch, classes)."""
        features = functional.max_pool2d(functional.relu(self.first(image)), 2)
        features = self.first_block(features)
        features = functional.max_pool2d(functional.relu(self.second(features)), 2)
        features = self.second_block(features)
        logits: Tensor = self.classifier(features.flatten(1))
        return logits
