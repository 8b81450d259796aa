"""How fast a predictor is: its start, its latency, its throughput and its memory.

`ptx benchmark` measures each backend in a process of its own: so that the start counts, the memory is
that of this backend alone, and no other library's threads are in the way.
"""

from __future__ import annotations

import json
import pkgutil
import platform
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ptx.infer.artifact.artifact import read_artifact
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.artifact.sampled import SampledArray
from ptx.infer.backends import find_backend
from ptx.infer.backends.threads import usable_processors
from ptx.infer.errors import BackendError, PtxError, pluralise
from ptx.infer.loading import load
from ptx.infer.predictor import Predictor
from ptx.infer.prefetch import end_with_parent
from ptx.infer.replay import replay
from ptx.infer.signature import Array

ROUNDS = 5  # in which the batch sizes take turns
LEAST_RUNS = 3  # of a round
STABLE = 0.05  # the warm-up ends where two rounds' medians are as near as this
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
    noise: float  # the rounds' medians lie within this share of p50: (largest - smallest) / p50


@dataclass(frozen=True)
class Measurement:
    """One backend in a process of its own; seconds and bytes."""

    device: str
    runtime: str  # the library under it, with its version
    import_s: float  # that library's import
    load_s: float
    first_s: float  # the first run, of one sample
    memory: int  # that the process held at most
    error: float | None  # largest difference from the golden samples; None without any
    agrees: bool | None  # whether the golden samples come out as the manifest says; likewise
    timings: tuple[Timing, ...]


def measure(runs: Mapping[int, Callable[[], object]], seconds: float) -> Iterator[Timing]:
    """Measure each batch size for about as long as `seconds`, after a warm-up of at most as long.

    Args:
        runs: What runs a batch of that size once. The sizes take turns, so that what disturbs the
            machine for a while disturbs all of them.
    """
    for run in runs.values():
        _warm_up(run, seconds)
    laps: dict[int, list[list[float]]] = {batch: [] for batch in runs}
    for _ in range(ROUNDS):
        for batch, run in runs.items():
            laps[batch].append(_round(run, seconds / ROUNDS))
    for batch, rounds in laps.items():
        medians = [statistics.median(one) for one in rounds]
        merged = [lap for one in rounds for lap in one]
        p50, p95, p99 = (float(value) for value in np.percentile(merged, (50, 95, 99)))
        yield Timing(
            batch,
            len(merged),
            1e6 * p50,
            1e6 * p95,
            1e6 * p99,
            batch * len(merged) / sum(merged),
            (max(medians) - min(medians)) / p50,
        )


def _warm_up(run: Callable[[], object], seconds: float) -> None:
    """Run until a round is as fast as the one before it."""
    end = time.perf_counter() + seconds
    before = float("inf")
    while time.perf_counter() < end:
        median = statistics.median(_round(run, seconds / ROUNDS / 4))
        if abs(before - median) <= STABLE * median:
            return
        before = median


def _round(run: Callable[[], object], seconds: float) -> list[float]:
    clock = time.perf_counter
    laps: list[float] = []
    end = clock() + seconds
    while len(laps) < LEAST_RUNS or clock() < end:
        started = clock()
        run()
        laps.append(clock() - started)
    return laps


def sample_batch(manifest: Manifest, batch: int) -> dict[str, Array]:
    """Inputs of `batch` rows: the first golden sample, repeated; random numbers where there is none."""
    if not manifest.golden:
        return manifest.signature.example(manifest.signature.equal_sizes(LENGTH, batch=batch))
    rows, inputs = np.arange(batch), manifest.golden[0].inputs
    return {
        spec.name: np.ascontiguousarray(
            np.take(inputs[spec.name], rows, axis=spec.batch_axis, mode="wrap")
        )
        for spec in manifest.signature.inputs
    }


