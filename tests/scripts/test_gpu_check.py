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


def test_the_check_runs_through_here_and_says_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "gpu_check.py"), "--models", "linear-model", "--epochs",
               "1", "--sections", "training", "agreement", "--output", str(tmp_path)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    sections = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert [len(section["rows"]) for section in sections] == [1, 13]
    assert "**failed**" not in (tmp_path / "gpu.md").read_text()
