"""The command `ptx` imports nothing from the folder that it is called in, nor does what it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("ptx")  # as pip installs it
NAMES = (
    "ptx",
    "numpy",
    "click",
    "PIL",
    "onnxruntime",
    "torch",
    "json",
    "sitecustomize",
    "usercustomize",
)
pytestmark = pytest.mark.skipif(not COMMAND.exists(), reason="ptx is not installed as a command")


@pytest.mark.parametrize("verb", ["inspect", "verify", "predict", "evaluate", "benchmark"])
def test_modules_in_the_current_folder_are_not_imported(
    workspace: Path, tmp_path: Path, seven: Path, verb: str
) -> None:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('foreign {name}')")
    model = workspace / "convnet" / "convnet.onnx"
    arguments: dict[str, list[str | Path]] = {
        "inspect": [model],
        "verify": ["--no-run", model.with_suffix(".torchscript")],
        "predict": [*[seven] * 300, "--model", model],  # so many are read by processes of their own
        "benchmark": [model, "--backends", "ort-cpu", "--batch", "1", "--seconds", "0.01"],
        "evaluate": ["linear-model", "--backend", "eager", "--workspace", workspace],
    }
    done = subprocess.run(
        [COMMAND, verb, *arguments[verb]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "foreign" not in done.stderr
