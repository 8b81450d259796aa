"""Models that never come to an end, and what --timeout makes of them."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import onnx

from ptx.infer.artifact import onnx_bytes, zip_archive
from ptx.infer.artifact.artifact import read_artifact

from .case import Case, Group, Kit

endless = Group("endless", ".onnx")
program = Group("endless program", ".torchscript")

GRAPH = """
agraph (float[batch, 1] x) => (float[batch, 1] y) <float[1] end = {3}> {
    mean = ReduceMean <keepdims = 0> (x)
    same = Equal (mean, end)
    on = Squeeze (same)
    y = Loop (, on, x) <body = once (int64 n, bool go, float[batch, 1] s) =>
        (bool again, float[batch, 1] t) { again = Identity (go)  t = Identity (s) }>
}
"""


def endless_model(source: Path) -> bytes:
    """An ONNX file with the manifest of `source`, a linear-model: y = x, and no end at a mean of 3."""
    proto = onnx.ModelProto.FromString(source.read_bytes())
    del proto.metadata_props[:]
    proto.graph.CopyFrom(onnx.parser.parse_graph(GRAPH))
    return onnx_bytes.embed_manifest(
        proto.SerializeToString(), read_artifact(source).require_manifest().to_json()
    )


def endless_program(kit: Kit, *, when_loaded: bool) -> bytes:
    """A TorchScript archive with the manifest of a linear-model that runs for ever."""
    import torch

    class Endless(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            while x.numel() > 0:
                x = x + 1
            return x

    class EndlessWhenLoaded(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

        @torch.jit.export
        def __getstate__(self) -> bool:
            return self.training

        @torch.jit.export
        def __setstate__(self, state: bool) -> None:
            self.training = state
            count = 0
            while count >= 0:
                count = (count + 1) % 7

    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated upstream
        last = EndlessWhenLoaded() if when_loaded else Endless()
        torch.jit.save(
            torch.jit.script(torch.nn.Sequential(torch.nn.Linear(1, 1), last).eval()), target
        )
    manifest = read_artifact(kit.model("torchscript", "linear-model")).require_manifest()
    return zip_archive.embed_manifest(target.getvalue(), manifest.to_json())


CASES: list[Case] = [
    endless(
        "a loop without an end",
        lambda kit: endless_model(kit.model("onnx", "linear-model")),
        "E-TIMEOUT",
        status=6,
    ),
    program(
        "a program without an end",
        lambda kit: endless_program(kit, when_loaded=False),
        "E-TIMEOUT",
        status=6,
    ),
    program(
        "a program that does not end when it is loaded",
        lambda kit: endless_program(kit, when_loaded=True),
        "E-TIMEOUT",
        status=6,
    ),
]
