"""A line on the terminal that says how far a verb is, how fast and for how long still."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from types import TracebackType

DELAY = 1.0  # seconds before the line appears: what is done sooner needs none
INTERVAL = 0.2  # seconds between two drawings


class ProgressLine:
    """Drawn on stderr where that is a terminal; elsewhere it does nothing.

    `total` is the number of units, or what finds it out once the line appears; None is unknown.
    """

    def __init__(
        self, title: str, unit: str, total: int | Callable[[], int | None] | None = None
    ) -> None:
        self.title, self.unit, self._total = title, unit, total
        self.done = 0
        self._shown = sys.stderr.isatty()
        self._started = time.monotonic()
        self._drawn = self._started - INTERVAL + DELAY

    def advance(self, count: int = 1) -> None:
        """`count` units more are done."""
        self.done += count
        if not self._shown:
            return
        now = time.monotonic()
        if now - self._drawn >= INTERVAL:
            self._drawn = now
            self._draw(now - self._started)

    def reach(self, done: int, total: int) -> None:
        """`done` of `total` units are done."""
        self._total = total
        self.advance(done - self.done)

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._drawn > self._started - INTERVAL + DELAY:
            self._write("")

    def _draw(self, seconds: float) -> None:
        if callable(self._total):
            self._total = self._total()
        self._write(line(self.title, self.unit, self.done, self._total, seconds))

    def _write(self, text: str) -> None:
        columns = max(shutil.get_terminal_size().columns - 1, 1)
        sys.stderr.write(f"\r\x1b[K{text[:columns]}")
        sys.stderr.flush()


def line(title: str, unit: str, done: int, total: int | None, seconds: float) -> str:
    """`comparing:  45 % of 2,000 rows, 450 rows/s, 0:02 left`."""
    rate = done / max(seconds, 1e-9)
    speed = f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
    if not total or done > total:
        return f"{title}: {done:,} {unit}, {speed} {unit}/s"
    left = round((total - done) / rate)
    clock = f"{left // 3600}:{left // 60 % 60:02}" if left >= 3600 else f"{left // 60}"
    percent = 100 * done // total
    return (
        f"{title}: {percent:3} % of {total:,} {unit}, {speed} {unit}/s, {clock}:{left % 60:02} left"
    )
