"""What the verbs print: tables, facts, verdicts, notes; and how far they are, on a terminal alone."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TextIO

import click
from click.core import ParameterSource

from ptx.cli.streams import echo, echo_error

DELAY = 1.0  # seconds before a bar appears: what is done sooner needs none
INTERVAL = 0.2  # seconds between two drawings
# Fits into 80 columns with loss and accuracy behind it.
FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {rate_noinv_fmt}, {remaining} left{postfix}"
ENDLESS = "{desc}: {n:,} {unit}, {rate_noinv_fmt}"


def columns() -> int | None:
    """Of the terminal that stdout is; None of a pipe, which gets each row whole."""
    import shutil  # which imports every way of compressing

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that fits the terminal."""
    from ptx import report

    return report.table(header, rows, columns=columns())


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """`key: value` lines that fit the terminal."""
    from ptx import report

    return report.facts(pairs, columns=columns())


def print_note(remark: str) -> None:
    """A remark on stderr."""
    echo_error(f"ptx: {remark}")


def print_error(text: str) -> None:
    """The one line on stderr that a failed verb ends with."""
    prefix = style("ptx: error", "red", sys.stderr)
    echo_error(f"{prefix} {' '.join(text.split())}")


def verdict(said: str, following: str = "", *, holds: bool = True) -> None:
    """The one line that a finished verb ends with, and the next command to try, in this workspace."""
    if said:
        echo(said if holds else style(said, "red", sys.stdout))
    if following:
        echo(f"next: {following}{workspace_option() if following.startswith('ptx ') else ''}")


def colour_verdict(word: str, holds: bool) -> str:
    """`agrees` in green or `DIFFERS` in red, where stdout shows colours."""
    return style(word, "green" if holds else "red", sys.stdout)


def style(word: str, colour: str, stream: TextIO) -> str:
    """`word` in a colour where the stream is a terminal and NO_COLOR is not set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return word if plain else click.style(word, fg=colour)


def workspace_option() -> str:
    """The option --workspace as it was given, for the next command."""
    context = click.get_current_context(silent=True)
    source = None if context is None else context.get_parameter_source("workspace")
    if context is None or source is not ParameterSource.COMMANDLINE:
        return ""
    import shlex

    return f" --workspace {shlex.quote(str(context.params['workspace']))}"


def open_bar(title: str, unit: str, total: int | None, **given: Any) -> Any:
    """A bar on stderr that is wiped when it is closed."""
    import shutil

    from tqdm import tqdm

    # A terminal that says it has no columns gets the fallback of shutil, where tqdm draws nothing.
    width, height = shutil.get_terminal_size()
    return tqdm(
        total=total,
        desc=title,
        unit=f" {unit}",
        leave=False,
        mininterval=INTERVAL,
        miniters=1,
        file=sys.stderr,
        bar_format=ENDLESS if total is None else FORMAT,
        ncols=min(width - 1, 100),
        nrows=height,
        **given,
    )


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
