"""The pages name files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("CONTRIBUTING.md", "README.md", "README.zh.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
TO_WRITE = {"models/networks/tiny_cnn.py"}  # by the reader of docs/how-to/add-to-catalog.md
FOLDERS = "cli|docs|export|infer|models|report|scripts|tests|trainers"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text()
    for name in re.findall(rf"(?<![\w/-])((?:{FOLDERS})/[\w./-]*\w)(?![\w*<{{/])", text):
        assert name in TO_WRITE or (ROOT / name).exists(), name
    for program in re.findall(r"scripts/run ([\w/]+)", text):
        assert (ROOT / "scripts" / f"{program}.py").exists(), program
