"""Why CUDA is not available: each link of the chain, told in one line."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ptx.infer.backends.ort import cuda
from ptx.infer.backends.ort.cuda import require_cuda
from ptx.infer.errors import BackendError


class Driver:
    """libcuda.so.1 of a machine for tests."""

    def __init__(self, status: int = 0, devices: int = 1, version: int = 13000) -> None:
        self.status, self.devices, self.version = status, devices, version

    def cuInit(self, flags: int) -> int:
        return self.status

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = self.devices
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = self.version
        return 0


@pytest.fixture
def runtime(tmp_path: Path) -> SimpleNamespace:
    """An ONNX Runtime with CUDA, as installed on Linux."""
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi" / "libonnxruntime_providers_cuda.so").touch()

    def preload_dlls(directory: str) -> None:
        sys.stdout.write("Failed to load libcublas.so.13\n")  # as ONNX Runtime does

    return SimpleNamespace(
        __version__="1.31.1",
        __file__=str(tmp_path / "__init__.py"),
        cuda_version="13.0",
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        preload_dlls=preload_dlls,
    )


def libraries(monkeypatch: pytest.MonkeyPatch, driver: Driver | None, *missing: str) -> list[str]:
    """Make ctypes open all libraries but those; returns the list of what was opened."""
    opened: list[str] = []

    def open_library(name: str, mode: int = 0) -> Any:
        opened.append(Path(name).name)
        if name == "libcuda.so.1":
            if driver is None:
                raise OSError("libcuda.so.1: cannot open shared object file")
            return driver
        for library in missing:
            if Path(name).name.startswith("libonnxruntime_providers_cuda") or library in name:
                raise OSError(f"{library}: cannot open shared object file: No such file")
        return SimpleNamespace()

    monkeypatch.setattr(ctypes, "CDLL", open_library)
    return opened


@pytest.mark.parametrize(
    ("driver", "missing", "message"),
    [
        (None, [], "there is no NVIDIA driver on this machine (libcuda.so.1 cannot be opened)"),
        (
            Driver(status=100),
            [],
            "the NVIDIA driver finds no GPU (cuInit gives 100): check nvidia-smi",
        ),
        (Driver(devices=0), [], "the NVIDIA driver finds no GPU (cuInit gives 0)"),
        (Driver(version=12020), [], "too old: it offers CUDA 12.2 and ONNX Runtime needs 13.0"),
        (Driver(), ["libcublasLt.so.13"], "the library libcublasLt.so.13 is missing: pip install"),
        (
            Driver(),
            ["libcudnn.so.9"],
            "the library libcudnn.so.9 is missing: pip install '.[gpu]'",
        ),
    ],
)
def test_the_first_broken_link_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    runtime: SimpleNamespace,
    driver: Driver | None,
    missing: list[str],
    message: str,
) -> None:
    libraries(monkeypatch, driver, *missing)
    with pytest.raises(BackendError) as caught:
        require_cuda(runtime)
    text = str(caught.value)
    assert caught.value.code == "E-CUDA"
    assert caught.value.exit_code == 3
    assert message in text
    assert "\n" not in text
    assert "--backend ort-cpu" in text
    assert "--backend auto" in text
    assert capfd.readouterr() == ("", "")


def test_a_build_without_cuda_says_which_to_install(runtime: SimpleNamespace) -> None:
    runtime.get_available_providers = lambda: ["CPUExecutionProvider"]
    with pytest.raises(BackendError, match=r"ONNX Runtime 1\.31\.1 is installed without CUDA: pip"):
        require_cuda(runtime)


def test_a_whole_chain_is_no_error(
    monkeypatch: pytest.MonkeyPatch, runtime: SimpleNamespace
) -> None:
    opened = libraries(monkeypatch, Driver())
    require_cuda(runtime)
    assert opened[-1] == cuda._CUDNN


def test_without_a_driver_nothing_large_is_loaded(
    monkeypatch: pytest.MonkeyPatch, runtime: SimpleNamespace
) -> None:
    def never(directory: str) -> None:
        raise AssertionError("the CUDA libraries were loaded for nothing")

    runtime.preload_dlls = never
    assert libraries(monkeypatch, None) == []
    with pytest.raises(BackendError, match="no NVIDIA driver"):
        require_cuda(runtime)


def test_on_windows_the_session_itself_tells(
    monkeypatch: pytest.MonkeyPatch, runtime: SimpleNamespace
) -> None:
    (Path(runtime.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so").unlink()
    opened = libraries(monkeypatch, None)
    require_cuda(runtime)
    assert opened == []
