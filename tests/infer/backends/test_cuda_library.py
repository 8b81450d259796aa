"""Why CUDA is not available: each requirement, with the first that is not met in one line."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ptx.infer.backends.ort.cuda_libraries import library_folders, library_names, require_cuda
from ptx.infer.errors import BackendError


class Driver:
    """libcuda.so.1 of a machine for tests."""

    def __init__(
        self,
        status: int = 0,
        devices: int = 1,
        version: int = 13000,
        capability: tuple[int, int] = (8, 0),
    ) -> None:
        self.status, self.devices, self.version = status, devices, version
        self.capability = capability

    def cuInit(self, flags: int) -> int:
        return self.status

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = self.devices
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = self.version
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:
        device._obj.value = index
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:
        value._obj.value = self.capability[attribute - 75]
        return 0


@pytest.fixture
def runtime(tmp_path: Path) -> SimpleNamespace:
    """An ONNX Runtime with CUDA."""
    return SimpleNamespace(
        __version__="1.31.1",
        __file__=str(tmp_path / "onnxruntime" / "__init__.py"),
        cuda_version="13.0",
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )


def libraries(monkeypatch: pytest.MonkeyPatch, driver: Driver | None, **failing: str) -> list[str]:
    """Make ctypes open all libraries but those, which fail with this text; returns what was opened."""
    opened: list[str] = []

    def open_library(name: str, mode: int = 0) -> Any:
        if mode:
            raise OSError("it is not loaded yet")
        opened.append(name)
        if name == "libcuda.so.1":
            if driver is None:
                raise OSError("libcuda.so.1: cannot open shared object file")
            return driver
        stem = Path(name).name.partition(".so")[0]
        if stem in failing:
            raise OSError(failing[stem])
        return SimpleNamespace()

    monkeypatch.setattr(ctypes, "CDLL", open_library)
    return opened


NOT_FOUND = "{}: cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(
    ("driver", "failing", "message"),
    [
        (None, {}, "there is no NVIDIA driver on this machine (libcuda.so.1 cannot be opened)"),
        (Driver(100), {}, "the NVIDIA driver finds no GPU (cuInit returns 100): check nvidia-smi"),
        (Driver(999), {}, "the NVIDIA driver does not start (cuInit returns 999)"),
        (Driver(devices=0), {}, "the NVIDIA driver finds no GPU (cuInit returns 0)"),
        (Driver(version=12020), {}, "too old: it supports CUDA 12.2, and ONNX Runtime needs 13.0"),
        (Driver(capability=(7, 0)), {}, "cuda:0 has compute capability 7.0"),
        (
            Driver(),
            {"libcublasLt": NOT_FOUND.format("libcublasLt.so.13")},
            "the library libcublasLt.so.13 is missing: pip install 'ptx-toolkit[gpu]'",
        ),
        (
            Driver(),
            {"libcublas": NOT_FOUND.format("libcublasLt.so.13")},
            "the library libcublasLt.so.13 is missing",
        ),
        (
            Driver(),
            {"libcudnn": "/site/libcudnn.so.9: undefined symbol: cudnnNew, version libcudnn.so.9"},
            "the library libcudnn.so.9 cannot be loaded (undefined symbol: cudnnNew",
        ),
    ],
)
def test_the_first_unmet_requirement_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    runtime: SimpleNamespace,
    driver: Driver | None,
    failing: dict[str, str],
    message: str,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    libraries(monkeypatch, driver, **failing)
    with pytest.raises(BackendError) as caught:
        require_cuda(runtime)
    text = str(caught.value)
    assert caught.value.code == "E-CUDA"
    assert caught.value.exit_code == 3
    assert caught.value.absent == (driver is None)
    assert message in text
    assert "\n" not in text
    assert "--backend ort-cpu" in text
    assert "--backend auto" in text
    assert capfd.readouterr() == ("", "")


def test_an_index_that_does_not_exist_is_refused(
    monkeypatch: pytest.MonkeyPatch, runtime: SimpleNamespace
) -> None:
    opened = libraries(monkeypatch, Driver(devices=2))
    require_cuda(runtime, 1)
    with pytest.raises(BackendError, match="'cuda:2' is not available: the NVIDIA") as caught:
        require_cuda(runtime, 2)
    assert (caught.value.code, caught.value.exit_code) == ("E-DEVICE", 3)
    assert any("libcudnn" in name for name in opened)


@pytest.mark.parametrize("driver", [None, Driver()])
def test_a_build_without_cuda_says_which_to_install(
    monkeypatch: pytest.MonkeyPatch, runtime: SimpleNamespace, driver: Driver | None
) -> None:
    libraries(monkeypatch, driver)
    runtime.get_available_providers = lambda: ["CPUExecutionProvider"]
    with pytest.raises(
        BackendError, match=r"ONNX Runtime 1\.31\.1 is installed without CUDA: pip"
    ) as caught:
        require_cuda(runtime)
    assert caught.value.absent == (driver is None)


def test_without_a_driver_nothing_large_is_loaded(
    monkeypatch: pytest.MonkeyPatch, runtime: SimpleNamespace
) -> None:
    opened = libraries(monkeypatch, None)
    with pytest.raises(BackendError, match="no NVIDIA driver"):
        require_cuda(runtime)
    assert opened == ["libcuda.so.1"]


def test_hidden_devices_are_named_as_the_cause(
    monkeypatch: pytest.MonkeyPatch, runtime: SimpleNamespace
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    libraries(monkeypatch, Driver(status=100))
    with pytest.raises(BackendError, match="CUDA_VISIBLE_DEVICES is ''"):
        require_cuda(runtime)


def test_libraries_are_loaded_from_wherever_pip_put_them(
    monkeypatch: pytest.MonkeyPatch, runtime: SimpleNamespace, tmp_path: Path
) -> None:
    """cuBLAS next to ONNX Runtime, cuDNN in another folder of sys.path, the rest by their names."""
    near, far = tmp_path / "nvidia" / "cu13" / "lib", tmp_path / "far" / "nvidia" / "cudnn" / "lib"
    for folder, name in ((near, "libcublas.so.13"), (far, "libcudnn.so.9")):
        folder.mkdir(parents=True)
        (folder / name).touch()
    monkeypatch.syspath_prepend(tmp_path / "far")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    opened = libraries(monkeypatch, Driver())
    require_cuda(runtime)
    assert str(near / "libcublas.so.13") in opened
    assert str(far / "libcudnn.so.9") in opened


def test_the_folders_of_the_environment_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/cuda/lib64:/opt/cudnn/lib")
    assert list(library_folders([], "linux")) == [Path("/opt/cuda/lib64"), Path("/opt/cudnn/lib")]


@pytest.mark.parametrize(
    ("platform", "version", "names"),
    [
        (
            "linux",
            "13.0",
            {"libcublasLt.so.13", "libcudart.so.13", "libcufft.so.12", "libcudnn.so.9"},
        ),
        (
            "linux",
            "12.8",
            {"libcublasLt.so.12", "libcudart.so.12", "libcufft.so.11", "libcudnn.so.9"},
        ),
        (
            "win32",
            "13.0",
            {"cublasLt64_13.dll", "cudart64_13.dll", "cufft64_12.dll", "cudnn64_9.dll"},
        ),
    ],
)
def test_the_names_of_the_libraries_follow_the_version_of_cuda(
    platform: str, version: str, names: set[str]
) -> None:
    assert names <= library_names(version, platform).keys()


def test_on_windows_the_folders_of_the_dlls_are_found(tmp_path: Path) -> None:
    for folder in ("nvidia/cu13/bin/x86_64", "nvidia/cudnn/bin"):
        (tmp_path / folder).mkdir(parents=True)
    found = [folder.relative_to(tmp_path) for folder in library_folders([tmp_path], "win32")]
    assert {Path("nvidia/cu13/bin/x86_64"), Path("nvidia/cudnn/bin")} <= set(found)
