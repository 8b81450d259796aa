#!/usr/bin/env python3
"""CUDA without a device: stub libraries for the CUDA provider of the installed ONNX Runtime.

Which functions the libraries must have is read from the provider: its imports and, for cuDNN, which it
opens itself, its strings. One that a newer provider asks for and that no C file here defines gets a body
that fails and says its name.

    python3 tests/null_cuda/null_cuda.py FOLDER
    LD_LIBRARY_PATH=FOLDER/all ptx doctor
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent
DRIVER = "libcuda.so.1"
CUDNN = "libcudnn.so.9"


@dataclass(frozen=True)
class NullCuda:
    """The built libraries.

    Attributes:
        all: The folder of all stubs: sessions open, memory and copies are real, kernels do nothing.
        driver: The folder of the driver's stub only: with NVIDIA's own libraries every CUDA call fails.
        old_driver: A driver that lacks a function which the provider imports.
    """

    all: Path
    driver: Path
    old_driver: Path

    def environment(
        self, *, broken_driver: bool = False, old_driver: bool = False, **settings: object
    ) -> dict[str, str]:
        """The environment of a process that uses them; `fail="cudaMalloc=2"` sets NULL_CUDA_FAIL."""
        folder = self.driver if broken_driver else self.all
        path = f"{self.old_driver}:{folder}" if old_driver else str(folder)
        named = {f"NULL_CUDA_{key.upper()}": str(value) for key, value in settings.items()}
        paths = {"LD_LIBRARY_PATH": path, "PYTHONPATH": str(SOURCES)}  # of `device_memory`
        return os.environ | paths | named

    def functions_without_body(self) -> list[str]:
        """What the provider asks for and no C file here defines."""
        found = []
        for path in sorted(self.all.glob("lib*.so.*")):
            for line in _output("nm", "-D", "--defined-only", path).splitlines():
                _, kind, name = line.split()
                if kind == "W":
                    found.append(name.partition("@")[0])
        return found


def find_obstacle() -> str | None:
    """Why the libraries cannot be built here; None if they can."""
    for tool in ("gcc", "nm", "readelf"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if not find_provider().is_file():
        return "onnxruntime-gpu is not installed"
    if find_headers() is None:
        return "nvidia-cuda-runtime is not installed"
    return None


def find_provider() -> Path:
    """Where ONNX Runtime's CUDA provider is if it is installed."""
    spec = importlib.util.find_spec("onnxruntime")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    return folder / "capi" / "libonnxruntime_providers_cuda.so"


def find_headers() -> Path | None:
    """The folder of driver_types.h in NVIDIA's wheel."""
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec and spec.submodule_search_locations) or ():
        for header in Path(folder).glob("*/include/driver_types.h"):
            return header.parent
    return None


def needed_functions(provider: Path) -> dict[str, list[str]]:
    """The functions that the provider asks for, by the library that it expects them in."""
    functions = defaultdict[str, list[str]](list)
    for library in re.findall(
        r"NEEDED.*\[(libcu\w+\.so\.\d+)\]", _output("readelf", "-d", provider)
    ):
        functions[library] = []
    for line in _output("nm", "-D", "--undefined-only", provider).splitlines():
        name, _, library = line.split()[-1].partition("@")
        if library in functions:
            functions[library].append(name)
        elif not library and re.match(r"cu[A-Z]", name):
            functions[DRIVER].append(name)
    strings = re.findall(rb"\0(cudnn[A-Z]\w+)(?=\0)", provider.read_bytes())
    functions[CUDNN] = sorted({name.decode() for name in strings})
    return dict(functions)


def build(folder: Path) -> NullCuda:
    """Build both sets of libraries into `folder`."""
    built = NullCuda(folder / "all", folder / "driver", folder / "old_driver")
    for place in (built.all, built.driver, built.old_driver):
        place.mkdir(parents=True)
    running = []
    for library, functions in needed_functions(find_provider()).items():
        stem = library.partition(".so")[0]
        generated, versions = folder / f"{stem}.c", folder / f"{stem}.map"
        bodies = "".join(f"MISSING({name})\n" for name in functions)
        generated.write_text(f'#include "null_cuda.h"\n{bodies}')
        versions.write_text(f"{library} {{ global: *; }};\n")
        own = SOURCES / f"{stem}.c"
        sources = [SOURCES / "null_cuda.c", generated, *([own] if own.is_file() else [])]
        flags = [
            "-shared",
            "-fPIC",
            "-w",
            f"-I{SOURCES}",
            f"-I{find_headers()}",
            f"-Wl,-soname,{library}",
        ]
        if library != DRIVER:  # whose functions have no version
            flags.append(f"-Wl,--version-script={versions}")
        command = ["gcc", *flags, *map(str, sources), "-o", str(built.all / library), "-lpthread"]
        running.append(subprocess.Popen(command))
        if library == DRIVER:
            old = ["-shared", "-fPIC", "-w", "-DOLD_DRIVER", f"-Wl,-soname,{library}"]
            parts = map(str, (SOURCES / "null_cuda.c", own))
            running.append(
                subprocess.Popen(["gcc", *old, *parts, "-o", str(built.old_driver / library)])
            )
    statuses = [process.wait() for process in running]
    if any(statuses):
        raise RuntimeError("gcc cannot build the stub libraries")
    shutil.copy(built.all / DRIVER, built.driver)
    return built


def _output(*command: object) -> str:
    return subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    if (obstacle := find_obstacle()) is not None:
        sys.exit(obstacle)
    build(Path(sys.argv[1]))
