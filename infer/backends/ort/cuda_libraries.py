"""What ONNX Runtime's CUDA provider needs: a build with CUDA, a driver, a device, NVIDIA's libraries.

ONNX Runtime falls back to the CPU without an exception and writes the reason to the C stderr, and the
dynamic loader names only the first library that is missing. So each requirement is checked separately,
the cheapest first.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from ptx.infer.errors import BackendError, install_hint, pluralise

CUDA = "CUDAExecutionProvider"

_REMEDY = "without CUDA, use --backend ort-cpu or --backend auto"
_MAJOR, _MINOR = 75, 76  # the attributes CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
# The lowest compute capability that a version of CUDA supports: 13 dropped Maxwell, Pascal and Volta.
_LOWEST_CAPABILITY = {12: (5, 0), 13: (7, 5)}
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


def require_cuda(onnxruntime: Any, index: int = 0) -> None:
    """Check what a session on the device `index` needs, and load NVIDIA's libraries.

    Raises:
        BackendError: E-CUDA: what is missing, and what to do; `absent` if there is no driver. E-DEVICE:
            there is no device of this index.
    """
    driver = _open_driver()
    if CUDA not in onnxruntime.get_available_providers():
        raise unavailable(
            f"ONNX Runtime {onnxruntime.__version__} is installed without CUDA: pip uninstall"
            f" onnxruntime, then {install_hint('gpu')}",
            absent=driver is None,
        )
    if driver is None:
        raise unavailable(
            f"there is no NVIDIA driver on this machine ({_driver_name(sys.platform)} cannot be opened):"
            " install one",
            absent=True,
        )
    version = str(getattr(onnxruntime, "cuda_version", "") or "0")
    _check_driver(driver, version)
    _check_device(driver, index, version)
    _load_libraries(Path(onnxruntime.__file__).parent.parent, version)


def unavailable(reason: str, *, absent: bool = False) -> BackendError:
    """The error of a machine that cannot run ort-cuda."""
    return BackendError(
        f"ort-cuda is not available: {reason}; {_REMEDY}",
        code="E-CUDA",
        reason=reason,
        absent=absent,
    )


def wait_for_default_stream(onnxruntime: Any, index: int) -> None:
    """Wait until the default stream of the device `index` has finished its work.

    `IOBinding.synchronize_inputs` waits for all streams instead, and for the thread's current device.

    Raises:
        BackendError: E-CUDA: earlier work on the device has failed.
    """
    name = "cudart64_{}.dll" if sys.platform == "win32" else "libcudart.so.{}"
    runtime = ctypes.CDLL(name.format(_major(str(onnxruntime.cuda_version))))  # already loaded
    current = ctypes.c_int(0)
    status = runtime.cudaGetDevice(ctypes.byref(current)) or runtime.cudaSetDevice(index)
    status = status or runtime.cudaStreamSynchronize(None)
    runtime.cudaSetDevice(current)
    if status:
        runtime.cudaGetErrorString.restype = ctypes.c_char_p
        text = runtime.cudaGetErrorString(status).decode()
        raise BackendError(
            f"computing an input on cuda:{index} failed: CUDA error {status}: {text}",
            code="E-CUDA",
        )


def explain_fallback(onnxruntime: Any) -> str:
    """Why ONNX Runtime did not load its CUDA provider, after it opened another one.

    Call it only then: loading the provider without ONNX Runtime has crashed programs
    (microsoft/onnxruntime#9874, #16146).
    """
    capi = Path(onnxruntime.__file__).parent / "capi"
    name = (
        "onnxruntime_providers_{}.dll"
        if sys.platform == "win32"
        else "libonnxruntime_providers_{}.so"
    )
    try:
        ctypes.CDLL(str(capi / name.format("shared")), ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(capi / name.format("cuda")))
    except OSError as error:
        if sys.platform == "win32":  # the loader of Windows names no cause
            return f"the CUDA provider of ONNX Runtime cannot be loaded ({error}): {install_hint('gpu')}"
        if _is_missing(error):
            return _library_reason("", error)
        text = str(error).partition(": ")[2]
        return (
            f"ONNX Runtime's CUDA provider cannot be loaded ({text}): the driver or a CUDA library is"
            " too old: update it"
        )
    return f"ONNX Runtime {onnxruntime.__version__} does not open CUDA and reports no reason"


def _driver_name(platform: str) -> str:
    return "nvcuda.dll" if platform == "win32" else "libcuda.so.1"


def _open_driver() -> Any:
    try:
        return ctypes.CDLL(_driver_name(sys.platform))
    except OSError:
        return None


def _check_driver(driver: Any, needed: str) -> None:
    """Check that the driver starts, finds a device, and supports CUDA `needed`, such as "13.0"."""
    count, version = ctypes.c_int(0), ctypes.c_int(0)
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if status not in (0, _NO_DEVICE):
        raise unavailable(
            f"the NVIDIA driver does not start (cuInit returns {status}): check nvidia-smi"
        )
    if not count.value:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        hint = "check nvidia-smi" if hidden is None else f"CUDA_VISIBLE_DEVICES is {hidden!r}"
        raise unavailable(f"the NVIDIA driver finds no GPU (cuInit returns {status}): {hint}")
    driver.cuDriverGetVersion(ctypes.byref(version))
    major, minor = version.value // 1000, version.value % 1000 // 10
    if major and major < _major(needed):
        raise unavailable(
            f"the NVIDIA driver is too old: it supports CUDA {major}.{minor}, and ONNX Runtime needs"
            f" {needed}: update it"
        )


def _check_device(driver: Any, index: int, cuda_version: str) -> None:
    """Check that there is a device `index`, and that this version of CUDA has kernels for it."""
    count, device = ctypes.c_int(0), ctypes.c_int(0)
    driver.cuDeviceGetCount(ctypes.byref(count))
    if index >= count.value:
        available = "cuda:0" if count.value == 1 else f"cuda:0 to cuda:{count.value - 1}"
        raise BackendError(
            f"device 'cuda:{index}' is not available: the NVIDIA driver finds"
            f" {pluralise(count.value, 'GPU')}: use {available}",
            code="E-DEVICE",
        )
    driver.cuDeviceGet(ctypes.byref(device), index)
    capability = tuple(_read_attribute(driver, device, which) for which in (_MAJOR, _MINOR))
    lowest = _LOWEST_CAPABILITY.get(_major(cuda_version), (0, 0))
    if capability < lowest:
        actual, needed = (".".join(map(str, version)) for version in (capability, lowest))
        raise unavailable(
            f"the GPU cuda:{index} has compute capability {actual}, and ONNX Runtime built with CUDA"
            f" {cuda_version} needs {needed} or more"
        )


def _read_attribute(driver: Any, device: ctypes.c_int, which: int) -> int:
    value = ctypes.c_int(0)
    driver.cuDeviceGetAttribute(ctypes.byref(value), which, device)
    return value.value


def _major(cuda_version: str) -> int:
    return int(cuda_version.partition(".")[0])


@cache  # a failure is not cached: the library may be installed while a notebook runs
def _load_libraries(site: Path, cuda_version: str) -> None:
    """Load NVIDIA's libraries for the provider, because the loader does not search the wheels' folders.

    `onnxruntime.preload_dlls` searches only one folder, and prints what is missing to sys.stdout.
    """
    folders = list(library_folders([site, *map(Path, sys.path)], sys.platform))
    for name, optional in library_names(cuda_version, sys.platform).items():
        try:
            _load(name, folders)
        except OSError as error:
            if not optional:
                raise unavailable(_library_reason(name, error)) from error


def library_names(cuda_version: str, platform: str) -> dict[str, bool]:
    """The libraries in the order of loading; True for those that only some versions or models need."""
    major = _major(cuda_version)
    cufft = 12 if major >= 13 else 11
    if platform == "win32":
        parts = (
            "engines_runtime_compiled",
            "engines_precompiled",
            "heuristic",
            "ops",
            "adv",
            "graph",
            "engines_tensor_ir",
        )
        return {
            f"cublasLt64_{major}.dll": False,
            f"cublas64_{major}.dll": False,
            f"cudart64_{major}.dll": False,
            f"cufft64_{cufft}.dll": True,
            **{f"cudnn_{part}64_9.dll": True for part in parts},
            "cudnn64_9.dll": False,
        }
    return {
        f"libcublasLt.so.{major}": False,
        f"libcublas.so.{major}": False,
        "libcurand.so.10": False,
        f"libcudart.so.{major}": False,
        f"libnvrtc.so.{major}": True,
        f"libcufft.so.{cufft}": True,
        "libcudnn.so.9": False,
    }


def library_folders(sites: Iterable[Path], platform: str) -> Iterator[Path]:
    """The folders that may contain the libraries, in the order in which they are searched.

    They are those of LD_LIBRARY_PATH, then NVIDIA's wheels and torch's own copies in each site.

    Args:
        sites: Folders of installed packages: those of sys.path, and that of ONNX Runtime.
    """
    if platform != "win32":
        search_path = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
        yield from (Path(folder) for folder in search_path if folder)
    patterns = ("*/bin", "*/bin/*") if platform == "win32" else ("*/lib",)
    for site in dict.fromkeys(sites):
        for pattern in patterns:
            yield from sorted((site / "nvidia").glob(pattern))
        yield site / "torch" / "lib"


def _load(name: str, folders: Iterable[Path]) -> None:
    """Load the library unless it is loaded already, for example after `import torch`."""
    if hasattr(os, "RTLD_NOLOAD"):
        try:
            ctypes.CDLL(name, os.RTLD_NOLOAD)
        except OSError:
            pass
        else:
            return
    first_error: OSError | None = None
    paths = [str(folder / name) for folder in folders if (folder / name).is_file()]
    for candidate in (*paths, name):  # the loader itself searches for the bare name
        try:
            ctypes.CDLL(candidate)
        except OSError as error:
            first_error = first_error or error
        else:
            return
    assert first_error is not None
    raise first_error


def _library_reason(name: str, error: OSError) -> str:
    """Why a library cannot be loaded; the loader may name a dependency that is missing."""
    library, _, text = str(error).partition(": ")
    library = Path(library).name if text else name
    if _is_missing(error):
        return f"the library {library} is missing: {install_hint('gpu')}"
    return f"the library {library} cannot be loaded ({text}): {install_hint('gpu')}"


def _is_missing(error: OSError) -> bool:
    """Whether a file is missing; the loader of Windows reports no other cause."""
    return "No such file" in str(error) or sys.platform == "win32"
