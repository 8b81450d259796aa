"""`ptx predict` on a machine with an NVIDIA driver, where CUDA works or not: see tests/null_cuda."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from null_cuda import NullCuda

Done = subprocess.CompletedProcess[str]

PREDICT = "import sys; from ptx.cli import main; sys.argv[0] = 'ptx'; main()"
BUSY = "cudaSetDevice=46"
FULL = "cudnnCreate=4004"


@pytest.fixture
def predict(
    artifact: Callable[[str, str], Path], null_cuda: NullCuda, child: Callable[..., Done]
) -> Callable[..., Done]:
    """`predict("--backend", "auto", fail=…)`: what is left behind on null CUDA."""

    def run(*options: str, **settings: Any) -> Done:
        model = artifact("linear-model", "onnx")
        environment = null_cuda.environment(**settings)
        arguments = ("predict", "4", "--model", model, *options)
        return child(PREDICT, *arguments, env=environment, check=False, timeout=60)

    return run


def test_auto_uses_the_accelerator(predict: Callable[..., Done]) -> None:
    done = predict("--json")
    assert done.returncode == 0
    assert '"backend": "ort-cuda"' in done.stdout
    assert "backend ort-cuda on cuda:0" in done.stderr
    assert "is skipped" not in done.stderr


@pytest.mark.parametrize(
    ("fault", "cause"), [(BUSY, "busy or unavailable"), (FULL, "ran out of memory")]
)
def test_auto_falls_back_to_the_cpu_and_prints_why(
    predict: Callable[..., Done], fault: str, cause: str
) -> None:
    done = predict("--json", fail=fault)
    assert done.returncode == 0
    assert '"backend": "ort-cpu"' in done.stdout
    left_out, taken = done.stderr.splitlines()
    assert left_out.startswith("ptx: ort-cuda is skipped: ")
    assert cause in left_out
    assert taken.startswith("ptx: backend ort-cpu on cpu")


@pytest.mark.parametrize(("fault", "code"), [(BUSY, 3), (FULL, 6)])
def test_a_requested_device_that_fails_is_an_error_of_one_line(
    predict: Callable[..., Done], fault: str, code: int
) -> None:
    done = predict("--backend", "ort-cuda", fail=fault)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
