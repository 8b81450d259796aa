"""Every case through the command line in a process of its own, and through the library.

No case may end in a traceback, a wrong answer, more than one error line, an undocumented exit code,
ten seconds of a processor or a gigabyte.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ptx.infer import Predictor, PtxError, load

from . import archives, endless, numbers, onnx_files, pictures
from .case import Case, Kit
from .forking import LIGHT, TORCH, Bounds, Ended, Forking

CASES = [*pictures.CASES, *numbers.CASES, *onnx_files.CASES, *archives.CASES, *endless.CASES]

BOUNDS = Bounds(processor=10, memory=4 * 2**30)
PATIENCE = 120  # seconds for a process that waits, on a machine with much else to do
RESIDENT = 2**20  # kB that may be in use at the peak

# Group → verb and options; {} is the case's own argument, @x a file of the workspace or an artifact.
COMMANDS = {
    "picture": ("predict", "--model", "@convnet.onnx", "--backend", "ort-cpu", "--", "{}"),
    "number": ("predict", "--model", "@linear-model.onnx", "--backend", "ort-cpu", "--", "{}"),
    "row": ("predict", "--model", "@diabetes", "--backend", "ort-cpu", "--", "{}"),
    "table": ("predict", "--model", "@diabetes", "--backend", "ort-cpu", "--", "{}"),
    "name": ("predict", "--model", "@name-classifier", "--backend", "ort-cpu", "--", "{}"),
    "model": ("predict", "@drawing", "--backend", "ort-cpu", "--model", "{}"),
    "program": ("predict", "@drawing", "--model", "{}"),
    "checkpoint": ("predict", "@drawing", "--backend", "eager", "--model", "{}"),
    "state dict": ("export", "convnet", "--checkpoint", "{}", "--output", "@out.onnx"),
    "unrun": ("inspect", "{}"),
    "endless": ("predict", "3", "--backend", "ort-cpu", "--timeout", "1", "--model", "{}"),
    "endless program": ("predict", "3", "--trust", "--timeout", "3", "--model", "{}"),
}

WITH_TORCH = ("program", "checkpoint", "state dict", "endless program")
OF_MODELS = ("model", "program", "checkpoint")  # the case is the model; its input is a drawing

BY_LIBRARY = [
    case
    for case in CASES
    if case.group in ("picture", "number", "name", *OF_MODELS)
    and case.suffix != ".npy"
    and case.status is None
    and "glob" not in case.name
    and "folder" not in case.name
    and not case.code.startswith("E-IN-FORMAT")
    and case.name != "no manifest"  # which the library runs: tests/infer/external
]

# Of what the library covers too, every third, or all on request.
BY_COMMAND = [
    case
    for index, case in enumerate(CASES)
    if index % 3 == 0 or case not in BY_LIBRARY or "PTX_ALL_MALFORMED_INPUTS" in os.environ
]


@pytest.fixture(scope="module")
def tally(counts: dict[str, Counter[str]]) -> Counter[str]:
    """Counts of the malformed-input suite, for the last line of the run."""
    found = counts["malformed inputs"]
    for what in ("in a process", "in the library", "tracebacks", "wrong answers"):
        found[what] += 0
    return found


@pytest.fixture
def kit(tmp_path: Path, workspace: Path, artifact: Callable[[str, str], Path]) -> Kit:
    return Kit(tmp_path, workspace, artifact)


def argument(kit: Kit, case: Case) -> str:
    """The case's own argument; bytes are put into a file first."""
    made = case.make(kit)
    if isinstance(made, bytes):
        path = kit.folder / f"given{case.suffix}"
        path.write_bytes(made)
        return str(path)
    return str(made)


def stand_in(kit: Kit, word: str) -> str:
    """What an @word of a command means."""
    if word == "@drawing":
        return str(kit.drawing)
    if word == "@out.onnx":
        return str(kit.folder / "out.onnx")
    model, _, suffix = word[1:].partition(".")
    return str(kit.model(suffix, model) if suffix else kit.export(model, "onnx"))


