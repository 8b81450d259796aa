"""Recurrent layers and packed sequences for torch.export, at any length.

The graph keeps `aten::lstm` and the operators of the other layers as one operator each, but torch infers
their shapes by unrolling the layer at the traced length, which freezes the time axis.
`torch.export._patches`, a private module that torch 2.13 and later have and `torch.onnx` uses, runs a
loop instead. It replaces py_kernels but does not clear the dispatch cache, so that the second of two
exports in a process may still unroll the layer; and before torch 2.15 `torch.onnx` restores the kernels
before the graph is decomposed, which writes the traced length into the file.

A packed sequence has sizes that depend on the values of the lengths, and torch.export cannot know that
its layers' states have the size of the batch. torch 2.15's own kernel for packing gives other sizes than
the operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import RLock
from typing import Any

import torch
from torch import SymInt, Tensor, nn
from torch._C import DispatchKey
from torch._decomp import decomposition_table
from torch._subclasses.fake_impls import op_implementations_dict
from torch.nn.utils.rnn import PackedSequence

Kernel = Callable[..., Any] | None

_KEY = DispatchKey.CompositeImplicitAutograd
_LOCK = RLock()  # operators are process-wide
_PACK = torch.ops.aten._pack_padded_sequence.default
_PAD = torch._C._VariableFunctions._pad_packed_sequence
# The packed sequences of the current trace: their longest length, and their number of sequences.
_packed: list[tuple[SymInt, int | SymInt]] = []


@contextmanager
def recurrent_shapes(network: nn.Module | None = None) -> Iterator[None]:
    """Give torch.export and torch.onnx the shapes of recurrent layers without running them.

    Eager networks, also those in other threads, do not use these kernels.

    Args:
        network: The network that is traced; a program has no layers.
    """
    with _LOCK, ExitStack() as stack:
        for operator, shapes in _META_KERNELS.items():
            stack.callback(_set_kernels, operator, _kernels(operator))
            _set_kernels(operator, (shapes, shapes))
        before = op_implementations_dict.get(_PACK)
        stack.callback(_set_pack_kernel, before)
        _set_pack_kernel(_pack_padded_sequence)
        stack.callback(_packed.clear)
        if network is not None:
            stack.enter_context(_packed_layers(network))
        yield


@contextmanager
def _packed_layers(network: nn.Module) -> Iterator[None]:
    """Let the layers of a network take packed sequences without reading their batch sizes."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.RNNBase)]
    hooks = [layer.register_forward_pre_hook(_give_states, with_kwargs=True) for layer in layers]
    functions: Any = torch._VF
    functions._pad_packed_sequence = _pad_packed_sequence
    try:
        yield
    finally:
        del functions._pad_packed_sequence
        for layer, hook in zip(layers, hooks, strict=True):
            hook.remove()
            vars(layer).pop("check_forward_args", None)


