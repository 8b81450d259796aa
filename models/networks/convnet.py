"""Convolutional networks without branches."""

from __future__ import annotations

from torch import Tensor, nn


class ConvNet(nn.Module):
    """Two convolutions with pooling, then two linear layers, with dropout in both parts.

    >>> ConvNet()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 10, kernel_size=5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(10, 20, kernel_size=5),
            nn.Dropout(),
            nn.MaxPool2d(2),
            nn.ReLU(),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(320, 50),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(50, classes),
        )

    def forward(self, image: Tensor) -> Tensor:
        """`image`: float32 (batch, 1, 28, 28); returns logits, float32 (batch, classes)."""
        logits: Tensor = self.classifier(self.features(image))
        return logits


class DeepConvNet(nn.Module):
    """Two padded 3×3 convolutions with pooling, then a wide hidden layer with dropout.

    >>> DeepConvNet()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(3136, 512),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(512, classes),
        )

    def forward(self, image: Tensor) -> Tensor:
        """`image`: float32 (batch, 1, 28, 28); returns logits, float32 (batch, classes)."""
        logits: Tensor = self.classifier(self.features(image))
        return logits


class BasicCNN(nn.Module):
    """Two convolutions with pooling and one linear layer.

    >>> BasicCNN()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 10, kernel_size=5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(10, 20, kernel_size=5),
            nn.MaxPool2d(2),
            nn.ReLU(),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(320, classes))

    def forward(self, image: Tensor) -> Tensor:
        """`image`: float32 (batch, 1, 28, 28); returns logits, float32 (batch, classes)."""
        logits: Tensor = self.classifier(self.features(image))
        return logits
