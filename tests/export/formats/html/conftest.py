"""A page in Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Show = Callable[..., Any]


@pytest.fixture
def show(browser: Any) -> Iterator[Show]:
    """`show(path)`: the page; a word on the console, or a request beside it, is a fault."""
    faults: list[str] = []
    contexts = []

    def open_page(path: Path, **options: Any) -> Any:
        context = browser.new_context(**{"locale": "en-GB", "offline": True, **options})
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: elsewhere(request.url, path))
        page.goto(path.as_uri())
        return page

    def elsewhere(url: str, path: Path) -> None:
        if url != path.as_uri() and not url.startswith(("data:", "blob:null/")):
            faults.append(url)

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
