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
        self._begun: int | None = None  # units that were done when the clock was started by `reach`
        self._terminal = sys.stderr.isatty()
        self._visible = False
        self._started = time.monotonic()
        self._due = self._started + DELAY  # when the line is drawn next

    def advance(self, count: int = 1) -> None:
        """`count` units more are done."""
        self.done += count
        if not self._terminal:
            return
        now = time.monotonic()
        if now >= self._due:
            self._due = now + INTERVAL
            self._draw(now - self._started)

    def reach(self, done: int, total: int) -> None:
        """`done` of `total` units are done; the first call says at how many the clock starts."""
        self._total = total
        if self._begun is None:
            self._begun, self._started = done, time.monotonic()
        self.advance(done - self.done)

    def say(self, text: str) -> None:
        """Draw this at once: what goes before the units takes time too."""
        if self._terminal:
            self._write(text)

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._visible:
            self._write("")

    def _draw(self, seconds: float) -> None:
        if callable(self._total):
            self._total = self._total()
        begun = self._begun or 0
        self._write(line(self.title, self.unit, self.done, self._total, seconds, begun=begun))

    def _write(self, text: str) -> None:
        self._visible = True
        columns = max(shutil.get_terminal_size().columns - 1, 1)
        sys.stderr.write(f"\r\x1b[K{text[:columns]}")
        sys.stderr.flush()


def line(
    title: str, unit: str, done: int, total: int | None, seconds: float, *, begun: int = 0
) -> str:
    """`comparing:  45 % of 2,000 rows, 450 rows/s, 0:02 left`.

    `begun`: how many of the units `done` do not count for the rate.
    """
    if total and done == begun:
        return f"{title}: {100 * done // total:3} % of {total:,} {unit}"
    rate = (done - begun) / max(seconds, 1e-9)
    speed = f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
    if not total or done > total:
        return f"{title}: {done:,} {unit}, {speed} {unit}/s"
    left = round((total - done) / rate)
    clock = f"{left // 3600}:{left // 60 % 60:02}" if left >= 3600 else f"{left // 60}"
    percent = 100 * done // total
    return (
        f"{title}: {percent:3} % of {total:,} {unit}, {speed} {unit}/s, {clock}:{left % 60:02} left"
    )
