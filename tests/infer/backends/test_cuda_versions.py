"""Which CUDA libraries are loaded, and whether these fit together; without a device."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.requirements import Requirement

from ptx.infer.backends import cuda_versions
from ptx.infer.backends.cuda_versions import (
    CudaVersions,
    _cudnn_version,
    _version,
    find_problems,
    read_versions,
)

TORCH = CudaVersions("torch", "13.0", "13.1", "13.0", "9.26.0", "13.4", "/lib/libcudnn.so.9")
ORT = replace(TORCH, library="onnxruntime")


@pytest.mark.parametrize(("number", "expected"), [(13020, "13.2"), (12080, "12.8"), (None, None)])
def test_a_version_of_cuda_is_told_from_its_number(number: Any, expected: str | None) -> None:
    assert _version(number) == expected


@pytest.mark.parametrize(
    ("number", "expected"), [(92600, "9.26.0"), (91002, "9.10.2"), (8907, "8.9.7"), (None, None)]
)
def test_a_version_of_cudnn_is_told_from_its_number(number: Any, expected: str | None) -> None:
    assert _cudnn_version(number) == expected


@pytest.mark.parametrize(
    "versions",
    [
        (),
        (TORCH, ORT),
        (TORCH, CudaVersions("onnxruntime", "13.0")),  # which is not loaded: there is no driver
        (replace(TORCH, runtime="13.2"), replace(ORT, driver="13.0")),  # minor versions fit
    ],
)
def test_what_fits_is_no_problem(versions: tuple[CudaVersions, ...]) -> None:
    assert not list(find_problems(versions, []))


@pytest.mark.parametrize(
    ("versions", "packages", "said"),
    [
        ((replace(TORCH, driver="12.8"),), [], "the driver supports CUDA up to 12.8"),
        (
            (TORCH, replace(ORT, cudnn_built_for="12.9")),
            [],
            "loads a cuDNN for 12.9 (/lib/libcudnn",
        ),
        ((replace(TORCH, runtime="12.8"),), [], "loads a CUDA runtime for 12.8"),
        (
            (CudaVersions("torch", "12.8"), CudaVersions("onnxruntime", "13.0")),
            [],
            "torch for CUDA 12.8 and onnxruntime for CUDA 13.0",
        ),
        ((), ["nvidia-cudnn-cu12", "nvidia-cudnn-cu13"], "write the same files"),
    ],
)
def test_what_does_not_fit_is_said(
    versions: tuple[CudaVersions, ...], packages: list[str], said: str
) -> None:
    (problem,) = find_problems(versions, packages)
    assert said in problem


def test_the_versions_are_those_that_are_loaded() -> None:
    """Without a driver too: PyTorch loads its libraries, and says the version of cuDNN itself."""
    found = {one.library: one for one in read_versions()}
    assert ("torch" in found) == (torch.version.cuda is not None)
    if "torch" in found:
        assert found["torch"].built_for == torch.version.cuda
        cudnn: Any = torch.backends.cudnn
        assert found["torch"].cudnn == _cudnn_version(cudnn.version())


def test_a_library_that_ends_its_process_is_without_versions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cuda_versions, "find_build", {"torch": "13.0"}.get)
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert read_versions() == [CudaVersions("torch", "13.0")]


def test_the_doctor_says_what_does_not_fit(ptx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    old = replace(TORCH, driver="12.8")
    monkeypatch.setattr("ptx.cli.commands.doctor.read_versions", lambda: [old])
    told = ptx("doctor").out
    assert "the driver supports CUDA up to 12.8" in told
    assert all(word in told for word in ("13.0", "9.26.0", "13.4"))
    lines = {
        line["backend"]: line for line in map(json.loads, ptx("doctor", "--json").out.splitlines())
    }
    assert lines["eager"]["cuda"]["driver"] == "12.8"
    assert lines["ort-cuda"]["cuda"] is None  # nothing is known of it here
    assert lines["ort-cpu"]["cuda"] is None
    assert any("up to 12.8" in problem for problem in lines["ort-cpu"]["problems"])


def test_the_extra_for_cuda_takes_no_pytorch_for_cuda_12() -> None:
    """Each build of PyTorch for CUDA asks for bindings of its major version, and so does the extra."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    (needed,) = (
        Requirement(line)
        for line in project["optional-dependencies"]["gpu"]
        if line.startswith("cuda-bindings")
    )
    assert not needed.specifier.contains("12.9.4")  # of PyTorch 2.10
    assert needed.specifier.contains("13.0.3")
