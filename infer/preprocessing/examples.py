"""Made-up pictures that put a preprocessing to the test: small files, the same ones every time."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

_SEED = 7


@cache
def picture_examples() -> tuple[bytes, ...]:
    """PNG files that another way from a picture to pixels brings to other pixels.

    Neither square nor centred, one dark on light and gray, one light on dark in colour, one partly
    transparent: so the fit, the size, the cut, the order of the colours and the ground all show.
    """
    paper = _draw("L", (60, 44), 236, (30, 8), 20)
    night = _draw("RGB", (40, 56), (24, 40, 88), (8, 20), (250, 214, 120))
    glass = _draw("RGBA", (48, 36), (0, 0, 0, 0), (20, 6), (150, 30, 60, 255))
    return tuple(png_bytes(image) for image in (paper, night, glass))


def png_bytes(image: Image.Image) -> bytes:
    """The picture as a small PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _draw(
    mode: str,
    size: tuple[int, int],
    ground: int | tuple[int, ...],
    corner: tuple[int, int],
    ink: int | tuple[int, ...],
) -> Image.Image:
    """A crooked stroke with some grain on even ground; its corner lies off the middle."""
    image = Image.new(mode, size, ground)
    x, y = corner
    stroke = [(x, y + 2), (x + 14, y), (x + 5, y + 12), (x + 9, y + 26)]
    ImageDraw.Draw(image).line(stroke, fill=ink, width=4, joint="curve")
    pixels = np.asarray(image).copy()
    grain = np.random.default_rng(_SEED).integers(0, 6, pixels.shape[:2], dtype=np.uint8)
    pixels.reshape(*pixels.shape[:2], -1)[..., 0] ^= grain  # of the first channel
    return Image.fromarray(pixels)
