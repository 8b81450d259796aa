"""TorchScript through tracing. Deprecated upstream; `.pt2` is its successor."""

from __future__ import annotations

import warnings

import torch

from ptx.export.tracing import Traced, example_tensors
from ptx.infer.artifact import zip_archive
from ptx.infer.backends.pytorch.script_graph import unfreeze_convolutions


def convert(traced: Traced, *, opset: int | None = None) -> bytes:
    """The network, traced in eval mode, as a TorchScript archive."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit is deprecated: the command line says it once
        script = torch.jit.trace(  # type: ignore[no-untyped-call]
            traced.network, example_tensors(traced.signature), check_trace=False
        )
        unfreeze_convolutions(script)
        # Never to a path: on a full disk that aborts the process (pytorch/pytorch#156955).
        content: bytes = script.save_to_buffer()
    return content


def embed_manifest(content: bytes, manifest: str) -> bytes:
    """The archive with its manifest, without the source positions that name the exporting machine."""
    return zip_archive.embed_manifest(content, manifest, drop=(".debug_pkl",))
