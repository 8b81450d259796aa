"""The page of scripts/gpu_check, and a bounded share of the check, on whatever device is here."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "scripts" / "gpu"


@pytest.fixture
def page_module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("page")


def test_each_row_is_on_the_disk_before_the_next_and_a_failed_one_costs_no_other(
    page_module: Any, tmp_path: Path
) -> None:
    page = page_module.Page(tmp_path, "# Title", time.monotonic() + 60)
    page.section("Speed", "what", "seconds")
    assert page.row("first", lambda: (1,))

    def second() -> tuple[str]:
        (data,) = json.loads((tmp_path / "gpu.json").read_text())["sections"]
        assert data["rows"] == [{"what": "first", "seconds": "1"}]
        raise ZeroDivisionError("no | time")

    assert not page.row("second", second)
    assert page.row("third", lambda: ("3",))
    text = (tmp_path / "gpu.md").read_text()
    assert "| second | **failed**: ZeroDivisionError: no / time |\n| third | 3 |" in text
    assert "Traceback" in (tmp_path / "gpu.log").read_text()
    assert page.failures == 1


def test_no_row_is_begun_when_the_time_is_over(page_module: Any, tmp_path: Path) -> None:
    page = page_module.Page(tmp_path, "# Title", time.monotonic() - 1)
    page.section("Speed", "what", "seconds")
    assert not page.row("late", lambda: pytest.fail("it was begun"))
    assert "| late | left out: the time is over |" in (tmp_path / "gpu.md").read_text()
    assert page.failures == 0


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_a_part_has_its_share_of_the_time_and_the_next_one_its_own(
    page_module: Any, tmp_path: Path
) -> None:
    page = page_module.Page(tmp_path, "# Title", time.monotonic() + 60)

    def long() -> None:
        page.section("Long", "what", "seconds")
        page.row("first", lambda: (sleep(0.2),))
        page.row("second", lambda: pytest.fail("it was begun"))

    def after() -> None:
        page.section("After", "what", "seconds")
        page.row("third", lambda: (3,))

    page.part("long", long, 0.1)
    page.part("after", after, 10)
    text = (tmp_path / "gpu.md").read_text()
    assert "| second | left out: the time is over |" in text
    assert "| third | 3 |" in text


def test_a_row_that_does_not_end_is_ended(
    page_module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "GRACE", 0.1)
    page = page_module.Page(tmp_path, "# Title", time.monotonic() + 60)
    page.section("Speed", "what", "seconds")
    page.part("stuck", lambda: page.row("stuck", lambda: (sleep(30),)), 0.1)
    page.part("next", lambda: page.row("next", lambda: (1,)), 10)
    text = (tmp_path / "gpu.md").read_text()
    assert "| stuck | **failed**: TimeoutError" in text
    assert "| next | 1 |" in text


def test_what_cannot_be_measured_here_is_skipped_with_its_reason(
    page_module: Any, tmp_path: Path
) -> None:
    page = page_module.Page(tmp_path, "# Title", time.monotonic() + 60)
    page.section("Speed", "what", "seconds")

    def absent() -> tuple[str]:
        raise page_module.SkippedError("there is no device")

    assert not page.row("first", absent)
    page.part("broken", lambda: [][0], 10)
    assert "| first | skipped: there is no device |" in (tmp_path / "gpu.md").read_text()
    assert page.failures == 1  # the part; a skipped row is none


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("faults")


def test_the_programs_of_the_faults_can_be_run(faults: Any) -> None:
    for name, program in faults._PROGRAMS.items():
        body = "\n".join("    " + line for line in program.code.splitlines())
        compile(faults._START + "try:\n" + body + faults._END, name, "exec")


PREDICTOR = """
class Predictor:
    def __init__(self, noise): self.noise, self.count = noise, 0
    def __enter__(self): return self
    def __exit__(self, *_): pass
    class signature:
        class _Output: name = "y"
        outputs = [_Output]
        example = staticmethod(lambda sizes, seed=0: {"x": np.full(4, seed, np.float32)})
    def run(self, inputs):
        self.count += 1
        return {"y": inputs["x"] + self.noise(self.count)}
"""


@pytest.mark.parametrize(("noise", "code"), [(1e-6, 0), (1e-3, 1)])
def test_answers_are_compared_within_a_tolerance(
    faults: Any, noise: float, code: int, tmp_path: Path
) -> None:
    """Equal bits are not asked for: CUDA does not promise them."""
    (program,) = (one for name, one in faults._PROGRAMS.items() if name.startswith("16 threads"))
    body = "\n".join("    " + line for line in program.code.splitlines())
    ours = (
        f"{PREDICTOR}\nload = lambda path, **_: Predictor(lambda count: {noise} * (count > 1000))\n"
    )
    start = faults._START + ours + "predictor = None\n"
    done = subprocess.run(
        [sys.executable, "-c", start + "try:\n" + body + faults._END, "x"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr


@pytest.mark.parametrize(("reaches", "code"), [(False, 0), (True, 1)])
def test_a_precision_that_reaches_another_thread_is_found_out(
    faults: Any, reaches: bool, code: int
) -> None:
    program = faults._PROGRAMS["float32 and tf32 in two threads, ort-cuda"]
    body = "\n".join("    " + line for line in program.code.splitlines())
    # Each predictor computes 50 answers alone and 50 beside the other.
    late = "0.01 if precision == 'tf32' else (0.01 if REACHES and count > 50 else 0.0)"
    ours = (
        f"{PREDICTOR}\nREACHES = {reaches}\n"
        f"def load(path, precision, **_): return Predictor(lambda count: {late})\n"
    )
    whole = faults._START + ours + "try:\n" + body + faults._END
    done = subprocess.run(
        [sys.executable, "-c", whole, "x"], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr


def test_the_check_runs_through_here_and_says_what_is_missing(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(FOLDER / "gpu_check.py"),
        "--models",
        "linear-model",
        "--epochs",
        "1",
        "--sections",
        "training",
        "agreement",
        "--output",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    sections = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert [len(section["rows"]) for section in sections] == [1, 13]
    assert "**failed**" not in (tmp_path / "gpu.md").read_text()
