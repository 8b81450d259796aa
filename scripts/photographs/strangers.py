"""Pictures in the model's form of what stands for a digit and of what does not: 28x28, light on dark.

Letters and signs of typefaces, doodles, digits that something happened to; beside them digits of
typefaces and drawn ones, moved in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from doodles import LINES, draw_doodle
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scene import Random

from ptx.infer.digits.grouping import MAX_ASPECT
from ptx.infer.digits.mnist import SIZE, normalize

NONE = 10  # the class of what is no digit
SIGNS = (
    "ABCDEFGHJKLMNPQRTUVWXYabcdefhijkmnprtuvwxy"  # without the twins of digits
    "ABDEFGHKPRUYabdefhkny"  # those that are like digits a second time
    "?&@#%$*=<>{}~^"
)
_LARGE = 84  # pixels of a drawn digit's side before it is brought into form
_EDGES = [min(255, max(0, (value - 90) * 4)) for value in range(256)]


@cache
def _typeface(path: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, 64)


def glyph(path: str, text: str) -> Image.Image:
    font = _typeface(path)
    left, top, right, bottom = font.getbbox(text)
    sheet = Image.new("L", (int(right - left) + 8, int(bottom - top) + 8))
    ImageDraw.Draw(sheet).text((4 - left, 4 - top), text, fill=255, font=font)
    return sheet


def drawn(pixels: Any) -> Image.Image:
    """A digit of MNIST, larger and with smooth edges."""
    large = Image.fromarray(pixels).resize((_LARGE, _LARGE), Image.Resampling.BICUBIC)
    return large.filter(ImageFilter.GaussianBlur(1.2)).point(_EDGES)


def warped(ink: Image.Image, random: Random, strength: float) -> Image.Image:
    """Turned, slanted, made wider or narrower, and bent."""
    turn, slant = random.uniform(-0.2, 0.2), random.uniform(-0.25, 0.25)
    wide = np.exp(strength * random.uniform(-0.3, 0.3))
    cos, sin = np.cos(strength * turn), np.sin(strength * turn)
    moved = np.array([[cos, -sin], [sin, cos]]) @ np.array([[wide, strength * slant], [0, 1]])
    margin = int(0.35 * max(ink.size)) + 4
    size = ink.width + 2 * margin, ink.height + 2 * margin
    at = np.array(ink.size) / 2 - moved @ (np.array(size) / 2)
    row, column = moved.tolist()
    affine = (*row, float(at[0]), *column, float(at[1]))
    ink = ink.transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    return _bent(ink, random) if random.random() < 0.6 * strength else ink


def _bent(ink: Image.Image, random: Random) -> Image.Image:
    waves, phase = random.uniform(1, 2.5), random.uniform(0, 2 * np.pi)
    depth = random.uniform(0, 0.05) * max(ink.size)
    width, height = ink.size

    def moved(x: int, y: int) -> tuple[float, float]:
        return (
            float(x + depth * np.sin(2 * np.pi * waves * y / height + phase)),
            float(y + depth * np.sin(2 * np.pi * waves * x / width + 2 * phase)),
        )

    mesh = []
    for i, j in np.ndindex(4, 4):
        left, right = width * i // 4, width * (i + 1) // 4
        top, bottom = height * j // 4, height * (j + 1) // 4
        corners = (left, top), (left, bottom), (right, bottom), (right, top)
        mesh.append(((left, top, right, bottom), sum((moved(*c) for c in corners), ())))
    return ink.transform(ink.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def in_form(ink: Image.Image, random: Random) -> Any:
    """uint8 (28, 28) as the fit makes it of such ink; None where it takes it for no figure."""
    if random.random() < 0.4:
        ink = ink.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.5)))
    if random.random() < 0.15:
        thick = random.random() < 0.7
        ink = ink.filter(ImageFilter.MaxFilter(3) if thick else ImageFilter.MinFilter(3))
    box = ink.point([255 * (value > 64) for value in range(256)]).getbbox()
    if box is None or min(box[2] - box[0], box[3] - box[1]) < 2:
        return None
    if box[2] - box[0] > MAX_ASPECT * (box[3] - box[1]):
        return None
    pixels = np.asarray(ink.crop(box), np.float32)
    return normalize(pixels / pixels.max(), SIZE)


def doodle(random: Random) -> Image.Image:
    """One of the doodles, or of strokes, arcs, outlines, wedges, clouds at random."""
    kind = int(random.integers(14))
    names = (*LINES, "scribble")
    if kind < len(names):
        return draw_doodle(names[kind], 64, random, int(random.integers(5, 20)))
    sheet, pen = Image.new("L", (64, 64)), int(random.integers(3, 9))
    draw = ImageDraw.Draw(sheet)
    places = random.uniform(4, 60, (8, 2)).tolist()
    count = int(random.integers(3, 8))
    if kind == 9:
        angles = np.sort(random.uniform(0, 2 * np.pi, count))
        around = 32 + 26 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        draw.polygon([(float(x), float(y)) for x, y in around], outline=255, width=pen)
    elif kind == 10:
        for one, other in zip(places[: count // 2 + 1], places[::-1], strict=False):
            draw.line((*one, *other), fill=255, width=pen)
    elif kind == 11:
        for x, y in places[: count // 2 + 1]:
            start, reach = random.uniform(0, 360), random.uniform(15, 34)
            box = (x / 2, y / 2, x / 2 + reach, y / 2 + random.uniform(15, 34))
            draw.arc(box, start, start + random.uniform(90, 330), fill=255, width=pen)
    elif kind == 12:
        draw.polygon([(x, y) for x, y in places[: min(count, 5)]], fill=255)
    else:
        coarse = (random.random((count + 4, count + 4)) * 255).astype(np.uint8)
        sheet = Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)
        sheet = sheet.point([255 * (value > 165) for value in range(256)])
    return sheet


def spoiled(random: Random, pixels: Any, other: Any, label: int) -> Image.Image | None:
    """A digit with lines, with another one, in a frame, of two halves, or seen in a mirror."""
    ink, side = drawn(pixels), _LARGE
    draw, pen, kind = ImageDraw.Draw(ink), int(random.integers(2, 6)), int(random.integers(5))
    if kind == 0:
        for at in random.uniform(5, side - 5, int(random.integers(1, 4))).tolist():
            end = at + random.uniform(-8, 8)
            across = random.random() < 0.5
            draw.line((0, at, side, end) if across else (at, 0, end, side), fill=255, width=pen)
    elif kind == 1:
        second, sheet = drawn(other), Image.new("L", (130, side))
        sheet.paste(ink, (0, 0))
        sheet.paste(second, (int(random.integers(30, 46)), 0), second)
        return sheet
    elif kind == 2:
        upper, lower = np.array(ink), np.asarray(drawn(other))
        half = int(random.integers(35, 50))
        upper[half:] = (lower[::-1] if random.random() < 0.5 else lower[:, ::-1])[half:]
        return Image.fromarray(upper)
    elif kind == 3:
        draw.rectangle((4, 4, side - 4, side - 4), outline=255, width=pen)
    elif label in (3, 4, 7, 9):  # the others are digits in a mirror, too
        return ink.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    else:
        return None
    return ink


def rows(
    fonts: tuple[str, ...], digits: tuple[Any, Any], count: int, seed: int
) -> Iterator[tuple[str, Any, int]]:
    """(kind, picture, class) of `count` pictures of each kind, but for those of no figure."""
    random = np.random.default_rng(seed)
    images, labels = digits

    def some() -> int:
        return int(random.integers(len(images)))

    def font() -> str:
        return fonts[int(random.integers(len(fonts)))]

    def one(kind: str) -> tuple[Image.Image | None, int]:
        at, figure = some(), int(random.integers(10))
        sign = SIGNS[int(random.integers(len(SIGNS)))]
        makers: dict[str, Callable[[], tuple[Image.Image | None, int]]] = {
            "letter": lambda: (warped(glyph(font(), sign), random, 1.0), NONE),
            "doodle": lambda: (warped(doodle(random), random, 0.6), NONE),
            "spoiled": lambda: (spoiled(random, images[at], images[some()], labels[at]), NONE),
            "printed": lambda: (warped(glyph(font(), str(figure)), random, 0.8), figure),
            "drawn": lambda: (warped(drawn(images[at]), random, 0.3), int(labels[at])),
        }
        return makers[kind]()

    shares = {"letter": 14, "doodle": 4, "spoiled": 4, "printed": 8, "drawn": 6}
    for kind, share in shares.items():
        for _ in range(count * share):
            ink, label = one(kind)
            pixels = None if ink is None else in_form(ink, random)
            if pixels is not None:
                yield kind, pixels, label
