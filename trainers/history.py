"""The history of a run as files: `metrics.csv` and `training.png`."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

from ptx.infer.artifact.files import write_atomic

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
_FORMAT = ".8g"  # for losses and accuracies; a loss may be tiny
_TITLE_LIMIT = 45  # characters: even the widest ones fit into the plot


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
    """Training and test loss per epoch, and the test accuracy below, if there is one."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [row["epoch"] for row in history]
    has_accuracy = all("test_accuracy" in row for row in history)
    figure = Figure(figsize=(7, 6 if has_accuracy else 3.5), layout="constrained")
    panels = figure.subplots(2 if has_accuracy else 1, 1, sharex=True, squeeze=False)[:, 0]
    # Different line styles, so that the curves can be distinguished without colour.
    marks = {"marker": "o" if len(epochs) < 40 else None, "markersize": 3.5}
    panels[0].plot(epochs, [row["train_loss"] for row in history], "-", label="training", **marks)
    panels[0].plot(epochs, [row["test_loss"] for row in history], "--", label="test", **marks)
    panels[0].set_ylabel("loss")
    # The name of a data set may be a file name: of any length, and with `$` that is not a formula.
    short = title if len(title) <= _TITLE_LIMIT else f"{title[: _TITLE_LIMIT - 1]}…"
    panels[0].set_title(" ".join(short.split()), fontsize="medium", parse_math=False)
    if has_accuracy:
        accuracies = [100 * row["test_accuracy"] for row in history]
        label = f"test, {accuracies[-1]:.2f} % at the end"
        panels[1].plot(epochs, accuracies, "--", color="C1", label=label, **marks)
        panels[1].set_ylabel("accuracy [%]")
        bottom, top = panels[1].get_ylim()
        panels[1].set_ylim(bottom, min(top, 100 + 0.03 * (100 - bottom)))
    for panel in panels:
        panel.grid(alpha=0.3)
        panel.legend()
    if len(epochs) == 1:
        panels[-1].set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    image = io.BytesIO()
    with warnings.catch_warnings():
        # Characters that matplotlib's font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        figure.savefig(image, format="png", dpi=120)
    write_atomic(path, image.getvalue())
