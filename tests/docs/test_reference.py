"""The pages of docs/: every public name and every page is in its place. scripts/docs builds them."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from ptx.infer.images.resize import RESIZE_MODES
from ptx.infer.preprocessing import KINDS
from ptx.infer.tasks import TASKS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCED = re.compile(r"```.*?```", re.DOTALL)


@pytest.mark.parametrize(
    "package", ["infer", "models", "trainers", "export", "report", "scale", "serve"]
)
def test_the_reference_lists_each_public_name_once(package: str) -> None:
    page = (DOCS / "reference" / "api" / f"{package}.md").read_text()
    listed = re.findall(rf"^::: ptx\.{package}\.(\w+)$", page, re.MULTILINE)
    assert sorted(listed) == sorted(import_module(f"ptx.{package}").__all__)


def test_the_index_links_every_page() -> None:
    index = (DOCS / "index.md").read_text()
    for folder in ("guide", "how-to", "explanation", "reference", "reference/api"):
        for page in (DOCS / folder).glob("*.md"):
            assert f"({folder}/{page.name})" in index, page.name


@pytest.mark.parametrize(
    "page", sorted((DOCS / "tutorial").glob("*.md")), ids=lambda page: page.name
)
def test_the_chinese_tutorial_shows_the_same_code(page: Path) -> None:
    translation = (DOCS / "zh" / "tutorial" / page.name).read_text()
    assert FENCED.findall(translation) == FENCED.findall(page.read_text())


def test_the_pages_name_what_a_manifest_can_hold() -> None:
    page = (DOCS / "reference" / "file-format.md").read_text()
    for name in (*TASKS, *RESIZE_MODES):
        assert f"`{name}`" in page, name
    for guide in ("own-model.md", "add-to-catalog.md"):
        page = (DOCS / "how-to" / guide).read_text()
        for kind in KINDS:
            assert kind == "none" or f"`{kind}`" in page, f"{kind} in {guide}"
