"""The shapes of LSTM and GRU layers while torch.export works out a network's graph.

The graph keeps `aten::lstm` and `aten::gru` as one operator each. Their shapes, though, torch finds by
unrolling the layer at the traced length, which freezes the time axis. `torch.export._patches`, a private
module which torch 2.13 and later have and `torch.onnx` uses, has it run a loop in the place of that;
but it changes an operator's kernels without forgetting which of them is remembered as the chosen one, so
that the second of two exports in a process may unroll all the same, and before torch 2.15 `torch.onnx`
leaves it again before the graph is decomposed, which writes the traced length into the file.
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
_LOCK = RLock()  # operators belong to the whole process


@contextmanager
def recurrent_shapes() -> Iterator[None]:
    """Let torch.export and torch.onnx know the shapes of LSTM and GRU without running them.

    Eager networks, also those that run in other threads meanwhile, do not ask for these kernels.
    """
    with _LOCK:
        before = {operator: _kernels(operator) for operator in _SHAPES}
        for operator, shapes in _SHAPES.items():
            _set_kernels(operator, (shapes, shapes))
        try:
            yield
        finally:
            for operator, kernels in before.items():
                _set_kernels(operator, kernels)


def _kernels(operator: Any) -> tuple[Kernel, Kernel]:
    """What is asked for shapes while a graph is traced, and while it is decomposed."""
    return operator.py_kernels.get(_KEY), decomposition_table.get(operator)


def _set_kernels(operator: Any, kernels: tuple[Kernel, Kernel]) -> None:
    """Replace both, and have torch forget which kernel of the operator it had chosen."""
    places: tuple[dict[Any, Any], ...] = (operator.py_kernels, decomposition_table)
    for place, key, kernel in zip(places, (_KEY, operator), kernels, strict=True):
        place.pop(key, None)
        if kernel is not None:
            place[key] = kernel
    operator._dispatch_cache.clear()


def _lstm(inputs: Tensor, states: Sequence[Tensor], *layers: Any) -> tuple[Tensor, Tensor, Tensor]:
    """As `aten::lstm.input`: outputs, last hidden and last cell states; their shapes alone."""
    hidden, cell = states
    return _outputs(inputs, hidden, layers), torch.empty_like(hidden), torch.empty_like(cell)


def _gru(inputs: Tensor, hidden: Tensor, *layers: Any) -> tuple[Tensor, Tensor]:
    """As `aten::gru.input`: outputs and last hidden states; their shapes alone."""
    return _outputs(inputs, hidden, layers), torch.empty_like(hidden)


def _outputs(inputs: Tensor, hidden: Tensor, layers: Sequence[Any]) -> Tensor:
    """`inputs` (time, batch, …) or (batch, time, …), `hidden` (…, width): the first two are kept."""
    *_, bidirectional, _batch_first = layers
    return inputs.new_empty(*inputs.shape[:2], hidden.shape[2] * (2 if bidirectional else 1))


_SHAPES: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.lstm.input: _lstm,
    torch.ops.aten.gru.input: _gru,
}
