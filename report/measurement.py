"""The start time, latency, throughput and memory of a predictor.

`ptx benchmark` measures each backend in its own process, so that start time and memory are those of
this backend, and threads of other libraries do not interfere.
"""

from __future__ import annotations

import json
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
from ptx.infer.backends.registry import PACKAGE_BACKENDS
from ptx.infer.backends.threads import available_cpus
from ptx.infer.errors import BackendError, PtxError, pluralise
from ptx.infer.loading import load
from ptx.infer.predictor import Predictor
from ptx.infer.prefetch import end_with_parent
from ptx.infer.replay import replay
from ptx.infer.signature import Array

ROUNDS = 5  # in each, every batch size is measured once
MIN_RUNS = 3  # in a round
STABLE = (
    0.05  # the warm-up ends when the medians of two rounds differ by no more than this fraction
)
DYNAMIC_SIZE = 28  # size of dynamic axes other than the batch, if there is no sample


@dataclass(frozen=True)
class Timing:
    """Runs of one batch size."""

    batch: int
    runs: int
    p50_us: float  # median, in microseconds
    p95_us: float
    p99_us: float
    rows_per_second: float  # over all runs
    noise: float  # spread of the rounds' medians: (largest - smallest) / p50


@dataclass(frozen=True)
class Measurement:
    """One backend in its own process. Times are in seconds, memory in bytes."""

    device: str
    runtime: str  # the library behind the backend, with its version
    import_s: float  # importing that library
    load_s: float
    first_s: float  # the first run, with one sample
    memory: int  # peak memory of the process
    error: float | None  # largest difference from the golden samples; None if there are none
    agrees: bool | None  # whether the golden samples pass; None if there are none
    timings: tuple[Timing, ...]


def measure(runs: Mapping[int, Callable[[], object]], seconds: float) -> Iterator[Timing]:
    """Measure each batch size for about `seconds`, after a warm-up of at most `seconds`.

    Args:
        runs: A function for each batch size that runs one batch. The sizes take turns, so that a
            temporary disturbance of the machine affects all of them.
    """
    for run in runs.values():
        _warm_up(run, seconds)
    timings: dict[int, list[list[float]]] = {batch: [] for batch in runs}
    for _ in range(ROUNDS):
        for batch, run in runs.items():
            timings[batch].append(_round(run, seconds / ROUNDS))
    for batch, rounds in timings.items():
        medians = [statistics.median(one) for one in rounds]
        merged = [timing for one in rounds for timing in one]
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
    timings: list[float] = []
    end = clock() + seconds
    while len(timings) < MIN_RUNS or clock() < end:
        started = clock()
        run()
        timings.append(clock() - started)
    return timings


def sample_batch(manifest: Manifest, batch: int) -> dict[str, Array]:
    """Inputs of `batch` rows: the first golden sample, repeated, or random numbers without one."""
    if not manifest.golden:
        return manifest.signature.example(manifest.signature.equal_sizes(DYNAMIC_SIZE, batch=batch))
    rows, inputs = np.arange(batch), manifest.golden[0].inputs
    return {
        spec.name: np.ascontiguousarray(
            np.take(inputs[spec.name], rows, axis=spec.batch_axis, mode="wrap")
        )
        for spec in manifest.signature.inputs
    }


def largest_error(predictor: Predictor, golden: Manifest) -> float | None:
    """The largest difference from the golden samples' outputs; None without float outputs."""
    errors = []
    for sample in golden.golden:
        for name, output in predictor.run(sample.inputs).items():
            if output.dtype.kind != "f":
                continue  # integers are right or wrong, which `verify` checks
            expected = sample.outputs[name]
            if isinstance(expected, SampledArray):
                output, expected = expected.take(output), expected.values
            errors.append(float(np.abs(output.astype(np.float64) - expected).max()))
    return max(errors, default=None)


def measure_process(settings: Mapping[str, Any], on_output: Callable[[], None]) -> Measurement:
    """Measure a backend, in a process that does nothing else.

    Args:
        settings: Arguments of `load`, the `batches`, the `seconds` for each, and the paths of
            `exports`, from which golden samples for a checkpoint are taken.
        on_output: Called after the first output, which ends the start time.
    """
    entry = find_backend(settings["backend"])
    runtime, import_s = _time(PACKAGE_BACKENDS.resolve(settings["backend"], entry.import_runtime))
    load_model = partial(
        load,
        Path(settings["path"]),
        backend=settings["backend"],
        device=settings["device"],
        threads=settings["threads"],
        precision=settings["precision"],
        trust=frozenset(settings["trust"]),
    )
    predictor, load_s = _time(load_model)
    with predictor:
        golden = _golden(predictor.manifest, settings["exports"])
        manifest = golden or predictor.manifest
        _, first_s = _time(partial(predictor.run, sample_batch(manifest, 1)))
        on_output()
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
    """The CPU and the system, such as `AMD EPYC 9354, 2 processors, Linux`."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass  # not Linux, or the CPU has no model name
    return f"{name}, {pluralise(available_cpus(), 'processor')}, {platform.system()}"


def _time(function: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = function()
    return result, time.perf_counter() - started


def _golden(manifest: Manifest, exports: Sequence[str]) -> Manifest | None:
    """A manifest with golden samples for these weights: this one, or that of an export."""
    if manifest.golden:
        return manifest
    candidates = (read_artifact(path).manifest for path in exports)
    matching = (
        other
        for other in candidates
        if other is not None and other.golden and other.weights_sha256 == manifest.weights_sha256
    )
    return next(matching, None)


def _peak_memory() -> int:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """Entry point of the process: settings as JSON in argv, JSON lines out.

    One line after the first output, then a Measurement or an error.
    """
    settings = json.loads(sys.argv[1])
    end_with_parent(settings["parent"])
    if settings["limit"]:
        signal.setitimer(signal.ITIMER_REAL, settings["limit"])
    try:
        measurement = measure_process(settings, lambda: _send({}))
    except PtxError as error:
        reason = error.reason if isinstance(error, BackendError) else ""
        _send(_error_fields(type(error).__name__, str(error), error.code, reason))
    except MemoryError:
        _send(_error_fields("LimitError", f"{settings['backend']}: out of memory", "E-MEMORY"))
    except Exception as error:
        message = f"{settings['backend']}: {type(error).__name__}: {error}"
        _send(_error_fields("PtxError", message, "E-BUG"))
    else:
        _send({"measurement": asdict(measurement)})


def _error_fields(name: str, message: str, code: str, reason: str = "") -> dict[str, Any]:
    return {"class": name, "message": message, "code": code, "reason": reason}


def _send(fields: dict[str, Any]) -> None:
    """Write a JSON line in UTF-8, whatever the encoding of standard output."""
    sys.stdout.buffer.write(f"{json.dumps(fields)}\n".encode())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
