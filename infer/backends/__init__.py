"""The backends: what runs a model file.

Each is a final class in its own file, opened on demand. Everything comfortable (checks, batches, pre-
and postprocessing) stands once, in `ptx.infer.predictor`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from ptx.infer.artifact.artifact import KINDS, Artifact
from ptx.infer.artifact.trust import Trust, require_trust
from ptx.infer.errors import BackendError, UsageError, nearest, quoted
from ptx.infer.signature import Array

Factory = Callable[[], Any]  # makes a network, a torch.nn.Module


@runtime_checkable
class Backend(Protocol):
    """A model that is ready to run on one device."""

    @property
    def name(self) -> str:
        """The key in BACKENDS."""
        ...

    @property
    def device(self) -> str:
        """Where it really runs, as read back from the opened runtime: `cpu`, `cuda:0`, `mps`."""
        ...

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs for checked inputs (native-endian, contiguous, at least one sample)."""
        ...

    def close(self) -> None:
        """Give the runtime's memory back; the backend cannot be used afterwards."""
        ...


@dataclass(frozen=True)
class Options:
    """How a backend is opened."""

    device: str = "auto"  # "auto", "cpu", "cuda", "cuda:1", "mps"
    threads: int | None = None  # None: one for each processor that this process may use
    precision: str = "float32"  # "tf32" lets CUDA round the factors of products to 10 bits
    trust: Trust = False  # see `ptx.infer.artifact.trust`
    timeout: float | None = None  # seconds for each run; None: as long as it takes
    cuda_graphs: bool = False  # of ort-cuda: capture batches of up to 256 rows as CUDA graphs
    network: Factory | None = None  # of eager: makes the network of a model outside the catalog


@dataclass(frozen=True)
class BackendEntry:
    """One line of BACKENDS."""

    reads: str  # the kind of artifact, a key of `ptx.infer.artifact.artifact.KINDS`
    target: str  # "module:class"; the class is called with (artifact, options)
    survives_fork: bool  # whether it can be opened anew in a forked child
    stops: bool  # whether a run can be stopped within the process


BACKENDS = {
    "eager": BackendEntry(
        "checkpoint", "ptx.infer.backends.pytorch.eager:EagerBackend", False, False
    ),
    "torchscript": BackendEntry(
        "torchscript", "ptx.infer.backends.pytorch.script:TorchScriptBackend", False, False
    ),
    "exported": BackendEntry("pt2", "ptx.infer.backends.pytorch.pt2:ExportedBackend", False, False),
    "ort-cpu": BackendEntry("onnx", "ptx.infer.backends.ort.cpu:OrtCpuBackend", True, True),
    "ort-cuda": BackendEntry("onnx", "ptx.infer.backends.ort.cuda:OrtCudaBackend", False, True),
}
"""The backends by the name that `load` and `--backend` take."""

# What `auto` tries for a kind of file, in this order.
AUTO = {
    "onnx": ("ort-cuda", "ort-cpu"),
    "torchscript": ("torchscript",),
    "pt2": ("exported",),
    "checkpoint": ("eager",),
}

PRECISIONS = ("float32", "tf32")


def find_backend(name: str) -> BackendEntry:
    """The entry of a backend; UsageError names the nearest where there is none."""
    if name not in BACKENDS:
        raise UsageError(f"there is no backend {quoted(name)}; {nearest(name, BACKENDS)}")
    return BACKENDS[name]


def open_backend(name: str, artifact: Artifact, options: Options) -> Backend:
    """Open `artifact` with the backend that was asked for, and with no other.

    `auto` takes the first of AUTO that is available here; the opened backend says which it is.

    Raises:
        UsageError: no such backend, or it does not run this kind of file.
        BackendError: its library, driver or device is not available here.
        ArtifactError: the file cannot be loaded, or is a program that is not trusted.
    """
    if name == "auto":
        return _open_first(artifact, options)
    entry = find_backend(name)
    if entry.reads != artifact.kind:
        fitting = [other for other, item in BACKENDS.items() if item.reads == artifact.kind]
        raise UsageError(
            f"backend {name!r} runs {KINDS[entry.reads]}, and {artifact.name} is"
            f" {KINDS[artifact.kind]}: use {' or '.join(fitting)}, or export the model to the other"
            " format"
        )
    if options.precision not in PRECISIONS:
        raise UsageError(
            f"there is no precision {quoted(options.precision)};"
            f" {nearest(options.precision, PRECISIONS)}"
        )
    if options.threads is not None and options.threads < 1:
        raise UsageError(f"threads is {options.threads}; expected at least 1")
    _check_timeout(name, entry, options.timeout)
    _check_graphs(name, options)
    require_trust(artifact, options.trust)
    module, _, attribute = entry.target.partition(":")
    backend = getattr(import_module(module), attribute)(artifact, options)
    if not isinstance(backend, Backend):
        raise TypeError(f"{entry.target} does not implement Backend")
    return backend


def _check_timeout(name: str, entry: BackendEntry, timeout: float | None) -> None:
    if timeout is None:
        return
    if not (timeout > 0 and math.isfinite(timeout)):
        raise UsageError(f"timeout is {timeout}; expected seconds, more than 0")
    if not entry.stops:
        raise UsageError(
            f"backend {name!r} cannot be stopped once it runs, so it takes no timeout: use an ONNX"
            " file, or `ptx predict --timeout`, which ends the process"
        )


def _check_graphs(name: str, options: Options) -> None:
    if options.cuda_graphs and name != "ort-cuda":
        raise UsageError(f"backend {name!r} has no CUDA graphs: use ort-cuda, or leave them out")
    if options.cuda_graphs and options.timeout is not None:
        raise UsageError("a CUDA graph cannot be stopped: leave out timeout or cuda_graphs")


def _open_first(artifact: Artifact, options: Options) -> Backend:
    candidates = AUTO[artifact.kind]
    if artifact.kind == "onnx" and options.device != "auto":
        candidates = ("ort-cuda",) if options.device.startswith("cuda") else ("ort-cpu",)
    for name in candidates[:-1]:
        try:
            return open_backend(name, artifact, options)
        except BackendError:
            continue
    return open_backend(candidates[-1], artifact, options)
