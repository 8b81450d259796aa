"""The gates of a file that computes in int8: what is measured, and what it must be."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from ptx.export.grid import grid_batches, sample_size
from ptx.export.int8.known_rows import Answers, KnownRows
from ptx.infer.artifact.by_accuracy import CHANGED, CHANGED_PER_DROP, ByAccuracy
from ptx.infer.errors import AgreementError
from ptx.infer.predictor import Predictor
from ptx.infer.signature import Array

FASTER = 1.1  # times as fast as the plain file, at a batch of 1 or at the large one
SMALLER = 0.9  # of the plain file's bytes, at most, where it is made for its size
ALONE = 256  # rows that are also answered one by one, ...
ALONE_NUMBERS = 2**22  # ... of fewer than that many numbers, but LEAST_ALONE rows in any case
LEAST_ALONE = 32
TOGETHER = 7  # rows of the batch that a row is in when it is not alone
ROUNDS = 9  # in which the two take turns, at least
SECONDS = 0.5  # that a batch size is measured for
BLOCK = 5e-3  # seconds of a turn, at least one run


@dataclass(frozen=True)
class Measured:
    """What was found of a file.

    Attributes:
        alone: Rows that were answered alone too.
        differ: Those of them with other bits than within a batch.
        faster: By batch, how many times as fast as the plain file.
        size: Bytes of the graph; `plain`: of the plain one.
        for_size: Whether it is made for its size, and may be slow.
    """

    accuracy: ByAccuracy
    alone: int
    differ: int
    faster: dict[int, float]
    size: int
    plain: int
    for_size: bool

    @property
    def speed(self) -> str:
        """`2.05 times as fast at batch 1, 1.98 at 64`."""
        (first, one), (last, many) = self.faster.items()
        return f"{one:.2f} times as fast at batch {first}, {many:.2f} at {last}"


def _accuracy(found: Measured) -> str:
    one = found.accuracy
    if one.drop <= one.max_drop:
        return ""
    return f"accuracy falls by {one.drop:.2f} points; allowed are {one.max_drop:g}: {one}"


def _changed(found: Measured) -> str:
    one = found.accuracy
    if one.changed <= one.most_changed:
        return ""
    return (
        f"{one.changed:,} of {one.answers:,} labels change; allowed are {one.most_changed:,}"
        f" ({CHANGED_PER_DROP:g} times the {one.max_drop:g} points of accuracy that may be lost, and"
        f" {CHANGED:g} %)"
    )


def _alone(found: Measured) -> str:
    if not found.differ:
        return ""
    return f"{found.differ:,} of {found.alone:,} rows get other bits alone than within a batch"


def _worth(found: Measured) -> str:
    if found.for_size:
        if found.size <= SMALLER * found.plain:
            return ""
        return (
            f"the graph has {found.size:,} bytes instead of {found.plain:,}: it is not smaller,"
            " and --quantize-weights int8 would be"
        )
    if max(found.faster.values()) >= FASTER:
        return ""
    return (
        f"it is {found.speed} here; expected at least {FASTER:g} at one of them:"
        " --quantize-weights int8 is as small and as fast as float32, --for-size takes it as it is"
    )


GATES: dict[str, Callable[[Measured], str]] = {
    "accuracy": _accuracy,
    "labels": _changed,
    "batch": _alone,
    "worth": _worth,
}
"""What each gate says against a file; nothing where it passes."""


def hold(model: str, found: Measured) -> None:
    """Refuse a file that does not pass all gates.

    Raises:
        AgreementError: E-INT8: with each figure that is beyond its limit.
    """
    against = [said for gate in GATES.values() if (said := gate(found))]
    if against:
        raise AgreementError(
            f"{model} is not written in int8: {'; and '.join(against)}", code="E-INT8"
        )


def count(before: Answers, after: Answers, *, data: str, max_drop: float) -> ByAccuracy:
    """Two files' answers to the same rows, one by one."""
    held, holds = before.given == before.right, after.given == after.right
    return ByAccuracy(
        data=data,
        answers=int(held.size),
        before=before.accuracy,
        after=after.accuracy,
        changed=int((before.given != after.given).sum()),
        newly_wrong=int((held & ~holds).sum()),
        newly_right=int((holds & ~held).sum()),
        max_drop=float(max_drop),
    )


def rows_that_differ(predictor: Predictor, rows: KnownRows) -> tuple[int, int]:
    """(rows that were answered alone and in a batch, those of them that got other bits)."""
    size = sample_size(predictor.signature)
    most = max(LEAST_ALONE, min(ALONE, ALONE_NUMBERS // size))
    asked = differ = 0
    for together, alone in _pairs(predictor, rows, most):
        asked += 1
        differ += together != alone
    return asked, differ


def _pairs(predictor: Predictor, rows: KnownRows, most: int) -> Iterator[tuple[bytes, bytes]]:
    """The answer to each of the first rows within a batch and alone, as bytes."""
    inputs, targets = next(rows.batches())
    signature = predictor.signature

    def answer(places: range) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
        return predictor.backend.run(
            {
                spec.name: np.ascontiguousarray(np.take(inputs[spec.name], places, spec.batch_axis))
                for spec in signature.inputs
            }
        )

    for start in range(0, min(most, len(targets)), TOGETHER):
        places = range(start, min(start + TOGETHER, most, len(targets)))
        whole = answer(places)
        for row, place in enumerate(places):
            single = answer(range(place, place + 1))
            yield (
                b"".join(
                    np.take(whole[spec.name], [row], spec.batch_axis).tobytes()
                    for spec in signature.outputs
                ),
                b"".join(single[spec.name].tobytes() for spec in signature.outputs),
            )


def times_as_fast(
    ours: Predictor, theirs: Predictor, inputs: Mapping[str, Array]
) -> dict[int, float]:
    """By batch, how many runs of `ours` take as long as one of `theirs`; both with one thread.

    The batches are 1 and the largest of the proof's grid: 64, or 7 of photographs. What disturbs the
    machine for a while, its caches and clock, disturbs both. The processor time of one thread counts,
    and not what else the machine does: so no file is written on one day and refused on the next.
    """
    found = {}
    for batch in (1, grid_batches(ours.signature)[-1]):
        rows = {
            spec.name: np.ascontiguousarray(
                np.take(inputs[spec.name], np.arange(batch), spec.batch_axis, mode="wrap")
            )
            for spec in ours.signature.inputs
        }
        runs = [partial(one.backend.run, rows) for one in (ours, theirs)]
        counts = [_runs_of_a_block(run) for run in runs]
        laps: list[list[float]] = [[], []]
        end = time.perf_counter() + SECONDS
        while len(laps[0]) < ROUNDS or time.perf_counter() < end:
            for run, count, lap in zip(runs, counts, laps, strict=True):
                lap.append(_time(run, count))
        found[batch] = statistics.median(laps[1]) / statistics.median(laps[0])
    return found


def _runs_of_a_block(run: Callable[[], object]) -> int:
    run()
    return max(1, round(BLOCK / min(_time(run, 1) for _ in range(3))))


def _time(run: Callable[[], object], count: int) -> float:
    started = time.thread_time()
    for _ in range(count):
        run()
    return (time.thread_time() - started) / count
