"""Environments that users have: a display that is not there, too little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = "from ptx.cli import main; main()"


def test_a_backend_of_matplotlib_that_does_not_exist_changes_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "train", "linear-model", "--epochs", "1"],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "nonsense"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "linear-model" / "training.png").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of Linux")
def test_too_little_memory_for_torch_is_reported(tmp_path: Path) -> None:
    limited = f'ulimit -d 50000; exec "{sys.executable}" -c "{MAIN}" train linear-model'
    done = subprocess.run(
        ["bash", "-c", limited],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 6, done.stderr
    (line,) = done.stderr.splitlines()
    assert "E-MEMORY" in line
