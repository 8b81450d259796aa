"""Five networks with known signatures, whose layers all have different weights."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

_LOGITS = {"logits": ["float32", ["batch", 3]]}


class Vision(nn.Module):
    """Convolutions with batch normalization, both poolings, a residual and a concatenation."""

    SIGNATURE: ClassVar = {
        "inputs": {"image": ["float32", ["batch", 3, 12, 12]]},
        "outputs": _LOGITS,
    }

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.left, self.right = nn.Conv2d(6, 4, 1), nn.Conv2d(6, 4, 5, padding=2)
        self.mix = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.head = nn.Linear(8, 3)

    def forward(self, image: Tensor) -> Tensor:
        features = torch.relu(self.norm(torch.tanh(self.stem(image))))
        features = nn.functional.max_pool2d(features, 2)
        both = torch.cat([torch.sigmoid(self.left(features)), self.right(features)], dim=1)
        both = both + torch.relu(self.mix(both))
        pooled = nn.functional.avg_pool2d(both, 3, 1, 1, count_include_pad=False)
        logits: Tensor = self.head(pooled.mean((2, 3)))
        return logits


class Lstm(nn.Module):
    """Two bidirectional LSTM layers, a layer normalization and a softmax over time."""

    SIGNATURE: ClassVar = {
        "inputs": {"steps": ["float32", ["batch", "time", 8]]},
        "outputs": _LOGITS,
    }

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Linear(8, 8)
        self.rnn = nn.LSTM(8, 10, 2, bidirectional=True, batch_first=True)
        self.norm = nn.LayerNorm(20)
        self.score, self.head = nn.Linear(20, 1), nn.Linear(20, 3)

    def forward(self, steps: Tensor) -> Tensor:
        hidden = self.norm(self.rnn(torch.tanh(self.before(steps)))[0])
        weights = torch.softmax(self.score(hidden), dim=1)
        logits: Tensor = self.head((weights * hidden).sum(1))
        return logits


class Attention(nn.Module):
    """An embedding and two transformer layers."""

    SIGNATURE: ClassVar = {
        "inputs": {"tokens": ["int64", ["batch", "time"], [0, 19]]},
        "outputs": _LOGITS,
    }

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(self.embedding(tokens)).mean(1))
        return logits


class Gru(nn.Module):
    """A convolution over time, a GRU and its last state."""

    SIGNATURE: ClassVar = {
        "inputs": {"steps": ["float32", ["time", "batch", 6]]},
        "outputs": _LOGITS,
    }

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(6, 8, 3, padding=1)
        self.rnn = nn.GRU(8, 12)
        self.head = nn.Linear(12, 3)

    def forward(self, steps: Tensor) -> Tensor:
        features = torch.relu(self.conv(steps.permute(1, 2, 0))).permute(2, 0, 1)
        logits: Tensor = self.head(self.rnn(features)[1][0])
        return logits


class Mixer(nn.Module):
    """Layers over positions and over channels in turn, with group normalization and resizing."""

    SIGNATURE: ClassVar = {"inputs": {"image": ["float32", ["batch", 4, 8, 8]]}, "outputs": _LOGITS}

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(2, 4)
        self.positions, self.channels = nn.Linear(16, 16), nn.Linear(4, 4)
        self.last, self.head = nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, image: Tensor) -> Tensor:
        small = nn.functional.interpolate(self.norm(image), scale_factor=0.5, mode="bilinear")
        tokens = small.flatten(2)
        tokens = tokens + nn.functional.gelu(self.positions(tokens))
        tokens = tokens.transpose(1, 2)
        tokens = self.last(tokens + nn.functional.silu(self.channels(tokens)))
        scores = tokens - tokens.amax(1, keepdim=True)
        logits: Tensor = self.head(torch.log_softmax(scores, dim=2).mean(1))
        return logits


NETWORKS: dict[str, Any] = {
    "vision": Vision,
    "lstm": Lstm,
    "attention": Attention,
    "gru": Gru,
    "mixer": Mixer,
}


def build(name: str) -> nn.Module:
    """The network with random weights and statistics that differ from layer to layer."""
    torch.manual_seed(0)
    network: nn.Module = NETWORKS[name]()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator)
                tensor.add_(0.3 * noise.abs() if tensor.ndim == 1 else 0.1 * noise)
    return network.eval()
