"""What is said of a network that an exporter cannot convert."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NETWORK = """
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        y = self.fc(x)
        if bool((y > 1e9).any()):
            y = y * 1
        return y
"""
DESCRIPTION = """
task = "passthrough"
[inputs]
x = ["float32", ["batch", 8]]
[outputs]
y = ["float32", ["batch", 4]]
"""


@pytest.mark.parametrize("format_name", ["onnx", "pt2"])
def test_a_network_that_branches_on_its_numbers_is_told_in_one_line(
    tmp_path: Path, format_name: str
) -> None:
    (tmp_path / "branching.py").write_text(NETWORK)
    (tmp_path / "branching.toml").write_text(DESCRIPTION)
    command = ["export", "branching:Network", "--spec", "branching.toml"]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from ptx.cli import main; main()",
            *command,
            "--format",
            format_name,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 4
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "E-EXPORT" in line
    assert "\x1b" not in line
    assert "data-dependent" in line  # the exporter's reason
    assert "if bool((y > 1e9).any()):" in line  # and where the network has it
