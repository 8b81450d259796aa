"""`.pt2` through torch.export."""

from __future__ import annotations

import io

import torch

from ptx.export.tracing import Traced, with_limits


def convert(traced: Traced, *, opset: int | None = None) -> bytes:
    """The network's graph and weights as a `.pt2` archive, which checks the limits of the axes."""
    program = with_limits(traced.require_program(), traced.signature)
    program.example_inputs = None  # 3 MB of a traced photograph would be stored in the archive
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()
