"""What keeps the networks' traces free of the device that they were recorded on."""

from __future__ import annotations

import torch
from torch import Tensor


def first_state(sequence: Tensor, hidden: int) -> Tensor | None:
    """The zeros that a recurrent layer of one direction begins with; None where it may make them itself.

    `nn.LSTM` and `nn.GRU` name a device when they make theirs, and `torch.jit.trace` keeps it as a
    constant: the file would run on that device alone. The other exporters know the layers' own zeros.

    Args:
        sequence: float (time, batch, inputs) or, while a trace is recorded, anything with its batch
            in axis 1.

    Returns:
        float (1, batch, hidden) on the sequence's device.
    """
    if not torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return None
    return sequence.new_zeros(1, sequence.shape[1], hidden)
