"""`metrics.csv` and `training.png`."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ptx.trainers.history import COLUMNS, write_metrics, write_plot

ROW = {
    "epoch": 1,
    "train_loss": 0.123456789,
    "train_accuracy": 59_999 / 60_000,
    "test_loss": 3.2e-9,
    "test_accuracy": 0.5,
    "seconds": 12.34567,
    "rows_per_second": 4860.04,
}


def history(epochs: int, *, accuracy: bool = True) -> list[dict[str, float]]:
    rows = []
    for epoch in range(1, epochs + 1):
        row: dict[str, float] = {
            "epoch": epoch,
            "train_loss": 2.3 * math.exp(-epoch / 9) + 0.02,
            "test_loss": 2.2 * math.exp(-epoch / 8) + 0.05,
            "seconds": 1.5,
            "rows_per_second": 40_000.0,
        }
        if accuracy:
            row |= {"train_accuracy": 1 - 0.7 / epoch, "test_accuracy": 1 - 0.6 / epoch}
        rows.append(row)
    return rows


def test_a_line_for_each_epoch(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    write_metrics(path, [ROW, {**ROW, "epoch": 2}])
    assert path.read_text() == (
        "epoch,train_loss,train_accuracy,test_loss,test_accuracy,seconds,rows_per_second\n"
        "1,0.12345679,0.99998333,3.2e-09,0.5,12.346,4860.0\n"
        "2,0.12345679,0.99998333,3.2e-09,0.5,12.346,4860.0\n"
    )


def test_a_regression_leaves_the_accuracies_empty(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    write_metrics(path, history(2, accuracy=False))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [set(row) for row in rows] == [set(COLUMNS)] * 2
    assert [row["train_accuracy"] + row["test_accuracy"] for row in rows] == ["", ""]
    assert float(rows[1]["train_loss"]) == pytest.approx(2.3 * math.exp(-2 / 9) + 0.02, rel=1e-7)


def test_no_epochs_leave_the_titles_of_the_columns(tmp_path: Path) -> None:
    write_metrics(tmp_path / "metrics.csv", [])
    assert (tmp_path / "metrics.csv").read_text() == ",".join(COLUMNS) + "\n"


def drawn(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        image.load()
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("epochs", [1, 2, 3, 100])
@pytest.mark.parametrize("accuracy", [True, False])
def test_the_picture_is_drawn_inside_its_frame(epochs: int, accuracy: bool, tmp_path: Path) -> None:
    path = tmp_path / "training.png"
    write_plot(path, history(epochs, accuracy=accuracy), "convnet on mnist")
    pixels = drawn(path)
    assert pixels.shape == ((720, 840, 3) if accuracy else (420, 840, 3))
    border = np.concatenate(
        [pixels[:3].ravel(), pixels[-3:].ravel(), pixels[:, :3].ravel(), pixels[:, -3:].ravel()]
    )
    assert (border == 255).all()
    blue, orange = np.array([31, 119, 180]), np.array([255, 127, 14])  # the first two colours
    for colour in (blue, orange):
        assert (pixels == colour).all(axis=2).sum() > 20, "a curve is missing"


@pytest.mark.parametrize(
    "title",
    [
        "mlp on a$b$c",
        "mlp on $\\frac$",
        "mlp on 手書き",
        "mlp on " + "WWWW" * 20,
        "mlp on a\nb",
    ],
)
def test_any_name_of_a_data_set_can_be_the_title(title: str, tmp_path: Path) -> None:
    path = tmp_path / "training.png"
    write_plot(path, history(3), title)
    pixels = drawn(path)
    assert (pixels[:, :3] == 255).all()
    assert (pixels[:, -3:] == 255).all()
    assert (pixels[:3] == 255).all()
    assert (pixels[3:60] != 255).any()


def test_the_plot_of_a_history_without_a_spread_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "training.png"
    write_plot(path, [{**ROW, "epoch": epoch, "test_accuracy": 1.0} for epoch in (1, 2, 3)], "x")
    assert drawn(path).shape == (720, 840, 3)


def test_both_files_replace_the_old_ones_and_leave_nothing_beside(tmp_path: Path) -> None:
    for _ in range(2):
        write_metrics(tmp_path / "metrics.csv", history(2))
        write_plot(tmp_path / "training.png", history(2), "x")
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.csv", "training.png"}
