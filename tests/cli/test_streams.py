"""The standard streams in real processes: other encodings, names that are not UTF-8, slow readers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMAND = (sys.executable, "-c", "from ptx.cli import main; main()")
POSIX = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NOT_UTF8 = os.fsdecode(b"\xff")

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="file names are bytes on Linux alone"
)


def call(
    *arguments: object, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        check=False,
        timeout=120,
        input=stdin.encode(),
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, POSIX], ids=["ascii", "C"])
def test_training_works_with_streams_that_are_not_utf_8(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    done = call("train", "linear-model", "--epochs", 2, "--workspace", tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "linear-model" / "checkpoint.pt").is_file()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_json_is_valid_in_an_encoding_without_the_characters(
    workspace: Path, encoding: str
) -> None:
    texts = ["é", "中", "😀"]
    done = call(
        "predict",
        *texts,
        "--json",
        "--model",
        "linear-model",
        "--workspace",
        workspace,
        PYTHONIOENCODING=encoding,
    )
    assert done.returncode == 4
    answers = [json.loads(line) for line in done.stdout.decode(encoding).splitlines()]
    assert [answer["input"] for answer in answers] == texts


def test_an_input_whose_name_is_not_utf_8_is_predicted(workspace: Path, tmp_path: Path) -> None:
    table, output = tmp_path / f"{NOT_UTF8}.csv", tmp_path / f"out{NOT_UTF8}.jsonl"
    table.write_text("1\n2\n")
    command = ("predict", table, "--model", "linear-model", "--workspace", workspace)
    for more in (("--output", output), ("--output", output, "--resume"), ("--json",)):
        done = call(*command, *more)
        assert done.returncode == 0, done.stderr
        text = output.read_bytes() if "--output" in more else done.stdout
        names = [json.loads(line)["input"] for line in text.decode().splitlines()]
        assert names == [f"{table}, line 1", f"{table}, line 2"]


def test_a_non_blocking_pipe_gets_every_line(workspace: Path) -> None:
    count = 4000  # lines, more than a pipe holds
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    process: Any = subprocess.Popen(
        [*COMMAND, "predict", "-", "--model", "linear-model", "--workspace", str(workspace)],
        stdin=subprocess.PIPE,
        stdout=writing,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    process.stdin.write(b"1\n" * count)
    process.stdin.close()
    with os.fdopen(reading, "rb") as pipe:
        assert len(pipe.read().splitlines()) == count
    assert process.wait(timeout=120) == 0
