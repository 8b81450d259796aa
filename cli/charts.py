"""Line charts as inline SVG: sharp at any size, read without a script, told apart without colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 380, 230  # user units: drawn at least this wide, so that 11 units are 11 pixels
LEFT, RIGHT, BOTTOM = 52, 14, 40
LINE = 16  # height of a line of the legend
LETTER = 6.2  # width of a character, at most: the legend's lines are filled by it

# Colours that colour-blind people tell apart (Okabe and Ito, https://jfly.uni-koeln.de/color/), each
# with a dash and a marker of its own for print in black and white.
STYLES = (
    ("#0072b2", "", "circle"),
    ("#d55e00", "6 3", "square"),
    ("#007a5a", "2 3", "triangle"),
    ("#9b4f80", "9 3 2 3", "diamond"),
    ("#333333", "4 2", "cross"),
)
LONGEST = 44  # characters of a name in the legend: one line of it
MARKED = 40  # points of a series, at most, that have markers


@dataclass(frozen=True)
class Series:
    """One line with its name in the legend."""

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
    """An `<svg>` of the series. A logarithmic x axis has its ticks at the points."""
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points]
    rows = _legend_rows([one.name for one in series])
    top = 22 + LINE * len(rows) + 6
    height = HEIGHT + LINE * (len(rows) - 1)
    across = _axis(xs, LEFT, WIDTH - RIGHT, log_x)
    up = _axis(ys, height - BOTTOM, top, log_y)
    whole = [tick for tick in ticks(min(xs), max(xs)) if tick == int(tick)]
    x_ticks = _every(sorted(set(xs))) if log_x else whole
    y_ticks = _decades(min(ys), max(ys)) if log_y else ticks(min(ys), max(ys))
    middle = (LEFT + WIDTH - RIGHT) / 2, (top + height - BOTTOM) / 2
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f'<text x="{LEFT}" y="14" class="title">{escape(title)}</text>',
        *_legend(rows),
        *_grid(across, up, x_ticks, y_ticks, top, height),
        f'<text x="{middle[0]}" y="{height - 6}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text transform="translate(11 {middle[1]}) rotate(-90)" text-anchor="middle">',
        f"{escape(y_label)}</text>",
    ]
    for index, one in enumerate(series):
        parts += _line([(across(x), up(y)) for x, y in one.points], index)
    return "\n".join([*parts, "</svg>"])


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers that span the range."""
    if high <= low:
        return [low]
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def short(number: float) -> str:
    """`0.25`, `1,024`, `3.2M`."""
    if number and abs(number) < 1e-3:
        return f"{number:.0e}"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= size:
            return f"{number / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{number:,.0f}" if number == int(number) else f"{number:.4g}"


def _axis(
    values: Sequence[float], start: float, end: float, logarithmic: bool
) -> Callable[[float], float]:
    """From a value to its place: the range with a margin, between `start` and `end`."""
    scale: Callable[[float], float] = math.log10 if logarithmic else float
    low, high = scale(min(values)), scale(max(values))
    margin = 0.05 * (high - low) or 0.5
    low, high = low - margin, high + margin
    return lambda value: round(start + (end - start) * (scale(value) - low) / (high - low), 1)


def _decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten in the range; the powers alone where it is wide."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    wide = len(powers) > 4
    marks = [factor * 10.0**power for power in powers for factor in ((1,) if wide else (1, 2, 5))]
    inside = [mark for mark in marks if low * 0.95 <= mark <= high * 1.05]
    return inside or [low, high]


def _every(values: list[float]) -> list[float]:
    """At most eight of the values."""
    step = -(-len(values) // 8)
    return values[::step]


def _grid(
    across: Callable[[float], float],
    up: Callable[[float], float],
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    top: float,
    height: float,
) -> list[str]:
    bottom = height - BOTTOM
    parts = []
    for tick in y_ticks:
        y = up(tick)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" class="grid"/>')
        parts.append(
            f'<text x="{LEFT - 5}" y="{y + 4}" text-anchor="end">{escape(short(tick))}</text>'
        )
    for tick in x_ticks:
        x = across(tick)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{bottom}" y2="{bottom + 4}" class="axis"/>')
        parts.append(
            f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{escape(short(tick))}</text>'
        )
    parts.append(f'<path d="M{LEFT} {top}V{bottom}H{WIDTH - RIGHT}" class="axis" fill="none"/>')
    return parts


def _line(places: Sequence[tuple[float, float]], index: int, marked: bool = True) -> list[str]:
    colour, dash, marker = STYLES[index % len(STYLES)]
    path = " ".join(f"{x},{y}" for x, y in places)
    line = (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"'
        f' stroke-dasharray="{dash}"/>'
    )
    few = places if marked and len(places) <= MARKED else []
    return [line, *(_marker(x, y, colour, marker) for x, y in few)]


def _marker(x: float, y: float, colour: str, kind: str) -> str:
    if kind == "circle":
        return f'<circle cx="{x}" cy="{y}" r="2.6" fill="{colour}"/>'
    shapes = {
        "square": "m-2.5-2.5h5v5h-5z",
        "triangle": "m0-3.2l3 5.4h-6z",
        "diamond": "m0-3.4l3 3.4l-3 3.4l-3-3.4z",
        "cross": "m-2.6-2.6l5.2 5.2m0-5.2l-5.2 5.2",
    }
    stroke = f' stroke="{colour}" stroke-width="1.4"' if kind == "cross" else ""
    return f'<path d="M{x} {y}{shapes[kind]}" fill="{colour}"{stroke}/>'


def _legend_rows(names: Sequence[str]) -> list[list[tuple[float, str]]]:
    """The names with their places, in as many lines as they need."""
    rows: list[list[tuple[float, str]]] = [[]]
    x = float(LEFT)
    for given in names:
        name = given if len(given) <= LONGEST else f"{given[: LONGEST - 1]}…"
        width = 34 + LETTER * len(name)
        if rows[-1] and x + width > WIDTH - RIGHT:
            rows.append([])
            x = float(LEFT)
        rows[-1].append((round(x, 1), name))
        x += width
    return rows


def _legend(rows: Sequence[Sequence[tuple[float, str]]]) -> list[str]:
    parts = []
    index = 0
    for line, row in enumerate(rows):
        y = 26 + LINE * line
        for x, name in row:
            colour, _, marker = STYLES[index % len(STYLES)]
            parts += _line([(x, y), (x + 22, y)], index, marked=False)
            parts.append(_marker(x + 11, y, colour, marker))
            parts.append(f'<text x="{x + 27}" y="{y + 4}">{escape(name)}</text>')
            index += 1
    return parts
