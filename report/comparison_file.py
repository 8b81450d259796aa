"""A comparison of backends as a CSV, JSON or PNG file, by its suffix."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptx.infer.artifact.files import check_writable
from ptx.infer.errors import UsageError, did_you_mean, pluralise

if TYPE_CHECKING:
    from ptx.export import Comparison


def comparison_data(model: str, comparison: Comparison) -> dict[str, object]:
    """A comparison as a JSON object."""
    return {
        "model": model,
        "rows": comparison.rows,
        "reference": comparison.reference,
        "tolerance": comparison.tolerance,
        "passes": comparison.passed,
        "backends": [asdict(result) for result in comparison.results],
        "differ": comparison.between,
    }


def check_target(path: Path) -> None:
    """Check that a comparison can be written to this file, before comparing.

    Raises:
        UsageError: the suffix is not supported.
        OutputError: the file cannot be written.
    """
    find_writer(path)
    check_writable(path)


def find_writer(path: Path) -> Callable[[str, Comparison], bytes]:
    """The writer for the file's suffix.

    Raises:
        UsageError: the suffix is not supported; the message lists the supported ones.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise UsageError(f"--output ends in {suffix!r}; {did_you_mean(suffix, WRITERS)}")
    return WRITERS[suffix]


def _csv(model: str, comparison: Comparison) -> bytes:
    """A line for each backend, with the number of labels that differ from each other backend."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [result.backend for result in comparison.results]
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
    for result, row in zip(comparison.results, comparison.between, strict=True):
        error, allowed = (
            "" if result.failure else f"{number:.6g}" for number in (result.error, result.tolerance)
        )
        writer.writerow(
            [
                model,
                result.backend,
                result.device,
                comparison.rows,
                error,
                allowed,
                result.differ,
                "yes" if result.passed else "no",
                result.failure,
                *("" if cell is None else cell for cell in row),
            ]
        )
    return text.getvalue().encode()


def _json(model: str, comparison: Comparison) -> bytes:
    return (json.dumps(comparison_data(model, comparison), indent=2) + "\n").encode()


def _png(model: str, comparison: Comparison) -> bytes:
    """A bar chart of the largest errors with the tolerance, and the matrix of different labels."""
    from matplotlib.figure import Figure

    names = [f"{result.backend}\n{result.device}" for result in comparison.results]
    figure = Figure(figsize=(10 if comparison.labelled else 5.5, 4.2), layout="constrained")
    panels = figure.subplots(1, 2 if comparison.labelled else 1, squeeze=False)[0]
    title = f"{model}: {pluralise(comparison.rows, 'input')}, against {comparison.reference}"
    figure.suptitle(title, fontsize="medium")
    _draw_errors(panels[0], comparison, names)
    if comparison.labelled:
        _draw_matrix(panels[1], comparison, names)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return image.getvalue()


def _draw_errors(panel: Any, comparison: Comparison, names: list[str]) -> None:
    errors = [result.error for result in comparison.results]
    low = min([error for error in (*errors, comparison.tolerance) if error > 0], default=1.0) / 5
    bars = panel.bar(
        names,
        [max(error, low) for error in errors],
        width=0.6,
        color="#8ab4d0",
        edgecolor="#1a1a1a",
    )
    for bar, result in zip(bars, comparison.results, strict=True):
        if not result.passed:
            bar.set(hatch="////", facecolor="#e8a27c")
        text = "failed" if result.failure else f"{result.error:.1e}"
        panel.annotate(
            text,
            (bar.get_x() + bar.get_width() / 2, bar.get_height()),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
    panel.axhline(comparison.tolerance, linestyle="--", color="#1a1a1a")
    panel.annotate(
        f"allowed: {comparison.tolerance:.1e}",
        (0.01, comparison.tolerance),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        fontsize=9,
    )
    panel.set_yscale("log")
    panel.set_ylim(low / 2, 6 * max([comparison.tolerance, *errors]) or 1.0)
    panel.set_ylabel("largest error")
    panel.tick_params(axis="x", labelsize=8)


def _draw_matrix(panel: Any, comparison: Comparison, names: list[str]) -> None:
    counts = [[0 if cell is None else cell for cell in row] for row in comparison.between]
    darkest = max(comparison.rows, 1) ** 0.5  # square root: so that few of many inputs are visible
    panel.imshow(counts, cmap="Oranges", vmin=0, vmax=darkest)
    for row, cells in enumerate(comparison.between):
        for column, cell in enumerate(cells):
            text = "-" if cell is None else f"{cell:,}"
            colour = "white" if (cell or 0) > 0.6 * darkest else "black"
            panel.text(column, row, text, ha="center", va="center", fontsize=10, color=colour)
    positions = range(len(names))
    panel.set_xticks(positions, names, fontsize=8)
    panel.set_yticks(positions, [result.backend for result in comparison.results], fontsize=8)
    panel.set_xticks([position - 0.5 for position in positions[1:]], minor=True)
    panel.set_yticks([position - 0.5 for position in positions[1:]], minor=True)
    panel.grid(which="minor", color="#c8c8c8")
    panel.tick_params(which="minor", length=0)
    panel.set_title("inputs with different labels", fontsize="medium")


WRITERS: dict[str, Callable[[str, Comparison], bytes]] = {
    ".csv": _csv,
    ".json": _json,
    ".png": _png,
}
