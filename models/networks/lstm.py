"""A recurrent classifier that reads an image row by row."""

from __future__ import annotations

from torch import Tensor, nn

from ptx.models.networks.tanh_rnn import first_state


class LSTMClassifier(nn.Module):
    """An LSTM and a linear layer on its last output. Time is axis 0, the batch is axis 1.

    The initial hidden and cell states are zeros on the device of the input.

    >>> LSTMClassifier()(torch.zeros(28, 2, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, inputs: int = 28, hidden: int = 128, classes: int = 10) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden)
        self.classifier = nn.Linear(hidden, classes, bias=False)

    def forward(self, sequence: Tensor) -> Tensor:
        """`sequence`: float32 (time, batch, inputs); returns logits, float32 (batch, classes)."""
        state = first_state(sequence, self.lstm.hidden_size)
        outputs, _ = self.lstm(sequence, None if state is None else (state, state))
        logits: Tensor = self.classifier(outputs[-1])
        return logits
