"""The table of the backends. It imports no runtime: help and completion of the command line read it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ptx.infer.artifact.formats import by_preference


@dataclass(frozen=True)
class BackendEntry:
    """One entry of BACKENDS."""

    artifact_format: str  # a key of `ptx.infer.artifact.formats.FORMATS`
    entry_point: str  # "module:class"; the class is called with (artifact, options)
    import_runtime: str  # "module:function" that imports and returns the underlying library
    devices: tuple[str, ...]  # the device types that it runs on
    supported_options: tuple[str, ...] = ()  # in addition to device and trust
    fork_safe: bool = False  # whether it can be reopened in a forked child process
    auto: bool = True  # whether `auto` may choose it


_TORCH = "ptx.infer.backends.pytorch.device:import_torch"
_ONNXRUNTIME = "ptx.infer.backends.ort.cpu:import_onnxruntime"

BACKENDS = {
    "eager": BackendEntry(
        "checkpoint",
        "ptx.infer.backends.pytorch.eager:EagerBackend",
        _TORCH,
        devices=("cpu", "cuda", "mps"),
        supported_options=("precision", "network"),
    ),
    "torchscript": BackendEntry(
        "torchscript",
        "ptx.infer.backends.pytorch.script:TorchScriptBackend",
        _TORCH,
        devices=("cpu", "cuda", "mps"),
        supported_options=("precision",),
    ),
    "pt2": BackendEntry(
        "pt2",
        "ptx.infer.backends.pytorch.pt2:Pt2Backend",
        _TORCH,
        devices=("cpu", "cuda", "mps"),
        supported_options=("precision",),
    ),
    "ort-cpu": BackendEntry(
        "onnx",
        "ptx.infer.backends.ort.cpu:OrtCpuBackend",
        _ONNXRUNTIME,
        devices=("cpu",),
        supported_options=("threads", "timeout"),
        fork_safe=True,
    ),
    "ort-cuda": BackendEntry(
        "onnx",
        "ptx.infer.backends.ort.cuda:OrtCudaBackend",
        _ONNXRUNTIME,
        devices=("cuda",),
        supported_options=("threads", "precision", "timeout", "cpu_fallback", "device_memory"),
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
        supported_options=("threads",),
        auto=False,
    ),
}
"""The backends, by the name that `load` and `--backend` accept.

Among the backends of one format, `auto` tries later entries first.
"""

DEVICES = ("auto", "cpu", "cuda", "mps")


def preferred(formats: Iterable[str] | None = None) -> list[str]:
    """The backends for these file formats (default: all), in the order in which `auto` tries them."""
    formats = by_preference() if formats is None else formats
    candidates = [name for name in reversed(BACKENDS) if BACKENDS[name].auto]
    return [
        name
        for format_name in formats
        for name in candidates
        if BACKENDS[name].artifact_format == format_name
    ]
