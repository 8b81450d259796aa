"""The pages for all who read them: axe-core finds nothing, in light and dark, on a narrow telephone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Export = Callable[[str, str], Path]
Show = Callable[..., Any]
Axe = Callable[[Any], list[str]]
WIDTHS = (320, 1280)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("model", ["convnet", "name-classifier", "diabetes"])
def test_axe_finds_nothing_on_a_page(
    model: str, scheme: str, axe: Axe, show: Show, artifact: Export
) -> None:
    for width in WIDTHS:
        size = {"width": width, "height": 700}
        page = show(artifact(model, "html"), color_scheme=scheme, viewport=size)
        page.locator("#examples button").first.click()
        page.locator("#label").wait_for()
        page.wait_for_timeout(100)  # the picture of what was seen
        assert axe(page) == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_axe_finds_what_is_wrong(axe: Axe, show: Show, tmp_path: Path) -> None:
    path = tmp_path / "wrong.html"
    path.write_text("<!doctype html><html><title>x</title><main><h1>x</h1><input></main></html>")
    assert [line.partition(":")[0] for line in axe(show(path))] == ["html-has-lang", "label"]
