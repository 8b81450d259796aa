"""Every verb in every state of the streams and with every number: no traceback, no hang, the right end.

The calls are made from what the verbs declare, so that a new verb or option is among them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from ptx.cli.main import COMMANDS
from ptx.cli.param_types import Number

from .forking import HEAVY, LIGHT, Ended, Forking, Streams
from .shells import (
    ENCODINGS,
    MISSING,
    SLOW,
    STATES,
    WHOLE,
    WHOLE_STATES,
    WITH_TORCH,
    NumberOption,
    command,
    needed,
    number_options,
    numeric,
    options,
    quick_call,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")

PATIENCE = 120  # seconds for a call, on a machine with much else to do
CODES = range(7)  # that are documented
LINE = re.compile(r"ptx: |epoch \d")  # how a line on standard error begins
NUMBERS = number_options()

Call = Callable[..., Ended]


@pytest.fixture(scope="module")
def tally(counts: dict[str, Counter[str]]) -> Counter[str]:
    """What was found, for the last line of the run."""
    found = counts["shells"]
    for what in ("calls", "tracebacks", "foreign lines", "hangs"):
        found[what] += 0
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, workspace: Path, signers: Path) -> Path:
    """A folder with a workspace whose name is Chinese, and with linear-model alone."""
    folder = tmp_path_factory.mktemp("shells")
    model = folder / "工作区" / "linear-model"
    model.mkdir(parents=True)
    for name in ("checkpoint.pt", "metrics.csv", "linear-model.onnx"):
        shutil.copy(workspace / "linear-model" / name, model)
    shutil.copy(signers / "key.pem", folder / "密.pem")
    np.save(folder / "x.npy", np.ones((2, 1), np.float32))
    return folder


@pytest.fixture(scope="module")
def call(folder: Path, tally: Counter[str]) -> Iterator[Call]:
    """`call(words, streams)`: in the folder, with what must hold of every call held."""
    with Forking(folder, HEAVY) as forking:
        yield checked(forking, tally)


@pytest.fixture(scope="module")
def quick(folder: Path, tally: Counter[str]) -> Iterator[Call]:
    """The same for calls that need no PyTorch."""
    with Forking(folder, LIGHT) as forking:
        yield checked(forking, tally)


@pytest.fixture(scope="module")
def plain(quick: Call, call: Call) -> Callable[[tuple[str, ...]], Ended]:
    """What a call of a verb ends with where nothing is wrong with the streams."""
    return cache(lambda words: (call if words[0] in WITH_TORCH else quick)(words))


def checked(forking: Forking, tally: Counter[str]) -> Call:
    """Calls of which what must hold is held."""

    def run(words: tuple[str, ...], streams: Streams = STATES[0], **given: Any) -> Ended:
        ended = forking.run(in_workspace(words), streams, limit=PATIENCE, **given)
        tally["calls"] += 1
        tally["hangs"] += ended.code == -9
        assert ended.code != -9, "hangs"
        err = decode(ended.err, streams)
        tally["tracebacks"] += "Traceback" in err or "E-BUG" in err
        assert "Traceback" not in err
        assert "E-BUG" not in err
        lines = err.splitlines()
        if given.get("interrupt") and lines[-1:] == [""]:  # click ends the line of ^C
            lines.pop()
        foreign = [line for line in lines if not LINE.match(line)]
        tally["foreign lines"] += len(foreign)
        assert foreign == []
        return ended

    return run


def in_workspace(words: tuple[str, ...]) -> tuple[str, ...]:
    verb, *rest = words
    heeds = any(option.name == "workspace" for option in command(verb).params)
    return (verb, *rest, *(("--workspace", "工作区") if heeds else ()))


def decode(data: bytes, streams: Streams) -> str:
    return data.decode(streams.encoding)


def as_written(text: str, encoding: str) -> str:
    """The text as it comes through a stream that escapes what it lacks."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def expect(plain: Ended, streams: Streams) -> tuple[int, bool]:
    """The exit code, and whether an error about the output is told."""
    code, told = plain.code, False
    if plain.out and streams.stdout in ("closed", "full"):
        code, told = 5, streams.stderr == "open"
    if plain.out and streams.stdout == "gone":
        code = 141
    return code, told


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("verb", COMMANDS)
def test_in_every_state_of_the_streams(
    verb: str,
    encoding: str,
    quick: Call,
    call: Call,
    plain: Callable[[tuple[str, ...]], Ended],
) -> None:
    run = call if verb in WITH_TORCH else quick
    for state in STATES:
        streams = state._replace(encoding=encoding)
        words = quick_call(verb, streams)
        known, ended = plain(words), run(words, streams)
        code, told = expect(known, streams)
        assert ended.code == code, (streams, ended)
        err = decode(ended.err, streams).splitlines()
        assert ("the output cannot be written" in "".join(err[-1:])) == told, (streams, ended)
        if streams.stdout == "open":
            assert decode(ended.out, streams) == as_written(known.out.decode(), encoding)
        if streams.stderr == "open":
            expected = as_written(known.err.decode(), encoding).splitlines()
            assert err[: len(err) - told] == expected, streams


