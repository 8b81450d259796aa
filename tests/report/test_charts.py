"""Line charts as SVG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from ptx.report.charts import STYLES, Series, line_chart


def points(*ys: float) -> list[tuple[float, float]]:
    return [(float(x), y) for x, y in enumerate(ys, 1)]


@pytest.mark.parametrize("logarithmic", [False, True])
def test_every_series_has_a_colour_a_dash_and_a_marker_of_its_own(logarithmic: bool) -> None:
    series = [Series(f"backend {n}", points(1.0, 2.0 + n, 5.0)) for n in range(5)]
    chart = line_chart("a < b", "x", "y", series, log_x=logarithmic, log_y=logarithmic)
    assert ET.fromstring(chart).get("aria-label") == "a < b"
    for colour, _, _ in STYLES:
        assert f"stroke: {colour}" in chart
    assert len({str(dash) for _, dash, _ in STYLES}) == len({mark for *_, mark in STYLES}) == 5
    assert all(f">backend {n}<" in chart for n in range(5))


@pytest.mark.parametrize("ys", [(3.0,), (2.0, 2.0), (0.0, 0.0), (1e-9, 1e9)])
def test_a_single_epoch_and_equal_values_have_a_chart(ys: tuple[float, ...]) -> None:
    chart = line_chart("t", "epoch", "loss", [Series("training", points(*ys))])
    assert "nan" not in chart.lower()
    ET.fromstring(chart)


def test_names_are_shown_and_never_interpreted() -> None:
    chart = line_chart("$t$ & <t>", "x", "y", [Series("<b>&$x^2$", points(1, 2))])
    texts = [
        element.text for element in ET.fromstring(chart).iter() if element.tag.endswith("text")
    ]
    assert "<b>&$x^2$" in texts
    assert "$t$ & <t>" in texts


def test_two_charts_of_one_page_share_no_id_and_nothing_is_fetched() -> None:
    series = [Series("training", points(1, 2))]
    charts = [line_chart(title, "x", "y", series) for title in ("Loss", "Accuracy")]
    ids = [set(re.findall(r'href="#(\w+)"', chart)) for chart in charts]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert not any(re.search(r'href="(?!#)', chart) for chart in charts)
