"""Where the ink of a picture is: its distance from the paper, and the part that is a digit."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from PIL import Image

from ptx.infer.errors import InputError

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

MIN_CONTRAST: Final = 20.0
"""Least distance of ink from its background, of 255. Below it lie paper grain and sensor noise."""

SPECK: Final = 0.05
"""A part with less ink than this share of the largest part is dust, not a stroke of the digit."""

EDGE: Final = 0.25
"""Least ink of a pixel that the digit's box takes in: the soft edge of a stroke belongs to it."""


def find_border(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def find_ink(flat: Image.Image) -> Floats:
    """How much of each pixel is ink, 0 to 1: its colour's distance from the background behind it."""
    colours = np.asarray(flat, np.float32)
    colours = colours.reshape(*colours.shape[:2], -1)
    difference = colours - _background(flat)
    distance: Floats = np.sqrt(np.square(difference).mean(axis=2))
    threshold = _otsu(distance)
    inked = distance > threshold
    full = float(np.percentile(distance[inked], 75)) if inked.any() else 0.0
    grain = float(np.median(distance[~inked])) if not inked.all() else 0.0
    need = max(MIN_CONTRAST, 4 * grain)
    if full < need:
        raise InputError(
            f"the picture is blank: what stands out most is {full:.0f} of 255 away from the colour"
            f" behind it, and {need:.0f} are needed here; expected a digit in a colour that stands"
            " out, with a margin of paper around it",
            code="E-IMG-BLANK",
        )
    floor = min(3 * grain, 0.5 * full)
    ink: Floats = np.clip((distance - floor) / (full - floor), 0, 1)
    return ink


def _background(flat: Image.Image) -> Floats:
    """The colour of the paper at each pixel: a quadratic surface through what is not ink.

    Shading of paper is smooth and strokes are outliers. The fit starts from the border's colour and
    takes in more with each round; where less than a fifth of the picture follows it, the border's
    colour alone is the answer.
    """
    grid = flat.resize((min(flat.width, 48), min(flat.height, 48)), Image.Resampling.BOX)
    samples = np.asarray(grid, np.float32).reshape(grid.height, grid.width, -1)
    colours = samples.reshape(grid.height * grid.width, -1)
    x, y = _positions(grid.width), _positions(grid.height)[:, np.newaxis]
    terms = np.broadcast_arrays(np.float32(1), x, y, x * x, x * y, y * y)
    surface = np.stack(terms, axis=-1).reshape(-1, 6)
    border = np.median(find_border(samples), axis=0)
    fitted = np.broadcast_to(border, colours.shape)
    coefficients = np.zeros((6, colours.shape[1]), np.float32)
    for _ in range(6):
        error = np.sqrt(np.square(colours - fitted).mean(axis=1))
        kept = error < np.clip(4 * np.quantile(error, 0.2), 8, 40)
        if kept.mean() < 0.2:
            return np.broadcast_to(border, (flat.height, flat.width, len(border)))
        coefficients = np.linalg.lstsq(surface[kept], colours[kept], rcond=1e-3)[0]
        fitted = surface @ coefficients
    x, y = _positions(flat.width), _positions(flat.height)[:, np.newaxis]
    planes: list[Floats] = [
        (c[0] + c[2] * y + c[5] * y * y) + (c[1] * x + c[3] * x * x) + c[4] * y * x
        for c in coefficients.T
    ]
    return np.stack(planes, axis=-1)


def _positions(count: int) -> Floats:
    """Middles of `count` pixels on an axis from -1 to 1."""
    return ((np.arange(count) + 0.5) * 2 / count - 1).astype(np.float32)


def _otsu(distance: Floats) -> float:
    """The threshold that parts the values into the two most distinct groups."""
    top = float(distance.max())
    counts, edges = np.histogram(distance, bins=256, range=(0, max(top, 1e-6)))
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    total, mass = below[-1], np.cumsum(counts * middles)
    above = total - below
    valid = (below > 0) & (above > 0)
    between = np.zeros(256)
    means = mass[valid] / below[valid] - (mass[-1] - mass[valid]) / above[valid]
    between[valid] = below[valid] * above[valid] * np.square(means)
    return float(edges[1:][int(np.argmax(between))])


def crop_digit(ink: Floats) -> Floats:
    """The part that holds the digit; specks far smaller than its strokes do not count."""
    step = -(-max(ink.shape) // 160)
    height, width = (-(-side // step) for side in ink.shape)
    padded = np.zeros((height * step, width * step), bool)
    padded[: ink.shape[0], : ink.shape[1]] = ink > 0.5
    blocks = padded.reshape(height, step, width, step).sum(axis=(1, 3))
    labels = _components(blocks > 0)
    area = np.bincount(labels.reshape(-1), weights=blocks.reshape(-1))
    area[0] = 0
    kept = np.isin(labels, np.flatnonzero(area >= SPECK * area.max())) & (labels > 0)
    from PIL import ImageFilter

    reach = Image.fromarray(kept.astype(np.uint8)).filter(ImageFilter.MaxFilter(3))
    near = np.kron(np.asarray(reach), np.ones((step, step), np.uint8))
    digit_ink = ink * near[: ink.shape[0], : ink.shape[1]]
    inked = digit_ink > EDGE
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    return digit_ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _components(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Labels of the 8-connected parts of `mask`, 0 where it is False: runs joined by union-find."""
    parent = [0]

    def root(label: int) -> int:
        while parent[label] != label:
            parent[label] = parent[parent[label]]
            label = parent[label]
        return label

    labels = np.zeros(mask.shape, np.intp)
    above: list[tuple[int, int, int]] = []
    for row, line in enumerate(mask):
        edges = np.flatnonzero(np.diff(line, prepend=False, append=False)).tolist()
        runs: list[tuple[int, int, int]] = []
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            label = len(parent)
            parent.append(label)
            for left, right, other in above:
                if left <= stop and start <= right:
                    parent[root(other)] = root(label)
            labels[row, start:stop] = label
            runs.append((start, stop, label))
        above = runs
    return np.array([root(label) for label in range(len(parent))], np.intp)[labels]
