"""The float types that a network may compute in, and how precise each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ptx.infer.signature import Signature, TensorSpec


@dataclass(frozen=True)
class Precision:
    """The precision of one float type."""

    name: str
    eps: float  # the step from 1 to the next number
    rounding: float  # relative to the largest output; a tolerance is at least FACTOR times this
    ceiling: float  # relative to the largest value of a column; a tolerance is at most this


# The coarsest first. Half precision is accumulated in float32 and rounded once a layer, so its smallest
# tolerance is 4 eps; float32 and float64 may be summed in another order: 32 eps.
PRECISIONS = {
    "bfloat16": Precision("bfloat16", 2.0**-7, rounding=2.0**-8, ceiling=2.0**-3),
    "float16": Precision("float16", 2.0**-10, rounding=2.0**-11, ceiling=2.0**-5),
    "float32": Precision("float32", 2.0**-23, rounding=4 * 2.0**-23, ceiling=1e-3),
    "float64": Precision("float64", 2.0**-52, rounding=4 * 2.0**-52, ceiling=1e-12),
}


def network_precision(network: nn.Module, signature: Signature) -> Precision:
    """The coarsest type of the weights, or of the inputs and outputs if no weight is a float."""
    kinds = {
        str(tensor.dtype).removeprefix("torch.")
        for tensor in network.state_dict().values()
        if tensor.is_floating_point()
    }
    return _coarsest(kinds or {spec.dtype for spec in signature if spec.is_float})


def output_precision(own: Precision, spec: TensorSpec) -> Precision:
    """The precision of one output: the network's or the output's type, whichever is coarser."""
    return _coarsest({own.name, spec.dtype})


def float_types(network: nn.Module, tensors: Sequence[Tensor]) -> set[torch.dtype]:
    """The float types of all intermediate results of the network."""
    with torch.inference_mode(), _FloatTypes() as recorder:
        network(*tensors)
    types: set[torch.dtype] = recorder.types
    return types


class _FloatTypes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the float types that the operators return."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.types: set[torch.dtype] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.types |= {
            leaf.dtype
            for leaf in tree_leaves(result)
            if isinstance(leaf, Tensor) and leaf.is_floating_point()
        }
        return result


def _coarsest(kinds: set[str]) -> Precision:
    return next((PRECISIONS[kind] for kind in PRECISIONS if kind in kinds), PRECISIONS["float32"])
