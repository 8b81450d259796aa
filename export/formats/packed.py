"""ONNX through the older exporter, which traces: it alone knows packed sequences.

The newer one, over torch.export, unrolls a layer over a packed sequence at the traced length, or fails.
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


def packs(traced: Traced) -> bool:
    """Whether a layer is given a packed sequence."""
    with _keeping_outputs(traced.network) as kept, torch.no_grad():
        traced.network(*example_tensors(traced.signature))
    return bool(kept)


def export_older(traced: Traced, opset: int) -> Any:
    """The model. The proof shows whether its free axes are free."""
    import onnx

    signature = traced.signature
    buffer = io.BytesIO()
    names = [spec.name for spec in signature.outputs]
    with _keeping_outputs(traced.network) as kept, redirect_stdout(io.StringIO()):
        torch.onnx.export(
            _Kept(traced.network, kept),
            example_tensors(signature),
            buffer,  # type: ignore[arg-type]  # which it takes, unlike what it says
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
            # The exporter does not see through every operator.
            if isinstance(axis, int) and not dim.dim_value:
                dim.dim_value = axis
    return model


class _Kept(nn.Module):
    """A network that also returns what its layers gave over packed sequences.

    The exporter fails where a layer's last states alone are used (`vector::_M_range_check`).
    """

    def __init__(self, network: nn.Module, kept: list[Tensor]) -> None:
        super().__init__()
        self.network, self._kept = network, kept

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        self._kept.clear()
        outputs = self.network(*inputs)
        own = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
        return (*own, *self._kept)


@contextmanager
def _keeping_outputs(network: nn.Module) -> Iterator[list[Tensor]]:
    """In the list, the padded outputs of each layer over a packed sequence, as it runs."""
    kept: list[Tensor] = []

    def keep(layer: nn.Module, inputs: Any, outputs: Any) -> None:
        if isinstance(outputs[0], PackedSequence):
            kept.append(pad_packed_sequence(outputs[0])[0])

    hooks = [m.register_forward_hook(keep) for m in network.modules() if isinstance(m, nn.RNNBase)]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()