@pytest.fixture(scope="module")
def call(workspace: Path) -> Iterator[Callable[[Kit, Case], Ended]]:
    """`call(kit, case)`: the case's command, forked from a process that has imported what it needs."""
    workplace = {"PTX_WORKSPACE": str(workspace)}
    with (
        Forking(workspace, LIGHT, **workplace) as light,
        Forking(workspace, TORCH, **workplace) as torch,
    ):

        def run(kit: Kit, case: Case) -> Ended:
            given = argument(kit, case)
            words = [
                given if word == "{}" else stand_in(kit, word) if word.startswith("@") else word
                for word in COMMANDS[case.group]
            ]
            forking = torch if case.group in WITH_TORCH else light
            return forking.run(words, limit=PATIENCE, folder=kit.folder, bounds=BOUNDS)

        yield run


def answers(out: str) -> list[str]:
    """The label or value at the end of each line."""
    return re.findall(r": ([^:(]+?)(?: \([\d.]+ %\).*)?$", out, re.MULTILINE)


def check_answers(case: Case, found: list[str]) -> bool:
    expected = case.answer.split()
    return len(found) == len(expected) and all(
        want in ("*", got) for want, got in zip(expected, found, strict=True)
    )


@pytest.mark.skipif(sys.platform != "linux", reason="needs pidfd")
@pytest.mark.parametrize("case", BY_COMMAND, ids=lambda case: f"{case.group}: {case.name}")
def test_on_the_command_line(
    case: Case, kit: Kit, call: Callable[[Kit, Case], Ended], tally: Counter[str]
) -> None:
    tally["in a process"] += 1
    done = call(kit, case)
    out, err = done.out.decode(errors="replace"), done.err.decode(errors="replace")
    tally["tracebacks"] += "Traceback" in err
    assert "Traceback" not in err
    errors = [line for line in err.splitlines() if line.startswith("ptx: error ")]
    others = [line for line in err.splitlines() if not line.startswith("ptx: ")]
    assert others == []
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)
    assert not kit.marker.exists()
    if case.code:
        tally["wrong answers"] += bool(answers(out))
        assert len(errors) == 1, err
        assert f"[{case.code}] " in errors[0]
        assert errors[0].isprintable()
        assert out == ""
    else:
        right = case.group == "unrun" or check_answers(case, answers(out))
        tally["wrong answers"] += not right
        assert right, out + err
        assert errors == []
    assert done.code == case.exit, err
    assert done.peak < RESIDENT


@pytest.fixture(scope="module")
def predictors(workspace: Path, artifact: Callable[[str, str], Path]) -> dict[str, Predictor]:
    """The model of each group of inputs."""
    folder = workspace
    paths = {
        "picture": folder / "convnet" / "convnet.onnx",
        "number": folder / "linear-model" / "linear-model.onnx",
        "name": artifact("name-classifier", "onnx"),
    }
    return {group: load(path, backend="ort-cpu") for group, path in paths.items()}


# A library does not turn off the warnings that Pillow has for some files.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("case", BY_LIBRARY, ids=lambda case: f"{case.group}: {case.name}")
def test_in_the_library(
    case: Case,
    kit: Kit,
    predictors: dict[str, Predictor],
    monkeypatch: pytest.MonkeyPatch,
    tally: Counter[str],
) -> None:
    monkeypatch.chdir(kit.folder)
    tally["in the library"] += 1
    given = argument(kit, case)

    def predict() -> str:
        if case.group in OF_MODELS:
            with load(given, device="cpu") as predictor:
                return str(predictor.predict(kit.drawing).label)
        prediction = predictors[case.group].predict(given)
        return str(prediction.label if prediction.value is None else prediction.value)

    answer, code = "", ""
    try:
        answer = predict()
    except PtxError as error:
        code, status = error.code, error.exit_code
        assert status == case.exit
    except Exception:
        tally["tracebacks"] += 1
        raise
    right = code == "" and check_answers(case, [answer]) if not case.code else answer == ""
    tally["wrong answers"] += not right
    assert right, answer or code
    assert code == case.code
    assert not kit.marker.exists()


def test_there_are_enough_cases_and_each_has_its_own_name() -> None:
    names = [(case.group, case.suffix, case.name) for case in CASES]
    assert len(names) == len(set(names))
    assert len(BY_COMMAND) >= 150
