"""The backend protocol, its options, and the function that opens a backend for a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ptx.infer.artifact.artifact import Artifact, Trust, require_trust
from ptx.infer.artifact.formats import find_format
from ptx.infer.backends.registry import (
    DEVICES,
    PACKAGE_BACKENDS,
    BackendEntry,
    find_backend,
    preferred,
)
from ptx.infer.errors import BackendError, LimitError, UsageError, did_you_mean, quote
from ptx.infer.ranges import DEVICE_MEMORY, THREADS, TIMEOUT
from ptx.infer.signature import Array, TensorSpec

if TYPE_CHECKING:
    from ptx.infer.backends.ort.device_arrays import DeviceArray

Factory = Callable[[], Any]  # returns a new torch.nn.Module


@runtime_checkable
class Backend(Protocol):
    """A model that is loaded on one device and ready to run."""

    @property
    def name(self) -> str:
        """The name of its entry in the registry."""

    @property
    def device(self) -> str:
        """The device that the opened runtime reports: `cpu`, `cuda:0`, `mps`."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs. The inputs were checked: native byte order, contiguous, at least one sample."""

    def close(self) -> None:
        """Release the runtime's memory; the backend cannot be used afterwards."""


@runtime_checkable
class DeviceBackend(Backend, Protocol):
    """A backend that accepts and returns arrays on its device."""

    def import_array(self, spec: TensorSpec, array: Any) -> DeviceArray:
        """An input on the device, without a copy.

        Raises:
            InputError: it is not a DLPack array on the device, or its dtype is wrong.
        """

    def run_on_device(self, inputs: Mapping[str, Array | DeviceArray]) -> dict[str, DeviceArray]:
        """The outputs on the device. Inputs are checked NumPy arrays or results of `import_array`."""


@dataclass(frozen=True)
class Options:
    """How a backend is opened. An option that the backend does not support is an error.

    Attributes:
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        threads: None: one for each CPU that this process may use.
        precision: "tf32" lets CUDA round the factors of products to 10 mantissa bits.
        trust: See `ptx.infer.artifact.artifact`.
        timeout: Maximum seconds per run; None: no limit.
        network: For eager: creates the network of a model that is not in the catalog.
        cpu_fallback: For ort-cuda: which nodes may run on the CPU, one of CPU_FALLBACKS.
        device_memory: For ort-cuda: maximum bytes of GPU memory that the session may allocate for
            weights and intermediate results; None: no limit.
    """

    device: str = "auto"
    threads: int | None = None
    precision: str = "float32"
    trust: Trust = False
    timeout: float | None = None
    network: Factory | None = None
    cpu_fallback: str = "shape-ops"
    device_memory: int | None = None

    def non_default(self) -> list[str]:
        """The names of the options with a non-default value, except `device` and `trust`."""
        return [
            field.name
            for field in fields(self)
            if field.name not in ("device", "trust") and getattr(self, field.name) != field.default
        ]


PRECISIONS = ("float32", "tf32")
# Which nodes may run on the CPU: those that only compute sizes, if ONNX Runtime places them there; none.
CPU_FALLBACKS = ("shape-ops", "none")

_DEVICE = re.compile(r"auto|(cpu|cuda|mps)(:[0-9]{1,3})?")
_DISPLAY_NAMES = {"cpu": "the CPU", "cuda": "CUDA", "mps": "MPS"}
# What to do instead if a backend does not support an option.
_HINTS = {
    "threads": "PyTorch has one thread pool per process: call torch.set_num_threads",
    "precision": "only CUDA can use reduced precision; this backend computes in float32",
    "timeout": "this runtime cannot be interrupted: use an ONNX file, or `ptx predict --timeout`,"
    " which ends the process",
    "network": "exported files contain their network: omit the option, or use eager with the checkpoint",
    "cpu_fallback": "it is an option of ort-cuda: omit it",
    "device_memory": "it limits the GPU memory of ort-cuda: omit it",
}


