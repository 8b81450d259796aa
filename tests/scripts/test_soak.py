"""A bounded share of what scripts/checks/soak.py does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "checks" / "soak.py"


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("model", ["convnet", "name-classifier"])
def test_threads_workers_and_many_predictions_give_the_bytes_of_one_thread(
    artifact: Callable[[str, str], Path], model: str
) -> None:
    path = artifact(model, "onnx")
    command = [sys.executable, str(SCRIPT), str(path), "--threaded", "1600", "--long", "3000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("holds") == 5
    assert done.stderr == ""
