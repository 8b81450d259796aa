"""ONNX Runtime on an NVIDIA GPU."""

from __future__ import annotations

import contextlib
import ctypes
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.artifact.onnx_bytes import read_header
from ptx.infer.backends import Options
from ptx.infer.backends.ort.cpu import Runs, import_onnxruntime, open_session
from ptx.infer.backends.ort.placement import RECORD, Node, cpu_nodes, find_number_readers
from ptx.infer.backends.watchdog import Watchdog
from ptx.infer.errors import ArtifactError, BackendError, installing, pluralise, quote
from ptx.infer.signature import Array

_CUDA = "CUDAExecutionProvider"
_NO_CPU = "session.disable_cpu_ep_fallback"  # only where the CPU is not named as a provider
_REFUSED = "assigned to the default CPU EP"  # in what ONNX Runtime raises then
_SHOWN = 5  # nodes in a message
_WAYS_OUT = "use --backend ort-cpu, or let --backend auto choose"
_DRIVER = "libcuda.so.1"
_CUDNN = "libcudnn.so.9"


@final
class OrtCudaBackend:
    """Runs an ONNX file with the CUDA execution provider, or not at all.

    A graph of which a node falls to the CPU is refused. Nodes that compute sizes from sizes, which ONNX
    Runtime puts there on purpose, are allowed unless the option `cpu_nodes` is "none".

    Float32 products are not rounded to TF32 unless the options ask for it, so that the answers agree
    with the CPU's.
    """

    name = "ort-cuda"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        require_cuda(import_onnxruntime())
        self._artifact = artifact
        self._watchdog = None if options.timeout is None else Watchdog(options.timeout)
        provider = {
            "device_id": options.device.partition(":")[2] or "0",
            "use_tf32": "1" if options.precision == "tf32" else "0",
            # The default tries every algorithm at each new shape, for seconds.
            "cudnn_conv_algo_search": "HEURISTIC",
        }
        self._session: Any = self._open(options, provider)
        self.device = f"cuda:{self._session.get_provider_options()[_CUDA]['device_id']}"
        self._runs = Runs(artifact, self._session, self._watchdog)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self._runs.run(self._session, inputs)

    def close(self) -> None:
        self._session = None

    def _open(self, options: Options, provider: dict[str, str]) -> Any:
        """A session whose nodes all run on CUDA, but for those that the options leave to the CPU."""
        try:
            session = self._session_with(options, provider, {_NO_CPU: "1"})
        except ArtifactError as error:
            if _REFUSED not in str(error.__cause__):
                raise
            # Which nodes they are, ONNX Runtime says of a session that it has opened alone.
            session = self._session_with(options, provider, {RECORD: "1"})
            self._check_cpu_nodes(session, options.cpu_nodes)
        return session

    def _session_with(
        self, options: Options, provider: dict[str, str], entries: dict[str, str]
    ) -> Any:
        providers = [(_CUDA, provider)]  # the CPU is added by ONNX Runtime itself, or not
        session = open_session(self._artifact, options, providers, self._watchdog, entries)
        # A session falls back to the CPU without an exception: ask it what it is.
        opened = session.get_providers()[0]
        if opened != _CUDA:
            raise BackendError(
                f"ort-cuda is not available: ONNX Runtime opened {opened} instead: {_WAYS_OUT}",
                code="E-CUDA",
            )
        return session

    def _check_cpu_nodes(self, session: Any, allowed: str) -> None:
        """Refuse nodes on the CPU that are not allowed there."""
        name, data = self._artifact.name, self._artifact.data
        nodes = cpu_nodes(session)
        if nodes is None:
            found = "it does not say which"
        elif reading := find_number_readers(nodes, data, read_header(data, name=name)):
            found = f"{pluralise(len(reading), 'node')}: {_name_nodes(reading)}"
        elif allowed == "none":
            found = (
                f"{pluralise(len(nodes), 'node')}, which compute sizes alone: {_name_nodes(nodes)};"
                " cpu_nodes='shapes' allows these"
            )
        else:
            return
        raise BackendError(
            f"ort-cuda cannot run {name} on CUDA alone: ONNX Runtime puts nodes on the CPU ({found}):"
            f" {_WAYS_OUT}",
            code="E-CUDA-NODES",
        )


def _name_nodes(nodes: Sequence[Node]) -> str:
    """The first few nodes, for a message."""
    shown = ", ".join(f"{node.operator} {quote(node.name)}" for node in nodes[:_SHOWN])
    return shown + ("" if len(nodes) <= _SHOWN else ", …")


def require_cuda(onnxruntime: Any) -> None:
    """Load what the CUDA provider needs, from the installed `nvidia-*` wheels where they are.

    ONNX Runtime itself falls back to the CPU without an exception and writes its reason to the C stderr
    alone; the loader names the first missing library only. So the chain is walked link by link: the
    build, the driver, the device, the CUDA libraries, cuDNN.

    Raises:
        BackendError: naming the library or driver that is missing and the ways out.
    """
    reason = _find_missing(onnxruntime)
    if reason is not None:
        raise BackendError(
            f"ort-cuda is not available: {reason}, {_WAYS_OUT}", code="E-CUDA", reason=reason
        )


def _find_missing(onnxruntime: Any) -> str | None:
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return (
            f"ONNX Runtime {onnxruntime.__version__} is installed without CUDA: pip uninstall"
            f" onnxruntime, then {installing('gpu')}"
        )
    capi = Path(onnxruntime.__file__).parent / "capi"
    posix = (capi / "libonnxruntime_providers_cuda.so").exists()
    if posix and (reason := _driver(onnxruntime)):
        return reason  # before the CUDA libraries are loaded, which takes long and is for nothing
    # This prints what it misses to stdout; the last step finds it out again and says it once.
    with contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls(directory="")
    return _libraries(capi) if posix else None  # on Windows the session itself tells


def _driver(onnxruntime: Any) -> str | None:
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return (
            f"there is no NVIDIA driver on this machine ({_DRIVER} cannot be opened): install one"
        )
    count, version = ctypes.c_int(0), ctypes.c_int(0)
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if status or not count.value:
        return f"the NVIDIA driver finds no GPU (cuInit gives {status}): check nvidia-smi"
    driver.cuDriverGetVersion(ctypes.byref(version))
    major, minor = version.value // 1000, version.value % 1000 // 10
    needed = str(getattr(onnxruntime, "cuda_version", "") or "0")
    if major and major < int(needed.partition(".")[0]):
        return (
            f"the NVIDIA driver is too old: it offers CUDA {major}.{minor} and ONNX Runtime needs"
            f" {needed}: update it"
        )
    return None


def _libraries(capi: Path) -> str | None:
    try:
        ctypes.CDLL(str(capi / "libonnxruntime_providers_shared.so"), ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(capi / "libonnxruntime_providers_cuda.so"))
        ctypes.CDLL(_CUDNN)
    except OSError as error:  # its text begins with the library that is missing
        library = str(error).partition(":")[0]
        return f"the library {library} is missing: {installing('gpu')}"
    return None
