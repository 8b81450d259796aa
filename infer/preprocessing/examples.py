"""Synthetic images that probe an image preprocessing: small files, deterministic."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

_SEED = 7


@cache
def probe_images() -> tuple[bytes, ...]:
    """PNG files whose pixels after preprocessing change with every setting.

    Neither square nor centred; one gray and dark on light, one in colour and light on dark, one partly
    transparent. So resize mode, size, crop, channel order and background all affect the result.
    """
    dark_on_light = _draw("L", (60, 44), 236, (30, 8), 20)
    light_on_dark = _draw("RGB", (40, 56), (24, 40, 88), (8, 20), (250, 214, 120))
    transparent = _draw("RGBA", (48, 36), (0, 0, 0, 0), (20, 6), (150, 30, 60, 255))
    return tuple(png_bytes(image) for image in (dark_on_light, light_on_dark, transparent))


def png_bytes(image: Image.Image) -> bytes:
    """The image as a small PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _draw(
    mode: str,
    size: tuple[int, int],
    background: int | tuple[int, ...],
    corner: tuple[int, int],
    foreground: int | tuple[int, ...],
) -> Image.Image:
    """A crooked, slightly noisy stroke on an even background, not centred."""
    image = Image.new(mode, size, background)
    x, y = corner
    stroke = [(x, y + 2), (x + 14, y), (x + 5, y + 12), (x + 9, y + 26)]
    ImageDraw.Draw(image).line(stroke, fill=foreground, width=4, joint="curve")
    pixels = np.asarray(image).copy()
    noise = np.random.default_rng(_SEED).integers(0, 6, pixels.shape[:2], dtype=np.uint8)
    pixels.reshape(*pixels.shape[:2], -1)[..., 0] ^= noise  # the first channel only
    return Image.fromarray(pixels)
