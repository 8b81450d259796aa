"""The boxes of a prediction as a picture: their outlines and labels over the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from ptx.report.class_map import MAX_SIDE, MIN_SIDE, Colour, palette

if TYPE_CHECKING:
    from ptx.infer.boxes import LabelledBox

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

FONT_SIZE, PADDING = 14, 3  # pixels


def draw_boxes(
    picture: Image.Image,
    boxes: Sequence[LabelledBox],
    colours: Mapping[str, Colour],
    find_font: Callable[[str], Font],
) -> Image.Image:
    """The picture with each box in the colour of its label, and the label with its score at the top.

    Args:
        picture: RGB, the image that the boxes are in pixels of.
        boxes: Best first.
        colours: By label.
        find_font: A font that has the characters of a text, of `FONT_SIZE`.
    """
    longer = max(picture.size)
    scale = min(max(longer, MIN_SIDE), MAX_SIDE) / longer
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    drawn = picture.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(drawn)
    for each in reversed(boxes):  # the best one on top
        left, top, right, bottom = (side * scale for side in each.box)
        draw.rectangle((left, top, right, bottom), outline=colours[each.label], width=3)
    for each in reversed(boxes):
        left, top = each.box[0] * scale, each.box[1] * scale
        text = f"{each.label} {100 * each.score:.0f} %"
        _draw_title(draw, (left, top), text, colours[each.label], find_font(text))
    return drawn


def box_colours(labels: Sequence[str]) -> dict[str, Colour]:
    """A colour for each label; not the first of the palette, which is for a background."""
    return dict(zip(labels, palette(len(labels) + 1)[1:], strict=True))


def _draw_title(
    draw: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, colour: Colour, font: Font
) -> None:
    """The text on its colour: above the box, or inside it at the upper side of the picture."""
    left, top = corner
    width, height = font.getlength(text) + 2 * PADDING, FONT_SIZE + 2 * PADDING
    y = top - height if top >= height else top
    x = max(0.0, min(left, draw.im.size[0] - width))
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    # Black on light colours, white on dark ones.
    luminance = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    draw.text((x + PADDING, y + PADDING), text, "#000000" if luminance > 140 else "#ffffff", font)
