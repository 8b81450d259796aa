"""Small data: pictures in three colours, and what is no data for a model."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from .networks import COLOURS

_EACH = 10  # pictures of a class


def pictures(folder: Path, classes: tuple[str, ...] = COLOURS) -> Path:
    """A folder of class folders, each with pictures of another colour."""
    generator = np.random.default_rng(0)
    for index, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(_EACH):
            pixels = generator.integers(0, 120, (18, 14, 3), np.uint8)
            pixels[..., 2 - index] += 130
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def other_classes(folder: Path) -> Path:
    """The same pictures under names that the model does not have."""
    return pictures(folder / "pictures", ("cyan", "magenta", "yellow"))


def narrow(folder: Path) -> Path:
    """A table of seven columns and a target."""
    path = folder / "narrow.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([*range(7), row % 2] for row in range(20))
    return path
