"""Shares of the inputs, and outputs that are gone on with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ptx import scale
from ptx.infer.errors import UsageError
from ptx.scale.shards import name_hash

COUNT = 12  # pictures, two of which cannot be read


@pytest.fixture
def pictures(tmp_path: Path, seven: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(COUNT - 2):
        shutil.copy(seven, folder / f"{index:03}.png")
    (folder / "cut.png").write_bytes(seven.read_bytes()[:100])
    (folder / "empty.png").write_bytes(b"")
    return folder


@pytest.fixture
def predict(ptx: Any, convnet: Path, pictures: Path) -> Callable[..., Any]:
    """`predict(*options)`: of all pictures."""
    return lambda *options: ptx("predict", pictures, "--model", convnet, *options)


def test_a_name_falls_into_the_same_shard_on_every_machine() -> None:
    assert name_hash("digits/7.png") == 0xE8596E5015074ED1  # printf digits/7.png | b2sum -l 64
    assert name_hash("Zoë \udcff") != name_hash("Zoë")


@pytest.mark.parametrize("count", [1, 2, 16, 100])
def test_every_name_is_in_exactly_one_shard_and_the_shards_are_even(count: int) -> None:
    names = [f"digits/{index}.png" for index in range(20 * count)]
    shards = [scale.Shard.parse(f"{index}/{count}") for index in range(1, count + 1)]
    taken = [[name for name in names if shard.contains(name)] for shard in shards]
    assert sorted(name for shard in taken for name in shard) == sorted(names)
    assert max(map(len, taken)) < 3 * 20


@pytest.mark.parametrize("text", ["0/16", "17/16", "3", "3/", "-1/2", "a/b", "1/0", "٣/٤", "3/16 "])
def test_a_shard_that_is_none_is_wrong_usage(predict: Any, text: str) -> None:
    with pytest.raises(UsageError, match="expected INDEX/COUNT"):
        scale.Shard.parse(text)
    assert predict(f"--shard={text}").code == 2


def test_the_outputs_of_the_shards_are_that_of_one_run_row_for_row(
    predict: Any, tmp_path: Path
) -> None:
    whole = predict("--json")
    lines = []
    for index in range(1, 4):
        done = predict("--shard", f"{index}/3", "--output", tmp_path / f"{index}.jsonl")
        lines += (tmp_path / f"{index}.jsonl").read_text().splitlines()
        assert done.code == (
            4 if any("error" in line for line in done_lines(tmp_path, index)) else 0
        )
    assert whole.code == 4
    assert len(lines) == COUNT
    assert sorted(lines) == sorted(whole.out.splitlines())


def done_lines(folder: Path, index: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{index}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("kept", "torn"),
    [(0, b'{"in'), (1, b""), (7, b'{"input": "x.png", "la'), (COUNT - 1, b"\0\0\0"), (COUNT, b"")],
)
def test_an_interrupted_output_is_gone_on_with(
    predict: Any, tmp_path: Path, kept: int, torn: bytes
) -> None:
    output = tmp_path / "answers.jsonl"
    whole = predict("--resume", "--output", output)
    expected = output.read_bytes()
    lines = expected.splitlines(keepends=True)
    output.write_bytes(b"".join(lines[:kept]) + torn)
    done = predict("--resume", "--output", output)
    assert output.read_bytes() == expected
    assert (done.code, done.out) == (4, whole.out)
    assert whole.out == f"{output}: {COUNT - 2} predictions, 2 inputs that cannot be used\n"


def test_what_is_answered_is_not_read_again(predict: Any, pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.jsonl"
    predict("--resume", "--output", output)
    (pictures / "000.png").write_bytes(b"no picture any more")
    (pictures / "new.png").write_bytes((pictures / "001.png").read_bytes())
    predict("--resume", "--output", output)
    answers = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(answers) == COUNT + 1
    assert answers[0]["input"].endswith("000.png")
    assert "label" in answers[0]
    assert answers[-1]["input"].endswith("new.png")


def test_an_input_given_twice_is_answered_twice(
    ptx: Any, convnet: Path, seven: Path, tmp_path: Path
) -> None:
    output = tmp_path / "answers.jsonl"
    arguments = ("predict", seven, seven, "--model", convnet, "--resume", "--output", output)
    ptx(*arguments)
    line, twin = output.read_text().splitlines()
    assert line == twin
    output.write_text(f"{line}\n")
    ptx(*arguments)
    assert output.read_text() == f"{line}\n{line}\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"my notes\n", "line 1 was not written"),
        (b'{"input": "a.png", "label": "7", "model": "lstm"}\n', "line 1 is of the model 'lstm'"),
        (b'{"input": "a.p\n{"input": "b.png", "label": "7"}\n', "line 1 is truncated"),
    ],
)
def test_what_is_no_output_of_this_model_is_left_alone(
    predict: Any, tmp_path: Path, content: bytes, why: str
) -> None:
    output = tmp_path / "answers.jsonl"
    output.write_bytes(content)
    done = predict("--resume", "--output", output)
    assert done.code == 4
    assert why in done.err
    assert output.read_bytes() == content


@pytest.mark.parametrize("options", [(), ("--json",), ("--output", "answers.txt")])
def test_resume_takes_json_lines(predict: Any, options: tuple[str, ...]) -> None:
    done = predict("--resume", *options)
    assert done.code == 2
    assert "use --output FILE.jsonl" in done.err


def test_two_processes_do_not_write_one_output(predict: Any, tmp_path: Path) -> None:
    output = tmp_path / "answers.jsonl"
    with scale.open_resumable(output, "convnet"):
        done = predict("--resume", "--output", output)
    assert done.code == 5
    assert "E-BUSY" in done.err


def test_a_killed_run_is_resumed(convnet: Path, pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.jsonl"
    program = "from ptx.cli import main; main()"
    options = ["--model", convnet, "--resume", "--output", output, "--batch-size", "1"]
    command = [sys.executable, "-c", program, "predict", *map(str, [pictures, *options])]
    for _ in range(3):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
            limit = time.monotonic() + 5
            while not output.exists() and run.poll() is None and time.monotonic() < limit:
                time.sleep(0.02)
            time.sleep(0.1)
            os.kill(run.pid, signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 4
    names = [json.loads(line)["input"] for line in output.read_text().splitlines()]
    assert len(names) == len(set(names)) == COUNT
