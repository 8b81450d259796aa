"""TorchScript through tracing. Deprecated upstream; `.pt2` stands beside it."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from ptx.export.formats import traced_sizes
from ptx.export.formats.pt2 import example_tensors
from ptx.infer.artifact import zip_archive
from ptx.infer.signature import Signature


def convert(network: nn.Module, signature: Signature, *, opset: int | None = None) -> bytes:
    """The network, traced in eval mode, as a TorchScript archive."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit is deprecated: the command line says it once
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            network, example_tensors(signature, traced_sizes(signature)), check_trace=False
        )
        # Never to a path: on a full disk that aborts the process (pytorch/pytorch#156955).
        content: bytes = traced.save_to_buffer()
    return content


def attach(content: bytes, card: str) -> bytes:
    """The archive with card and seal, without the source positions that name the exporting machine."""
    return zip_archive.attach(content, card, drop=(".debug_pkl",))
