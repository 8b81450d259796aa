"""benchmark.png: latency and throughput of the backends over the batch size."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

MARKERS, STYLES = "os^Dv", ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def draw(series: Mapping[str, Sequence[Mapping[str, Any]]], model: str, note: str) -> bytes:
    """A PNG picture. `series`: the timings of each backend, fields of `measurement.Timing`.

    Args:
        note: What they were measured with.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
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
