"""Why ONNX Runtime cannot use CUDA here, in one line.

ONNX Runtime itself falls back to the CPU without an exception and writes its reason to the C stderr
alone; the loader names the first missing library only. So the chain is walked link by link: the build,
the driver, the device, the CUDA libraries, cuDNN.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
from pathlib import Path
from typing import Any

from ptx.infer.errors import BackendError, installing

_WAYS_OUT = "use --backend ort-cpu, or let --backend auto choose"
_DRIVER = "libcuda.so.1"
_CUDNN = "libcudnn.so.9"


def require_cuda(onnxruntime: Any) -> None:
    """Load what the CUDA provider needs, from the installed `nvidia-*` wheels where they are.

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
