"""Where the ink of a digit is: what stands out from the paper, without its dust.

The passes over all pixels are few, in float32 and over one channel at a time: of a photograph they would
otherwise take as long as its decoding.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any, Final

import numpy as np
from PIL import Image

from ptx.infer.errors import InputError
from ptx.infer.picture.objects import is_alone
from ptx.infer.picture.parts import SPECK, find_parts, widen
from ptx.infer.prediction import Box

Floats = np.ndarray[Any, np.dtype[np.float32]]

MIN_CONTRAST: Final = 20.0
"""Least distance of ink from its background, of 255. Below it lie paper grain and sensor noise."""

EDGE: Final = 0.25
"""Least ink of a pixel that the digit's box takes in: the soft edge of a stroke belongs to it."""

LEAST_SIDE: Final = 56
"""Of a picture that may be dithered: in a smaller one a dot is a stroke."""

DOTTED: Final = 0.01
"""Of the pixels that differ from all four neighbours: scanned lines have none."""

ENOUGH: Final = 40_000
"""Pixels, up to which all are asked for what is common to them."""

_DEGREES: Final = (0, 0, 1, 0, 1, 2), (0, 1, 0, 2, 1, 0)  # of y and of x, in 1, x, y, x², xy, y²
_GRID: Final = 48  # samples of the paper on each axis
_ROUNDS: Final = 6  # of the fit through them
_BLOCKS: Final = 160  # of the longer side, in which parts of the ink are told apart


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


def find_ink(flat: Image.Image) -> Floats:
    """How much of each pixel is ink, 0 to 1: its colour's distance from the paper's colour behind it.

    `flat`: mode L or RGB.

    Raises:
        InputError: E-IMG-BLANK where nothing stands out.
    """
    distance = _distance(flat)
    few = thinned(distance)
    inked = few > otsu(few)
    full = quantile(few[inked], 0.75) if inked.any() else 0.0
    grain = median(few[~inked]) if not inked.all() else 0.0
    need = max(MIN_CONTRAST, 4 * grain)
    if full < need:
        raise InputError(
            f"the picture is blank: what stands out most is {full:.0f} of 255 away from the colour"
            f" behind it, and {need:.0f} are needed here; expected a digit in a colour that stands"
            " out, with a margin of paper around it",
            code="E-IMG-BLANK",
        )
    floor = min(3 * grain, 0.5 * full)
    distance -= np.float32(floor)
    distance *= np.float32(1 / (full - floor))
    return np.clip(distance, 0, 1, out=distance)


