"""benchmark.csv and benchmark.png: what `ptx benchmark` found, for each backend and batch size."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CSV, PLOT = "benchmark.csv", "benchmark.png"  # beside the artifacts; a report looks for the first
TEXTS = ("backend", "device", "error", "agrees", "runtime", "threads", "machine")
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
    *TEXTS[2:],
)
MARKERS, STYLES = "os^Dv", ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
POSITIVE = ("batch", "p50_us", "p95_us", "p99_us", "rows_per_second")


@dataclass(frozen=True)
class Measured:
    """One backend: its start as seen from outside, and what its process found."""

    backend: str
    start_s: float  # from the start of the process to the first answer
    found: dict[str, Any]  # the fields of `ptx.report.measurement.Measurement`

    @property
    def mebibytes(self) -> float:
        """Of memory, at most."""
        return float(self.found["memory"] / 2**20)


def csv_text(measured: Sequence[Measured], about: Mapping[str, str]) -> str:
    """The file's content; `about`: the machine and the threads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in measured:
        process = {
            **{f"{what}_ms": 1000 * one.found[f"{what}_s"] for what in ("import", "load", "first")},
            "start_ms": 1000 * one.start_s,
            "memory_mib": one.mebibytes,
            "error": "" if one.found["error"] is None else f"{one.found['error']:.3g}",
            "agrees": {None: "unknown", True: "yes", False: "no"}[one.found["agrees"]],
            **about,
        }
        for timing in one.found["timings"]:
            values = {"backend": one.backend, **one.found, **timing, **process}
            writer.writerow(
                f"{value:.3f}" if isinstance(value, float) else value
                for value in (values[column] for column in COLUMNS)
            )
    return text.getvalue()


def read_speeds(text: str) -> list[dict[str, str]]:
    """The rows of the file; ValueError where a column is missing or a number is none."""
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    for line, row in enumerate(rows, 2):
        for column in COLUMNS:
            if row.get(column) is None:
                raise ValueError(f"line {line} has no {column}")
            if column in TEXTS:
                continue
            value = float(row[column])
            if not 0 <= value < math.inf or (value == 0 and column in POSITIVE):
                raise ValueError(f"line {line}: {column} is {row[column]}; expected more than 0")
    return rows


def draw(series: Mapping[str, Sequence[Mapping[str, Any]]], model: str, note: str) -> bytes:
    """A PNG picture. `series`: the timings of each backend, fields of `ptx.report.measurement.Timing`.

    Args:
        note: What they were measured with.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    latency, throughput = figure.subplots(1, 2)
    for index, (backend, timings) in enumerate(series.items()):
        # Markers and line styles differ, so that the curves can be told apart without colour.
        look: dict[str, Any] = {
            "marker": MARKERS[index % len(MARKERS)],
            "linestyle": STYLES[index % len(STYLES)],
            "label": backend,
        }
        batches = [timing["batch"] for timing in timings]
        middle = [timing["p50_us"] / 1000 for timing in timings]
        high = [timing["p99_us"] / 1000 for timing in timings]
        (line,) = latency.plot(batches, middle, **look)
        latency.fill_between(batches, middle, high, alpha=0.12, color=line.get_color())
        throughput.plot(batches, [timing["rows_per_second"] for timing in timings], **look)
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