def _give_states(
    layer: nn.RNNBase, arguments: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A forward hook: gives a layer over a packed sequence first states that have the batch's size.

    The layer's own are as large as the first of the batch sizes, a value that is not known. For the same
    reason it cannot check the size of its states, which the run before the trace has done.
    """
    sequence, states = (*arguments, options.get("hx"))[:2]
    vars(layer).pop("check_forward_args", None)
    if not isinstance(sequence, PackedSequence):
        return arguments, options
    layer.check_forward_args = lambda *_: None  # type: ignore[method-assign]
    if states is None:
        rows = layer.num_layers * (2 if layer.bidirectional else 1)
        batch = _batch_size(sequence.batch_sizes)
        widths = [layer.proj_size or layer.hidden_size, layer.hidden_size]
        zeros = [sequence.data.new_zeros(rows, batch, width) for width in widths]
        states = tuple(zeros) if layer.mode == "LSTM" else zeros[0]
    return (sequence, states), {}


def _pad_packed_sequence(
    data: Tensor, batch_sizes: Tensor, batch_first: bool, padding_value: float, total_length: int
) -> tuple[Tensor, Tensor]:
    """As PyTorch's, whose total length cannot be symbolic."""
    padded, lengths = _PAD(data, batch_sizes, batch_first, padding_value, -1)
    time = 1 if batch_first else 0
    missing = total_length - batch_sizes.shape[0]
    if type(missing) is not int or missing:
        shape = list(padded.shape)
        shape[time] = missing
        padded = torch.cat([padded, padded.new_full(shape, padding_value)], dim=time)
    return padded, lengths


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


def _set_pack_kernel(kernel: Kernel) -> None:
    if kernel is None:
        op_implementations_dict.pop(_PACK, None)
    else:
        op_implementations_dict[_PACK] = kernel


def _lstm(inputs: Tensor, states: Sequence[Tensor], *layers: Any) -> tuple[Tensor, Tensor, Tensor]:
    """As `aten::lstm.input`: outputs, last hidden and last cell states; shapes only."""
    hidden, cell = states
    return _outputs(inputs, hidden, layers), torch.empty_like(hidden), torch.empty_like(cell)


def _rnn(inputs: Tensor, hidden: Tensor, *layers: Any) -> tuple[Tensor, Tensor]:
    """As `aten::gru.input`: outputs and last hidden states; shapes only."""
    return _outputs(inputs, hidden, layers), torch.empty_like(hidden)


def _outputs(inputs: Tensor, hidden: Tensor, layers: Sequence[Any]) -> Tensor:
    """`inputs` (time, batch, …) or (batch, time, …), `hidden` (…, width): keeps the first two axes."""
    *_, bidirectional, _batch_first = layers
    return inputs.new_empty(*inputs.shape[:2], hidden.shape[2] * (2 if bidirectional else 1))


def _packed_lstm(
    data: Tensor, batch_sizes: Tensor, states: Sequence[Tensor], *layers: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """As `aten::lstm.data`, for packed data (steps, …)."""
    hidden, cell = states
    outputs, last = _packed_rnn(data, batch_sizes, hidden, *layers)
    return outputs, last, torch.empty_like(cell)


def _packed_rnn(
    data: Tensor, batch_sizes: Tensor, hidden: Tensor, *layers: Any
) -> tuple[Tensor, Tensor]:
    """As `aten::gru.data`, for packed data (steps, …)."""
    width = hidden.shape[2] * (2 if layers[-1] else 1)
    return data.new_empty(data.shape[0], width), torch.empty_like(hidden)


def _pack_padded_sequence(
    fake_mode: Any, operator: Any, inputs: Tensor, lengths: Tensor, batch_first: bool
) -> tuple[Tensor, Tensor]:
    """Packed data (steps, …) and batch sizes (longest length,), of sizes that are not known."""
    steps, longest = (fake_mode.shape_env.create_unbacked_symint() for _ in range(2))
    torch._check(steps >= 0)
    torch._check(longest >= 0)
    torch._check(longest <= inputs.shape[1 if batch_first else 0])
    _packed.append((longest, lengths.shape[0]))
    return inputs.new_empty(steps, *inputs.shape[2:]), lengths.new_empty(longest)


def _padded(
    data: Tensor, batch_sizes: Tensor, batch_first: bool, padding_value: float, total_length: int
) -> tuple[Tensor, Tensor]:
    """As `aten::_pad_packed_sequence` without a total length; shapes only."""
    batch, time = _batch_size(batch_sizes), batch_sizes.shape[0]
    axes = (batch, time) if batch_first else (time, batch)
    return data.new_empty(*axes, *data.shape[1:]), batch_sizes.new_empty(batch)


def _batch_size(batch_sizes: Tensor) -> int | SymInt:
    """The number of sequences, from the packing that made these batch sizes."""
    size = batch_sizes.shape[0]
    for longest, batch in _packed:
        if isinstance(size, SymInt) and longest.node.expr == size.node.expr:
            return batch
    raise NotImplementedError(
        "a packed sequence must come from pack_padded_sequence with the lengths as a tensor"
    )


_META_KERNELS: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.lstm.input: _lstm,
    torch.ops.aten.gru.input: _rnn,
    torch.ops.aten.rnn_tanh.input: _rnn,
    torch.ops.aten.rnn_relu.input: _rnn,
    torch.ops.aten.lstm.data: _packed_lstm,
    torch.ops.aten.gru.data: _packed_rnn,
    torch.ops.aten.rnn_tanh.data: _packed_rnn,
    torch.ops.aten.rnn_relu.data: _packed_rnn,
    torch.ops.aten._pad_packed_sequence.default: _padded,
}
