"""Meta kernels of LSTM and GRU layers for torch.export.

The graph keeps `aten::lstm` and `aten::gru` as one operator each, but torch infers their shapes by
unrolling the layer at the traced length, which freezes the time axis. `torch.export._patches`, a private
module that torch 2.13 and later have and `torch.onnx` uses, runs a loop instead. It replaces py_kernels
but does not clear the dispatch cache, so that the second of two exports in a process may still unroll
the layer; and before torch 2.15 `torch.onnx` restores the kernels before the graph is decomposed, which
writes the traced length into the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch._decomp import decomposition_table

Kernel = Callable[..., Any] | None

_KEY = DispatchKey.CompositeImplicitAutograd
_LOCK = RLock()  # operators are process-wide


@contextmanager
def recurrent_shapes() -> Iterator[None]:
    """Give torch.export and torch.onnx the shapes of LSTM and GRU without running them.

    Eager networks, also those in other threads, do not use these kernels.
    """
    with _LOCK:
        before = {operator: _kernels(operator) for operator in _META_KERNELS}
        for operator, shapes in _META_KERNELS.items():
            _set_kernels(operator, (shapes, shapes))
        try:
            yield
        finally:
            for operator, kernels in before.items():
                _set_kernels(operator, kernels)


def _kernels(operator: Any) -> tuple[Kernel, Kernel]:
    """The kernels that are used while a graph is traced, and while it is decomposed."""
    return operator.py_kernels.get(_KEY), decomposition_table.get(operator)


def _set_kernels(operator: Any, kernels: tuple[Kernel, Kernel]) -> None:
    """Replace both, and clear the operator's dispatch cache."""
    places: tuple[dict[Any, Any], ...] = (operator.py_kernels, decomposition_table)
    for place, key, kernel in zip(places, (_KEY, operator), kernels, strict=True):
        place.pop(key, None)
        if kernel is not None:
            place[key] = kernel
    operator._dispatch_cache.clear()


def _lstm(inputs: Tensor, states: Sequence[Tensor], *layers: Any) -> tuple[Tensor, Tensor, Tensor]:
    """As `aten::lstm.input`: outputs, last hidden and last cell states; shapes only."""
    hidden, cell = states
    return _outputs(inputs, hidden, layers), torch.empty_like(hidden), torch.empty_like(cell)


def _gru(inputs: Tensor, hidden: Tensor, *layers: Any) -> tuple[Tensor, Tensor]:
    """As `aten::gru.input`: outputs and last hidden states; shapes only."""
    return _outputs(inputs, hidden, layers), torch.empty_like(hidden)


def _outputs(inputs: Tensor, hidden: Tensor, layers: Sequence[Any]) -> Tensor:
    """`inputs` (time, batch, …) or (batch, time, …), `hidden` (…, width): keeps the first two axes."""
    *_, bidirectional, _batch_first = layers
    return inputs.new_empty(*inputs.shape[:2], hidden.shape[2] * (2 if bidirectional else 1))


_META_KERNELS: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.lstm.input: _lstm,
    torch.ops.aten.gru.input: _gru,
}
