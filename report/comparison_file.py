"""A comparison of the backends as a file: CSV, JSON or a picture, by the suffix."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptx.infer.artifact.files import check_writable
from ptx.infer.errors import UsageError, nearest, pluralise

if TYPE_CHECKING:
    from ptx.export import Comparison


def comparison_data(model: str, found: Comparison) -> dict[str, object]:
    """The JSON object of a comparison."""
    return {
        "model": model,
        "rows": found.rows,
        "reference": found.reference,
        "tolerance": found.tolerance,
        "passes": found.passed,
        "backends": [asdict(result) for result in found.results],
        "differ": found.between,
    }


def check_target(path: Path) -> None:
    """Refuse a file that a comparison cannot be written to, before one is made.

    Raises:
        UsageError: no such suffix.
        OutputError: it cannot be written.
    """
    find_writer(path)
    check_writable(path)


def find_writer(path: Path) -> Callable[[str, Comparison], bytes]:
    """What makes the content of a file of that name; UsageError lists the suffixes."""
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise UsageError(f"--output ends in {suffix!r}; {nearest(suffix, WRITERS)}")
    return WRITERS[suffix]


def _csv(model: str, found: Comparison) -> bytes:
    """A line for each backend; behind it on how many inputs its label differs from each other's."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [result.backend for result in found.results]
    writer.writerow(
        [
            "model",
            "backend",
            "device",
            "inputs",
            "largest_error",
            "allowed",
            "labels_differ",
            "agrees",
            "failure",
            *(f"differs_from_{name}" for name in names),
        ]
    )
    for result, row in zip(found.results, found.between, strict=True):
        error, allowed = (
            "" if result.failure else f"{number:.6g}" for number in (result.error, result.tolerance)
        )
        writer.writerow(
            [
                model,
                result.backend,
                result.device,
                found.rows,
                error,
                allowed,
                result.differ,
                "yes" if result.passed else "no",
                result.failure,
                *("" if cell is None else cell for cell in row),
            ]
        )
    return text.getvalue().encode()


def _json(model: str, found: Comparison) -> bytes:
    return (json.dumps(comparison_data(model, found), indent=2) + "\n").encode()


def _png(model: str, found: Comparison) -> bytes:
    """The largest errors beside what is allowed, and the matrix of differing labels."""
    from matplotlib.figure import Figure

    names = [f"{result.backend}\n{result.device}" for result in found.results]
    figure = Figure(figsize=(10 if found.labelled else 5.5, 4.2), layout="constrained")
    panels = figure.subplots(1, 2 if found.labelled else 1, squeeze=False)[0]
    title = f"{model}: {pluralise(found.rows, 'input')}, against {found.reference}"
    figure.suptitle(title, fontsize="medium")
    _draw_errors(panels[0], found, names)
    if found.labelled:
        _draw_matrix(panels[1], found, names)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return image.getvalue()


def _draw_errors(panel: Any, found: Comparison, names: list[str]) -> None:
    errors = [result.error for result in found.results]
    least = min([error for error in (*errors, found.tolerance) if error > 0], default=1.0) / 5
    bars = panel.bar(
        names,
        [max(error, least) for error in errors],
        width=0.6,
        color="#8ab4d0",
        edgecolor="#1a1a1a",
    )
    for bar, result in zip(bars, found.results, strict=True):
        if not result.passed:
            bar.set(hatch="////", facecolor="#e8a27c")
        text = "no answer" if result.failure else f"{result.error:.1e}"
        panel.annotate(
            text,
            (bar.get_x() + bar.get_width() / 2, bar.get_height()),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
    panel.axhline(found.tolerance, linestyle="--", color="#1a1a1a")
    panel.annotate(
        f"allowed: {found.tolerance:.1e}",
        (0.01, found.tolerance),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        fontsize=9,
    )
    panel.set_yscale("log")
    panel.set_ylim(least / 2, 6 * max([found.tolerance, *errors]) or 1.0)
    panel.set_ylabel("largest error")
    panel.tick_params(axis="x", labelsize=8)


def _draw_matrix(panel: Any, found: Comparison, names: list[str]) -> None:
    counts = [[0 if cell is None else cell for cell in row] for row in found.between]
    darkest = max(found.rows, 1) ** 0.5  # inputs: a few of many are seen
    panel.imshow(counts, cmap="Oranges", vmin=0, vmax=darkest)
    for row, cells in enumerate(found.between):
        for column, cell in enumerate(cells):
            text = "-" if cell is None else f"{cell:,}"
            colour = "white" if (cell or 0) > 0.6 * darkest else "black"
            panel.text(column, row, text, ha="center", va="center", fontsize=10, color=colour)
    places = range(len(names))
    panel.set_xticks(places, names, fontsize=8)
    panel.set_yticks(places, [result.backend for result in found.results], fontsize=8)
    panel.set_xticks([place - 0.5 for place in places[1:]], minor=True)
    panel.set_yticks([place - 0.5 for place in places[1:]], minor=True)
    panel.grid(which="minor", color="#c8c8c8")
    panel.tick_params(which="minor", length=0)
    panel.set_title("inputs with different labels", fontsize="medium")


WRITERS: dict[str, Callable[[str, Comparison], bytes]] = {
    ".csv": _csv,
    ".json": _json,
    ".png": _png,
}
