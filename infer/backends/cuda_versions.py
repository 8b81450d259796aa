"""Which driver, CUDA runtime and cuDNN PyTorch and ONNX Runtime load, and whether they are compatible.

`python -m ptx.infer.backends.cuda_versions torch` prints them as JSON. Each library is examined in a
separate process, because a process loads only one `libcudnn.so.9`, the one that is found first.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ptx.infer.errors import BackendError

LIBRARIES = ("torch", "onnxruntime")
# Both install `nvidia/cudnn/lib/libcudnn.so.9`: pip lets the later one overwrite the earlier one.
CUDNN_PACKAGES = ("nvidia-cudnn-cu12", "nvidia-cudnn-cu13")
_TIMEOUT = 120  # seconds for the import of a library
_MAPPED = re.compile(r"/\S*/(libcudart|libcudnn)\.so\.\d+\S*$", re.MULTILINE)


@dataclass(frozen=True)
class CudaVersions:
    """What one library loads. Versions are strings such as "13.0", None if not loaded or not known."""

    library: str  # one of LIBRARIES
    built_for: str  # the version of CUDA
    driver: str | None = None  # the newest version of CUDA that the driver supports
    runtime: str | None = None
    cudnn: str | None = None
    cudnn_built_for: str | None = None  # the version of CUDA
    cudnn_path: str | None = None


def read_versions() -> list[CudaVersions]:
    """The versions for each library that is installed and built for CUDA."""
    names = [name for name in LIBRARIES if find_build(name)]
    children = [
        subprocess.Popen(
            [sys.executable, "-m", __name__, name],
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for name in names
    ]
    return [
        _read_child(child, name) or CudaVersions(name, find_build(name) or "")
        for name, child in zip(names, children, strict=True)
    ]


def _read_child(child: subprocess.Popen[str], name: str) -> CudaVersions | None:
    """The versions that a child printed; None if it crashed or timed out."""
    try:
        output, _ = child.communicate(timeout=_TIMEOUT)
        return CudaVersions(**json.loads(output.splitlines()[-1]))
    except (subprocess.TimeoutExpired, ValueError, IndexError, TypeError):
        child.kill()
        child.wait()
        return None


def find_build(library: str) -> str | None:
    """The version of CUDA that a library is built for; None if it is missing or a CPU build."""
    if library == "torch":
        from ptx.infer.backends.pytorch.device import import_torch

        with suppress(BackendError):
            version: str | None = import_torch().version.cuda
            return version
        return None
    from ptx.infer.backends.ort.cpu import import_onnxruntime

    with suppress(BackendError):
        onnxruntime = import_onnxruntime()
        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            return str(getattr(onnxruntime, "cuda_version", "")) or None
    return None


def read_loaded(library: str) -> CudaVersions:
    """The versions in this process, after the library has loaded its dependencies."""
    built_for = find_build(library) or ""
    if library == "onnxruntime":
        from ptx.infer.backends.ort.cpu import import_onnxruntime
        from ptx.infer.backends.ort.cuda_libraries import require_cuda

        with suppress(BackendError):  # `ptx doctor` reports it for the backend
            require_cuda(import_onnxruntime())
    paths = _loaded_paths()
    cudnn, runtime = _open(paths.get("libcudnn")), _open(paths.get("libcudart"))
    return CudaVersions(
        library,
        built_for,
        driver=_version(_call_out(_open("libcuda.so.1"), "cuDriverGetVersion")),
        runtime=_version(_call_out(runtime, "cudaRuntimeGetVersion")),
        cudnn=_cudnn_version(_call(cudnn, "cudnnGetVersion")),
        cudnn_built_for=_version(_call(cudnn, "cudnnGetCudartVersion")),
        cudnn_path=paths.get("libcudnn"),
    )


def _loaded_paths() -> dict[str, str]:
    """Name → path of the CUDA libraries that the process has loaded; empty except on Linux."""
    with suppress(OSError):
        matches = _MAPPED.finditer(Path("/proc/self/maps").read_text())
        return {match[1]: match[0] for match in matches}
    return {}


def _open(path: str | None) -> ctypes.CDLL | None:
    if path is not None:
        with suppress(OSError):
            return ctypes.CDLL(path)
    return None


def _call_out(library: Any, function: str) -> int | None:
    """The number that a function of the library writes into its argument; None if there is none."""
    number = ctypes.c_int(0)
    if hasattr(library, function) and not getattr(library, function)(ctypes.byref(number)):
        return number.value
    return None


def _call(library: Any, function: str) -> int | None:
    """The number that a function of the library returns; None if there is no such function."""
    if not hasattr(library, function):
        return None
    entry = getattr(library, function)
    entry.restype = ctypes.c_size_t
    return int(entry())


def _version(number: int | None) -> str | None:
    """A version of CUDA: 13020 is 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}" if number else None


def _cudnn_version(number: int | None) -> str | None:
    """A version of cuDNN: 92600 is 9.26.0; before cuDNN 9, 8907 was 8.9.7."""
    if not number:
        return None
    major, rest = divmod(number, 10_000 if number >= 90_000 else 1000)
    return f"{major}.{rest // 100}.{rest % 100}"


def find_problems(
    versions: Sequence[CudaVersions], packages: Iterable[str] | None = None
) -> Iterator[str]:
    """Incompatible versions, each with what to do.

    Args:
        packages: The installed packages of cuDNN; by default they are looked up.
    """
    for library in versions:
        yield from _problems_of(library)
    builds = {_major(each.built_for): each for each in versions if each.built_for}
    if len(builds) > 1:
        text = " and ".join(f"{each.library} for CUDA {each.built_for}" for each in builds.values())
        yield (
            f"{text}: a process that uses both loads the cuDNN of one of them: install a torch and an"
            " onnxruntime-gpu for one major version of CUDA"
        )
    installed = _installed_cudnn() if packages is None else list(packages)
    if len(installed) > 1:
        yield (
            f"{' and '.join(installed)} write the same files: pip uninstall {' '.join(installed)}, then"
            " install the one for your CUDA again"
        )


def _problems_of(versions: CudaVersions) -> Iterator[str]:
    library, built_for = versions.library, versions.built_for
    used = versions.runtime or built_for
    if versions.driver and _major(versions.driver) < _major(used):
        yield (
            f"the driver supports CUDA up to {versions.driver}, and {library} uses {used}: update the"
            " driver"
        )
    for what, version in (("CUDA runtime", versions.runtime), ("cuDNN", versions.cudnn_built_for)):
        if version and built_for and _major(version) != _major(built_for):
            path = f" ({versions.cudnn_path})" if what == "cuDNN" else ""
            yield (
                f"{library} is built for CUDA {built_for} and loads a {what} for {version}{path}:"
                f" install {library} in a separate environment"
            )


def _installed_cudnn() -> list[str]:
    installed = []
    for name in CUDNN_PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(name)
            installed.append(name)
    return installed


def _major(version: str) -> int:
    return int(version.partition(".")[0])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(read_loaded(sys.argv[1]))) + "\n")
