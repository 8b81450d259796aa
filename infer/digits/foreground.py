"""The foreground of an image with one digit on even paper: the pixels that differ from the paper.

This is the fast path; for other images see `ptx.infer.digits.detection`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from PIL import Image

from ptx.infer.digits.components import Floats, Mask, Pixels, connected_components, dilate
from ptx.infer.digits.grouping import NOISE, is_single_figure
from ptx.infer.digits.thresholds import median, otsu, quantile, subsample
from ptx.infer.errors import InputError
from ptx.infer.images.flatten import border
from ptx.infer.prediction import Box

MIN_CONTRAST: Final = 20.0
"""Minimum distance, of 255, between the colours of foreground and background. Paper grain and sensor
noise are below it."""

EDGE: Final = 0.25
"""Minimum foreground of a pixel in the digit's box, so that the soft edges of strokes are inside."""

MIN_DITHERED_SIDE: Final = 56
"""Minimum side in pixels: in a smaller image a dot of a dither pattern looks like a stroke."""

MIN_DOTS: Final = 0.01
"""Minimum fraction of pixels of a dithered image that differ from all four neighbours; in scanned line
art there are none."""

_DEGREES: Final = (
    (0, 0, 1, 0, 1, 2),
    (0, 1, 0, 2, 1, 0),
)  # exponents of y and of x: 1, x, y, x², xy, y²
_GRID: Final = 48  # background samples along each axis
_ROUNDS: Final = 6  # iterations of the robust fit
_BLOCKS: Final = 160  # blocks along the longer side, in which components are searched

Doubles = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Crop:
    """One digit, cut out of its image."""

    foreground: Floats  # float32 (height, width), 0 to 1
    box: Box


