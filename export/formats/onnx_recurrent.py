"""Recurrent layers and packed sequences in ONNX, for operators that the exporter of PyTorch lacks.

PyTorch packs sequences step by step: `data` has the features of all steps (steps, features), and
`batch_sizes` the number of sequences that are at least that long, for each time. ONNX has operators for
padded sequences with their lengths (time, batch, features). Each operator over packed sequences is
translated by itself, so that a network may compute on `data` in between.

ONNX has no LSTM with projections: it is a Scan over the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from onnxscript import BOOL, FLOAT, INT32, INT64, graph, opset18, script
from onnxscript.values import Opset

Value = Any  # a value of the ONNX graph
op: Any = opset18  # its annotations exclude the numbers and lists that it takes as constants
if TYPE_CHECKING:
    Floats: TypeAlias = Any
    Bools: TypeAlias = Any
else:
    Floats, Bools = FLOAT[...], BOOL[...]


@dataclass(frozen=True)
class _Layer:
    """A kind of recurrent layer.

    Attributes:
        operator: Of ONNX.
        gates: PyTorch's gates in the order of ONNX.
        activation: The activation of a layer without gates.
    """

    operator: str
    gates: tuple[int, ...]
    activation: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)


_LSTM = _Layer("LSTM", (0, 3, 1, 2))
_GRU = _Layer("GRU", (1, 0, 2), attributes={"linear_before_reset": 1})
_TANH = _Layer("RNN", (0,), "Tanh")
_RELU = _Layer("RNN", (0,), "Relu")


@dataclass(frozen=True)
class _Packing:
    """Where the rows of packed data are in a padded sequence.

    Attributes:
        valid: Whether there is a row, (time, batch).
        lengths: Of the sequences, (batch,).
        rows: The index of each row, (time, batch); 0 if there is none.
    """

    valid: Value
    lengths: Value
    rows: Value

    def unpack(self, data: Value) -> Value:
        """`data` as (time, batch, features); the padding has any values."""
        return op.Gather(data, self.rows, axis=0)

    def pack(self, sequence: Value) -> Value:
        """The rows of a sequence (time, batch, features)."""
        return _select(sequence, self.valid)


def _select(sequence: Value, valid: Value) -> Value:
    """The valid steps of a sequence (time, batch, …), as (steps, …)."""
    shape = op.Concat(op.Constant(value_ints=[-1]), op.Shape(sequence, start=2), axis=0)
    return op.Compress(op.Reshape(sequence, shape), op.Reshape(valid, [-1]), axis=0)


def _packing(batch_sizes: Value) -> _Packing:
    sequences = op.Range(0, op.Squeeze(op.Slice(batch_sizes, [0], [1]), [0]), 1)
    sequences = op.Unsqueeze(sequences, [0])
    valid = op.Less(sequences, op.Unsqueeze(batch_sizes, [1]))
    lengths = op.ReduceSum(op.Cast(valid, to=INT64.dtype), [0], keepdims=0)
    first = op.Unsqueeze(op.CumSum(batch_sizes, 0, exclusive=1), [1])
    return _Packing(valid, lengths, op.Where(valid, op.Add(first, sequences), 0))


def _pack_padded_sequence(
    sequence: Value, lengths: Value, batch_first: bool
) -> tuple[Value, Value]:
    if batch_first:
        sequence = _swap_batch_and_time(sequence, len(sequence.shape))
    steps = op.Range(0, op.Squeeze(op.Shape(sequence, start=0, end=1), [0]), 1)
    valid = op.Less(op.Unsqueeze(steps, [1]), op.Unsqueeze(lengths, [0]))
    batch_sizes = op.ReduceSum(op.Cast(valid, to=INT64.dtype), [1], keepdims=0)
    longest = op.Greater(batch_sizes, 0)
    return _select(sequence, valid), op.Compress(batch_sizes, longest, axis=0)


def _pad_packed_sequence(
    data: Value, batch_sizes: Value, batch_first: bool, padding_value: float, total_length: int
) -> tuple[Value, Value]:
    packing, rank = _packing(batch_sizes), len(data.shape) + 1
    padding = op.CastLike(op.Constant(value_float=float(padding_value)), data)
    valid = op.Unsqueeze(packing.valid, list(range(2, rank)))
    padded = op.Where(valid, packing.unpack(data), padding)
    return _swap_batch_and_time(padded, rank) if batch_first else padded, packing.lengths


def _swap_batch_and_time(sequence: Value, rank: int = 3) -> Value:
    return op.Transpose(sequence, perm=[1, 0, *range(2, rank)])


def _run(
    layer: _Layer,
    sequence: Value,
    states: Sequence[Value],
    weights: Sequence[Value],
    options: Sequence[Any],
    packing: _Packing | None = None,
) -> tuple[Value, ...]:
    """All layers over a sequence (time, batch, features): outputs and last states.

    `options`: the arguments of PyTorch's operator after the weights.
    """
    biases, layers, _dropout, _train, bidirectional, *_ = options
    directions = 2 if bidirectional else 1
    count = len(weights) // (layers * directions)  # of weights of one direction of one layer
    run = _run_projected if count % 2 else _run_one
    last = []
    for index in range(0, layers * directions, directions):
        first = [op.Slice(state, [index], [index + directions], [0]) for state in states]
        own = [weights[count * i : count * (i + 1)] for i in range(index, index + directions)]
        sequence, *ends = run(layer, sequence, first, own, biases, packing)
        last.append(ends)
    return sequence, *(_concat(ends) for ends in zip(*last, strict=True))


def _run_one(
    layer: _Layer,
    sequence: Value,
    states: Sequence[Value],
    weights: Sequence[Sequence[Value]],
    biases: bool,
    packing: _Packing | None,
) -> tuple[Value, ...]:
    """One layer; `weights` of each direction: input, hidden, and their biases."""
    hidden_size = weights[0][1].shape[1]

    def join(*places: int) -> Value:
        """The weights at these places, gates in ONNX's order, directions along a first axis."""
        return _concat(
            [
                op.Unsqueeze(
                    _concat(
                        [
                            op.Slice(
                                own[place], [gate * hidden_size], [(gate + 1) * hidden_size], [0]
                            )
                            for place in places
                            for gate in layer.gates
                        ]
                    ),
                    [0],
                )
                for own in weights
            ]
        )

    attributes = dict(layer.attributes)
    if layer.activation:
        attributes["activations"] = [layer.activation] * len(weights)
    outputs, *last = getattr(op, layer.operator)(
        sequence,
        join(0),
        join(1),
        join(2, 3) if biases else None,
        packing and op.Cast(packing.lengths, to=INT32.dtype),
        *states,
        hidden_size=hidden_size,
        direction="bidirectional" if len(weights) == 2 else "forward",
        **attributes,
    )
    width = len(weights) * hidden_size
    outputs = op.Reshape(op.Transpose(outputs, perm=[0, 2, 1, 3]), [0, 0, width])
    return outputs, *last[: len(states)]


