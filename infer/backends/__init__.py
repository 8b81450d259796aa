"""The backends: what runs a model file.

Each is a final class in its own file, opened on demand. Everything comfortable (checks, batches, pre-
and postprocessing) stands once, in `ptx.infer.predictor`. The table is light: help and completion of
the command line read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptx.infer.artifact.formats import by_preference
from ptx.infer.lazy import lazy

if TYPE_CHECKING:
    from ptx.infer.backends.opening import (
        Backend,
        DeviceBackend,
        Factory,
        Options,
        find_backend,
        open_backend,
        require_device,
    )
else:
    _OPENING = "Backend DeviceBackend Factory Options find_backend open_backend require_device"
    __getattr__, __dir__ = lazy(__name__, dict.fromkeys(_OPENING.split(), "opening"))

__all__ = [
    "BACKENDS",
    "DEVICES",
    "Backend",
    "BackendEntry",
    "DeviceBackend",
    "Factory",
    "Options",
    "find_backend",
    "open_backend",
    "preferred",
    "require_device",
]


@dataclass(frozen=True)
class BackendEntry:
    """One line of BACKENDS."""

    reads: str  # the kind of file, a key of `ptx.infer.artifact.formats.FORMATS`
    target: str  # "module:class"; the class is called with (artifact, options)
    runtime: str  # "module:function" that imports and returns the library under it
    devices: tuple[str, ...]  # the kinds of device that it runs on
    heeds: tuple[str, ...] = ()  # the options that it takes besides device and trust
    survives_fork: bool = False  # whether it can be opened anew in a forked child
    auto: bool = True  # whether `auto` may take it


_TORCH = "ptx.infer.backends.pytorch.device:import_torch"
_ONNXRUNTIME = "ptx.infer.backends.ort.cpu:import_onnxruntime"

BACKENDS = {
    "eager": BackendEntry(
        "checkpoint",
        "ptx.infer.backends.pytorch.eager:EagerBackend",
        _TORCH,
        devices=("cpu", "cuda", "mps"),
        heeds=("precision", "network"),
    ),
    "torchscript": BackendEntry(
        "torchscript",
        "ptx.infer.backends.pytorch.script:TorchScriptBackend",
        _TORCH,
        devices=("cpu", "cuda", "mps"),
        heeds=("precision",),
    ),
    "pt2": BackendEntry(
        "pt2",
        "ptx.infer.backends.pytorch.pt2:Pt2Backend",
        _TORCH,
        devices=("cpu", "cuda", "mps"),
        heeds=("precision",),
    ),
    "ort-cpu": BackendEntry(
        "onnx",
        "ptx.infer.backends.ort.cpu:OrtCpuBackend",
        _ONNXRUNTIME,
        devices=("cpu",),
        heeds=("threads", "timeout"),
        survives_fork=True,
    ),
    "ort-cuda": BackendEntry(
        "onnx",
        "ptx.infer.backends.ort.cuda:OrtCudaBackend",
        _ONNXRUNTIME,
        devices=("cuda",),
        heeds=("threads", "precision", "timeout", "cpu_nodes", "device_memory"),
    ),
    "javascript": BackendEntry(
        "html",
        "ptx.infer.backends.javascript.page:JavaScriptBackend",
        "ptx.infer.backends.javascript.hosts:find_runtime",
        devices=("cpu",),
    ),
    "openvino": BackendEntry(
        "onnx",
        "ptx.infer.backends.openvino_cpu:OpenvinoBackend",
        "ptx.infer.backends.openvino_cpu:import_openvino",
        devices=("cpu",),
        heeds=("threads",),
        auto=False,
    ),
}
"""The backends by the name that `load` and `--backend` take.

Of those that read one kind of file `auto` tries the last first.
"""

DEVICES = ("auto", "cpu", "cuda", "mps")


def preferred(kinds: Iterable[str] | None = None) -> list[str]:
    """The backends of these kinds of files, or of all, in the order in which `auto` takes them."""
    kinds = by_preference() if kinds is None else kinds
    named = [name for name in reversed(BACKENDS) if BACKENDS[name].auto]
    return [name for kind in kinds for name in named if BACKENDS[name].reads == kind]
