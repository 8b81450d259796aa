"""scripts/checks/walk.py: how many functions lie between the verb and the answer."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "checks" / "walk.py"


def test_a_picture_makes_no_more_moves_than_the_page_says(
    artifact: Callable[[str, str], Path], seven: Path
) -> None:
    command = [sys.executable, str(SCRIPT), "predict", str(seven), "--backend", "ort-cpu"]
    command += ["--model", str(artifact("convnet", "onnx"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    first, *others, last = done.stderr.splitlines()
    assert first == "cli/verbs/predict.py: predict"
    assert "infer/tasks.py: classification" in others
    moves, files, own_moves, own_files = map(int, re.findall(r"\d+", last))
    assert len(others) + 1 == moves
    assert moves <= 52
    assert files <= 30
    assert own_moves <= 28
    assert own_files <= 18
