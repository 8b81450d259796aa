"""A toy of each kind is one file and one line of one table, and goes through every verb."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODEL = "hours-by-text"
TRAINED = ("train", MODEL, "--epochs", 300), ("export", MODEL, "--format", "toy")


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory, ptx: Callable[..., Any]) -> Iterator[Any]:
    """The workspace of a model whose every part is a toy, and `ptx` there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        patch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)  # of the processes that measure
        import plugins

        for table, name, line in plugins.LINES:
            patch.setitem(table, name, line)
        patch.setenv("PTX_WORKSPACE", str(tmp_path_factory.mktemp("plugins")))
        for arguments in TRAINED:
            done = ptx(*arguments)
            assert done.code == 0, done.err
        yield ptx


def test_each_plugin_is_one_line(plugins: Any) -> None:
    import plugins as module

    assert [name for _, name, _ in module.LINES] == [
        "minutes",
        "verdict",
        "toy",
        "toy",
        "toy-numpy",
        MODEL,
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("predict", "240 min", "--model", MODEL), r"240 min: pass \(\d"),
        (("predict", "30 min", "--model", MODEL, "--backend", "toy-numpy"), r"fail \("),
        (("evaluate", MODEL, "--backend", "toy-numpy"), "on toy-numpy: accuracy"),
        (("compare", MODEL), "2 of 2 backends agree"),
        (("compare", MODEL, "60 min", "90 min"), "2 of 2 backends agree"),
        (("verify", MODEL), r"toy.*passes"),
        (("inspect", MODEL), r"(?s)kind: +toy.*preprocessing: +kind minutes"),
        (("benchmark", MODEL, "--backends", "toy-numpy,eager", "--seconds", "0.01"), "toy-numpy"),
        (("doctor",), r"toy-numpy +works"),
        (("models",), rf"{MODEL} +verdict +2 +yes +toy"),
        (("models", MODEL), r"task: +verdict"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_command_accepts_plugins(plugins: Any, arguments: tuple[str, ...], told: str) -> None:
    done = plugins(*arguments)
    assert done.code == 0, done.err
    assert re.search(told, done.out), done.out


def test_an_input_that_a_plugin_cannot_read_is_one_line(plugins: Any) -> None:
    done = plugins("predict", "2 h", "60 min", "--model", MODEL, "--json")
    assert done.code == 4
    failed, answered = map(json.loads, done.out.splitlines())
    assert failed["error"] == "'2 h' is not a number of minutes"
    assert answered["label"] in ("fail", "pass")


def test_the_report_uses_the_noun_of_a_plugin(plugins: Any) -> None:
    done = plugins("report", MODEL)
    assert done.code == 0, done.err
    assert "report.html" in done.out
    page = (Path(os.environ["PTX_WORKSPACE"]) / MODEL / "report.html").read_text()
    assert "60 min" in page
    assert "toy-numpy" in page


KINDS = "gray-image|rgb-image|tabular|char-codes|char-indices|token-ids|none"
PACKAGES = ("infer", "models", "trainers", "export", "report", "scale", "cli")
# What Triton runs is an ONNX file, and its configuration has other outputs for a regression.
EXEMPT = ("infer/preprocessing", "export/triton")
ASKED = {
    "the name of a preprocessing": re.compile(rf"kind\"?\]? *(==|!=|in|not in) *\(?\"({KINDS})\""),
    "the class of a preprocessing": re.compile(r"(Gray|Photo|Columns|Text|Symbols|Arrays)Preproc"),
    "the name of a task": re.compile(r"task *(==|!=) *\""),
    "the name of a kind of file": re.compile(
        r"(kind|name|reads) *(==|!=) *\"(onnx|torchscript|pt2|checkpoint)"
    ),
    "the name of a backend": re.compile(r"backend.*(==|!=|startswith\() *\"(ort|eager|pt2|torch)"),
}


@pytest.mark.parametrize("what", ASKED)
def test_nothing_outside_asks_for(what: str) -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if any(path.is_relative_to(ROOT / folder) for folder in EXEMPT):
                continue
            for line in path.read_text().splitlines():
                assert not ASKED[what].search(line), f"{path.relative_to(ROOT)}: {line}"
