"""Help, errors, exit codes and pipes of all commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ptx.cli.main import COMMANDS

MAIN = "from ptx.cli import main; main()"


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_help_lists_each_command(ptx: Any, verb: str) -> None:
    assert COMMANDS[verb][1] in ptx("--help").out


def test_help_imports_no_large_library() -> None:
    code = (
        "import sys; sys.argv = ['ptx', '--help']\n"
        "from ptx.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'numpy', 'PIL', 'ptx.infer.predictor', 'ptx.models'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=30)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["predikt"], "did you mean 'predict'"),
        (["predict"], "Missing argument 'INPUT...'. See ptx predict --help"),
        (["predict", "x", "--frobnicate"], "No such option"),
        (["predict", "x", "--backend", "ort-gpu"], "did you mean"),
        (["train", "convet"], "did you mean 'convnet'"),
        (
            ["train", "linear-model", "--epochs", "0"],
            "'0' is not an integer from 1",
        ),
        (["train", "linear-model", "--device", "gpu"], "there is no device 'gpu'"),
        (["train", "convnet", "--data", "mnits"], "did you mean"),
        (
            ["export", "lstm", "--format", "torchscript", "--opset", "20"],
            "--opset needs the format onnx",
        ),
    ],
)
def test_wrong_usage_is_exit_2_and_one_line(
    ptx: Any, tmp_path: Path, arguments: list[str], text: str
) -> None:
    done = ptx(*arguments, *(["--workspace", tmp_path] if len(arguments) > 1 else []))
    assert done.code == 2
    assert text in done.err
    (line,) = [line for line in done.err.splitlines() if not line.startswith("ptx: data ")]
    assert line.startswith("ptx: error [E-")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAIN, "predict", "x", "--workspace", str(tmp_path)]
    plain = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    debug = subprocess.run(
        [*command, "--debug"], capture_output=True, text=True, timeout=30, check=False
    )
    assert plain.returncode == 4
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr


def test_a_closed_pipe_prints_nothing() -> None:
    script = f'{sys.executable} -c "{MAIN}" models | head -1; echo "${{PIPESTATUS[0]}}"'
    unbuffered = {"PYTHONUNBUFFERED": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env=unbuffered,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] in ("0", "141")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("redirect", [">/dev/full", "2>&1 >/dev/full", ">/dev/full 2>/dev/full"])
@pytest.mark.parametrize("buffer", ["", "1"])
def test_stdout_on_a_full_disk_is_exit_5_and_one_line(redirect: str, buffer: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "{MAIN}" models {redirect}'],
        capture_output=True,
        text=True,
        env={"PYTHONUNBUFFERED": buffer, "PATH": "/usr/bin:/bin"},
        timeout=30,
        check=False,
    )
    assert done.returncode == 5
    result = "ptx: error [E-OUT-SPACE] the output cannot be written: No space left on device\n"
    assert done.stdout + done.stderr == ("" if redirect.endswith("2>/dev/full") else result)


def test_ctrl_c_is_exit_130_even_if_a_library_raises_another_error() -> None:
    code = """
import signal
from ptx.cli.workspace import Workspace
def files(*arguments):
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise ValueError("the export failed") from None
Workspace.files = files
"""
    command = [sys.executable, "-c", code + MAIN, "models"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_a_bug_is_reported_in_one_line(
    ptx: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ptx.cli.workspace.Workspace.files", lambda *_: 1 / 0)
    done = ptx("models", "--workspace", tmp_path)
    assert done.code == 1
    assert "[E-BUG] ZeroDivisionError" in done.err
    assert done.err.count("\n") == 1


def test_without_arguments_the_help_is_shown(ptx: Any) -> None:
    done = ptx()
    assert done.code == 2
    assert "Commands:" in done.out


def test_the_version_lists_the_installed_libraries(ptx: Any) -> None:
    lines = ptx("--version").out.splitlines()
    assert lines[0].startswith("ptx ")
    assert any(line.startswith("torch ") for line in lines)