def open_backend(
    name: str, artifact: Artifact, options: Options, *, skipped: dict[str, str] | None = None
) -> Backend:
    """Open `artifact` with exactly the requested backend.

    `auto` uses the first backend that is available and supports the options; `Backend.name` says which.

    Args:
        skipped: Filled with the backends that `auto` tried before, and the reason that each failed.

    Raises:
        UsageError: there is no such backend, or it does not support this file format or an option.
        BackendError: its library, driver or device is not available on this machine.
        ArtifactError: the file cannot be loaded, or is a program that is not trusted.
        LimitError: there is not enough memory, or loading exceeds the timeout.
    """
    if name == "auto":
        return _open_first(artifact, options, {} if skipped is None else skipped)
    entry = find_backend(name)
    if entry.artifact_format != artifact.kind:
        compatible = _require_compatible(artifact)[::-1]
        raise UsageError(
            f"backend {name!r} runs {find_format(entry.artifact_format).noun}, and {artifact.name} is"
            f" {artifact.format.noun}: use {' or '.join(compatible)}, or export the model to the other"
            " format"
        )
    _check_values(options)
    _check_options(name, entry, options)
    require_trust(artifact, options.trust)
    with PACKAGE_BACKENDS.mapping_errors(name):
        backend = PACKAGE_BACKENDS.resolve(name, entry.entry_point)(artifact, options)
        if not isinstance(backend, Backend):
            raise TypeError(f"{entry.entry_point} does not implement Backend")
        if backend.name != name:
            raise ValueError(f"the name of its backend is {backend.name!r}; expected {name!r}")
    return backend


def _check_values(options: Options) -> None:
    for what, value, choices in (
        ("precision", options.precision, PRECISIONS),
        ("cpu_fallback", options.cpu_fallback, CPU_FALLBACKS),
    ):
        if value not in choices:
            raise UsageError(f"there is no {what} {quote(value)}; {did_you_mean(value, choices)}")
    if options.threads is not None:
        THREADS.check("threads", options.threads)
    if options.timeout is not None:
        TIMEOUT.check("timeout", options.timeout)
    if options.device_memory is not None:
        DEVICE_MEMORY.check("device_memory", options.device_memory)


def _check_options(name: str, entry: BackendEntry, options: Options) -> None:
    chosen = require_device(options.device)
    if chosen not in ("auto", *entry.devices):
        where = " or ".join(_DISPLAY_NAMES[device] for device in entry.devices)
        raise UsageError(
            f"backend {name!r} runs on {where}; the requested device is {quote(options.device)}"
        )
    for option in options.non_default():
        if option not in entry.supported_options:
            raise UsageError(f"backend {name!r} does not support {option}: {_HINTS[option]}")


def require_device(name: str) -> str:
    """The type of a device: `cuda` for `cuda:1`; UsageError suggests similar names if it is unknown."""
    kind = name.partition(":")[0]
    if _DEVICE.fullmatch(name) is None:
        raise UsageError(f"there is no device {quote(name)}; {did_you_mean(kind, DEVICES)}")
    return kind


def _open_first(artifact: Artifact, options: Options, skipped: dict[str, str]) -> Backend:
    compatible = _require_compatible(artifact)
    supporting = [name for name in compatible if _supports(find_backend(name), options)]
    candidates = supporting or compatible[-1:]
    for name in candidates[:-1]:
        try:
            return open_backend(name, artifact, options)
        except BackendError as error:
            if not error.absent:
                skipped[name] = error.reason
        except LimitError as error:
            if error.code != "E-MEMORY":
                raise
            skipped[name] = error.message  # of this device; the next candidate may use another one
    return open_backend(candidates[-1], artifact, options)


def _require_compatible(artifact: Artifact) -> list[str]:
    """The backends that run a file; BackendError if packages have its format and no backend for it."""
    compatible = preferred([artifact.kind])
    if not compatible:
        broken = [f"{name!r} of {reason}" for name, reason in PACKAGE_BACKENDS.broken().items()]
        raise BackendError(
            f"no backend here runs {artifact.name}, {artifact.format.noun}: install a package with one"
            + (f"; skipped: {', '.join(broken)}" if broken else ""),
            code="E-PLUGIN",
        )
    return compatible


def _supports(entry: BackendEntry, options: Options) -> bool:
    chosen = options.device.partition(":")[0]
    return chosen in ("auto", *entry.devices) and set(options.non_default()) <= set(
        entry.supported_options
    )
