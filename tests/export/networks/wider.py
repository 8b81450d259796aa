"""Networks whose inputs and outputs are of other types than float32."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

KINDS = {
    "float16": torch.float16,
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "uint8": torch.uint8,
    "int8": torch.int8,
    "int32": torch.int32,
    "int64": torch.int64,
    "bool": torch.bool,
}


class Detector(nn.Module):
    """25 candidates: boxes in pixels, scores, and the label of the best class."""

    SIGNATURE: ClassVar = {
        "inputs": {"image": ["float32", ["batch", 3, 40, 40]]},
        "outputs": {
            "boxes": ["float32", ["batch", 25, 4]],
            "scores": ["float32", ["batch", 25]],
            "labels": ["int64", ["batch", 25]],
        },
    }

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Conv2d(3, 8, 8, stride=8)
        self.box, self.kind = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 6, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.features(image).relu()
        scores, labels = self.kind(features).flatten(2).softmax(1).max(dim=1)
        return self.box(features).flatten(2).transpose(1, 2) * 40, scores, labels


class Segmentation(nn.Module):
    """The class of each pixel, of pixels as a camera gives them."""

    SIGNATURE: ClassVar = {
        "inputs": {"pixels": ["uint8", ["batch", 3, 16, 16]]},
        "outputs": {"classes": ["uint8", ["batch", 16, 16]]},
    }

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features, self.classes = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 5, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        scores = self.classes(self.features(pixels / 255).relu())
        classes: Tensor = scores.argmax(dim=1).to(torch.uint8)
        return classes


class Pixels(nn.Module):
    """Logits of uint8 pixels; float32 is written out in forward."""

    SIGNATURE: ClassVar = {
        "inputs": {"pixels": ["uint8", ["batch", 12, 12, 3]]},
        "outputs": {"logits": ["float32", ["batch", 3]]},
    }

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features, self.classes = nn.Conv2d(3, 8, 3, stride=2), nn.Linear(8, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        image = pixels.permute(0, 3, 1, 2).float() / 255
        logits: Tensor = self.classes(self.features(image).relu().mean(dim=(2, 3)))
        return logits


class Floats(nn.Module):
    """Two layers in one float type."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(6, 16), nn.Linear(16, 3)
        self.to(KINDS[kind])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.first(x).relu())
        return y


class Integers(nn.Module):
    """Whole numbers in, whole numbers out, of one type; bools are turned round."""

    def forward(self, x: Tensor) -> Tensor:
        return ~x if x.dtype == torch.bool else torch.where(x > 3, x, torch.zeros_like(x))
