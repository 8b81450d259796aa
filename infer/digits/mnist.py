"""From a picture of any size and colour to a digit in MNIST's form: light on dark, 20x20 in 28x28."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image

from ptx.infer.digits.components import Component, Floats, Pixels, max_filter, min_filter
from ptx.infer.digits.detection import crop_figure, detect
from ptx.infer.digits.foreground import Crop, crop_single_figure, descreen, to_exact_gray
from ptx.infer.digits.thresholds import quantile
from ptx.infer.errors import InputError
from ptx.infer.images.flatten import flatten, reduce_to_working_side
from ptx.infer.prediction import Box

SIZE: Final = (28, 28)
DIGIT_SIDE: Final = 20
"""MNIST scales the digit into 20x20 and centres it by mass in 28x28. True for its 70,000 pictures: the
longer side of the digit is 20 (19 in 16 of them), the centre of mass lies within 0.52 of (14, 14), the
brightest pixel is 254 or 255."""

STROKE_WIDTH: Final = (1.7, 4.2)
"""Least and largest stroke width in pixels of the 28x28 picture. Of MNIST's own digits, measured by the
same rule at ten times their size, 97 % lie between; pens and fonts leave that range."""

INVERTED: Final = [255 - value for value in range(256)]
_WITHOUT_NOISE: Final = [value if value >= 64 else 0 for value in range(256)]


@dataclass(frozen=True)
class DetectedDigit:
    """One digit in MNIST's form, and where it was in the picture."""

    pixels: Pixels
    box: Box
    ignored_regions: tuple[Box, ...] = ()  # probably written, too, and far smaller than the digits


class DigitPixels(np.ndarray[Any, np.dtype[np.uint8]]):
    """The pixels of a digit with the ignored regions of its picture."""

    ignored_regions: tuple[Box, ...] = ()


def to_mnist(image: Image.Image, size: tuple[int, int]) -> Pixels:
    """The one digit of a picture in MNIST's form: uint8 (height, width), light on 0.

    `size` is (width, height). Dark on light or light on dark, any size, colour and transparency,
    off-centre, on shaded paper, among other things: see docs/pictures.md. The digit is cropped, scaled
    into 20/28 of `size` and centred by mass. A 28x28 gray picture that is in MNIST's form already
    is returned unchanged, and an inverted one is returned as 255 minus itself.

    Raises:
        InputError: E-IMG-BLANK if nothing stands out, at any size, in a black 28x28 picture too;
            E-IMG-NO-DIGIT if nothing is like a digit; E-IMG-OBJECTS if there are several figures.
    """
    if (unchanged := _in_mnist_form(image, size)) is not None:
        return unchanged
    found = detect_digits(image, size)
    if len(found) > 1:
        places = ", ".join(
            f"{digit.box[0]:.0%} to {digit.box[2]:.0%} from the left" for digit in found
        )
        raise InputError(
            f"the picture shows {len(found)} figures: {places}; expected one: cut out the one that is"
            " meant, or have each answered (`ptx predict --all`)",
            code="E-IMG-OBJECTS",
        )
    if not found[0].ignored_regions:
        return found[0].pixels
    pixels = found[0].pixels.view(DigitPixels)
    pixels.ignored_regions = found[0].ignored_regions
    return pixels


def detect_digits(image: Image.Image, size: tuple[int, int]) -> list[DetectedDigit]:
    """Every digit of a picture in the form that `to_mnist` gives, left to right.

    Raises:
        InputError: E-IMG-BLANK, or E-IMG-NO-DIGIT if nothing has the size and the strokes of one.
    """
    if (unchanged := _in_mnist_form(image, size)) is not None:
        return [DetectedDigit(unchanged, (0.0, 0.0, 1.0, 1.0))]
    crops, ignored = _crop_digits(descreen(reduce_to_working_side(flatten(image))))
    return [DetectedDigit(normalize(one.foreground, size), one.box, ignored) for one in crops]


def normalize(foreground: Floats, size: tuple[int, int]) -> Pixels:
    """The foreground of one digit, 0 to 1 and cut to its box, in MNIST's form."""
    return _centre(_scale(foreground, round(min(size) * DIGIT_SIDE / 28)), size)


def choose_filter(scale: float) -> Image.Resampling:
    """Averaging on the way down, as MNIST was made; interpolation on the way up."""
    return Image.Resampling.BOX if scale > 1 else Image.Resampling.BICUBIC


