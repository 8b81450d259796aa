"""The table of the backends. It imports no runtime: help and completion of the command line read it.

Installed packages add backends through the entry points of group `ptx.backends`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ptx.infer.artifact.formats import FORMATS, by_preference
from ptx.infer.errors import UsageError, did_you_mean, quote
from ptx.infer.plugins import PluginGroup


@dataclass(frozen=True)
class BackendEntry:
    """One entry of BACKENDS, or a backend of a package."""

    artifact_format: str  # a key of `ptx.infer.artifact.formats.FORMATS`, or a package's format
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

PACKAGE_BACKENDS = PluginGroup("ptx.backends", "backend", BACKENDS, BackendEntry)


def find_backend(name: str) -> BackendEntry:
    """The entry of a backend, of ptx or of a package.

    Raises:
        UsageError: there is no such backend; suggests similar names.
        BackendError: E-PLUGIN: its package cannot be used.
    """
    entry = BACKENDS.get(name) or PACKAGE_BACKENDS.find(name)
    if entry is None:
        raise UsageError(
            f"there is no backend {quote(name)}; {did_you_mean(name, backend_names())}"
        )
    return entry


def backend_names() -> list[str]:
    """The names of all backends; no package is imported."""
    return [*BACKENDS, *PACKAGE_BACKENDS.names()]


def supports(option: str, backend: str, artifact_format: str) -> bool:
    """Whether a backend supports an option; for `auto`, whether one that it may choose does."""
    names = preferred([artifact_format]) if backend == "auto" else [backend]
    return any(option in find_backend(name).supported_options for name in names)


def known_backends() -> dict[str, BackendEntry]:
    """Every backend by name, those of ptx first, without those of packages that cannot be used."""
    return {**BACKENDS, **PACKAGE_BACKENDS.usable()}


def preferred(formats: Iterable[str] | None = None) -> list[str]:
    """The backends for these file formats, in the order in which `auto` tries them.

    A package's backend is tried only for a package's format: installing one never changes what runs
    the files of ptx.

    Args:
        formats: Names of formats; None: all formats of ptx.
    """
    order = []
    for format_name in by_preference() if formats is None else formats:
        entries = BACKENDS if format_name in FORMATS else known_backends()
        order += [
            name
            for name in reversed(entries)
            if entries[name].auto and entries[name].artifact_format == format_name
        ]
    return order
