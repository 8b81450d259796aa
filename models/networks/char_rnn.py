"""Recurrent networks that map one word to another, character by character."""

from __future__ import annotations

from torch import Tensor, nn

from ptx.models.networks.tanh_rnn import tanh_rnn


class CharRNNCell(nn.Module):
    """One recurrent cell, applied to each step in turn; its state is the logits.

    >>> CharRNNCell()(torch.zeros(5, 2, 4)).shape
    torch.Size([5, 2, 4])
    """

    def __init__(self, symbols: int = 4) -> None:
        super().__init__()
        self.cell = nn.RNNCell(symbols, symbols)

    def forward(self, sequence: Tensor) -> Tensor:
        """`sequence`: float32 (time, batch, symbols), one-hot; returns logits of the same shape."""
        cell = self.cell
        return tanh_rnn(sequence, [(cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)])


class CharRNN(nn.Module):
    """One recurrent layer; its outputs are the logits.

    >>> CharRNN()(torch.zeros(5, 2, 4)).shape
    torch.Size([5, 2, 4])
    """

    def __init__(self, symbols: int = 4) -> None:
        super().__init__()
        self.rnn = nn.RNN(symbols, symbols)

    def forward(self, sequence: Tensor) -> Tensor:
        """`sequence`: float32 (time, batch, symbols), one-hot; returns logits of the same shape."""
        return tanh_rnn(sequence, self.rnn.all_weights)


class CharRNNEmbedding(nn.Module):
    """An embedding, two recurrent layers and a linear layer.

    >>> CharRNNEmbedding()(torch.zeros(2, 5, dtype=torch.int64)).shape
    torch.Size([2, 5, 4])
    """

    def __init__(
        self, symbols: int = 4, embedding: int = 10, hidden: int = 8, layers: int = 2
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, embedding)
        self.rnn = nn.RNN(embedding, hidden, layers, batch_first=True)
        self.classifier = nn.Linear(hidden, symbols)

    def forward(self, tokens: Tensor) -> Tensor:
        """`tokens`: int64 (batch, time); returns logits, float32 (batch, time, symbols)."""
        sequence = self.embedding(tokens).transpose(0, 1)
        outputs = tanh_rnn(sequence, self.rnn.all_weights).transpose(0, 1)
        logits: Tensor = self.classifier(outputs)
        return logits
