"""Line charts as SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from ptx.cli.charts import STYLES, WIDTH, Series, line_chart, short, ticks


def points(*ys: float) -> list[tuple[float, float]]:
    return [(float(x), y) for x, y in enumerate(ys, 1)]


def numbers(text: str) -> list[float]:
    return [float(part) for pair in text.split() for part in pair.split(",")]


@pytest.mark.parametrize("logarithmic", [False, True])
def test_every_series_has_a_colour_a_dash_and_a_marker_of_its_own(logarithmic: bool) -> None:
    series = [Series(f"backend {n}", points(1.0, 2.0 + n, 5.0)) for n in range(5)]
    chart = line_chart("a < b", "x", "y", series, log_x=logarithmic, log_y=logarithmic)
    root = ET.fromstring(chart)
    lines = [item for item in root if item.tag == "polyline"]
    looks = {(line.get("stroke"), line.get("stroke-dasharray")) for line in lines}
    assert len(looks) == len({dash for _, dash in looks}) == 5
    assert len({marker for _, _, marker in STYLES}) == 5
    assert root.get("aria-label") == "a < b"


def test_nothing_leaves_the_picture_and_the_legend_stands_above_the_lines() -> None:
    series = [Series(f"a long name of a backend {n}", points(0.0, 9e5)) for n in range(5)]
    root = ET.fromstring(line_chart("t", "x", "y", series))
    height = float(str(root.get("viewBox")).split()[3])
    legend = [float(str(item.get("y"))) for item in root if (item.text or "").startswith("a long")]
    assert len(set(legend)) == 5
    for item in root:
        if item.tag == "text" and item.get("x"):
            assert 0 <= float(str(item.get("x"))) <= WIDTH
            assert 0 <= float(str(item.get("y"))) <= height
        if item.tag == "polyline":
            places = numbers(str(item.get("points")))
            assert min(places) >= 0
            if max(places[1::2]) - min(places[1::2]) > 50:  # a line, not its sample in the legend
                assert min(places[1::2]) > max(legend)


@pytest.mark.parametrize("ys", [(3.0,), (2.0, 2.0), (0.0, 0.0), (1e-9, 1e9)])
def test_a_single_epoch_and_equal_values_have_a_chart(ys: tuple[float, ...]) -> None:
    chart = line_chart("t", "epoch", "loss", [Series("training", points(*ys))])
    assert "nan" not in chart
    ET.fromstring(chart)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.91, 0.99, [0.92, 0.94, 0.96, 0.98]),
        (1, 20, [5, 10, 15, 20]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_numbers_are_short() -> None:
    assert [short(n) for n in (0.25, 128, 0, 1e-4, 25_600, 1.2e6)] == [
        "0.25", "128", "0", "1e-04", "25.6k", "1.2M",
    ]  # fmt: skip
