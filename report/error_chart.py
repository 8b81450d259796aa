"""Charts of the errors along the graph of an exported file."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

from ptx.export import Location
from ptx.infer.artifact.files import check_writable, write_atomic
from ptx.infer.errors import UsageError, quote
from ptx.report.charts import RC_PARAMS, STYLES, svg_element

# In units of the tolerance; errors outside are drawn at the ends, NaN at the upper one.
_FLOOR, _CEILING = 1e-3, 1e9
_SUFFIXES = (".png", ".svg")
_MAX_LABEL = 60  # characters


def check_chart_path(path: Path) -> None:
    """Check that a chart can be written to this file, before any work.

    Raises:
        UsageError: the name ends neither in .png nor in .svg.
        OutputError: it cannot be written.
    """
    if path.suffix not in _SUFFIXES:
        raise UsageError(f"--output {quote(path)}: expected a name that ends in .png or .svg")
    check_writable(path)


def save_error_chart(location: Location, path: Path) -> None:
    """Draw the local error of each step and the error that it inherits, as PNG or SVG.

    Raises:
        UsageError, OutputError: as `check_chart_path`.
    """
    check_chart_path(path)
    write_atomic(path, draw_error_chart(location, path.suffix[1:]))


def draw_error_chart(location: Location, file_format: str = "svg") -> bytes:
    """The chart as the content of a file."""
    import matplotlib as mpl

    with mpl.rc_context(RC_PARAMS):
        content = io.BytesIO()
        _make_figure(location).savefig(content, format=file_format, dpi=150)
    return content.getvalue()


def error_chart_element(location: Location) -> str:
    """The chart as an `<svg>` element of a page."""
    import matplotlib as mpl

    # The salt makes the ids of a chart unique within a page.
    with mpl.rc_context({**RC_PARAMS, "svg.hashsalt": "error of each node"}):
        return svg_element(_make_figure(location), "Error of each node")


def _make_figure(location: Location) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    figure = Figure(figsize=(8, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    _draw_local(upper, location)
    _draw_inherited(lower, location)
    title = f"{location.backend} and {location.reference} at {location.case}"
    upper.set_title(title, loc="left")
    lower.set_xlabel("steps in the order of the graph")
    lower.xaxis.get_major_locator().set_params(integer=True)
    for axes in (upper, lower):
        if axes.get_yscale() != "log":  # without an error there is nothing to scale
            continue
        # RC_PARAMS has no mathematical text, in which matplotlib writes powers.
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.2g}")
        axes.yaxis.set_minor_locator(NullLocator())
    return figure


def _draw_local(axes: Any, location: Location) -> None:
    """The local error of each step in units of its tolerance; its cost if the file is quantized."""
    positions = range(len(location.steps))
    shares = [
        step.local.cost if location.quantized else step.local.share for step in location.steps
    ]
    heights = [
        min(max(share, _FLOOR), _CEILING) if share == share else _CEILING for share in shares
    ]
    # `not <=`: NaN fails, too.
    colours = [STYLES[1][0] if not share <= 1 else STYLES[0][0] for share in shares]
    axes.bar(positions, heights, color=colours, bottom=0, log=True)
    label = (
        "cost of quantization\n(relative RMS error)"
        if location.quantized
        else ("error of the step alone\n(1 = its tolerance)")
    )
    axes.set_ylabel(label)
    axes.set_ylim(bottom=_FLOOR)
    if not location.quantized:
        axes.axhline(1.0, color=STYLES[4][0], linewidth=0.8, linestyle="--")
        axes.set_ylim(top=max(2.0, 2 * max(heights, default=0.0)))
    if location.step is not None and location.step in location.steps:
        position = location.steps.index(location.step)
        axes.annotate(
            location.step.node[:_MAX_LABEL],
            (position, heights[position]),
            xytext=(0, 4),
            textcoords="offset points",
            ha="right" if position > len(positions) / 2 else "left",
        )
        axes.set_ylim(top=max(10.0, 20 * max(heights)))


def _draw_inherited(axes: Any, location: Location) -> None:
    """The error of each value when the file runs from its inputs, relative to the largest value."""
    points = [
        (position, step.inherited)
        for position, step in enumerate(location.steps)
        if step.inherited and math.isfinite(step.inherited)
    ]
    colour, _, marker = STYLES[0]
    if points:
        axes.semilogy(
            *zip(*points, strict=True), color=colour, marker=marker, markersize=3, linewidth=1
        )
    axes.set_ylabel("error of the value\n(relative, inherited)")
