"""A bounded share of what scripts/kills/kill_test.py does: real verbs, killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "kills" / "kill_test.py"


@pytest.mark.skipif(sys.platform == "win32", reason="forks, and kills with signals")
def test_six_kills_lose_nothing() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "6", "--parts", "train,predict"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kills, _, lost = done.stdout.splitlines()[-1].partition(" kills, files lost: ")
    assert int(kills) >= 6
    assert lost == "0"
