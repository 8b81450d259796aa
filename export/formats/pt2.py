"""`.pt2` through torch.export."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.export import ExportedProgram

from ptx.export.tracing import Traced, with_limits

_SOURCE_PATHS = ("stack_trace", "nn_module_stack", "source_fn_stack")  # metadata that names files


def convert(traced: Traced, *, opset: int | None = None) -> bytes:
    """The network's graph and weights as a `.pt2` archive, which checks the limits of the axes."""
    program = with_limits(traced.require_program(), traced.signature)
    program.example_inputs = None  # 3 MB of a traced photograph would be stored in the archive
    buffer = io.BytesIO()
    with _without_source_paths(program):
        torch.export.save(program, buffer)
    return buffer.getvalue()


@contextmanager
def _without_source_paths(program: ExportedProgram) -> Iterator[None]:
    """Remove the metadata that names files of this machine for the duration of the block."""
    removed = []
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                for key in _SOURCE_PATHS:
                    if key in node.meta:
                        removed.append((node, key, node.meta.pop(key)))
    try:
        yield
    finally:
        for node, key, value in removed:
            node.meta[key] = value