def _run_projected(
    layer: _Layer,
    sequence: Value,
    states: Sequence[Value],
    weights: Sequence[Sequence[Value]],
    biases: bool,
    packing: _Packing | None,
) -> tuple[Value, ...]:
    """As `_run_one`, with a projection as the last weight of each direction."""
    if packing is None:
        valid = op.Expand(op.Constant(value_int=1), op.Shape(sequence, start=0, end=1))
        valid = op.Unsqueeze(op.Cast(valid, to=BOOL.dtype), [1])
    else:
        valid = packing.valid
    valid = op.Unsqueeze(valid, [2])
    results = []
    for index, (inputs, hidden, *others, projection) in enumerate(weights):
        gates = op.MatMul(sequence, op.Transpose(inputs, perm=[1, 0]))
        for bias in others:
            gates = op.Add(gates, bias)
        first = [op.Squeeze(op.Slice(state, [index], [index + 1], [0]), [0]) for state in states]
        steps = [_reverse(gates), _reverse(valid)] if index else [gates, valid]
        outputs, *last = projected_lstm(  # type: ignore[call-arg]  # not the annotated function
            *steps, *first, op.Transpose(hidden, perm=[1, 0]), op.Transpose(projection, perm=[1, 0])
        )
        ends = [op.Unsqueeze(state, [0]) for state in last]
        results.append([_reverse(outputs) if index else outputs, *ends])
    sequences, *states = zip(*results, strict=True)
    return op.Concat(*sequences, axis=-1), *map(_concat, states)


