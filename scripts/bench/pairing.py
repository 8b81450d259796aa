"""Two ways of doing the same work, timed in turn: what disturbs one disturbs the other."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

ASLEEP = 0.05  # seconds
WARM_UP = 3  # calls
T = TypeVar("T")
# As it is for a program that sets nothing; what is started twice has its bytecode the second time.
OUTSIDE = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True)
class Goal:
    """What is asked of a row: a ratio, or a distance."""

    ratio: float | None = None  # the largest that is accepted
    gap: float | None = None  # the most seconds over the reference that are accepted

    def __str__(self) -> str:
        return f"≤ {self.ratio:.2f}" if self.gap is None else f"≤ +{seconds(self.gap)}"


@dataclass(frozen=True)
class Row:
    """One line of the table: ptx beside a reference on the same work."""

    name: str
    reference: str  # what ptx is held against
    ours: float  # median, seconds
    theirs: float  # median, seconds
    ratio: float  # median of the ratios of the rounds
    goal: Goal | None = None  # None: the row is for information

    @property
    def verdict(self) -> str:
        """Whether the goal is kept; empty where there is none."""
        if self.goal is None:
            return ""
        if self.goal.gap is not None:
            return _verdict(self.ours - self.theirs <= self.goal.gap)
        return _verdict(self.goal.ratio is not None and self.ratio <= self.goal.ratio)

    def __str__(self) -> str:
        goal = "-" if self.goal is None else str(self.goal)
        return (
            f"| {self.name} | {seconds(self.ours)} | {self.reference} | {seconds(self.theirs)}"
            f" | {self.ratio:.2f} | {goal} | {self.verdict} |"
        )


@dataclass(frozen=True)
class Missing:
    """A line that has no figures."""

    name: str
    reason: str
    verdict: str = "not taken"  # or "**failed**", which is no fault of the machine's

    def take(self) -> Iterator[Missing]:
        yield self

    def __str__(self) -> str:
        reason = " ".join(self.reason.split()).replace("|", "/")
        return f"| {self.name} | - | - | - | - | - | {self.verdict}: {reason} |"


Result = Row | Missing


class Spent(NamedTuple):
    """What a process took, in seconds."""

    wall: float
    processor: float  # its own and its children's, user and system


@dataclass(frozen=True)
class Pair:
    """A row that is still to be taken, from two functions that do the work once and time it."""

    name: str
    reference: str
    ours: Callable[[], float | Spent]  # gives seconds
    theirs: Callable[[], float | Spent]
    rounds: int
    goal: Goal | None = None

    def __str__(self) -> str:
        return f"{self.name}, beside {self.reference}"

    def take(self) -> Iterator[Row]:
        """The row of the clock; of processes that say it, that of the processor seconds behind it."""
        pairs = _in_turn(self.ours, self.theirs, self.rounds)
        clock = [(_wall(first), _wall(second)) for first, second in pairs]
        yield _row(self.name, self.reference, clock, self.goal)
        processor = [
            (first.processor, second.processor)
            for first, second in pairs
            if isinstance(first, Spent) and isinstance(second, Spent)
        ]
        if processor:
            yield _row(f"{self.name}, CPU seconds", self.reference, processor, self.goal)


Pending = Pair | Missing  # as a text it says which rows are still to be taken


def results(name: str, section: Iterator[Pending], wanted: str = "") -> Iterator[Result]:
    """The rows of a section whose text matches `wanted`; in the place of what is missing, the reason."""
    for pending in _surviving(name, section):
        if re.search(wanted, str(pending)) is None and not isinstance(pending, Missing):
            continue
        try:
            yield from pending.take()
        except Exception as error:
            yield _failed(str(pending), error)


def _surviving(name: str, section: Iterator[Pending]) -> Iterator[Pending]:
    try:
        yield from section
    except Exception as error:  # of what its next row needs
        yield _failed(f"the rest of `{name}`", error)


def _failed(name: str, error: Exception) -> Missing:
    said = getattr(error, "stderr", None) or ""
    last = said.strip().splitlines()[-1:] if isinstance(said, str) else []
    return Missing(name, ": ".join([type(error).__name__, str(error), *last]), "**failed**")


def run_outside(command: Sequence[object], **environment: str) -> str:
    """What a process prints, in the environment that this program was started in."""
    words = list(map(str, command))
    return subprocess.run(
        words, check=True, capture_output=True, text=True, env={**OUTSIDE, **environment}
    ).stdout


def process(command: Sequence[object], **environment: str) -> Callable[[], float]:
    """A whole process, from its start to its end."""
    spent = process_spent(command, **environment)
    return lambda: spent().wall


def process_spent(command: Sequence[object], **environment: str) -> Callable[[], Spent]:
    """A whole process, its children included."""

    def once() -> Spent:
        before, started = os.times(), time.perf_counter()
        run_outside(command, **environment)
        wall, after = time.perf_counter() - started, os.times()
        processor = after.children_user - before.children_user
        return Spent(wall, processor + after.children_system - before.children_system)

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


def table(lines: Sequence[Result]) -> str:
    """The results as a table in Markdown."""
    head = ["| what | ptx | beside | | ratio | goal | |", "|---|---:|---|---:|---:|---:|---|"]
    return "\n".join([*head, *map(str, lines)])


def seconds(value: float) -> str:
    """`143 ms`: three digits and a fitting unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def _in_turn(ours: Callable[[], T], theirs: Callable[[], T], rounds: int) -> list[tuple[T, T]]:
    """What the two give in each round.

    One round before the first warms caches; in each of the others the two take turns in going first.
    """
    ours(), theirs()
    pairs: list[tuple[T, T]] = []
    for number in range(rounds):
        if number % 2:
            second, first = theirs(), ours()
        else:
            first, second = ours(), theirs()
        pairs.append((first, second))
    return pairs


def _row(name: str, reference: str, pairs: Sequence[tuple[float, float]], goal: Goal | None) -> Row:
    ratio = statistics.median(first / second for first, second in pairs)
    ours, theirs = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    return Row(name, reference, ours, theirs, ratio, goal)


def _wall(spent: float | Spent) -> float:
    return spent.wall if isinstance(spent, Spent) else spent


def _laps(function: Callable[[], object], count: int) -> Iterator[float]:
    clock = time.perf_counter
    for _ in range(count):
        started = clock()
        function()
        yield clock() - started


def _verdict(passed: bool) -> str:
    return "holds" if passed else "**missed**"
