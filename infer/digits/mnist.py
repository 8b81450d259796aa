"""From an image of any size and colour to a digit in MNIST's form: light on dark, 20x20 in 28x28."""

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
"""MNIST scales the digit into 20x20 and centres it by mass in 28x28. In its 70,000 images, the longer
side of the digit is 20 (19 in 16 of them), the centre of mass is within 0.52 of (14, 14), and the
brightest pixel is 254 or 255."""

STROKE_WIDTH: Final = (1.7, 4.2)
"""Minimum and maximum stroke width in pixels of the 28x28 image. 97 % of MNIST's digits, measured in the
same way at ten times their size, are in this range; other pens and fonts often are not."""

INVERTED: Final = [255 - value for value in range(256)]
_WITHOUT_NOISE: Final = [value if value >= 64 else 0 for value in range(256)]


@dataclass(frozen=True)
class DetectedDigit:
    """One digit in MNIST's form, and its position in the image."""

    pixels: Pixels
    box: Box
    ignored_regions: tuple[
        Box, ...
    ] = ()  # probably handwritten too, but much smaller than the digits


class DigitPixels(np.ndarray[Any, np.dtype[np.uint8]]):
    """The pixels of a digit with the ignored regions of its image."""

    ignored_regions: tuple[Box, ...] = ()


def to_mnist(image: Image.Image, size: tuple[int, int]) -> Pixels:
    """The only digit in an image, in MNIST's form: uint8 (height, width), light on 0.

    The image may be dark on light or light on dark, of any size and colour, transparent, or a
    photograph. The digit is cropped, scaled into 20/28 of `size` and centred by mass. A 28x28 gray image
    that already is in MNIST's form is returned unchanged, and an inverted one as 255 minus its pixels.

    Args:
        image: Mode L, LA, RGB or RGBA.
        size: (width, height) of the result.

    Raises:
        InputError: E-IMG-BLANK if nothing contrasts with the background; E-IMG-NO-DIGIT if nothing
            resembles a digit; E-IMG-OBJECTS if there are several digits.
    """
    if (unchanged := _in_mnist_form(image, size)) is not None:
        return unchanged
    digits = detect_digits(image, size)
    if len(digits) > 1:
        positions = ", ".join(
            f"{digit.box[0]:.0%} to {digit.box[2]:.0%} from the left" for digit in digits
        )
        raise InputError(
            f"the image shows {len(digits)} figures: {positions}; expected one digit: crop the image, or"
            " predict each one (`ptx predict --all`)",
            code="E-IMG-OBJECTS",
        )
    (digit,) = digits
    if not digit.ignored_regions:
        return digit.pixels
    pixels = digit.pixels.view(DigitPixels)
    pixels.ignored_regions = digit.ignored_regions
    return pixels


def detect_digits(image: Image.Image, size: tuple[int, int]) -> list[DetectedDigit]:
    """Every digit in an image, in the form of `to_mnist`, left to right.

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
    """Averaging to scale down, as for MNIST, and interpolation to scale up."""
    return Image.Resampling.BOX if scale > 1 else Image.Resampling.BICUBIC


def _crop_digits(flat: Image.Image) -> tuple[list[Crop], tuple[Box, ...]]:
    """The only digit on even paper, or the digits in a photograph; and the ignored regions."""
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
            "nothing in the image has the size and the strokes of a digit; expected one digit, with"
            " paper around it",
            code="E-IMG-NO-DIGIT",
        )
    ignored = tuple(_box(one, detection.labels.shape) for one in detection.ignored)
    return [crop_figure(detection, one) for one in detection.figures], ignored


def _box(one: Component, shape: tuple[int, ...]) -> Box:
    height, width = shape
    return one.left / width, one.top / height, one.right / width, one.bottom / height


def _in_mnist_form(image: Image.Image, size: tuple[int, int]) -> Pixels | None:
    """The pixels of a 28x28 image in MNIST's form, unchanged or inverted; None for other images."""
    if not image.size == size == SIZE:
        return None
    gray = image if image.mode == "L" else to_exact_gray(flatten(image))
    if gray is None:
        return None
    if (pixels := _check_form(gray)) is not None:
        return pixels
    return _check_form(gray.point(INVERTED))


def _check_form(gray: Image.Image) -> Pixels | None:
    """The pixels of `gray` if they are in MNIST's form, apart from noise below 64; else None."""
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
    """Row and column of the centre of mass."""
    height, width = pixels.shape
    rows, columns = pixels.sum(axis=1), pixels.sum(axis=0)
    total = float(rows.sum())
    return float(rows @ np.arange(height)) / total, float(columns @ np.arange(width)) / total


def _scale(foreground: Floats, side: int) -> Floats:
    """The digit, 0 to 255, scaled to a longer side of `side`, with a stroke width as in MNIST."""
    pixels = (foreground * 255).astype(np.uint8)
    adjusted = _move_edges(pixels, _edge_shift(foreground, max(foreground.shape) / side))
    image = Image.fromarray(adjusted if adjusted.any() else pixels)  # a few pixels can vanish
    image = image.crop(image.getbbox())
    scale = max(image.size) / side
    shape = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
    small = np.asarray(image.resize(shape, choose_filter(scale)), np.float32)
    core = quantile(small[small > small.max() / 4], 0.9)  # white in MNIST's strokes
    whitened: Floats = np.minimum(small * np.float32(255 / core), np.float32(255))
    return whitened


def _edge_shift(foreground: Floats, scale: float) -> int:
    """How many pixels each edge of a stroke must move to bring its width into MNIST's range."""
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
    """`digit` on black, with its centre of mass in the middle; pixels outside `size` are cut off."""
    row, column = _centre_of_mass(digit)
    canvas = Image.new("L", size)
    at = size[0] // 2 - round(column), size[1] // 2 - round(row)
    canvas.paste(Image.fromarray(np.rint(digit).astype(np.uint8)), at)
    return np.asarray(canvas)
