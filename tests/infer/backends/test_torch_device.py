"""Which device PyTorch computes on, and what ptx makes of one that fails; all without a device."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import Options
from ptx.infer.backends.pytorch.device import (
    find_device,
    mapping_load_errors,
    mapping_run_errors,
    runs_on,
)
from ptx.infer.errors import ArtifactError, BackendError, LimitError, PtxError

ARCHITECTURES = ["sm_75", "sm_80", "sm_86", "sm_90a", "sm_100f", "compute_120"]


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ((6, 1), False),
        ((7, 0), False),
        ((7, 5), True),
        ((8, 9), True),  # by sm_86
        ((9, 0), True),
        ((10, 3), True),
        ((11, 0), False),
        ((12, 1), True),  # by PTX, and so is what comes after
        ((13, 0), True),
    ],
)
def test_a_gpu_runs_what_is_built_for_it(capability: tuple[int, int], expected: bool) -> None:
    assert runs_on(capability, ARCHITECTURES) is expected


def accelerate(
    monkeypatch: pytest.MonkeyPatch, kind: str, capability: tuple[int, int] | Exception = (9, 0)
) -> None:
    """Let PyTorch find an accelerator of that kind."""

    def find(index: int) -> tuple[int, int]:
        if isinstance(capability, Exception):
            raise capability
        return capability

    found = SimpleNamespace(type=kind)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: found)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", find)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Some GPU")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90"])


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_auto_is_an_accelerator_that_ptx_names(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    accelerate(monkeypatch, kind)
    assert find_device("auto") == kind


def test_auto_is_the_cpu_where_ptx_does_not_name_the_accelerator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accelerate(monkeypatch, "xpu")
    assert find_device("auto") == "cpu"


BROKEN = RuntimeError(
    "CUDA error: all CUDA-capable devices are busy or unavailable\nCompile with …"
)
UNUSABLE = pytest.mark.parametrize(
    ("capability", "code", "said"),
    [((6, 1), "E-DEVICE", "Some GPU has compute capability 6.1"), (BROKEN, "E-CUDA", "are busy")],
)


@UNUSABLE
def test_a_gpu_that_cannot_be_used_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capability: Any, code: str, said: str
) -> None:
    accelerate(monkeypatch, "cuda", capability)
    with pytest.raises(BackendError, match=said) as caught:
        find_device("cuda:0")
    assert (caught.value.code, caught.value.exit_code) == (code, 3)
    assert "\n" not in str(caught.value)


@UNUSABLE
def test_auto_is_then_the_cpu_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capability: Any,
    code: str,
    said: str,
) -> None:
    accelerate(monkeypatch, "cuda", capability)
    assert find_device("auto") == "cpu"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert said in record.getMessage()


MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
)
DEVICE = (
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCUDA kernel …"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(…)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_MAPPING_ERROR"),
    RuntimeError("Unexpected error from cudaGetDeviceCount(): CUDA driver version is insufficient"),
)
FAULTS = [
    *((error, LimitError, "E-MEMORY", 6) for error in MEMORY),
    *((error, BackendError, "E-CUDA", 3) for error in DEVICE),
    (RuntimeError("shape '[2]' is invalid"), ArtifactError, None, 4),
]


@pytest.fixture
def file() -> Any:
    return SimpleNamespace(name="net.pt2")


@pytest.mark.parametrize(("error", "kind", "code", "exit_code"), FAULTS)
def test_a_failure_at_a_run_is_that_of_the_device_or_of_the_file(
    file: Artifact, error: Exception, kind: type[PtxError], code: str | None, exit_code: int
) -> None:
    with pytest.raises(kind) as caught, mapping_run_errors(file, Options(), "cuda:0"):
        raise error
    assert caught.value.code == (code or "E-TORCH-RUN")
    assert caught.value.exit_code == exit_code
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("error", "kind", "code", "exit_code"), FAULTS)
def test_so_is_one_while_a_file_is_loaded(
    file: Artifact, error: Exception, kind: type[PtxError], code: str | None, exit_code: int
) -> None:
    with pytest.raises(kind) as caught, mapping_load_errors(file, "cuda:0"):
        raise error
    assert caught.value.code == (code or "E-TORCH-LOAD")
    assert caught.value.exit_code == exit_code


def test_what_a_damaged_file_asks_of_the_cpu_is_the_files_fault(file: Artifact) -> None:
    error = RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 EB")
    with pytest.raises(ArtifactError), mapping_load_errors(file):
        raise error
