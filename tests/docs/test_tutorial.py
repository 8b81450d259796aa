"""The chapters of docs/tutorial: their commands run, and print what the pages show but for its numbers.

Trainings take a quarter of the epochs here; what takes more than a few seconds is left to
`scripts/run pages/tutorial`.
"""

from __future__ import annotations

import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CHAPTERS = ROOT / "docs" / "tutorial"
# Chapter 8 goes on with what chapter 5 exported; a fixture has it in better quality.
READY = {"8-serving.md": "convnet"}
PLOT_LIMIT = 40_000  # bytes


def _tutorial() -> ModuleType:
    spec = spec_from_file_location("scripts_tutorial", ROOT / "scripts" / "pages" / "tutorial.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


tutorial = _tutorial()
NAMES = sorted(path.name for path in CHAPTERS.glob("[0-9]*.md"))


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("PTX_WORKSPACE", raising=False)
    with tutorial.workplace() as folder:
        yield folder


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_of_a_chapter_print_what_it_shows(
    name: str, ptx: Callable[..., Any], place: Path, request: pytest.FixtureRequest
) -> None:
    page = (CHAPTERS / name).read_text()
    if name in READY:
        workspace = request.getfixturevalue("workspace")
        (place / "runs").mkdir()
        (place / "runs" / READY[name]).symlink_to(workspace / READY[name])
    check_console_blocks(page, ptx)
    tutorial.check_doctest(page, name)


def check_console_blocks(page: str, ptx: Callable[..., Any]) -> None:
    """Run the commands of a page and compare what they print, except for the numbers."""
    for block in tutorial.blocks(page):
        if block.kind != "console":
            continue
        for command, shown in tutorial.commands(block.text):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch.export trips over warnings of its own parts
                done = ptx(*tutorial.arguments(command, short=True))
            assert done.code == 0, (command, done.err)
            printed = [tutorial.masked(line) for line in done.out.splitlines()]
            assert printed == [tutorial.masked(line) for line in shown], command


def test_the_commands_of_the_readme_print_what_it_shows(
    ptx: Callable[..., Any], place: Path
) -> None:
    shutil.copy(ROOT / "tests" / "pictures" / "seven-on-paper.png", place / "digit.png")
    page = (ROOT / "README.md").read_text()
    assert len(tutorial.commands(next(iter(tutorial.blocks(page))).text)) == 3
    check_console_blocks(page, ptx)
    translation = (ROOT / "README.zh.md").read_text()
    assert tutorial.blocks(translation)[0].text == tutorial.blocks(page)[0].text


def test_slow_blocks_are_commands_of_ptx_with_output() -> None:
    for name in NAMES:
        for block in tutorial.blocks((CHAPTERS / name).read_text()):
            if block.kind == "shell-session":
                for command, shown in tutorial.commands(block.text):
                    assert tutorial.arguments(command)
                    assert shown, f"{command}: run scripts/run pages/tutorial {name}"


def test_each_plot_is_shown_and_small() -> None:
    shown = {
        plot
        for name in NAMES
        for plot in re.findall(r"\((images/[\w-]+\.png)\)", (CHAPTERS / name).read_text())
    }
    kept = {f"images/{path.name}": path.stat().st_size for path in (CHAPTERS / "images").iterdir()}
    assert set(kept) == shown
    assert max(kept.values()) < PLOT_LIMIT


def test_the_index_lists_the_chapters_in_order() -> None:
    listed = re.findall(r"\((\d-[\w-]+\.md)\)", (CHAPTERS / "index.md").read_text())
    assert listed == NAMES