@pytest.mark.parametrize("streams", WHOLE_STATES, ids=str)
@pytest.mark.parametrize("verb", SLOW)
def test_a_verb_does_all_that_it_does(verb: str, streams: Streams, call: Call) -> None:
    ended = call(WHOLE[verb], streams)
    lost = streams.stdout != "open"
    assert ended.code == (5 if lost else 0), ended
    assert decode(ended.out, streams) or lost


def test_every_verb_has_a_call_that_does_all() -> None:
    assert WHOLE.keys() == COMMANDS.keys()


REAL = {
    "stdin closed": ("<&-", 4),
    "stdout closed": (">&-", 5),
    "stderr closed": ("2>&-", 4),
    "all closed": ("<&- >&- 2>&-", 5),
    "stdout full": (">/dev/full", 5),
    "stderr full": ("2>/dev/full", 4),
    "both full": (">/dev/full 2>&1", 5),
    "stdout gone": ("| true; exit ${PIPESTATUS[0]}", 141),
    "stderr gone": ("2> >(true)", 4),
}


def real(folder: Path, after: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The console script in a real shell; INPUTs from the arguments and standard input."""
    script = "from ptx.cli import main; main()"
    line = f'"$0" -c "{script}" predict 4 五 --model linear-model --workspace 工作区 {after}'
    return subprocess.run(
        ["bash", "-c", line, sys.executable],
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("state", REAL)
def test_a_real_shell_gives_the_same(state: str, folder: Path, tally: Counter[str]) -> None:
    after, code = REAL[state]
    done = real(folder, after)
    tally["calls"] += 1
    assert b"Traceback" not in done.stderr
    assert b"E-BUG" not in done.stderr
    assert done.returncode == code, done
    assert all(LINE.match(line) for line in done.stderr.decode().splitlines())


@pytest.mark.parametrize("encoding", [*ENCODINGS, "the C locale's"])
def test_a_real_interpreter_writes_names_in_any_encoding(
    encoding: str, folder: Path, tally: Counter[str]
) -> None:
    environment = {"PYTHONIOENCODING": encoding}
    if encoding not in ENCODINGS:
        environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = real(folder, "--output 出.txt", **environment)
    tally["calls"] += 1
    written = encoding if encoding in ENCODINGS else "ascii"
    assert done.returncode == 4, done
    assert done.stdout.decode(written).startswith(as_written("出.txt: 1 prediction", written)) or (
        written == "ascii" and b"1 prediction" in done.stdout
    )
    assert "is not a number" in done.stderr.decode(written)


def test_standard_input_that_is_closed_or_cannot_be_read_is_an_input_error(folder: Path) -> None:
    for after, why in (("<&-", "is closed"), ("0>/dev/null", "Bad file descriptor")):
        done = real(folder, f"- {after}")
        assert done.returncode == 4
        assert f"[E-IN-READ] -: standard input{' ' if 'is' in why else ': '}{why}" in (
            done.stderr.decode()
        )


def test_every_number_that_a_verb_takes_has_a_range() -> None:
    free = [
        (verb, option.opts[0])
        for verb, option in options()
        if numeric(option.type) and not isinstance(option.type, Number)
    ]
    assert free == []
    assert len(NUMBERS) >= 15


CHECK = """
import contextlib, io, json, sys, time
from ptx.cli.main import _run
found = []
for words in json.load(sys.stdin):
    sys.argv, out, err = ["ptx", *words], io.StringIO(), io.StringIO()
    started = time.perf_counter()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = _run()
    found.append((code, out.getvalue(), err.getvalue(), time.perf_counter() - started))
print(json.dumps((found, sorted({"torch", "onnxruntime"} & set(sys.modules)))))
"""


def test_a_number_out_of_its_range_is_refused_at_once_by_name(tally: Counter[str]) -> None:
    """Before PyTorch or ONNX Runtime is imported."""
    cases = [(option, value) for option in NUMBERS for value in option.refused()]
    calls = [(*needed(option.verb), f"{option.name}={value}") for option, value in cases]
    done = subprocess.run(
        [sys.executable, "-c", CHECK],
        input=json.dumps(calls),
        text=True,
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )
    found, imported = json.loads(done.stdout)
    tally["calls"] += len(cases)
    assert imported == []
    for (option, value), (code, out, err, seconds) in zip(cases, found, strict=True):
        about = (option.verb, option.name, value[:40], err)
        assert (code, out) == (2, ""), about
        assert err.startswith(f"ptx: error [E-USAGE] Invalid value for '{option.name}': "), about
        assert f" is not {option.type.within}." in err, about
        assert err.count("\n") == 1, about
        assert seconds < 1, about


@pytest.mark.parametrize("option", NUMBERS, ids=lambda option: f"{option.verb} {option.name}")
def test_both_ends_of_a_range_are_taken_and_shown(option: NumberOption) -> None:
    for value in option.ends():
        verb, *arguments = needed(option.verb)
        command(verb).make_context(verb, [*arguments, option.name, value])
    context = click.Context(command(option.verb))
    least, most = option.ends()
    shown = " ".join(command(option.verb).get_help(context).split())
    assert f"{least}<=x<={most}" in shown


RUN = [o for o in NUMBERS if o.name != "--timeout"]
FOR_EVER = {("train", "--epochs"), ("benchmark", "--seconds")}  # the most of these


@pytest.mark.parametrize("option", RUN, ids=lambda option: f"{option.verb} {option.name}")
def test_a_verb_runs_at_both_ends(option: NumberOption, call: Call) -> None:
    for value in option.ends():
        endless = value == option.ends()[1] and (option.verb, option.name) in FOR_EVER
        ended = call((*WHOLE[option.verb], option.name, value), interrupt=1 if endless else None)
        assert ended.code == 130 if endless else ended.code in CODES


@pytest.mark.parametrize(
    "verb", [o.verb for o in NUMBERS if o.name == "--timeout" and o.verb != "serve"]
)
def test_the_least_time_is_over_at_once(verb: str, call: Call) -> None:
    words = needed(verb) if verb == "report" else WHOLE[verb]
    assert call((*words, "--timeout", "0.001")).code in (2, 6)


def test_a_backend_that_is_named_twice_is_refused_by_name(call: Call) -> None:
    for verb in ("compare", "benchmark"):
        ended = call((verb, MISSING, "--backends", "ort-cpu, ort-cpu"))
        assert ended.code == 2
        assert b"--backends lists 'ort-cpu' twice" in ended.err