@script(Opset("ptx", 1), default_opset=op)
def projected_lstm(
    gates: Floats,
    valid: Bools,
    hidden: Floats,
    cell: Floats,
    hidden_weight: Floats,
    projection: Floats,
) -> tuple[Floats, Floats, Floats]:
    """One direction of an LSTM with a projection: its outputs and last states.

    At a step that is not valid the states stay as they are.
    """

    @graph()
    def step(h, c, x, v):  # type: ignore[no-untyped-def]  # onnxscript would fix the annotated types
        i, f, g, o = op.Split(op.Add(x, op.MatMul(h, hidden_weight)), axis=-1, num_outputs=4)
        new_c = op.Add(
            op.Mul(op.Sigmoid(f), c),
            op.Mul(op.Sigmoid(i), op.Tanh(g)),
        )
        new_h = op.MatMul(op.Mul(op.Sigmoid(o), op.Tanh(new_c)), projection)
        next_h = op.Where(v, new_h, h)
        next_c = op.Where(v, new_c, c)
        output = op.Identity(next_h)
        return next_h, next_c, output

    last_hidden, last_cell, outputs = op.Scan(
        hidden, cell, gates, valid, body=step, num_scan_inputs=2
    )
    return outputs, last_hidden, last_cell


def _reverse(sequence: Value) -> Value:
    """The sequence from its last step to its first."""
    return op.Slice(sequence, [-1], [-(2**63)], [0], [-1])


def _concat(values: Sequence[Value]) -> Value:
    return values[0] if len(values) == 1 else op.Concat(*values, axis=0)


def _padded(layer: _Layer) -> Callable[..., tuple[Value, ...]]:
    """Translates `aten::lstm.input`, or that of another layer."""

    def translate(sequence: Value, states: Value, weights: Any, *options: Any) -> tuple[Value, ...]:
        *_, batch_first = options
        if batch_first:
            sequence = _swap_batch_and_time(sequence)
        states = states if layer is _LSTM else [states]
        outputs, *last = _run(layer, sequence, states, weights, options)
        return _swap_batch_and_time(outputs) if batch_first else outputs, *last

    return translate


def _packed(layer: _Layer) -> Callable[..., tuple[Value, ...]]:
    """Translates `aten::lstm.data`, or that of another layer."""

    def translate(
        data: Value, batch_sizes: Value, states: Value, weights: Any, *options: Any
    ) -> tuple[Value, ...]:
        packing = _packing(batch_sizes)
        states = states if layer is _LSTM else [states]
        outputs, *last = _run(layer, packing.unpack(data), states, weights, options, packing)
        return packing.pack(outputs), *last

    return translate


_aten = torch.ops.aten
TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    _aten._pack_padded_sequence.default: _pack_padded_sequence,
    _aten._pad_packed_sequence.default: _pad_packed_sequence,
    _aten.lstm.input: _padded(_LSTM),
    _aten.gru.input: _padded(_GRU),
    _aten.rnn_tanh.input: _padded(_TANH),
    _aten.rnn_relu.input: _padded(_RELU),
    _aten.lstm.data: _packed(_LSTM),
    _aten.gru.data: _packed(_GRU),
    _aten.rnn_tanh.data: _packed(_TANH),
    _aten.rnn_relu.data: _packed(_RELU),
}
