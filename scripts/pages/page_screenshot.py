"""A picture of a page on which a 7 was drawn, as docs/images/page.png is.

    ./scripts/run pages/page_screenshot --page X.html --output docs/images/page.png
    ./scripts/run pages/page_screenshot --page X.html --output page.zh.png --language zh-CN

Chinese asks for a font: apt-get install fonts-noto-cjk.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 1000, 706
SEVEN = [(70, 70), (210, 70), (120, 230)]  # of a paper of 280×280


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--language", default="en-GB")
    asked = parser.parse_args()
    program = os.environ.get("PTX_CHROMIUM") or shutil.which("chromium") or "chromium"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(locale=asked.language, viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(asked.page.resolve().as_uri())
        page.locator("#drawing").wait_for()
        draw(page)
        page.locator("#model-input").wait_for()
        page.wait_for_timeout(500)
        page.screenshot(path=asked.output)
        browser.close()


def draw(page: Any) -> None:
    """With the mouse, in three strokes of a second at most."""
    box = page.locator("#drawing").bounding_box()
    first, *others = [
        (box["x"] + x * box["width"] / 280, box["y"] + y * box["height"] / 280) for x, y in SEVEN
    ]
    page.mouse.move(*first)
    page.mouse.down()
    for point in others:
        page.mouse.move(*point, steps=8)
    page.mouse.up()


if __name__ == "__main__":
    main()
