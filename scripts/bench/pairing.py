"""Two ways of doing the same work, timed in turn: what disturbs one disturbs the other."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

ASLEEP = 0.05  # seconds
WARM_UP = 3  # calls
OUTSIDE = dict(os.environ)  # as it is for a program that sets nothing


@dataclass(frozen=True)
class Row:
    """One line of the table: ptx beside a reference on the same work."""

    name: str
    reference: str  # what ptx is held against
    ours: float  # median, seconds
    theirs: float  # median, seconds
    ratio: float  # median of the ratios of the rounds
    limit: float | None = None  # the largest ratio that is accepted
    gap: float | None = None  # the most seconds over the reference that are accepted

    @property
    def holds(self) -> bool | None:
        """Whether the limit is kept; None where there is none, and the row is for information."""
        if self.limit is not None:
            return self.ratio <= self.limit
        return None if self.gap is None else self.ours - self.theirs <= self.gap

    @property
    def accepted(self) -> str:
        """The limit, as the table shows it."""
        if self.limit is not None:
            return f"{self.limit:.2f}"
        return "-" if self.gap is None else f"+{seconds(self.gap)}"


@dataclass(frozen=True)
class Missing:
    """A line that cannot be taken here."""

    name: str
    reason: str


Result = Row | Missing


def compare(
    name: str,
    reference: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    *,
    rounds: int,
    limit: float | None = None,
    gap: float | None = None,
) -> Row:
    """The row of two functions that each do the work once and give the seconds that it took.

    One round before the first warms caches; in each of the others the two take turns in going first.
    """
    ours(), theirs()
    pairs: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:
            second, first = theirs(), ours()
        else:
            first, second = ours(), theirs()
        pairs.append((first, second))
    ratio = statistics.median(first / second for first, second in pairs)
    medians = [statistics.median(pair[side] for pair in pairs) for side in (0, 1)]
    return Row(name, reference, medians[0], medians[1], ratio, limit, gap)


def process(command: Sequence[object], **environment: str) -> Callable[[], float]:
    """A whole process, from its start to its end."""
    words = [str(word) for word in command]

    def once() -> float:
        started = time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env={**OUTSIDE, **environment})
        return time.perf_counter() - started

    return once


def calls(function: Callable[[], object], count: int) -> Callable[[], float]:
    """The median of `count` calls in a row, after a few that are not counted.

    Before them the other side's threads fall asleep: those of ONNX Runtime spin for tens of milliseconds
    after a run, which would be counted on this side.
    """

    def once() -> float:
        time.sleep(ASLEEP)
        for _ in range(WARM_UP):
            function()
        return statistics.median(_laps(function, count))

    return once


def _laps(function: Callable[[], object], count: int) -> Iterator[float]:
    clock = time.perf_counter
    for _ in range(count):
        started = clock()
        function()
        yield clock() - started


def table(results: Sequence[Result]) -> str:
    """The results as a table in Markdown."""
    lines = [
        "| what | ptx | beside | | ratio | at most | |",
        "|---|---:|---|---:|---:|---:|---|",
    ]
    for one in results:
        if isinstance(one, Missing):
            lines.append(f"| {one.name} | - | - | - | - | - | not taken: {one.reason} |")
            continue
        verdict = {None: "", True: "holds", False: "**missed**"}[one.holds]
        lines.append(
            f"| {one.name} | {seconds(one.ours)} | {one.reference} | {seconds(one.theirs)}"
            f" | {one.ratio:.2f} | {one.accepted} | {verdict} |"
        )
    return "\n".join(lines)


def seconds(value: float) -> str:
    """`143 ms`: three digits and a fitting unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"
