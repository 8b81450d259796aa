"""Composite a decoded image onto a background, and reduce it to the size that digits are searched at."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from PIL import Image

WORKING_SIDE: Final = 640
"""Longest side in pixels; larger images are first reduced by averaging. A 24 Mpx photograph then needs
10 MB of float32 instead of 290 MB, and a digit that takes up a twentieth of it still has more than 28
pixels."""


def min_decode_size(size: tuple[int, int]) -> tuple[int, int]:
    """The minimum (width, height) at which a JPEG of (width, height) `size` can be decoded for the same
    result.

    Both sides stay at least WORKING_SIDE. If decoding and averaging together reduce by a multiple of
    eight, the decoder does all of it: at 1/8 a pixel is the average of one 8x8 block of the JPEG.
    """
    width, height = size
    scale = next((s for s in (8, 4, 2) if min(size) >= s * WORKING_SIDE), 1)
    if scale * -(-max(size) // (scale * WORKING_SIDE)) % 8 == 0:
        scale = 8
    return max(1, width // scale), max(1, height // scale)


def reduce_to_working_side(image: Image.Image) -> Image.Image:
    """The image, reduced by averaging to a longest side of at most WORKING_SIDE."""
    factor = -(-max(image.size) // WORKING_SIDE)
    return image.reduce(factor) if factor > 1 else image


def flatten(image: Image.Image) -> Image.Image:
    """Mode L or RGB: transparent pixels get a background that contrasts with the opaque ones."""
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
    """The outermost pixels (pixels, ...) of an image (height, width, ...)."""
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def _choose_background(opaque: Image.Image, alpha: Image.Image) -> tuple[int, ...]:
    """Black for a light drawing, white for a dark one; the colour of the paper if paper is opaque."""
    solid = np.asarray(reduce_to_working_side(alpha)) > 127
    bands = len(opaque.getbands())
    if not solid.any():
        return (255,) * bands
    luminance = np.asarray(reduce_to_working_side(opaque.convert("L")), np.float32)[solid]
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    # Paper fills its bounding box and has a second tone; a drawing without paper does neither.
    second_tone = np.abs(luminance - np.median(luminance)) > 60
    if len(luminance) > 0.75 * box and np.mean(second_tone) > 0.002:
        paper = np.asarray(reduce_to_working_side(opaque)).reshape(*solid.shape, bands)[solid]
        return tuple(int(value) for value in np.median(paper, axis=0))
    return (0 if luminance.mean() > 127 else 255,) * bands
