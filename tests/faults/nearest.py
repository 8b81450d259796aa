"""A network that knows its classes without a training, and rows of them: for files in int8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ptx.export import LabelledDataset, QuantizationConfig, TrainedModel, describe

LABELS = ["round", "square", "flat"]
SIZE = 96  # numbers of a row


def centres() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((len(LABELS), SIZE)).astype(np.float32)


class Nearest(nn.Module):
    """Knows the classes of `known` without a training."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(SIZE, SIZE)
        self.last = nn.Linear(SIZE, len(LABELS))
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(SIZE))
            self.first.bias.fill_(4.0)  # above nothing, so that ReLU takes nothing away
            self.last.weight.copy_(torch.from_numpy(centres()))
            self.last.bias.copy_(-4 * self.last.weight.sum(1))

    def forward(self, row: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.last(torch.relu(self.first(row)))
        return answer


def nearest(network: nn.Module | None = None, **said: Any) -> TrainedModel:
    signature = {
        "inputs": {"row": ["float32", ["batch", SIZE]]},
        "outputs": {"logits": ["float32", ["batch", len(LABELS)]]},
    }
    told = {"signature": signature, "name": "nearest", "task": "classification", "labels": LABELS}
    return describe(network or Nearest(), **{**told, **said})


def known(
    count: int, *, seed: int = 1, noise: float = 1.0, shift: int = 0, of: int = 3
) -> LabelledDataset:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, of, count)
    rows = centres()[targets] + noise * rng.standard_normal((count, SIZE)).astype(np.float32)

    def batches() -> Iterator[tuple[dict[str, Any], Any]]:
        for start in range(0, count, 500):
            part = slice(start, start + 500)
            yield {"row": rows[part].astype(np.float32)}, (targets[part] + shift) % len(LABELS)

    return LabelledDataset("lines", count, batches)


def trial(**changes: Any) -> QuantizationConfig:
    return replace(QuantizationConfig(known(512), known(2000, seed=2)), **changes)


class Overflowing(Nearest):
    """Its answers are finite, and a number on the way to them is not, for rows beyond the proof's."""

    def forward(self, row: torch.Tensor) -> torch.Tensor:
        huge = torch.exp(60 * self.first(row).abs().amax(1, keepdim=True))
        bent: torch.Tensor = super().forward(row) + torch.clamp(huge, max=1.0) - 1
        return bent


class Recurrent(nn.Module):
    """Everything that it multiplies stands in a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(SIZE, len(LABELS), batch_first=True)

    def forward(self, row: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.layer(row.unsqueeze(1))[0][:, 0]
        return answer
