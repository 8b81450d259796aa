"""What commands print: tables, facts, summaries, notes, and progress bars on a terminal."""

from __future__ import annotations

import io
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stderr
from typing import Any, TextIO

import click
from click.core import ParameterSource

from ptx.cli.streams import echo, echo_error

DELAY = 1.0  # seconds before a bar appears
INTERVAL = 0.2  # seconds between two drawings
# Fits into 80 columns with loss and accuracy after it.
FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {rate_noinv_fmt}, {remaining} left{postfix}"
ENDLESS = "{desc}: {n:,} {unit}, {rate_noinv_fmt}"


def columns() -> int | None:
    """Width of the terminal on stdout; None for a pipe, whose tables are not shortened."""
    import shutil  # slow to import: it imports all compression modules

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that fits the terminal."""
    from ptx import report

    return report.table(header, rows, columns=columns())


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """`key: value` lines that fit the terminal."""
    from ptx import report

    return report.facts(pairs, columns=columns())


def print_note(text: str) -> None:
    """Print a note on stderr."""
    echo_error(f"ptx: {text}")


def print_error(text: str) -> None:
    """Print the last line of a failed command, on stderr."""
    prefix = style("ptx: error", "red", sys.stderr)
    echo_error(f"{prefix} {' '.join(text.split())}")


def print_summary(text: str, next_command: str = "", *, passes: bool = True) -> None:
    """Print the last line of a command, and the next command to try in this workspace."""
    if text:
        echo(text if passes else style(text, "red", sys.stdout))
    if next_command:
        option = workspace_option() if next_command.startswith("ptx ") else ""
        echo(f"next: {next_command}{option}")


def style_result(word: str, passes: bool) -> str:
    """A word such as `agrees` in green or `DIFFERS` in red, if stdout supports colours."""
    return style(word, "green" if passes else "red", sys.stdout)


def style(word: str, colour: str, stream: TextIO) -> str:
    """`word` in a colour if the stream is a terminal and NO_COLOR is not set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return word if plain else click.style(word, fg=colour)


def workspace_option() -> str:
    """The --workspace option of this command, for the next command."""
    context = click.get_current_context(silent=True)
    source = None if context is None else context.get_parameter_source("workspace")
    if context is None or source is not ParameterSource.COMMANDLINE:
        return ""
    import shlex

    return f" --workspace {shlex.quote(str(context.params['workspace']))}"


def open_bar(title: str, unit: str, total: int | None, **options: Any) -> Any:
    """A progress bar on stderr that is removed when it is closed."""
    import shutil

    from tqdm import tqdm

    # tqdm draws nothing on a terminal that reports 0 columns; shutil falls back to 80.
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
        **options,
    )


class ProgressBar(AbstractContextManager["ProgressBar"]):
    """A progress bar; without a terminal on stderr it does nothing.

    `total` is the number of units, or a function that counts them once the bar appears; None if unknown.
    """

    def __init__(
        self, title: str, unit: str, total: int | Callable[[], int | None] | None = None
    ) -> None:
        self._bar: Any = None
        self._find_total = total if callable(total) else None
        self._due = time.monotonic() + DELAY
        if sys.stderr.isatty():
            count = None if callable(total) else total
            self._bar = open_bar(title, unit, count, delay=DELAY)

    def advance(self, count: int = 1) -> None:
        """`count` more units are done."""
        if self._bar is None:
            return
        if self._find_total is not None and time.monotonic() >= self._due:
            self._bar.total, self._find_total = self._find_total(), None
            self._bar.bar_format = ENDLESS if self._bar.total is None else FORMAT
        self._bar.update(count)

    def reach(self, done: int, total: int) -> None:
        """`done` of `total` units are done; the rate is measured from the first call on."""
        if self._bar is None:
            return
        if self._bar.total is None:
            self._bar.initial, self._bar.bar_format = done, FORMAT
            self._bar.reset(total)
        self._bar.update(done - self._bar.n)

    def show(self, text: str) -> None:
        """Show a text immediately, during the work before the first unit."""
        if self._bar is not None:
            self._bar.display(text)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


@contextmanager
def quiet_exporters() -> Iterator[None]:
    """Hide what PyTorch's exporters and transformers print on standard error, unless --debug is used.

    Only for commands, because it affects all threads of the process.
    """
    if "--debug" in sys.argv:
        yield
        return
    previous_level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(previous_level)
