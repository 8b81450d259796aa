"""How far a verb is, how fast and for how long still: a bar of tqdm, on a terminal alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click

from ptx import report

if TYPE_CHECKING:
    from ptx.trainers.loop import Totals

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


def training_progress() -> EpochLines | EpochBars:
    """For a terminal a bar for each epoch, for a pipe or a log a line."""
    return EpochBars() if sys.stderr.isatty() else EpochLines()


class EpochLines:
    """A line for each epoch, at most one a second."""

    def __init__(self) -> None:
        self._epochs = 0
        self._said = 0.0

    def epoch_begins(self, epoch: int, epochs: int, rows: int, done: int) -> None:
        self._epochs = epochs

    def step_done(self, rows: int, totals: Totals) -> None: ...

    def epoch_ends(self, row: dict[str, float]) -> None:
        now = time.monotonic()
        if now - self._said >= 1.0 or row["epoch"] == self._epochs:
            self._said = now
            click.echo(f"epoch {row['epoch']:.0f}/{self._epochs}: {_row_text(row)}", err=True)


class EpochBars:
    """A bar with loss, accuracy, rows a second and the time left."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._read = (
            0.0  # when the totals were read last, each reading of which waits for the device
        )

    def epoch_begins(self, epoch: int, epochs: int, rows: int, done: int) -> None:
        self._bar = open_bar(f"epoch {epoch}/{epochs}", "rows", rows, initial=done)

    def step_done(self, rows: int, totals: Totals) -> None:
        now = time.monotonic()
        if now - self._read >= INTERVAL:
            self._read = now
            metrics = totals.metrics("train")
            shown = {"loss": f"{metrics['train_loss']:.4f}"}
            if "train_accuracy" in metrics:
                shown["accuracy"] = f"{100 * metrics['train_accuracy']:.1f}%"
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(rows - self._bar.n)

    def epoch_ends(self, row: dict[str, float]) -> None:
        description = self._bar.desc
        self._bar.close()
        click.echo(f"{description.removesuffix(': ')}: {_row_text(row)}", err=True)


def _row_text(row: dict[str, float]) -> str:
    said = f"loss {row['train_loss']:.4f}, test loss {row['test_loss']:.4f}"
    if "test_accuracy" in row:
        said += f", test accuracy {report.percent(row['test_accuracy'])}"
    return f"{said}, {row['rows_per_second']:,.0f} rows/s"
