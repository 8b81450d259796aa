"""A decoded picture without transparency and no larger than is worked on."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from PIL import Image

WORKING_SIDE: Final = 640
"""Longest side, in pixels, of the pictures that are worked on; larger ones are first averaged down to
it. A 24 Mpx photo then needs 10 MB of float32 instead of 290 MB, and a digit over a twentieth of it
still has more than 28 pixels."""


def min_decode_size(size: tuple[int, int]) -> tuple[int, int]:
    """The least (width, height) at which a JPEG of `size` may be decoded, for the same result.

    Both sides keep WORKING_SIDE. If that and the averaging after it come to a multiple of eight, all of
    it is left to the decoder: at an eighth a pixel is the average of one of the JPEG's blocks of 8x8.
    """
    width, height = size
    scale = next((s for s in (8, 4, 2) if min(size) >= s * WORKING_SIDE), 1)
    if scale * -(-max(size) // (scale * WORKING_SIDE)) % 8 == 0:
        scale = 8
    return max(1, width // scale), max(1, height // scale)


def reduce_to_working_side(image: Image.Image) -> Image.Image:
    """The picture averaged down to at most WORKING_SIDE."""
    factor = -(-max(image.size) // WORKING_SIDE)
    return image.reduce(factor) if factor > 1 else image


def flatten(image: Image.Image) -> Image.Image:
    """Mode L or RGB: what is transparent becomes a background that the opaque part stands out from."""
    if image.mode not in ("LA", "RGBA"):
        return image
    *_, alpha = image.split()
    opaque = image.convert(image.mode[:-1])
    if alpha.getextrema() == (255, 255):
        return opaque
    flat = Image.new(opaque.mode, opaque.size, _choose_background(opaque, alpha))
    flat.paste(opaque, mask=alpha)
    return flat


def border(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The outermost pixels of (height, width, ...), in a row."""
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def _choose_background(opaque: Image.Image, alpha: Image.Image) -> tuple[int, ...]:
    """Black under a light drawing, white under a dark one, the paper's colour if paper is drawn."""
    solid = np.asarray(reduce_to_working_side(alpha)) > 127
    bands = len(opaque.getbands())
    if not solid.any():
        return (255,) * bands
    luminance = np.asarray(reduce_to_working_side(opaque.convert("L")), np.float32)[solid]
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    # Paper fills its box and carries a second tone; a bare drawing does neither.
    second_tone = np.abs(luminance - np.median(luminance)) > 60
    if len(luminance) > 0.75 * box and np.mean(second_tone) > 0.002:
        paper = np.asarray(reduce_to_working_side(opaque)).reshape(*solid.shape, bands)[solid]
        return tuple(int(value) for value in np.median(paper, axis=0))
    return (0 if luminance.mean() > 127 else 255,) * bands
