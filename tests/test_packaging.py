"""What is in the repository's folders is in the wheel, and runs without torch."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("infer", "models", "trainers", "export", "report", "scale", "serve", "cli")
WHEELS = ROOT / ".cache" / "wheel"
# as scripts/setup/bare_environment has it
BARE = ROOT / f"{Path(sys.prefix).name}-bare" / "bin" / "python"

pytestmark = pytest.mark.skipif(
    not BARE.exists() or not WHEELS.exists(), reason="scripts/test makes the wheel and .venv-bare"
)


def bare(*arguments: str | Path, cwd: Path, ok: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd)}
    done = subprocess.run(
        [BARE, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )
    assert not ok or done.returncode == 0, done.stderr
    return done


PTX = ("-m", "ptx")


def test_every_source_and_data_file_is_in_the_wheel() -> None:
    (wheel,) = WHEELS.glob("ptx_toolkit-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"ptx/{path.relative_to(ROOT)}" in packed, path
    assert {"ptx/__init__.py", "ptx/__main__.py", "ptx/py.typed"} <= packed


def test_the_bare_environment_has_no_torch(tmp_path: Path) -> None:
    done = bare("-c", "import torch", cwd=tmp_path, ok=False)
    assert "No module named 'torch'" in done.stderr


def test_verify_and_predict_run_without_torch(artifact: object, tmp_path: Path) -> None:
    assert callable(artifact)
    path = artifact("convnet", "onnx")
    assert "passes" in bare(*PTX, "verify", path, cwd=tmp_path).stdout
    picture = ROOT / "tests" / "pictures" / "mnist-7.png"
    done = bare(*PTX, "predict", picture, "--model", path, "--json", cwd=tmp_path)
    assert '"backend": "ort-cpu"' in done.stdout


def test_the_library_predicts_without_torch(artifact: object, tmp_path: Path) -> None:
    assert callable(artifact)
    picture = ROOT / "tests" / "pictures" / "mnist-7.png"
    code = (
        "from ptx.infer import load; import sys;"
        f"load({str(artifact('convnet', 'onnx'))!r}).predict({str(picture)!r});"
        "assert 'torch' not in sys.modules and 'onnx' not in sys.modules"
    )
    bare("-c", code, cwd=tmp_path)


def test_a_torch_backend_says_what_is_missing(artifact: object, tmp_path: Path) -> None:
    assert callable(artifact)
    path = artifact("convnet", "torchscript")
    done = bare(*PTX, "verify", path, "--trust", cwd=tmp_path, ok=False)
    assert done.returncode == 3
    assert "PyTorch is not installed: pip install 'ptx-toolkit[train]'" in done.stderr


def test_training_says_what_is_missing(tmp_path: Path) -> None:
    done = bare(*PTX, "train", "linear-model", cwd=tmp_path, ok=False)
    assert done.returncode == 3
    assert "pip install 'ptx-toolkit[train]'" in done.stderr
    assert "Traceback" not in done.stderr
