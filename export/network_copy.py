"""Deep copies of networks, including those that `copy.deepcopy` alone cannot copy."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from ptx.infer.errors import UsageError

_MAX_SHARED = 100  # objects that cannot be copied; with more the network is rejected


def copy_network(network: nn.Module) -> nn.Module:
    """A deep copy of a network.

    Objects that cannot be copied (a lock, an open file, a generator) are shared with the original. A
    tensor that was computed from weights, such as the old `torch.nn.utils.weight_norm` leaves in its
    layer, is copied without its autograd history.

    Raises:
        UsageError: the network, or one of its weights, cannot be copied.
    """
    shared: dict[int, Any] = {}
    while True:
        try:
            return copy.deepcopy(network, dict(shared))
        except MemoryError:
            raise
        except Exception as error:  # whatever an object's methods raise
            uncopyable = _find_uncopyable(error)
            weight = isinstance(uncopyable, Tensor) and uncopyable.is_leaf
            if (
                uncopyable is None
                or weight
                or isinstance(uncopyable, nn.Module)
                or len(shared) == _MAX_SHARED
            ):
                raise UsageError(
                    f"the network cannot be copied: {error}; expected one that copy.deepcopy copies"
                ) from error
            copied = uncopyable.detach().clone() if isinstance(uncopyable, Tensor) else uncopyable
            shared[id(uncopyable)] = copied


def _find_uncopyable(error: Exception) -> Any:
    """The object at which `copy.deepcopy` failed: the argument of its innermost call."""
    traceback, frame = error.__traceback__, None
    while traceback is not None:
        if traceback.tb_frame.f_code is copy.deepcopy.__code__:
            frame = traceback.tb_frame
        traceback = traceback.tb_next
    return None if frame is None else frame.f_locals[copy.deepcopy.__code__.co_varnames[0]]