def descreen(flat: Image.Image) -> Image.Image:
    """A dithered image as gray, mode L, by averaging 3x3 pixels; another image unchanged.

    Otherwise the stroke width would be measured between the white dots in a stroke.

    Args:
        flat: Mode L or RGB; only a gray image with two tones can be dithered.
    """
    if min(flat.size) < MIN_DITHERED_SIDE:
        return flat
    gray = to_exact_gray(flat)
    if gray is None or np.count_nonzero(gray.histogram()) != 2:
        return flat
    pixels = np.asarray(gray)
    inner = pixels[1:-1, 1:-1]
    dots = inner != pixels[:-2, 1:-1]
    for neighbour in (pixels[2:, 1:-1], pixels[1:-1, :-2], pixels[1:-1, 2:]):
        dots &= inner != neighbour
    if dots.mean() < MIN_DOTS:
        return flat
    padded = np.pad(pixels, 1, mode="edge").astype(np.uint16)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    sums = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return Image.fromarray(((sums + 4) // 9).astype(np.uint8))


def to_exact_gray(flat: Image.Image) -> Image.Image | None:
    """An image of mode L or RGB in mode L; None if it has colour."""
    if flat.mode == "L":
        return flat
    # The first row is enough to see that most photographs have colour.
    for region in (flat.crop((0, 0, flat.width, 1)), flat):
        pixels = np.asarray(region)
        if (pixels[..., :1] != pixels[..., 1:]).any():
            return None
    return flat.getchannel(0)


def crop_single_figure(flat: Image.Image) -> Crop | None:
    """The only digit in an image of mode L or RGB, on even paper; None if there is anything else.

    Raises:
        InputError: E-IMG-BLANK if nothing contrasts with the background.
    """
    squares = _background_squares(flat)
    floor, strong = _measure_contrast(np.sqrt(subsample(squares)))
    step = -(-max(squares.shape) // _BLOCKS)
    # Foreground above one half; comparing squares avoids the square root of each pixel.
    blocks = _count_blocks(squares > ((floor + strong) / 2) ** 2, step)
    labels, components = connected_components(blocks > 0)
    area = np.bincount(labels.reshape(-1), weights=blocks.reshape(-1))
    area[0] = 0
    kept = area >= NOISE * area.max()
    components = [one for one in components if kept[list(one.labels)].any()]
    mask = kept[labels] & (labels > 0)
    if not is_single_figure(components, labels, mask):
        return None
    near = dilate(mask, 1)
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    near = near[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    near = near.repeat(step, axis=0).repeat(step, axis=1)
    top, left = int(rows[0]) * step, int(columns[0]) * step
    distance = np.sqrt(squares[top : top + near.shape[0], left : left + near.shape[1]])
    foreground = np.clip((distance - np.float32(floor)) * np.float32(1 / (strong - floor)), 0, 1)
    # the last blocks extend beyond the image
    near = near[: distance.shape[0], : distance.shape[1]]
    return crop(foreground * near, squares.shape, (top, left))


def crop(
    foreground: Floats, shape: tuple[int, ...] | None = None, at: tuple[int, int] = (0, 0)
) -> Crop:
    """`foreground` cropped to the bounding box of the pixels above EDGE.

    Args:
        foreground: float32 (height, width), 0 to 1; an image or a part of it.
        shape: The shape of the image; by default that of `foreground`.
        at: Row and column of `foreground` in the image.
    """
    mask = foreground > EDGE
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    height, width = shape or foreground.shape
    box = (
        float((left + at[1]) / width),
        float((top + at[0]) / height),
        float((right + at[1]) / width),
        float((bottom + at[0]) / height),
    )
    return Crop(foreground[top:bottom, left:right], box)


def _measure_contrast(distance: Floats) -> tuple[float, float]:
    """The distances from the background, 0 to 255, that count as no foreground and as full foreground.

    Args:
        distance: The distances of some pixels.

    Raises:
        InputError: E-IMG-BLANK if nothing contrasts with the background.
    """
    mask = distance > otsu(distance)
    strong = quantile(distance[mask], 0.75) if mask.any() else 0.0
    grain = median(distance[~mask]) if not mask.all() else 0.0
    needed = max(MIN_CONTRAST, 4 * grain)
    if strong < needed:
        raise InputError(
            f"the image is blank: the largest contrast with the background is {strong:.0f} of 255, and"
            f" {needed:.0f} are needed; expected a digit with more contrast, and a margin of paper"
            " around it",
            code="E-IMG-BLANK",
        )
    return min(3 * grain, 0.5 * strong), strong


def _count_blocks(mask: Mask, step: int) -> Pixels:
    """Set pixels in each block of `step`×`step` pixels; the last blocks may extend beyond the mask."""
    height, width = (-(-side // step) for side in mask.shape)
    padded = np.zeros((height * step, width * step), np.uint8)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    rows = padded.reshape(height, step, -1).sum(axis=1, dtype=np.uint8)
    counts: Pixels = rows.reshape(height, width, step).sum(axis=2, dtype=np.uint8)
    return counts


def _background_squares(flat: Image.Image) -> Floats:
    """float32 (height, width): the squared difference of each pixel from the background, averaged over
    the channels.

    The channels stay interleaved, so that each operation is one pass over the image.
    """
    pixels = np.asarray(flat).reshape(flat.height, flat.width, -1)
    channels = pixels.shape[2]
    surface = np.zeros((channels, 3, 3), np.float32)
    surface[:, _DEGREES[0], _DEGREES[1]] = _fit_background(flat).T
    across = (surface @ _powers(flat.width).T).transpose(1, 2, 0)  # (3, width, channels)
    difference = _powers(flat.height) @ np.ascontiguousarray(across).reshape(3, -1)
    difference -= pixels.reshape(flat.height, -1)
    np.square(difference, out=difference)
    mean = np.full(channels, 1 / channels, np.float32)
    squares: Floats = (difference.reshape(-1, channels) @ mean).reshape(flat.height, flat.width)
    return squares


def _fit_background(flat: Image.Image) -> Floats:
    """The paper's colour: coefficients (6, channels) of a quadratic surface fitted to the paper.

    The shading of paper is smooth, and strokes are outliers. The fit starts with the border's colour and
    includes more samples in each iteration. If it fits less than a fifth of the image, the result is the
    border's colour.
    """
    grid = flat.resize((min(flat.width, _GRID), min(flat.height, _GRID)), Image.Resampling.BOX)
    samples = np.asarray(grid, np.float32).reshape(grid.height, grid.width, -1)
    channels = samples.shape[2]
    colours = samples.reshape(-1, channels)
    even = np.zeros((6, channels), np.float32)
    even[0] = [median(channel) for channel in border(samples).T]
    terms = _terms(grid.height, grid.width)
    mean = np.full(channels, 1 / channels, np.float32)
    coefficients, previous = even, np.zeros(len(colours), bool)
    for _ in range(_ROUNDS):
        error = np.sqrt(np.square(colours - terms.T @ coefficients) @ mean)
        inliers = error < min(max(4 * quantile(error, 0.2), 8), 40)
        if inliers.mean() < 0.2:
            return even
        if np.array_equal(inliers, previous):
            break  # converged
        coefficients, previous = _least_squares(terms, colours, inliers), inliers
    return coefficients


def _least_squares(terms: Doubles, colours: Floats, inliers: Mask) -> Floats:
    """Coefficients float32 (6, channels) for some samples, by the normal equations.

    Args:
        terms: float64 (6, samples).
        colours: float32 (samples, channels).
        inliers: (samples,): the samples that are fitted.
    """
    weighted = terms * inliers
    normal = weighted @ terms.T, weighted @ colours
    return np.linalg.lstsq(*normal, rcond=1e-6)[0].astype(np.float32)


@lru_cache(maxsize=4)
def _terms(height: int, width: int) -> Doubles:
    """float64 (6, height · width): 1, x, y, x², xy and y² of each pixel."""
    down, across = _powers(height), _powers(width)
    planes = [np.outer(down[:, i], across[:, j]).ravel() for i, j in zip(*_DEGREES, strict=True)]
    return np.stack(planes).astype(np.float64)


def _powers(count: int) -> Floats:
    """float32 (count, 3): 1, p and p² for the centres p of `count` pixels on an axis from −1 to 1."""
    centres = (np.arange(count) + 0.5) * 2 / count - 1
    return np.stack([np.ones(count), centres, np.square(centres)], axis=1).astype(np.float32)
