"""How much rounding alone changes a network's outputs: Monte Carlo arithmetic, operator by operator.

Each operator's result is increased or decreased by one rounding step, at random (D. S. Parker, "Monte
Carlo Arithmetic", 1997). On ordinary inputs the outputs change about as much as those of a float32 run
are off. If they change a lot, the network is ill-conditioned at that input: a normalization over a
constant divides rounding errors by its epsilon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

SEEDS = tuple(range(8))  # fewer miss effects of half of all runs: a ReLU over rounding errors only
# Operators that create or move values without rounding.
EXACT = {
    "arange",
    "cat",
    "clone",
    "_to_copy",
    "constant_pad_nd",
    "copy_",
    "detach",
    "empty",
    "fill_",
    "flip",
    "full",
    "full_like",
    "gather",
    "index",
    "index_select",
    "lift_fresh",
    "masked_fill",
    "max_pool2d",
    "max_pool2d_with_indices",
    "neg",
    "new_zeros",
    "ones",
    "ones_like",
    "relu",
    "relu_",
    "repeat",
    "scalar_tensor",
    "stack",
    "tril",
    "triu",
    "where",
    "zero_",
    "zeros",
    "zeros_like",
}


class RoundingNoise(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, each float that an operator returns is off by the relative amount `rounding`."""

    def __init__(self, rounding: float, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rounding = rounding
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in EXACT:
            return result
        if isinstance(result, Tensor):
            return self._disturb(result, func._schema.returns[0].alias_info)
        if not isinstance(result, list | tuple):
            return result
        returns = func._schema.returns
        aliases = [returns[min(index, len(returns) - 1)].alias_info for index in range(len(result))]
        return type(result)(map(self._disturb, result, aliases))

    def _disturb(self, value: Any, alias: Any) -> Any:
        """The value with a rounding error; in place if the operator wrote in place."""
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        if alias is None:
            return value * self._factors(value)
        if alias.is_write:
            value.mul_(self._factors(value))
        return value  # a view, whose values are disturbed already

    def _factors(self, value: Tensor) -> Tensor:
        signs = torch.randint(
            0, 2, value.shape, generator=self._generator, dtype=torch.int8, device="cpu"
        )
        return 1 + self._rounding * (2 * signs - 1).to(value.device, value.dtype)
