"""--timeout: a command that takes too long ends with one line, exit code 6 and no temporary files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ..malformed_inputs.endless import endless_model

PTX = [sys.executable, "-c", "from ptx.cli import main; main()"]


@pytest.fixture
def endless(workspace: Path, tmp_path: Path) -> Path:
    """A linear-model that runs for ever when its input is 3."""
    path = tmp_path / "endless.onnx"
    path.write_bytes(endless_model(workspace / "linear-model" / "linear-model.onnx"))
    return path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PTX, *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize(
    "verb", ["predict", "verify", "evaluate", "compare", "report", "benchmark"]
)
def test_a_command_that_exceeds_its_time_limit_is_stopped(workspace: Path, verb: str) -> None:
    model = ["3", "--model", "linear-model"] if verb == "predict" else ["linear-model"]
    # Python alone takes longer
    done = run(verb, *model, "--timeout", 0.01, "--workspace", workspace)
    assert done.returncode == 6
    assert done.stdout == ""
    assert done.stderr == (
        "ptx: error [E-TIMEOUT] stopped after 0.01 s: use a longer --timeout than 0.01\n"
    )


def test_the_previous_output_remains_without_temporary_files(endless: Path) -> None:
    output = endless.with_name("answers.txt")
    output.write_text("of before")
    done = run("predict", "3", "--model", endless, "--timeout", 1, "--output", output)
    assert done.returncode == 6
    assert output.read_text() == "of before"
    assert sorted(path.name for path in endless.parent.iterdir()) == ["answers.txt", "endless.onnx"]


@pytest.mark.parametrize("verb", ["predict", "report"])
def test_unfinished_files_of_the_stopped_process_are_removed(
    tmp_path: Path, endless: Path, verb: str
) -> None:
    """Into the folder of --output, or into the model's where there is none."""
    folder = tmp_path / ("linear-model" if verb == "report" else "predictions")
    folder.mkdir()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (folder / f".report.html.{gone.pid}-00000000.ptx-tmp").touch()
    given: list[object] = ["linear-model", "--timeout", 0.001]
    if verb == "predict":
        given = ["3", "--model", endless, "--output", folder / "answers.txt", "--timeout", 1]
    done = run(verb, *given, "--workspace", tmp_path)
    assert done.returncode == 6
    assert list(folder.iterdir()) == []


def test_within_the_limit_output_and_exit_code_are_unchanged(endless: Path) -> None:
    for inputs in (["4", "5"], ["4", "four"]):
        free = run("predict", *inputs, "--model", endless, "--backend", "ort-cpu")
        held = run("predict", *inputs, "--model", endless, "--backend", "ort-cpu", "--timeout", 60)
        assert (held.returncode, held.stdout, held.stderr) == (
            free.returncode,
            free.stdout,
            free.stderr,
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_child_process(endless: Path, number: signal.Signals) -> None:
    command = ["predict", "-", "--model", str(endless), "--backend", "ort-cpu", "--timeout", "60"]
    read, write = os.pipe()
    with subprocess.Popen([*PTX, *command], stdin=read, stderr=subprocess.PIPE) as process:
        os.close(read)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if not children.parent.exists():
            pytest.skip("needs /proc")
        while not (found := children.read_text().split()):
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(30) in (128 + number, -number)
    os.close(write)
    assert not Path("/proc", found[0]).exists()


@pytest.mark.parametrize("seconds", ["0", "-1", "soon"])
def test_an_invalid_time_limit_is_wrong_usage(ptx: Callable[..., object], seconds: str) -> None:
    done = ptx("predict", "4", "--timeout", seconds)
    assert getattr(done, "code", None) == 2
