"""Which language a name comes from."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ptx.models.networks.tanh_rnn import first_state


class NameClassifier(nn.Module):
    """An embedding, a bidirectional GRU of two layers over names of any length, and a linear layer.

    The published network runs `nn.GRU(bidirectional=True)` over packed sequences, which no exporter
    supports with a dynamic batch. Here each direction of each layer is a separate GRU, and the backward
    ones read each name reversed within its length, so that padding has no effect. The weights are the
    same; a test verifies that the outputs equal those with `pack_padded_sequence`.

    Args:
        backward_first: The linear layer reads the backward state before the forward one.

    >>> NameClassifier()(torch.ones(2, 7, dtype=torch.int64), torch.tensor([7, 3])).shape
    torch.Size([2, 18])
    """

    # Arguments for the network as published: torch.cat([hidden[-1], hidden[-2]]).
    PUBLISHED_CONFIG: ClassVar[dict[str, object]] = {"backward_first": True}

    def __init__(
        self,
        characters: int = 128,
        hidden: int = 100,
        layers: int = 2,
        classes: int = 18,
        *,
        backward_first: bool = False,
    ) -> None:
        super().__init__()
        self.hidden, self.backward_first = hidden, backward_first
        self.embedding = nn.Embedding(characters, hidden)
        widths = [hidden, *[2 * hidden] * (layers - 1)]
        self.forwards = nn.ModuleList(nn.GRU(width, hidden, batch_first=True) for width in widths)
        self.backwards = nn.ModuleList(nn.GRU(width, hidden, batch_first=True) for width in widths)
        self.classifier = nn.Linear(2 * hidden, classes)

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """`characters`: int64 (batch, time), padded; `lengths`: int64 (batch,), 1 to time.

        Returns logits, float32 (batch, classes).
        """
        reversal = _reversal(characters, lengths)
        outputs = self.embedding(characters)
        for forwards, backwards in zip(self.forwards, self.backwards, strict=True):
            state = first_state(outputs.transpose(0, 1), self.hidden)
            forward_outputs, _ = forwards(outputs, state)
            backward_outputs, _ = backwards(_take(outputs, reversal), state)
            outputs = torch.cat([forward_outputs, _take(backward_outputs, reversal)], dim=2)
        # The last state of each direction: forward at the end of the name, backward at its beginning.
        last = _take(forward_outputs, _ends(lengths))[:, 0]
        first = outputs[:, 0, forward_outputs.shape[2] :]
        states = [first, last] if self.backward_first else [last, first]
        logits: Tensor = self.classifier(torch.cat(states, dim=1))
        return logits

    def published_weight_names(self) -> dict[str, str]:
        """The names of the weights, as network name → name in one bidirectional `nn.GRU`."""
        return {
            f"{direction}.{layer}.{weight}_l0": f"gru.{weight}_l{layer}{suffix}"
            for direction, suffix in (("forwards", ""), ("backwards", "_reverse"))
            for layer in range(len(self.forwards))
            for weight in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }


# Scripted during tracing: a trace would record the device of `arange` and the sizes as constants.


@torch.jit.script_if_tracing  # type: ignore[untyped-decorator]
def _reversal(characters: Tensor, lengths: Tensor) -> Tensor:
    """int64 (batch, time): for each step, its index in the reversed name; padding keeps its index."""
    steps = torch.arange(characters.shape[1], device=lengths.device)[None, :]
    mirrored = lengths[:, None] - 1 - steps
    return torch.where(mirrored >= 0, mirrored, steps)


@torch.jit.script_if_tracing  # type: ignore[untyped-decorator]
def _ends(lengths: Tensor) -> Tensor:
    """int64 (batch, 1): the last step of each name."""
    return (lengths - 1)[:, None]


def _take(sequence: Tensor, steps: Tensor) -> Tensor:
    """`sequence` (batch, time, width) at `steps` (batch, count): (batch, count, width)."""
    return torch.gather(sequence, 1, steps[:, :, None].expand(-1, -1, sequence.shape[2]))
