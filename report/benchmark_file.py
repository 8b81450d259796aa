"""benchmark.csv and benchmark.png: the results of `ptx benchmark` by backend and batch size."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# In the folder of the artifacts; a report reads the first.
CSV, PLOT = "benchmark.csv", "benchmark.png"
TEXT_COLUMNS = ("backend", "device", "error", "agrees", "runtime", "threads", "machine")
COLUMNS = (
    "backend",
    "device",
    "batch",
    "p50_us",
    "p95_us",
    "p99_us",
    "rows_per_second",
    "noise",
    "import_ms",
    "load_ms",
    "first_ms",
    "start_ms",
    "memory_mib",
    *TEXT_COLUMNS[2:],
)
MARKERS, STYLES = "os^Dv", ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
POSITIVE_COLUMNS = ("batch", "p50_us", "p95_us", "p99_us", "rows_per_second")


@dataclass(frozen=True)
class BenchmarkResult:
    """The result of one backend."""

    backend: str
    start_s: float  # from the start of the process to the first output
    measurement: dict[str, Any]  # the fields of `ptx.report.measurement.Measurement`

    @property
    def mebibytes(self) -> float:
        """Peak memory."""
        return float(self.measurement["memory"] / 2**20)


def csv_text(results: Sequence[BenchmarkResult], conditions: Mapping[str, str]) -> str:
    """The content of benchmark.csv. `conditions` names the machine and the number of threads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in results:
        process = {
            **{
                f"{step}_ms": 1000 * result.measurement[f"{step}_s"]
                for step in ("import", "load", "first")
            },
            "start_ms": 1000 * result.start_s,
            "memory_mib": result.mebibytes,
            "error": ""
            if result.measurement["error"] is None
            else f"{result.measurement['error']:.3g}",
            "agrees": {None: "unknown", True: "yes", False: "no"}[result.measurement["agrees"]],
            **conditions,
        }
        for timing in result.measurement["timings"]:
            values = {"backend": result.backend, **result.measurement, **timing, **process}
            writer.writerow(
                f"{value:.3f}" if isinstance(value, float) else value
                for value in (values[column] for column in COLUMNS)
            )
    return text.getvalue()


def read_speeds(text: str) -> list[dict[str, str]]:
    """The rows of benchmark.csv.

    Raises:
        ValueError: a column is missing, or a value is not a valid number.
    """
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    for line, row in enumerate(rows, 2):
        for column in COLUMNS:
            if row.get(column) is None:
                raise ValueError(f"line {line} has no {column}")
            if column in TEXT_COLUMNS:
                continue
            value = float(row[column])
            if not 0 <= value < math.inf or (value == 0 and column in POSITIVE_COLUMNS):
                raise ValueError(f"line {line}: {column} is {row[column]}; expected more than 0")
    return rows


def draw(series: Mapping[str, Sequence[Mapping[str, Any]]], model: str, note: str) -> bytes:
    """Plot latency and throughput over the batch size, as a PNG file.

    Args:
        series: The timings of each backend, with the fields of `ptx.report.measurement.Timing`.
        note: The conditions, for the caption.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    latency, throughput = figure.subplots(1, 2)
    for index, (backend, timings) in enumerate(series.items()):
        # Markers and line styles differ, so that the curves are distinct without colour.
        style: dict[str, Any] = {
            "marker": MARKERS[index % len(MARKERS)],
            "linestyle": STYLES[index % len(STYLES)],
            "label": backend,
        }
        batches = [timing["batch"] for timing in timings]
        median = [timing["p50_us"] / 1000 for timing in timings]
        p99 = [timing["p99_us"] / 1000 for timing in timings]
        (line,) = latency.plot(batches, median, **style)
        latency.fill_between(batches, median, p99, alpha=0.12, color=line.get_color())
        throughput.plot(batches, [timing["rows_per_second"] for timing in timings], **style)
    latency.set_ylabel("latency [ms], p50, shaded to p99")
    throughput.set_ylabel("rows per second")
    for panel in (latency, throughput):
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        ticks = sorted({timing["batch"] for timings in series.values() for timing in timings})
        panel.set_xticks(ticks, [str(tick) for tick in ticks])
        panel.set_xlabel("batch size")
        panel.grid(alpha=0.3)
    throughput.legend()
    figure.suptitle(model, fontsize="medium", parse_math=False)
    figure.supxlabel(note, fontsize="x-small", parse_math=False)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return image.getvalue()
