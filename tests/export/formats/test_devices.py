"""An exported file runs on another device than the one it was recorded on. "meta" stands for it here."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ptx.export.formats import EXPORTERS
from ptx.export.tracing import trace
from ptx.infer import Signature, read_artifact
from ptx.models import CATALOG

Export = Callable[[str, str], Path]

SIZES = {"batch": 3, "time": 4}


def load_torchscript(data: bytes) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.jit is deprecated
        return torch.jit.load(io.BytesIO(data), map_location="meta")  # type: ignore[no-untyped-call]


def load_pt2(data: bytes) -> Any:
    from torch.export.passes import move_to_device_pass

    return move_to_device_pass(torch.export.load(io.BytesIO(data)), "meta").module()


LOADERS: dict[str, Callable[[bytes], Any]] = {"torchscript": load_torchscript, "pt2": load_pt2}


def run_on_meta(format_name: str, data: bytes, signature: Signature) -> dict[str, Tensor]:
    sizes = {axis: SIZES.get(axis, 5) for axis in signature.dynamic_axes}
    inputs = [torch.from_numpy(a).to("meta") for a in signature.example(sizes).values()]
    with torch.inference_mode():
        outputs = LOADERS[format_name](data)(*inputs)
    tensors = (outputs,) if isinstance(outputs, Tensor) else outputs
    return dict(zip([spec.name for spec in signature.outputs], tensors, strict=True))


@pytest.mark.parametrize("format_name", LOADERS)
@pytest.mark.parametrize("model", CATALOG)
def test_an_exported_file_runs_on_another_device(
    model: str, format_name: str, artifact: Export
) -> None:
    found = read_artifact(artifact(model, format_name))
    signature = found.require_manifest().signature
    outputs = run_on_meta(format_name, found.data, signature)
    for spec in signature.outputs:
        assert outputs[spec.name].device.type == "meta"
        sizes = {axis: SIZES.get(axis, 5) for axis in signature.dynamic_axes}
        assert tuple(outputs[spec.name].shape) == spec.shape(sizes)


def test_a_trace_that_kept_its_device_is_found_out() -> None:
    """The negative control: zeros of no device are those of the CPU for ever."""

    class Nailed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x, torch.zeros(x.shape[0], 1)], dim=1)

    signature = Signature.from_data(
        {"inputs": {"x": ["float32", ["batch", 1]]}, "outputs": {"y": ["float32", ["batch", 2]]}}
    )
    data = EXPORTERS["torchscript"].convert(trace(Nailed(), signature), opset=None)
    with pytest.raises(RuntimeError, match="device"):
        run_on_meta("torchscript", data, signature)
