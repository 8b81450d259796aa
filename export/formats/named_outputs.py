"""Networks that return names: dictionaries, dataclasses, the outputs of Hugging Face's networks."""

from __future__ import annotations

import functools
from typing import Any

from torch import Tensor, nn

from ptx.infer.backends.pytorch.outputs import find_outputs
from ptx.infer.signature import Signature


def return_in_order(network: nn.Module, signature: Signature) -> None:
    """Have the network return a tuple in the signature's order, which every exporter keeps.

    Its class is exchanged for one of its own, so that its weights keep their names.
    """
    own = type(network)
    forward = own.forward

    @functools.wraps(forward)
    def in_order(self: nn.Module, *inputs: Any) -> tuple[Tensor, ...]:
        return find_outputs(signature, forward(self, *inputs))

    members = {"forward": in_order, "__module__": own.__module__}
    network.__class__ = type(own.__name__, (own,), members)
