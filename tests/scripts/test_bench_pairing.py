"""scripts/bench/pairing.py: what a row says, and that one which fails does not end the others."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path(__file__).parents[2] / "scripts" / "bench" / "pairing.py"


@pytest.fixture(scope="module")
def pairing() -> Iterator[ModuleType]:
    """The module, from its file: the scripts are no package."""
    spec = importlib.util.spec_from_file_location("bench_pairing", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_pairing"] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench_pairing"]


def laps(*seconds: float) -> Any:
    """A side that takes so long in the round that warms up and in those behind it."""
    return iter(seconds).__next__


def test_the_ratio_is_the_median_of_the_rounds_ratios_without_the_first_round(
    pairing: ModuleType,
) -> None:
    pair = pairing.Pair("a", "b", laps(99, 1, 4, 9), laps(1, 1, 2, 3), 3)
    (row,) = pair.take()
    assert (row.ours, row.theirs, row.ratio) == (4, 2, 2)


@pytest.mark.parametrize(
    ("goal", "shown", "verdict"),
    [
        ({"ratio": 2.0}, "≤ 2.00", "holds"),
        ({"ratio": 1.99}, "≤ 1.99", "**missed**"),
        ({"gap": 1.0}, "≤ +1 s", "holds"),
        ({"gap": 0.5}, "≤ +500 ms", "**missed**"),
    ],
)
def test_a_row_shows_its_goal_and_whether_it_holds(
    pairing: ModuleType, goal: dict[str, float], shown: str, verdict: str
) -> None:
    row = pairing.Row("a", "b", 2.0, 1.0, 2.0, pairing.Goal(**goal))
    assert str(row) == f"| a | 2 s | b | 1 s | 2.00 | {shown} | {verdict} |"


def test_a_row_without_a_goal_has_no_verdict(pairing: ModuleType) -> None:
    assert pairing.Row("a", "b", 2.0, 1.0, 2.0).verdict == ""


def test_a_row_that_fails_says_why_and_the_next_is_taken(pairing: ModuleType) -> None:
    def broken() -> float:
        raise subprocess.CalledProcessError(4, ["ptx"], stderr="noise\nptx: error: no such file\n")

    section = [
        pairing.Pair("first", "peer", broken, laps(1, 1), 1),
        pairing.Pair("second", "peer", laps(1, 1), laps(1, 1), 1),
    ]
    failed, row = pairing.results("section", iter(section))
    assert str(failed).startswith("| first, beside peer | - ")
    assert failed.verdict == "**failed**"
    assert "status 4.: ptx: error: no such file" in failed.reason
    assert row.name == "second"


def test_a_section_that_cannot_go_on_keeps_the_rows_that_it_gave(pairing: ModuleType) -> None:
    def section() -> Iterator[Any]:
        yield pairing.Pair("first", "peer", laps(1, 1), laps(1, 1), 1)
        raise FileNotFoundError("convnet.onnx")

    row, failed = pairing.results("latency", section())
    assert row.name == "first"
    assert failed.name == "the rest of `latency`"
    assert "convnet.onnx" in failed.reason


def test_what_the_machine_lacks_is_not_called_a_failure(pairing: ModuleType) -> None:
    (missing,) = pairing.Missing("cuda", "no | driver").take()
    assert str(missing) == "| cuda | - | - | - | - | - | not taken: no / driver |"


def test_processes_have_a_row_by_the_clock_and_one_of_processor_seconds(
    pairing: ModuleType,
) -> None:
    spent = pairing.Spent
    ours, theirs = laps(spent(9, 9), spent(1, 6)), laps(spent(9, 9), spent(2, 3))
    clock, processor = pairing.Pair("export", "peer", ours, theirs, 1).take()
    assert (clock.name, clock.ratio) == ("export", 0.5)
    assert (processor.name, processor.ratio) == ("export, CPU seconds", 2)
