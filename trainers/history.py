"""The history of a run as files: `metrics.csv` and `training.png`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ptx.infer.files import write_atomic

COLUMNS = (
    "epoch",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "seconds",
    "rows_per_second",
)
_FORMATS = {"epoch": ".0f", "seconds": ".3f", "rows_per_second": ".1f"}
_FORMAT = ".8g"  # of losses and accuracies: a loss may be tiny


def write_metrics(path: Path, history: Sequence[dict[str, float]]) -> None:
    """One line for each epoch; accuracies are empty for a regression."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in history:
        writer.writerow(
            format(row[name], _FORMATS.get(name, _FORMAT)) if name in row else ""
            for name in COLUMNS
        )
    write_atomic(path, text.getvalue().encode())


def write_plot(path: Path, history: Sequence[dict[str, float]], title: str) -> None:
    """Loss per epoch, training and test, and below it the test accuracy where there is one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [row["epoch"] for row in history]
    accurate = all("test_accuracy" in row for row in history)
    figure = Figure(figsize=(7, 6 if accurate else 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2 if accurate else 1, 1, sharex=True, squeeze=False)[:, 0]
    # Line styles and markers differ, so that the curves can be told apart without colour.
    marks = {"marker": "o" if len(epochs) < 40 else None, "markersize": 3.5}
    panels[0].plot(epochs, [row["train_loss"] for row in history], "-", label="training", **marks)
    panels[0].plot(epochs, [row["test_loss"] for row in history], "--", label="test", **marks)
    panels[0].set_ylabel("loss")
    panels[0].set_title(title)
    panels[0].legend()
    if accurate:
        accuracies = [100 * row["test_accuracy"] for row in history]
        panels[1].plot(epochs, accuracies, "--", color="C1", label="test", **marks)
        panels[1].set_ylabel("test accuracy [%]")
        panels[1].annotate(
            f"{accuracies[-1]:.2f} %",
            (epochs[-1], accuracies[-1]),
            textcoords="offset points",
            xytext=(0, -14),
            ha="right",
        )
    for panel in panels:
        panel.grid(alpha=0.3)
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    write_atomic(path, image.getvalue())
