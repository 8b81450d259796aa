"""`ptx export --format triton`"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Export = Callable[[str, str], Path]


@pytest.fixture
def space(artifact: Export, tmp_path: Path) -> Path:
    """A workspace with the ONNX file of linear-model."""
    target = tmp_path / "runs" / "linear-model" / "linear-model.onnx"
    target.parent.mkdir(parents=True)
    shutil.copy(artifact("linear-model", "onnx"), target)
    return tmp_path / "runs"


def test_the_verb_writes_what_a_server_is_started_on(
    ptx: Callable[..., Any], space: Path, tmp_path: Path
) -> None:
    given = ("export", "linear-model", "--format", "triton", "--workspace", space)
    done = ptx(*given, "--output", tmp_path / "repository")
    assert done.code == 0, done.err
    *folders, following = done.out.splitlines()
    assert folders == [
        str(tmp_path / "repository" / name) for name in ("linear-model", "linear-model_predict")
    ]
    assert following == f"next: tritonserver --model-repository {tmp_path / 'repository'}"
    again = ptx(*given, "--output", tmp_path / "repository")
    assert (again.code, "E-OUT-EXISTS" in again.err) == (5, True)
    cuda = ptx(*given, "--device", "cuda", "--output", tmp_path / "cuda")
    assert cuda.code == 0
    assert "KIND_GPU" in (tmp_path / "cuda/linear-model/config.pbtxt").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "triton"), "needs --output FOLDER"),
        (("--format", "triton", "--output", "x", "--opset", "18"), "omit --opset"),
        (("--format", "triton", "--output", "x", "--labels", "a,b"), "omit --labels"),
        (("--device", "cuda"), "--device needs --format triton; the format is onnx"),
    ],
)
def test_what_does_not_go_together_is_refused(
    ptx: Callable[..., Any], space: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = ptx("export", "linear-model", "--workspace", space, *arguments)
    assert done.code == 2
    assert message in done.err


def test_a_model_without_an_onnx_file_says_how_one_is_made(
    ptx: Callable[..., Any], tmp_path: Path
) -> None:
    done = ptx(
        "export",
        "convnet",
        "--format",
        "triton",
        "--output",
        tmp_path / "r",
        "--workspace",
        tmp_path,
    )
    assert done.code == 4
    assert "ptx export convnet --format onnx" in done.err


def test_the_repository_is_written_without_torch(
    child: Callable[..., Any], space: Path, tmp_path: Path
) -> None:
    code = (
        "import sys\nsys.modules['torch'] = sys.modules['onnx'] = None\n"
        "from ptx.cli.main import _run\nassert _run() == 0"
    )
    child(
        code,
        "export",
        "linear-model",
        "--format",
        "triton",
        "--workspace",
        space,
        "--output",
        tmp_path / "repository",
        timeout=60,
    )
    assert (tmp_path / "repository/linear-model/1/model.onnx").exists()
