"""Networks as others write them: they return names, pack sequences, mask, and look beyond their row."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence


@dataclass
class ExpectedPrediction:
    """As networks with a loss return it."""

    loss: Any = None
    logits: Any = None
    embedding: Any = None


class Pair(NamedTuple):
    """In another order than the signature's."""

    embedding: Tensor
    logits: Tensor


class ModelOutput(OrderedDict[str, Any]):
    """As Hugging Face's: a mapping by name, a tuple of its values by number."""

    def __getitem__(self, key: Any) -> Any:
        return tuple(self.values())[key] if isinstance(key, int) else super().__getitem__(key)


KINDS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "dict": lambda logits, embedding: {
        "states": [logits],
        "embedding": embedding,
        "logits": logits,
    },
    "list": lambda logits, embedding: [logits, embedding],
    "dataclass": lambda logits, embedding: ExpectedPrediction(logits=logits, embedding=embedding),
    "named tuple": lambda logits, embedding: Pair(embedding, logits),
    "model output": lambda logits, embedding: ModelOutput(
        states=(embedding, logits), embedding=embedding, logits=logits
    ),
}


class Returns(nn.Module):
    """Logits and an embedding, put together by a function."""

    SIGNATURE: ClassVar[dict[str, Any]] = {
        "inputs": {"x": ["float32", ["batch", 4]]},
        "outputs": {"logits": ["float32", ["batch", 2]], "embedding": ["float32", ["batch", 3]]},
    }

    def __init__(self, put: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.put, self.embed, self.classify = put, nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Any:
        embedding = self.embed(x).tanh()
        return self.put(self.classify(embedding), embedding)


class Packed(nn.Module):
    """Words of several lengths through a layer over a packed sequence; its last states alone."""

    SIGNATURE: ClassVar[dict[str, Any]] = {
        "inputs": {
            "words": ["int64", ["batch", "time"], [0, 11]],
            "lengths": ["int64", ["batch"], [1, "time"]],
        },
        "outputs": {"logits": ["float32", ["batch", 3]]},
    }

    def __init__(self, layer: type[nn.GRU | nn.LSTM]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.classify = nn.Embedding(12, 6), nn.Linear(10, 3)
        self.layer = layer(6, 5, batch_first=True, bidirectional=True)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(
            self.embed(words), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states = self.layer(packed)[1]
        hidden = states[0] if isinstance(states, tuple) else states
        logits: Tensor = self.classify(torch.cat([hidden[0], hidden[1]], dim=1))
        return logits


class Attention(nn.Module):
    """Words and their positions, of which there are 64, masked where the mask is 0."""

    SIGNATURE: ClassVar[dict[str, Any]] = {
        "inputs": {
            "words": ["int64", ["batch", "time"], [0, 11]],
            "mask": ["int64", ["batch", "time"], [0, 1]],
        },
        "outputs": {"logits": ["float32", ["batch", 3]]},
    }

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.classify = nn.Embedding(12, 8), nn.Linear(8, 3)
        self.positions = nn.Parameter(torch.randn(1, 64, 8))

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        features = (self.embed(words) + self.positions[:, : words.shape[1]])[:, None]  # one head
        allowed = mask[:, None, None, :].bool().expand(-1, 1, words.shape[1], -1)
        attended = functional.scaled_dot_product_attention(
            features, features, features, attn_mask=allowed
        )
        logits: Tensor = self.classify(attended[:, 0].mean(1))
        return logits


class Detector(nn.Module):
    """As torchvision's: a mapping for each picture, with as many boxes as are found."""

    SIGNATURE: ClassVar[dict[str, Any]] = {
        "inputs": {"image": ["float32", ["batch", 3, 8, 8]]},
        "outputs": {"boxes": ["float32", ["batch", 4]]},
    }

    def forward(self, image: Tensor) -> list[dict[str, Tensor]]:
        return [{"boxes": picture.flatten()[picture.flatten() > 0]} for picture in image]


class Neighbours(nn.Module):
    """A row's answer by what else is in the batch: in one of several ways."""

    SIGNATURE: ClassVar[dict[str, Any]] = {
        "inputs": {"x": ["float32", ["batch", 4, 5]]},
        "outputs": {"y": ["float32", ["batch", 4]]},
    }
    WAYS: ClassVar = ("layer", "function", "mean", "softmax", "order")

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.norm = way, nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "layer":
            x = self.norm.train()(x)
        elif self.way == "function":
            x = functional.batch_norm(x, None, None, training=True)
        elif self.way == "mean":
            x = x - x.mean(0, keepdim=True)
        elif self.way == "softmax":
            x = x.softmax(0)
        else:
            x = x.sort(0)[0]
        return x.sum(2)
