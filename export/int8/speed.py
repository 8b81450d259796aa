"""How many times as fast one session is as another: medians of runs that take turns.

By the processor time of one thread: what else the machine does is not counted, so that a file is not
written on one day and refused on the next.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from ptx.export.grid import grid_batches
from ptx.infer.predictor import Predictor
from ptx.infer.signature import Array

ROUNDS = 9  # in which the two take turns, at least
SECONDS = 0.5  # that a batch size is measured for
BLOCK = 5e-3  # seconds of a turn, at least one run


def times_as_fast(
    ours: Predictor, theirs: Predictor, inputs: Mapping[str, Array]
) -> dict[int, float]:
    """By batch, how many runs of `ours` take as long as one of `theirs`; both with one thread.

    The batches are 1 and the largest of the proof's grid: 64, or 7 of photographs. What disturbs the
    machine for a while, its caches and clock, disturbs both.
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
