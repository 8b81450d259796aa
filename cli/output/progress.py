"""How far a verb is, how fast and for how long still: a bar of tqdm, on a terminal alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass

DELAY = 1.0  # seconds before a bar appears: what is done sooner needs none
INTERVAL = 0.2  # seconds between two drawings
# Fits into 80 columns with loss and accuracy behind it.
FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {rate_noinv_fmt}, {remaining} left{postfix}"
ENDLESS = "{desc}: {n:,} {unit}, {rate_noinv_fmt}"


def open_bar(title: str, unit: str, total: int | None, **given: Any) -> Any:
    """A bar on stderr that is wiped when it is closed."""
    import shutil

    from tqdm import tqdm

    # A terminal that says it has no columns gets the fallback of shutil, where tqdm draws nothing.
    width, height = shutil.get_terminal_size()
    return tqdm(
        total=total, desc=title, unit=f" {unit}", leave=False, mininterval=INTERVAL, miniters=1,
        file=sys.stderr,
        bar_format=ENDLESS if total is None else FORMAT, ncols=min(width - 1, 100), nrows=height,
        **given,
    )  # fmt: skip


class Progress(AbstractContextManager["Progress"]):
    """The bar of a verb; where stderr is no terminal it does nothing.

    `total` is the number of units, or what finds it out once the bar appears; None is unknown.
    """

    def __init__(
        self, title: str, unit: str, total: int | Callable[[], int | None] | None = None
    ) -> None:
        self._bar: Any = None
        self._find_total = total if callable(total) else None
        self._due = time.monotonic() + DELAY
        if sys.stderr.isatty():
            known = None if callable(total) else total
            self._bar = open_bar(title, unit, known, delay=DELAY)

    def advance(self, count: int = 1) -> None:
        """`count` units more are done."""
        if self._bar is None:
            return
        if self._find_total is not None and time.monotonic() >= self._due:
            self._bar.total, self._find_total = self._find_total(), None
            self._bar.bar_format = ENDLESS if self._bar.total is None else FORMAT
        self._bar.update(count)

    def reach(self, done: int, total: int) -> None:
        """`done` of `total` units are done; the first call says at how many the clock starts."""
        if self._bar is None:
            return
        if self._bar.total is None:
            self._bar.initial, self._bar.bar_format = done, FORMAT
            self._bar.reset(total)
        self._bar.update(done - self._bar.n)

    def say(self, remark: str) -> None:
        """Draw this at once: what goes before the units takes time too."""
        if self._bar is not None:
            self._bar.display(remark)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