def thinned(plane: Floats) -> Floats:
    """Every second or third … pixel of both axes: what is common to many can be told from them."""
    step = 1 + isqrt(plane.size // ENOUGH)
    return plane[::step, ::step].reshape(-1)


def border(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The outermost pixels of (height, width, ...), in a row."""
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


@dataclass(frozen=True)
class Cut:
    """The ink of one figure, 0 to 1, and where it was."""

    ink: Floats
    box: Box


def cut_out(ink: Floats, whole: tuple[int, ...] | None = None, at: tuple[int, int] = (0, 0)) -> Cut:
    """The box of what is ink. `at`: row and column of `ink` in a picture of the shape `whole`."""
    inked = ink > EDGE
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    height, width = whole or ink.shape
    box = (
        float((left + at[1]) / width),
        float((top + at[0]) / height),
        float((right + at[1]) / width),
        float((bottom + at[0]) / height),
    )
    return Cut(ink[top:bottom, left:right], box)


def exact_gray(flat: Image.Image) -> Image.Image | None:
    """A picture of mode L or RGB as mode L; None where it holds colour."""
    if flat.mode == "L":
        return flat
    red, green, blue = flat.split()
    return red if red.tobytes() == green.tobytes() == blue.tobytes() else None


def find_plain(flat: Image.Image) -> Cut | None:
    """The ink of the only figure on even paper; None where more stands out. Raises as `find_ink`."""
    return cut_plain(find_ink(flat))


def cut_plain(ink: Floats) -> Cut | None:
    """The ink without specks far smaller than its strokes; None where it is not one figure on paper."""
    step = -(-max(ink.shape) // _BLOCKS)
    height, width = (-(-side // step) for side in ink.shape)
    padded = np.zeros((height * step, width * step), bool)
    padded[: ink.shape[0], : ink.shape[1]] = ink > 0.5
    blocks = padded.reshape(height, step, -1).sum(axis=1).reshape(height, width, step).sum(axis=2)
    labels, parts = find_parts(blocks > 0)
    area = np.bincount(labels.reshape(-1), weights=blocks.reshape(-1))
    area[0] = 0
    kept = area >= SPECK * area.max()
    parts = [part for part in parts if kept[list(part.labels)].any()]
    own = kept[labels] & (labels > 0)
    if not is_alone(parts, labels, own):
        return None
    near = widen(own, 1).repeat(step, axis=0).repeat(step, axis=1)
    return cut_out(ink * near[: ink.shape[0], : ink.shape[1]])


def _distance(flat: Image.Image) -> Floats:
    """The root mean square, over the channels, of each colour's distance from the paper, 0 to 255."""
    bands = flat.split()
    squares = np.zeros((flat.height, flat.width), np.float32)
    for band, coefficients in zip(bands, _paper(flat).T, strict=True):
        difference = _surface(coefficients, flat.size)
        difference -= np.asarray(band)
        squares += np.square(difference, out=difference)
    squares /= len(bands)
    return np.sqrt(squares, out=squares)


def _paper(flat: Image.Image) -> Floats:
    """The paper's colour: coefficients (6, channels) of a quadratic surface through what is not ink.

    Shading of paper is smooth and strokes are outliers. The fit starts from the border's colour and
    takes in more with each round; where less than a fifth of the picture follows it, the border's
    colour alone is the answer.
    """
    grid = flat.resize((min(flat.width, _GRID), min(flat.height, _GRID)), Image.Resampling.BOX)
    samples = np.asarray(grid, np.float32).reshape(grid.height, grid.width, -1)
    colours = samples.reshape(grid.height * grid.width, -1)
    even = np.zeros((6, colours.shape[1]), np.float32)
    even[0] = [median(channel) for channel in border(samples).T]
    down, across = _powers(grid.height), _powers(grid.width)
    planes = [np.outer(down[:, i], across[:, j]) for i, j in zip(*_DEGREES, strict=True)]
    terms = np.stack(planes, axis=-1).reshape(-1, len(planes))
    coefficients, before = even, np.zeros(len(terms), bool)
    for _ in range(_ROUNDS):
        error = np.sqrt(np.square(colours - terms @ coefficients).mean(axis=1))
        kept = error < min(max(4 * quantile(error, 0.2), 8), 40)
        if kept.mean() < 0.2:
            return even
        if np.array_equal(kept, before):
            break  # so would all that follow
        coefficients, before = _least_squares(terms[kept], colours[kept]), kept
    return coefficients


def _least_squares(terms: Floats, colours: Floats) -> Floats:
    """Through the normal equations, whose singular values are the squares: a fifth of the time."""
    wide = terms.astype(np.float64)
    found = np.linalg.lstsq(wide.T @ wide, wide.T @ colours, rcond=1e-6)[0]
    return found.astype(np.float32)


def _surface(coefficients: Floats, size: tuple[int, int]) -> Floats:
    """The quadratic surface at each pixel of `size`, (width, height)."""
    matrix = np.zeros((3, 3), np.float32)
    matrix[_DEGREES] = coefficients
    return (_powers(size[1]) @ matrix @ _powers(size[0]).T).astype(np.float32, copy=False)


def _powers(count: int) -> Floats:
    """float32 (count, 3): 1, p and p² of the middles of `count` pixels on an axis from -1 to 1."""
    middles = (np.arange(count) + 0.5) * 2 / count - 1
    return np.stack([np.ones(count), middles, np.square(middles)], axis=1).astype(np.float32)


def otsu(distance: Floats) -> float:
    """The threshold that parts the values into the two most distinct groups."""
    top = max(float(distance.max()), 1e-6)
    levels = np.minimum(distance * np.float32(256 / top), np.float32(255)).astype(np.uint8)
    counts = np.asarray(Image.fromarray(levels).histogram())
    edges = np.linspace(0, top, 257)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    total, mass = below[-1], np.cumsum(counts * middles)
    above = total - below
    valid = (below > 0) & (above > 0)
    between = np.zeros(256)
    means = mass[valid] / below[valid] - (mass[-1] - mass[valid]) / above[valid]
    between[valid] = below[valid] * above[valid] * np.square(means)
    return float(edges[1:][int(np.argmax(between))])


def quantile(values: np.ndarray[Any, Any], share: float) -> float:
    """The number below which a share of the values lies, between two of them as they are apart.

    As NumPy's, whose Python takes longer than the work, and which imports numpy.ma.
    """
    place = share * (values.size - 1)
    below = int(place)
    above = min(below + 1, values.size - 1)
    ordered = np.partition(values, (below, above), axis=None)
    low, high = float(ordered[below]), float(ordered[above])
    return low + (high - low) * (place - below)


def median(values: np.ndarray[Any, Any]) -> float:
    """The number below which half of the values lie."""
    return quantile(values, 0.5)
