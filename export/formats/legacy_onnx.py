"""ONNX through the legacy tracing exporter, for networks with packed sequences.

The exporter over torch.export unrolls a layer over a packed sequence at the traced length, or fails.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ptx.export.tracing import Traced, example_tensors


def uses_packed_sequences(traced: Traced) -> bool:
    """Whether a layer is called with a packed sequence."""
    with _capture_outputs(traced.network) as captured, torch.no_grad():
        traced.network(*example_tensors(traced.signature))
    return bool(captured)


def legacy_export(traced: Traced, opset: int) -> Any:
    """The ONNX model. The equivalence check shows whether its dynamic axes are dynamic."""
    import onnx

    signature = traced.signature
    buffer = io.BytesIO()
    names = [spec.name for spec in signature.outputs]
    with _capture_outputs(traced.network) as captured, redirect_stdout(io.StringIO()):
        torch.onnx.export(
            _WithHiddenOutputs(traced.network, captured),
            example_tensors(signature),
            buffer,  # type: ignore[arg-type]  # takes one, unlike its annotation
            dynamo=False,
            input_names=[spec.name for spec in signature.inputs],
            output_names=names,
            dynamic_axes={
                spec.name: {at: axis for at, axis in enumerate(spec.axes) if isinstance(axis, str)}
                for spec in signature
            },
            opset_version=opset,
        )
    model = onnx.load_from_string(buffer.getvalue())
    del model.graph.output[len(names) :]
    for value, spec in zip(model.graph.output, signature.outputs, strict=True):
        for dim, axis in zip(value.type.tensor_type.shape.dim, spec.axes, strict=True):
            # The exporter does not infer the shape of every operator.
            if isinstance(axis, int) and not dim.dim_value:
                dim.dim_value = axis
    return model


class _WithHiddenOutputs(nn.Module):
    """A network that also returns its layers' outputs over packed sequences.

    The exporter fails if only a layer's last states are used (`vector::_M_range_check`).
    """

    def __init__(self, network: nn.Module, captured: list[Tensor]) -> None:
        super().__init__()
        self.network, self._captured = network, captured

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        self._captured.clear()
        outputs = self.network(*inputs)
        outputs = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
        return (*outputs, *self._captured)


@contextmanager
def _capture_outputs(network: nn.Module) -> Iterator[list[Tensor]]:
    """Appends the padded outputs of each layer over a packed sequence to the list, as it runs."""
    captured: list[Tensor] = []

    def capture(layer: nn.Module, inputs: Any, outputs: Any) -> None:
        if isinstance(outputs[0], PackedSequence):
            captured.append(pad_packed_sequence(outputs[0])[0])

    hooks = [
        m.register_forward_hook(capture) for m in network.modules() if isinstance(m, nn.RNNBase)
    ]
    try:
        yield captured
    finally:
        for hook in hooks:
            hook.remove()
