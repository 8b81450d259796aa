"""The examples in the help of every command run unchanged."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch

from ptx.cli.main import COMMANDS, Commands
from ptx.models import build

PICTURES = Path(__file__).parents[2] / "pictures"


def examples(verb: str) -> list[str]:
    """The command lines below `Examples:` in a verb's help."""
    command = Commands().get_command(click.Context(Commands()), verb)
    assert command is not None
    lines = (command.epilog or "").partition("Examples:")[2].splitlines()
    return [line.strip() for line in lines if line.strip()]


ENDLESS = {"serve"}  # until a signal comes
EXAMPLES = [
    (verb, example) for verb in COMMANDS for example in examples(verb) if verb not in ENDLESS
]


@pytest.fixture
def desk(
    workspace: Path,
    artifact: Callable[[str, str], Path],
    signers: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder where somebody has trained and exported the models of the examples, with their files."""
    shutil.copytree(workspace, tmp_path / "runs")
    (tmp_path / "runs" / "name-classifier").mkdir()
    names = tmp_path / "runs" / "name-classifier" / "name-classifier.onnx"
    shutil.copy(artifact("name-classifier", "onnx"), names)
    shutil.copy(PICTURES / "seven-on-paper.png", tmp_path / "digit.png")
    np.save(tmp_path / "images.npy", np.zeros((2, 1, 28, 28), np.float32))
    for name in ("key.pem", "certificate.pem"):
        shutil.copy(signers / name, tmp_path)
    torch.save(build("linear-model").state_dict(), tmp_path / "model.pth")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PTX_WORKSPACE", raising=False)
    return tmp_path


@pytest.mark.parametrize("verb", COMMANDS)
def test_each_command_has_two_examples(verb: str) -> None:
    found = examples(verb)
    assert len(found) == len(set(found)) == 2
    assert all(example.startswith(f"ptx {verb}") for example in found)


@pytest.mark.parametrize(("verb", "example"), EXAMPLES)
def test_an_example_runs_unchanged(ptx: Any, desk: Path, verb: str, example: str) -> None:
    done = ptx(*shlex.split(example)[1:])
    assert done.code == 0, done.err
    assert done.out


@pytest.mark.parametrize("example", examples("serve"))
def test_an_example_of_a_server_responds_until_it_is_stopped(desk: Path, example: str) -> None:
    command = [sys.executable, "-c", "from ptx.cli import main; main()", *shlex.split(example)[1:]]
    with subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("serving ")
        process.terminate()
        assert process.wait(30) == 0


def test_the_help_shows_only_existing_commands(ptx: Any) -> None:
    shown = re.findall(r"^  ptx (\S+)", ptx("--help").out, re.MULTILINE)
    assert len(shown) == 3
    assert set(shown) <= set(COMMANDS)
