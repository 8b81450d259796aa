"""Line charts as inline SVG, drawn by matplotlib; the lines are distinct without colour."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

# Colours that are distinct to colour-blind people (Okabe and Ito, https://jfly.uni-koeln.de/color/),
# each with its own dash and marker for black-and-white print.
STYLES: tuple[tuple[str, Any, str], ...] = (
    ("#0072b2", "-", "o"),
    ("#d55e00", (0, (4, 2)), "s"),
    ("#007a5a", (0, (1.4, 2)), "^"),
    ("#9b4f80", (0, (6, 2, 1.4, 2)), "D"),
    ("#333333", (0, (2.6, 1.4)), "X"),
)
MAX_NAME = 44  # characters of a name in the legend
MAX_MARKERS = 40  # points; a longer series has no markers
LEGEND_WIDTH = 48  # characters of a line of the legend
MAX_TICKS = 8  # of a logarithmic x axis
RC_PARAMS: dict[Any, Any] = {
    "svg.fonttype": "none",  # keep text searchable, in the font of the page
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#333333",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Series:
    """A line and its name in the legend."""

    name: str
    points: Sequence[tuple[float, float]]


def line_chart(
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    *,
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """An `<svg>` element of the series. A logarithmic x axis has ticks at the points."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    names = [line.name[:MAX_NAME] for line in series]
    legend_columns = max(1, LEGEND_WIDTH // (max(map(len, names)) + 6))
    legend_lines = -(-len(names) // legend_columns)
    # The salt makes the ids of a chart unique within a page.
    with mpl.rc_context({**RC_PARAMS, "svg.hashsalt": f"{title} {names}"}):
        figure = Figure(figsize=(4.4, 2.5 + 0.17 * (legend_lines - 1)), layout="constrained")
        FigureCanvasSVG(figure)
        panel = figure.subplots()
        for index, line in enumerate(series):
            _draw(panel, line, index)
        _scale(panel, series, log_x=log_x, log_y=log_y)
        panel.set_xlabel(x_label)
        panel.set_ylabel(y_label)
        figure.legend(
            loc="outside upper left",
            ncols=legend_columns,
            frameon=False,
            handlelength=3,
            alignment="left",
            title=title,
            title_fontproperties={"size": 9, "weight": "bold"},
        )
        return svg_element(figure, title)


def svg_element(figure: Any, title: str) -> str:
    """A matplotlib figure as an `<svg>` element with an accessible name."""
    content = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(content, format="svg", metadata=no_metadata, transparent=True)
    _, _, svg = content.getvalue().partition("<svg ")
    return f'<svg role="img" aria-label="{escape(title)}" {svg}'


def _draw(panel: Any, line: Series, index: int) -> None:
    colour, dash, marker = STYLES[index % len(STYLES)]
    panel.plot(
        [x for x, _ in line.points],
        [y for _, y in line.points],
        label=line.name if len(line.name) <= MAX_NAME else f"{line.name[: MAX_NAME - 1]}…",
        color=colour,
        linestyle=dash,
        marker=marker if len(line.points) <= MAX_MARKERS else "",
        markersize=3.5,
        linewidth=1.3,
    )


def _scale(panel: Any, series: Sequence[Series], *, log_x: bool, log_y: bool) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

    xs = sorted({x for line in series for x, _ in line.points})
    if log_x:
        panel.set_xscale("log")
        shown = xs[:: -(-len(xs) // MAX_TICKS)]
        panel.set_xticks(shown, [f"{x:,.0f}" for x in shown])
        panel.xaxis.set_minor_locator(NullLocator())
    else:
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    if log_y:
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:,g}")
        panel.yaxis.set_minor_locator(NullLocator())
    elif max(y for line in series for _, y in line.points) >= 1e4:
        panel.yaxis.set_major_formatter(EngFormatter(sep=""))