def _crop_digits(flat: Image.Image) -> tuple[list[Crop], tuple[Box, ...]]:
    """The only figure on even paper, or else the figures among other things, and what was ignored."""
    single = blank = None
    try:
        single = crop_single_figure(flat)
    except InputError as error:
        blank = error
    if single is not None:
        return [single], ()
    detection = detect(flat.convert("L"))
    if detection is None:
        raise blank or InputError(
            "nothing in the picture has the size and the strokes of a digit; expected one digit, with"
            " paper around it",
            code="E-IMG-NO-DIGIT",
        )
    ignored = tuple(_box(one, detection.labels.shape) for one in detection.ignored)
    return [crop_figure(detection, one) for one in detection.figures], ignored


def _box(one: Component, shape: tuple[int, ...]) -> Box:
    height, width = shape
    return one.left / width, one.top / height, one.right / width, one.bottom / height


def _in_mnist_form(image: Image.Image, size: tuple[int, int]) -> Pixels | None:
    """The pixels of a 28x28 picture in MNIST's form, as it is or inverted; None for another."""
    if not image.size == size == SIZE:
        return None
    gray = image if image.mode == "L" else to_exact_gray(flatten(image))
    if gray is None:
        return None
    if (pixels := _check_form(gray)) is not None:
        return pixels
    return _check_form(gray.point(INVERTED))


def _check_form(gray: Image.Image) -> Pixels | None:
    """The pixels of `gray` if they are in MNIST's form; noise below 64 is overlooked."""
    clean, box = gray, gray.getbbox()
    if box is not None and _longer_side(box) > DIGIT_SIDE + 2:
        clean = gray.point(_WITHOUT_NOISE)
        box = clean.getbbox()
    if box is None or abs(_longer_side(box) - DIGIT_SIDE) > 2:
        return None
    pixels = np.asarray(clean)
    rows, columns = _centre_of_mass(pixels.astype(np.float32))
    if abs(rows - 14) > 1.5 or abs(columns - 14) > 1.5 or pixels.max() < 192:
        return None
    return pixels if clean is gray else np.asarray(gray)


def _longer_side(box: tuple[int, int, int, int]) -> int:
    return max(box[2] - box[0], box[3] - box[1])


def _centre_of_mass(pixels: Floats) -> tuple[float, float]:
    """Row and column."""
    height, width = pixels.shape
    rows, columns = pixels.sum(axis=1), pixels.sum(axis=0)
    total = float(rows.sum())
    return float(rows @ np.arange(height)) / total, float(columns @ np.arange(width)) / total


def _scale(foreground: Floats, side: int) -> Floats:
    """The digit, 0 to 255, with `side` as its longer side and strokes neither hair-thin nor blobs."""
    pixels = (foreground * 255).astype(np.uint8)
    moved = _move_edges(pixels, _edge_shift(foreground, max(foreground.shape) / side))
    picture = Image.fromarray(moved if moved.any() else pixels)  # a blob of few pixels can vanish
    picture = picture.crop(picture.getbbox())
    scale = max(picture.size) / side
    shape = (max(1, round(picture.width / scale)), max(1, round(picture.height / scale)))
    small = np.asarray(picture.resize(shape, choose_filter(scale)), np.float32)
    core = quantile(small[small > small.max() / 4], 0.9)  # white in MNIST's strokes
    whitened: Floats = np.minimum(small * np.float32(255 / core), np.float32(255))
    return whitened


def _edge_shift(foreground: Floats, scale: float) -> int:
    """By how many pixels of `foreground` each edge must move for strokes as wide as MNIST's."""
    mask = np.pad(foreground > 0.5, 1)
    inner = mask[1:-1, 1:-1]
    edge = inner & ~(mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:])
    width = 2 * float(inner.sum()) / max(1.0, float(edge.sum())) / scale
    target = min(max(width, STROKE_WIDTH[0]), STROKE_WIDTH[1])
    return round((target - width) * scale / 2)


def _move_edges(pixels: Pixels, shift: int) -> Pixels:
    """Strokes grown by `shift` pixels on each side, or thinned if it is negative."""
    if shift >= 0:
        return max_filter(np.pad(pixels, 2 * shift), shift)
    return min_filter(np.pad(pixels, -shift), -shift)


def _centre(digit: Floats, size: tuple[int, int]) -> Pixels:
    """`digit` on black with its centre of mass in the middle; what would leave is cut off."""
    row, column = _centre_of_mass(digit)
    canvas = Image.new("L", size)
    at = size[0] // 2 - round(column), size[1] // 2 - round(row)
    canvas.paste(Image.fromarray(np.rint(digit).astype(np.uint8)), at)
    return np.asarray(canvas)
