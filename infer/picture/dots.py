"""Dots of black and white that stand for grays, as dithering makes them: averaged, as an eye does."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

LEAST_SIDE: Final = 56  # of a picture that may be dithered: in a smaller one a dot is a stroke
DOTTED: Final = 0.01  # of the pixels that differ from all four neighbours: scanned lines have none


def without_dots(flat: Image.Image) -> Image.Image:
    """A dithered picture with each pixel the mean of 3x3, of mode L; another one as it is.

    Its strokes would else be measured by the white dots in them.

    Args:
        flat: Of mode L or RGB; only a gray one of two tones can be dithered.
    """
    if min(flat.size) < LEAST_SIDE:
        return flat
    gray = exact_gray(flat)
    if gray is None or np.count_nonzero(gray.histogram()) != 2:
        return flat
    pixels = np.asarray(gray)
    inner = pixels[1:-1, 1:-1]
    dots = inner != pixels[:-2, 1:-1]
    for near in (pixels[2:, 1:-1], pixels[1:-1, :-2], pixels[1:-1, 2:]):
        dots &= inner != near
    if dots.mean() < DOTTED:
        return flat
    wide = np.pad(pixels, 1, mode="edge").astype(np.uint16)
    rows = wide[:-2] + wide[1:-1] + wide[2:]
    sums = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return Image.fromarray(((sums + 4) // 9).astype(np.uint8))


def exact_gray(flat: Image.Image) -> Image.Image | None:
    """A picture of mode L or RGB as mode L; None where it holds colour."""
    if flat.mode == "L":
        return flat
    red, green, blue = flat.split()
    return red if red.tobytes() == green.tobytes() == blue.tobytes() else None
