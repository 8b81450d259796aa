"""Every backend of a model measured, each in a process of its own: figures, tables, CSV, plot."""

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

from ptx.infer import BackendError, LimitError, Options, PtxError, UsageError, errors
from ptx.infer.artifact.files import write_atomic
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.ranges import MEASURED_BATCH, SECONDS
from ptx.report.benchmark_file import CSV, PLOT, Measured, csv_text, draw
from ptx.report.comparison import Judge
from ptx.report.measurement import machine
from ptx.report.text import table


@dataclass(frozen=True)
class Target:
    """What a backend is to be measured with.

    Attributes:
        sha256: Of the content that is trusted.
    """

    backend: str
    path: Path
    kind: str
    sha256: str
    options: Options


@dataclass(frozen=True)
class BenchmarkSettings:
    """How it is measured.

    Attributes:
        seconds: For each batch size of each backend.
    """

    batches: Sequence[int] = (1, 32, 256)
    seconds: float = 1.0

    def __post_init__(self) -> None:
        for batch in self.batches:
            MEASURED_BATCH.check("batch", batch)
        SECONDS.check("seconds", self.seconds)


@dataclass(frozen=True)
class Benchmark:
    """What the backends of a model take."""

    measured: Sequence[Measured]
    threads: str = "own choice"
    machine: str = field(default_factory=machine)

    @property
    def runtimes(self) -> list[str]:
        """The libraries under the backends, with their versions."""
        return sorted({one.found["runtime"] for one in self.measured})

    @property
    def about(self) -> dict[str, str]:
        """What the figures hold for."""
        return {"machine": self.machine, "threads": self.threads}

    def lines(self) -> Iterator[dict[str, Any]]:
        """A JSON object for each backend."""
        for one in self.measured:
            yield {"backend": one.backend, "start_s": one.start_s, **one.found, **self.about}

    def table(self, judge: Judge = lambda word, passed: word, columns: int | None = None) -> str:
        """The latencies, and below them what each process took.

        Args:
            judge: What colours the word `yes` or `NO`.
            columns: Of the terminal, where a row must fit one.
        """
        header = ("backend", "batch", "p50 µs", "p95 µs", "p99 µs", "rows/s", "noise")
        rows = [
            (
                one.backend,
                str(t["batch"]),
                f"{t['p50_us']:,.1f}",
                f"{t['p95_us']:,.1f}",
                f"{t['p99_us']:,.1f}",
                f"{t['rows_per_second']:,.0f}",
                f"{100 * t['noise']:.0f} %",
            )
            for one in self.measured
            for t in one.found["timings"]
        ]
        words = {None: "unknown", True: judge("yes", True), False: judge("NO", False)}
        processes = [
            (
                one.backend,
                one.found["device"],
                *(f"{1000 * one.found[name]:,.0f}" for name in ("import_s", "load_s", "first_s")),
                f"{1000 * one.start_s:,.0f}",
                f"{one.mebibytes:,.0f}",
                words[one.found["agrees"]],
            )
            for one in self.measured
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
        """Write benchmark.csv and benchmark.png; OutputError where that fails."""
        write_atomic(folder / CSV, csv_text(self.measured, self.about).encode())
        series = {one.backend: one.found["timings"] for one in self.measured}
        note = f"{', '.join(self.runtimes)}; {self.machine}; threads: {self.threads}"
        write_atomic(folder / PLOT, draw(series, model, note))
        return folder / CSV, folder / PLOT


def benchmark(
    targets: Sequence[Target],
    settings: BenchmarkSettings,
    *,
    threads: int | None = None,
    left_out: Callable[[str, str], None] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Benchmark:
    """Measure one backend after the other.

    Args:
        threads: As they were asked for, of ONNX Runtime; None is its own choice.
        left_out: Told the name of a backend that is not available, and why; without it that is an error.
        progress: Called when a backend is done.

    Raises:
        BackendError: none of them is available.
        PtxError: what the process of one of them ended with.
    """
    # A checkpoint carries no golden samples: those of an export of the same weights do for it.
    exports = [str(target.path) for target in targets if target.kind != CHECKPOINT]
    measured: list[Measured] = []
    for target in targets:
        try:
            measured.append(_measure(target, settings, exports))
        except (BackendError, UsageError) as error:
            if left_out is None or (not measured and target is targets[-1]):
                raise
            left_out(target.backend, getattr(error, "reason", str(error)))
        progress()
    return Benchmark(measured, "own choice" if threads is None else str(threads))


def _measure(target: Target, settings: BenchmarkSettings, exports: list[str]) -> Measured:
    """What the backend's process found; its error is raised here."""
    given = asdict(settings) | {
        "backend": target.backend,
        "path": str(target.path),
        "trust": [target.sha256],
        "device": target.options.device,
        "threads": target.options.threads,
        "precision": target.options.precision,
        "exports": exports,
        "parent": os.getpid(),
        # The kernel ends this process when a time limit is over, and the one that measures too.
        "limit": signal.getitimer(signal.ITIMER_REAL)[0],
    }
    # -P: else Python would import what stands in the current folder.
    command = [sys.executable, "-P", "-m", "ptx.report.measurement", json.dumps(given)]
    started = time.perf_counter()
    # What a library writes about its end there is told below in one line.
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
    answer = json.loads(last)
    if "measured" in answer:
        return Measured(target.backend, start, answer["measured"])
    error: PtxError = getattr(errors, answer["class"])(answer["message"], code=answer["code"])
    if isinstance(error, BackendError):
        error.reason = answer["reason"]
    raise error
