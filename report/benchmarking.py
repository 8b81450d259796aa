"""Benchmark of the backends of a model, each in its own process: tables, JSON, CSV and plot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ptx.infer import ArtifactError, BackendError, LimitError, Options, PtxError, UsageError, errors
from ptx.infer.artifact.files import write_atomic
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.ranges import MEASURED_BATCH, SECONDS
from ptx.report.benchmark_file import CSV, PLOT, BenchmarkResult, csv_text, draw
from ptx.report.comparison import Styler
from ptx.report.measurement import machine
from ptx.report.text import table


@dataclass(frozen=True)
class Target:
    """A backend to measure, and the file for it.

    Attributes:
        kind: Format of the file.
        sha256: Digest of the file, which the user trusts.
    """

    backend: str
    path: Path
    kind: str
    sha256: str
    options: Options


@dataclass(frozen=True)
class BenchmarkSettings:
    """Settings of a benchmark.

    Attributes:
        batches: Batch sizes.
        seconds: Time to measure each batch size of each backend.
    """

    batches: Sequence[int] = (1, 32, 256)
    seconds: float = 1.0

    def __post_init__(self) -> None:
        for batch in self.batches:
            MEASURED_BATCH.check("batch", batch)
        SECONDS.check("seconds", self.seconds)


@dataclass(frozen=True)
class Benchmark:
    """Speed and memory of the backends of a model."""

    results: Sequence[BenchmarkResult]
    threads: str = "default"
    machine: str = field(default_factory=machine)

    @property
    def runtimes(self) -> list[str]:
        """The libraries that the backends use, with their versions."""
        return sorted({result.measurement["runtime"] for result in self.results})

    @property
    def conditions(self) -> dict[str, str]:
        """The conditions under which the backends were measured."""
        return {"machine": self.machine, "threads": self.threads}

    def lines(self) -> Iterator[dict[str, Any]]:
        """A JSON object for each backend."""
        for result in self.results:
            yield {
                "backend": result.backend,
                "start_s": result.start_s,
                **result.measurement,
                **self.conditions,
            }

    def table(self, style: Styler = lambda word, passed: word, columns: int | None = None) -> str:
        """A table of latencies, then a table of start times, memory and agreement.

        Args:
            style: Colours the word `yes` or `NO`.
            columns: Width of the terminal. None means no limit.
        """
        header = ("backend", "batch", "p50 µs", "p95 µs", "p99 µs", "rows/s", "noise")
        rows = [
            (
                result.backend,
                str(t["batch"]),
                f"{t['p50_us']:,.1f}",
                f"{t['p95_us']:,.1f}",
                f"{t['p99_us']:,.1f}",
                f"{t['rows_per_second']:,.0f}",
                f"{100 * t['noise']:.0f} %",
            )
            for result in self.results
            for t in result.measurement["timings"]
        ]
        words = {None: "unknown", True: style("yes", True), False: style("NO", False)}
        processes = [
            (
                result.backend,
                result.measurement["device"],
                *(
                    f"{1000 * result.measurement[name]:,.0f}"
                    for name in ("import_s", "load_s", "first_s")
                ),
                f"{1000 * result.start_s:,.0f}",
                f"{result.mebibytes:,.0f}",
                words[result.measurement["agrees"]],
            )
            for result in self.results
        ]
        starts = (
            "backend",
            "device",
            "import ms",
            "load ms",
            "first ms",
            "start ms",
            "MiB",
            "agrees",
        )
        return (
            f"{self.machine}; threads: {self.threads}\n{'; '.join(self.runtimes)}\n\n"
            f"{table(header, rows, columns=columns)}\n\n{table(starts, processes, columns=columns)}"
        )

    def save(self, folder: Path, model: str) -> tuple[Path, Path]:
        """Write benchmark.csv and benchmark.png.

        Raises:
            OutputError: a file cannot be written.
        """
        write_atomic(folder / CSV, csv_text(self.results, self.conditions).encode())
        series = {result.backend: result.measurement["timings"] for result in self.results}
        note = f"{', '.join(self.runtimes)}; {self.machine}; threads: {self.threads}"
        write_atomic(folder / PLOT, draw(series, model, note))
        return folder / CSV, folder / PLOT


def benchmark(
    targets: Sequence[Target],
    settings: BenchmarkSettings,
    *,
    threads: int | None = None,
    on_skip: Callable[[str, str], None] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Benchmark:
    """Measure the backends one after the other.

    Args:
        threads: The requested number of threads, to be recorded in the result. None is the default.
        on_skip: Called with the name of an unavailable backend and the reason. If None, an unavailable
            backend is an error.
        progress: Called after each backend.

    Raises:
        BackendError: no backend is available.
        PtxError: a backend failed in its process.
    """
    # A checkpoint has no golden samples; those of an export of the same weights are used instead.
    exports = [str(target.path) for target in targets if target.kind != CHECKPOINT]
    results: list[BenchmarkResult] = []
    for target in targets:
        try:
            results.append(_measure(target, settings, exports))
        except (BackendError, UsageError, ArtifactError) as error:
            # E-NETWORK: a checkpoint has no code, and the network is the user's own.
            known = not isinstance(error, ArtifactError) or error.code == "E-NETWORK"
            if not known or on_skip is None or (not results and target is targets[-1]):
                raise
            reason = str(error).partition(":")[0] if error.code == "E-NETWORK" else str(error)
            on_skip(target.backend, getattr(error, "reason", reason))
        progress()
    return Benchmark(results, "default" if threads is None else str(threads))


def _measure(target: Target, settings: BenchmarkSettings, exports: list[str]) -> BenchmarkResult:
    """Measure a backend in a new process, and raise its error here."""
    request = asdict(settings) | {
        "backend": target.backend,
        "path": str(target.path),
        "trust": [target.sha256],
        "device": target.options.device,
        "threads": target.options.threads,
        "precision": target.options.precision,
        "exports": exports,
        "parent": os.getpid(),
        # When the time limit expires, the kernel ends this process, and with it the measuring one.
        "limit": signal.getitimer(signal.ITIMER_REAL)[0],
    }
    # -P: do not import modules from the current folder.
    command = [sys.executable, "-P", "-m", "ptx.report.measurement", json.dumps(request)]
    started = time.perf_counter()
    # Crash messages of libraries are dropped; the error below is one line.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        start = time.perf_counter() - started
        last = (process.stdout.readlines() or [first])[-1]
    if process.returncode < 0:
        raise LimitError(
            f"the process that measured {target.backend} was ended by"
            f" {signal.Signals(-process.returncode).name}: is there too little memory?",
            code="E-MEMORY",
        )
    if process.returncode or not last.strip():
        raise PtxError(
            f"the process that measured {target.backend} ended with {process.returncode}"
        )
    reply = json.loads(last)
    if "measurement" in reply:
        return BenchmarkResult(target.backend, start, reply["measurement"])
    error: PtxError = getattr(errors, reply["class"])(reply["message"], code=reply["code"])
    if isinstance(error, BackendError):
        error.reason = reply["reason"]
    raise error
