"""Running `ptx` in this process, and a workspace with trained and exported models."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ptx.cli.verbs import _run

PICTURES = Path(__file__).parents[1] / "pictures"


@dataclass(frozen=True)
class Result:
    """What a verb left behind."""

    code: int
    out: str
    err: str


Ptx = Callable[..., Result]


def run_ptx(*arguments: object, stdin: bytes = b"") -> Result:
    """`ptx` with these arguments, in this process; no traceback ever."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    argv, source = sys.argv, sys.stdin
    sys.argv = ["ptx", *map(str, arguments)]
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _run()
    finally:
        sys.argv, sys.stdin = argv, source
    for stream in (out, err):
        stream.flush()
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
    assert "Traceback" not in texts[1]
    return Result(code, *texts)


@pytest.fixture(scope="session")
def ptx() -> Ptx:
    """`ptx("predict", "digit.png")`: exit code, stdout and stderr."""
    return run_ptx


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """convnet, trained on the bundled digits until it knows them, and linear-model; all formats."""
    root = tmp_path_factory.mktemp("workspace")
    for model, epochs in (("convnet", 5), ("linear-model", 100)):
        data = ["--data", "bundled"] if model == "convnet" else []
        trained = run_ptx("train", model, "--epochs", epochs, *data, "--workspace", root)
        assert trained.code == 0, trained.err
        exported = run_ptx("export", model, "--format", "all", "--workspace", root)
        assert exported.code == 0, exported.err
    return root


@pytest.fixture
def seven() -> Path:
    """A dark 7 on white paper, 400×300, off-centre."""
    return PICTURES / "seven-on-paper.png"
