"""From a file to what runs it: the protocol, the options, and the one way in."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ptx.infer.artifact.artifact import Artifact, Trust, require_trust
from ptx.infer.artifact.formats import FORMATS
from ptx.infer.backends import BACKENDS, DEVICES, BackendEntry, preferred
from ptx.infer.errors import BackendError, LimitError, UsageError, nearest, quote
from ptx.infer.ranges import DEVICE_MEMORY, THREADS, TIMEOUT
from ptx.infer.signature import Array, TensorSpec

if TYPE_CHECKING:
    from ptx.infer.backends.ort.device_arrays import DeviceArray

Factory = Callable[[], Any]  # makes a network, a torch.nn.Module


@runtime_checkable
class Backend(Protocol):
    """A model that is ready to run on one device."""

    @property
    def name(self) -> str:
        """The key in BACKENDS."""

    @property
    def device(self) -> str:
        """Where it really runs, as read back from the opened runtime: `cpu`, `cuda:0`, `mps`."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs for checked inputs (native-endian, contiguous, at least one sample)."""

    def close(self) -> None:
        """Give the runtime's memory back; the backend cannot be used afterwards."""


@runtime_checkable
class DeviceBackend(Backend, Protocol):
    """A backend that takes and gives arrays on its device."""

    def import_array(self, spec: TensorSpec, array: Any) -> DeviceArray:
        """An input on the device, without a copy.

        Raises:
            InputError: it is no DLPack array on the device, or has another dtype.
        """

    def run_on_device(self, inputs: Mapping[str, Array | DeviceArray]) -> dict[str, DeviceArray]:
        """The outputs on the device, for checked inputs: NumPy arrays, and what `import_array` gave."""


@dataclass(frozen=True)
class Options:
    """How a backend is opened. What it does not heed is refused, not dropped.

    Attributes:
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        threads: None: one for each processor that this process may use.
        precision: "tf32" lets CUDA round the factors of products to 10 bits.
        trust: See `ptx.infer.artifact.artifact`.
        timeout: Seconds for each run; None: as long as it takes.
        network: Of eager: makes the network of a model outside the catalog.
        cpu_nodes: Of ort-cuda: which nodes may run on the CPU, one of CPU_NODES.
        device_memory: Of ort-cuda: the most bytes of GPU memory that the session's arena may take for
            weights and intermediate results; None: as much as there is.
    """

    device: str = "auto"
    threads: int | None = None
    precision: str = "float32"
    trust: Trust = False
    timeout: float | None = None
    network: Factory | None = None
    cpu_nodes: str = "shapes"
    device_memory: int | None = None

    def list_changed(self) -> list[str]:
        """The names of those that are not as they are by default, but for `device` and `trust`."""
        return [
            field.name
            for field in fields(self)
            if field.name not in ("device", "trust") and getattr(self, field.name) != field.default
        ]


PRECISIONS = ("float32", "tf32")
CPU_NODES = ("shapes", "none")  # nodes that compute sizes, where ONNX Runtime puts them; no node

_DEVICE = re.compile(r"auto|(cpu|cuda|mps)(:[0-9]{1,3})?")
_SPOKEN = {"cpu": "the CPU", "cuda": "CUDA", "mps": "MPS"}
# What to do instead, where a backend does not heed an option.
_INSTEAD = {
    "threads": "those of PyTorch are the whole process's, torch.set_num_threads sets them",
    "precision": "it is for CUDA, where factors may be rounded; here all is float32",
    "timeout": "it cannot be stopped once it runs: use an ONNX file, or `ptx predict --timeout`,"
    " which ends the process",
    "network": "an exported file holds its network: leave it out, or use the checkpoint and eager",
    "cpu_nodes": "it is of ort-cuda: leave it out",
    "device_memory": "it limits the GPU memory of ort-cuda: leave it out",
}


def find_backend(name: str) -> BackendEntry:
    """The entry of a backend; UsageError suggests similar names if there is none."""
    if name not in BACKENDS:
        raise UsageError(f"there is no backend {quote(name)}; {nearest(name, BACKENDS)}")
    return BACKENDS[name]


def open_backend(
    name: str, artifact: Artifact, options: Options, *, skipped: dict[str, str] | None = None
) -> Backend:
    """Open `artifact` with the backend that was asked for, and with no other.

    `auto` takes the first that is available here and heeds the options; the opened backend says which.

    Args:
        skipped: Is filled with the backends that `auto` tried before, and why each cannot be used.

    Raises:
        UsageError: no such backend, it does not run this kind of file, or does not heed an option.
        BackendError: its library, driver or device is not available here.
        ArtifactError: the file cannot be loaded, or is a program that is not trusted.
        LimitError: there is not enough memory, or loading takes longer than the options allow.
    """
    if name == "auto":
        return _open_first(artifact, options, {} if skipped is None else skipped)
    entry = find_backend(name)
    if entry.reads != artifact.kind:
        fitting = preferred([artifact.kind])[::-1]
        raise UsageError(
            f"backend {name!r} runs {FORMATS[entry.reads].noun}, and {artifact.name} is"
            f" {artifact.format.noun}: use {' or '.join(fitting)}, or export the model to the other"
            " format"
        )
    _check_values(options)
    _check_heeded(name, entry, options)
    require_trust(artifact, options.trust)
    backend = pkgutil.resolve_name(entry.target)(artifact, options)
    if not isinstance(backend, Backend):
        raise TypeError(f"{entry.target} does not implement Backend")
    return backend


def _check_values(options: Options) -> None:
    for what, value, known in (
        ("precision", options.precision, PRECISIONS),
        ("cpu_nodes", options.cpu_nodes, CPU_NODES),
    ):
        if value not in known:
            raise UsageError(f"there is no {what} {quote(value)}; {nearest(value, known)}")
    if options.threads is not None:
        THREADS.check("threads", options.threads)
    if options.timeout is not None:
        TIMEOUT.check("timeout", options.timeout)
    if options.device_memory is not None:
        DEVICE_MEMORY.check("device_memory", options.device_memory)


def _check_heeded(name: str, entry: BackendEntry, options: Options) -> None:
    chosen = require_device(options.device)
    if chosen not in ("auto", *entry.devices):
        where = " or ".join(_SPOKEN[device] for device in entry.devices)
        raise UsageError(
            f"backend {name!r} runs on {where}; the device asked for is {quote(options.device)}"
        )
    for option in options.list_changed():
        if option not in entry.heeds:
            raise UsageError(f"backend {name!r} takes no {option}: {_INSTEAD[option]}")


def require_device(name: str) -> str:
    """The kind of a device: `cuda` of `cuda:1`; UsageError names the nearest where there is none."""
    kind = name.partition(":")[0]
    if _DEVICE.fullmatch(name) is None:
        raise UsageError(f"there is no device {quote(name)}; {nearest(kind, DEVICES)}")
    return kind


def _open_first(artifact: Artifact, options: Options, skipped: dict[str, str]) -> Backend:
    fitting = preferred([artifact.kind])
    candidates = [name for name in fitting if _heeds(BACKENDS[name], options)] or fitting[-1:]
    for name in candidates[:-1]:
        try:
            return open_backend(name, artifact, options)
        except BackendError as error:
            if not error.absent:
                skipped[name] = error.reason
        except LimitError as error:
            if error.code != "E-MEMORY":
                raise
            skipped[name] = error.message  # of the device; the next has another
    return open_backend(candidates[-1], artifact, options)


def _heeds(entry: BackendEntry, options: Options) -> bool:
    chosen = options.device.partition(":")[0]
    return chosen in ("auto", *entry.devices) and set(options.list_changed()) <= set(entry.heeds)
