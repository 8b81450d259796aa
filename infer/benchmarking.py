"""How fast a predictor is: latency and throughput of a process that is warm.

`ptx benchmark` measures each backend in a process of its own: so that the start counts, the memory is
that of this backend alone, and no other library's threads are in the way.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ptx.infer.artifact import read_artifact
from ptx.infer.card import Card
from ptx.infer.loading import load
from ptx.infer.predictor import Predictor
from ptx.infer.signature import BATCH, Array

WARM_UP = 0.2  # share of the seconds that are not counted
LEAST_RUNS = 5
LENGTH = 28  # of a dynamic axis that is not the batch, where no sample says it


@dataclass(frozen=True)
class Timing:
    """Runs of one batch size."""

    batch: int
    runs: int
    p50_us: float  # microseconds that half of the runs stay below
    p95_us: float
    p99_us: float
    rows_per_second: float  # over all runs


@dataclass(frozen=True)
class Measurement:
    """One backend in a process of its own."""

    device: str
    memory: int  # bytes that the process held at most
    error: float | None  # largest difference from the golden samples; None without any
    timings: tuple[Timing, ...]


def measure(run: Callable[[], object], batch: int, seconds: float) -> Timing:
    """Run for about as long as `seconds`, after a warm-up, and at least LEAST_RUNS times."""
    clock = time.perf_counter
    end = clock() + WARM_UP * seconds
    run()
    while clock() < end:
        run()
    laps: list[float] = []
    end = clock() + seconds
    while len(laps) < LEAST_RUNS or clock() < end:
        started = clock()
        run()
        laps.append(clock() - started)
    p50, p95, p99 = (float(value) * 1e6 for value in np.percentile(laps, (50, 95, 99)))
    return Timing(batch, len(laps), p50, p95, p99, batch * len(laps) / sum(laps))


def sample_batch(card: Card, batch: int) -> dict[str, Array]:
    """Inputs of `batch` rows: the first golden sample, repeated; random numbers where there is none."""
    if not card.golden:
        sizes = dict.fromkeys(card.signature.dynamic_axes, LENGTH) | {BATCH: batch}
        return card.signature.example(sizes)
    return {
        spec.name: np.ascontiguousarray(
            np.take(
                card.golden[0].inputs[spec.name],
                np.arange(batch),
                axis=spec.batch_axis,
                mode="wrap",
            )
        )
        for spec in card.signature.inputs
    }


def largest_error(predictor: Predictor, golden: Card) -> float | None:
    """The largest difference from the float64 outputs that the card carries."""
    errors = [
        float(np.abs(output.astype(np.float64) - sample.outputs[name]).max())
        for sample in golden.golden
        for name, output in predictor.run(sample.inputs).items()
    ]
    return max(errors, default=None)


def measure_process(settings: Mapping[str, Any], answered: Callable[[], None]) -> Measurement:
    """Measure what `settings` say, in a process that does nothing else.

    `answered` is called as soon as there is an answer: what came before was the start.
    """
    golden = read_artifact(settings["golden"]).require_card()
    batches: Sequence[int] = settings["batches"]
    with load(
        Path(settings["path"]), backend=settings["backend"], device=settings["device"],
        threads=settings["threads"], precision=settings["precision"], trust=True,
    ) as predictor:  # fmt: skip
        predictor.run(sample_batch(golden, 1))
        answered()
        timings = []
        for batch in batches:
            inputs = sample_batch(golden, batch)
            timings.append(measure(partial(predictor.run, inputs), batch, settings["seconds"]))
        return Measurement(
            predictor.backend.device,
            _peak_memory(),
            largest_error(predictor, golden),
            tuple(timings),
        )


def _peak_memory() -> int:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
