"""`.pt2` through torch.export; and what the exporters over torch.export share."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import UserError, UserErrorType

from ptx.export.formats import traced_sizes
from ptx.export.formats.recurrent import recurrent_shapes
from ptx.infer.artifact import zip_archive
from ptx.infer.backends.pytorch.device import to_tensors
from ptx.infer.signature import Signature

_PATHS = ("stack_trace", "nn_module_stack", "source_fn_stack")  # metadata that names source files


def convert(network: nn.Module, signature: Signature, *, opset: int | None = None) -> bytes:
    """The network's graph and weights as a `.pt2` archive."""
    with torch.no_grad(), warnings.catch_warnings(), recurrent_shapes():
        # torch.export warns of its own internals: that it will rename `_check_is_size`, and that an
        # LSTM's list of its own weights (`_flat_weights`) was assigned while they were faked.
        warnings.simplefilter("ignore")
        program = _trace(network, signature)
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                for key in _PATHS:
                    node.meta.pop(key, None)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def _trace(network: nn.Module, signature: Signature) -> torch.export.ExportedProgram:
    """The network's graph; its axes are named where nothing bounds them.

    A table of 64 positions says that no text is longer, which a named axis does not allow.
    """
    examples = example_tensors(signature, traced_sizes(signature))
    named = dynamic_shapes(signature)
    try:
        return torch.export.export(network, examples, dynamic_shapes=named)
    except UserError as error:
        if error.error_type is not UserErrorType.CONSTRAINT_VIOLATION:
            raise
        bounded = tuple(dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for axes in named)
        return torch.export.export(network, examples, dynamic_shapes=bounded)


def attach(content: bytes, card: str) -> bytes:
    """The archive with card and seal."""
    return zip_archive.attach(content, card)


def example_tensors(signature: Signature, sizes: Mapping[str, int]) -> tuple[Tensor, ...]:
    """Example inputs for tracing, in the order of the forward method."""
    return tuple(to_tensors(signature, signature.example(sizes), "cpu"))


def dynamic_shapes(signature: Signature) -> tuple[dict[int, Any], ...]:
    """The dynamic axes for torch.export: equal names are equal sizes."""
    named = {axis: torch.export.Dim(axis) for axis in signature.dynamic_axes}
    return tuple(
        {position: named[axis] for position, axis in enumerate(spec.axes) if isinstance(axis, str)}
        for spec in signature.inputs
    )
