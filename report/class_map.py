"""The class map of a segmentation as a picture: its colours over what the model sees."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from ptx.infer import Array

Colour = tuple[int, int, int]

MIN_SIDE, MAX_SIDE = 480, 960  # pixels of the picture's longer side
OPACITY = 0.55  # of the colours over the picture

# Of the first labels: the colours of Okabe and Ito, first those that stand out least, since the first
# label is mostly the background.
_FIRST: tuple[Colour, ...] = (
    (60, 60, 60),
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)


def palette(labels: int) -> list[Colour]:
    """A colour for each label, the same in every picture."""
    return [_FIRST[index] if index < len(_FIRST) else _more(index) for index in range(labels)]


def draw_class_map(class_map: Array, labels: int, picture: Image.Image | None) -> Image.Image:
    """The class map in colours, over the picture in gray if there is one.

    Args:
        class_map: Indices of labels (height, width).
        labels: Number of labels.
        picture: What the model sees, of any size.
    """
    colours = np.array(palette(labels), np.uint8)[class_map]
    source = class_map.shape[::-1] if picture is None else picture.size
    longer = max(source)
    scale = min(max(longer, MIN_SIDE), MAX_SIDE) / longer
    size = (max(1, round(source[0] * scale)), max(1, round(source[1] * scale)))
    # Class indices have no values between them, so the map is not smoothed.
    drawn = Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)
    if picture is None:
        return drawn
    # In gray, so that only the map has colours, those of the legend.
    gray = picture.convert("L").convert("RGB").resize(size, Image.Resampling.BICUBIC)
    return Image.blend(gray, drawn, OPACITY)


def _more(index: int) -> Colour:
    """A further colour: the hue goes around by the golden angle, with three lightnesses."""
    red, green, blue = colorsys.hls_to_rgb(
        index * 0.618034 % 1, (0.35, 0.55, 0.75)[index % 3], 0.65
    )
    return round(255 * red), round(255 * green), round(255 * blue)
