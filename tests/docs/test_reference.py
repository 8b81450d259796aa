"""The pages of docs/: every public name and every page is in its place. scripts/docs builds them."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.mark.parametrize(
    "package", ["infer", "models", "trainers", "export", "report", "scale", "serve"]
)
def test_the_reference_lists_each_public_name_once(package: str) -> None:
    page = (DOCS / "reference" / f"{package}.md").read_text()
    listed = re.findall(rf"^::: ptx\.{package}\.(\w+)$", page, re.MULTILINE)
    assert sorted(listed) == sorted(import_module(f"ptx.{package}").__all__)


def test_the_index_links_every_page_of_the_top() -> None:
    index = (DOCS / "index.md").read_text()
    for page in DOCS.glob("*.md"):
        if page.name != "index.md":
            assert f"({page.name})" in index, page.name
