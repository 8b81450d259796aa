"""The plain recurrent layer, written so that every exporter keeps its time axis dynamic.

torch.export and the ONNX exporter unroll `nn.RNN` and a Python loop over `nn.RNNCell` at the traced
length, but keep `aten::gru` as one operator. A GRU whose reset gate is 1 (r = 1) and whose update
gate is 0 (z = 0) computes

    h' = (1 − z)·n + z·h,  n = tanh(W x + b + r·(U h + c))   =   tanh(W x + b + U h + c)

which is the plain recurrent layer. Weights of zero and biases of ±100 keep the gates there
(sigmoid(100) is 1 in float32 and float64, sigmoid(−100) is 4e-44). Tests verify that the outputs equal
those of `nn.RNN`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_GATE = 100.0  # a bias at which the sigmoid of a gate is exactly 0 or 1


def tanh_rnn(sequence: Tensor, weights: Sequence[Sequence[Tensor]]) -> Tensor:
    """The outputs of a plain recurrent network of one or more layers with initial state 0.

    Args:
        sequence: float (time, batch, inputs).
        weights: For each layer the input weights (hidden, inputs), the state weights (hidden,
            hidden) and their two biases (hidden,), as in `nn.RNN`.

    Returns:
        float (time, batch, hidden).
    """
    hidden = weights[0][1].shape[0]
    state = sequence.new_zeros(len(weights), sequence.shape[1], hidden)
    parameters = [tensor for layer in weights for tensor in _as_gru(*layer)]
    outputs, _ = torch.gru(
        sequence, state, parameters, True, len(weights), 0.0, False, False, False
    )
    return outputs


@torch.jit.script_if_tracing  # type: ignore[untyped-decorator]
def _as_gru(
    input_weight: Tensor,
    state_weight: Tensor,
    input_bias: Tensor,
    state_bias: Tensor,
    gate: float = _GATE,
) -> list[Tensor]:
    """The layer's weights in the GRU's order: reset gate, update gate, new state.

    Scripted during tracing: a trace would record `2 * hidden` as a tensor on one device.
    """
    hidden, inputs = input_weight.shape
    return [
        torch.cat([input_weight.new_zeros(2 * hidden, inputs), input_weight]),
        torch.cat([state_weight.new_zeros(2 * hidden, hidden), state_weight]),
        torch.cat(
            [
                input_bias.new_full((hidden,), gate),
                input_bias.new_full((hidden,), -gate),
                input_bias,
            ]
        ),
        torch.cat([state_bias.new_zeros(2 * hidden), state_bias]),
    ]


def first_state(sequence: Tensor, hidden: int) -> Tensor | None:
    """The zero initial state of a unidirectional recurrent layer; None if the layer can create it.

    `nn.LSTM` and `nn.GRU` create theirs on an explicit device, which `torch.jit.trace` records as a
    constant: the file would run only on that device. The other exporters do not have this problem.

    Args:
        sequence: float (time, batch, inputs) or, during tracing, anything with the batch in axis 1.

    Returns:
        float (1, batch, hidden) on the sequence's device.
    """
    if not torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return None
    return sequence.new_zeros(1, sequence.shape[1], hidden)
