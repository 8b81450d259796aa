"""One way to ask a page in Chromium and in Firefox: open a file, run a script in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from firefox import Firefox

NAMES = ("chromium", "firefox")


class Browser(Protocol):
    """A window."""

    def show(self, path: Path) -> None:
        """Open a file as a double click does."""

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script in the page returns, given `arguments`; a promise is waited for."""


class Chromium:
    """One of Playwright's pages."""

    def __init__(self, page: Any) -> None:
        self._page = page

    def show(self, path: Path) -> None:
        self._page.goto(path.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        return self._page.evaluate(
            f"given => (async function () {{ {script} }})(...given)", list(arguments)
        )


@contextmanager
def opened(name: str) -> Iterator[Browser]:
    """Chromium or Firefox, as the system has them."""
    if name == "firefox":
        program = os.environ.get("PTX_FIREFOX") or shutil.which("firefox-esr") or "firefox"
        with tempfile.TemporaryDirectory() as profile:
            window = Firefox(program, Path(profile))
            yield window
            window.close()
        return
    from playwright.sync_api import sync_playwright

    program = os.environ.get("PTX_CHROMIUM") or shutil.which("chromium") or "chromium"
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = started.new_page()
        page.set_default_timeout(600_000)
        yield Chromium(page)
        started.close()