def largest_error(predictor: Predictor, golden: Manifest) -> float | None:
    """The largest difference from the float64 outputs that a manifest carries."""
    errors = []
    for sample in golden.golden:
        for name, output in predictor.run(sample.inputs).items():
            if output.dtype.kind != "f":
                continue  # an integer is equal or wrong: `verify` looks at those
            expected = sample.outputs[name]
            if isinstance(expected, SampledArray):
                output, expected = expected.take(output), expected.values
            errors.append(float(np.abs(output.astype(np.float64) - expected).max()))
    return max(errors, default=None)


def measure_process(settings: Mapping[str, Any], answered: Callable[[], None]) -> Measurement:
    """Measure what `settings` say, in a process that does nothing else.

    Args:
        settings: Those of `load`, the `batches`, the `seconds` for each, and the paths of
            `exports`, in one of which a checkpoint's golden samples may be.
        answered: Called as soon as there is an answer: what came before was the start.
    """
    entry = find_backend(settings["backend"])
    runtime, import_s = _time(pkgutil.resolve_name(entry.runtime))
    open_it = partial(
        load,
        Path(settings["path"]),
        backend=settings["backend"],
        device=settings["device"],
        threads=settings["threads"],
        precision=settings["precision"],
        trust=frozenset(settings["trust"]),
    )
    predictor, load_s = _time(open_it)
    with predictor:
        golden = _golden(predictor.manifest, settings["exports"])
        manifest = golden or predictor.manifest
        _, first_s = _time(partial(predictor.run, sample_batch(manifest, 1)))
        answered()
        batches: Sequence[int] = settings["batches"]
        runs = {batch: partial(predictor.run, sample_batch(manifest, batch)) for batch in batches}
        timings = tuple(measure(runs, settings["seconds"]))
        return Measurement(
            device=predictor.backend.device,
            runtime=f"{runtime.__name__} {runtime.__version__}",
            import_s=import_s,
            load_s=load_s,
            first_s=first_s,
            memory=_peak_memory(),
            error=None if golden is None else largest_error(predictor, golden),
            agrees=None if golden is None else all(c.passed for c in replay(predictor, golden)),
            timings=timings,
        )


def machine() -> str:
    """`AMD EPYC 9354, 2 processors, Linux`."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass  # not Linux, or a processor that does not say
    return f"{name}, {pluralise(usable_processors(), 'processor')}, {platform.system()}"


def _time(function: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = function()
    return result, time.perf_counter() - started


def _golden(manifest: Manifest, exports: Sequence[str]) -> Manifest | None:
    """The manifest with golden samples of these weights: the file's own, or that of an export of
    them.
    """
    if manifest.golden:
        return manifest
    others = (read_artifact(path).require_manifest() for path in exports)
    fitting = (c for c in others if c.golden and c.weights_sha256 == manifest.weights_sha256)
    return next(fitting, None)


def _peak_memory() -> int:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """The process of one backend: settings in, lines out.

    A line as soon as there is an answer; then a Measurement, or what an error says of itself.
    """
    settings = json.loads(sys.argv[1])
    end_with_parent(settings["parent"])
    if settings["limit"]:
        signal.setitimer(signal.ITIMER_REAL, settings["limit"])
    try:
        found = measure_process(settings, lambda: _answer({}))
    except PtxError as error:
        reason = error.reason if isinstance(error, BackendError) else ""
        _answer(_tell(type(error).__name__, str(error), error.code, reason))
    except MemoryError:
        _answer(_tell("LimitError", f"{settings['backend']}: out of memory", "E-MEMORY"))
    except Exception as error:
        what = f"{settings['backend']}: {type(error).__name__}: {error}"
        _answer(_tell("PtxError", what, "E-BUG"))
    else:
        _answer({"measured": asdict(found)})


def _tell(name: str, message: str, code: str, reason: str = "") -> dict[str, Any]:
    return {"class": name, "message": message, "code": code, "reason": reason}


def _answer(found: dict[str, Any]) -> None:
    """As bytes: the encoding of standard output is for what people read."""
    sys.stdout.buffer.write(f"{json.dumps(found)}\n".encode())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
