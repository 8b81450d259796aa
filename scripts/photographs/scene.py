"""What a photograph is made of: ink, paper, a view of it, light, a camera."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Floats = np.ndarray[Any, np.dtype[np.float32]]
Random = np.random.Generator
Colour = tuple[int, int, int]


def glyph(path: str, text: str, height: int) -> Image.Image:
    """`text` in a typeface: mode L, ink 255, cropped to its box and `height` pixels tall."""
    font = ImageFont.truetype(path, 300)
    left, top, right, bottom = font.getbbox(text)
    sheet = Image.new("L", (int(right - left) + 80, int(bottom - top) + 80))
    ImageDraw.Draw(sheet).text((40 - left, 40 - top), text, fill=255, font=font)
    return _of_height(sheet, height)


def drawn(pixels: Any, height: int) -> Image.Image:
    """A digit of MNIST as ink with smooth edges."""
    large = Image.fromarray(pixels).resize((280, 280), Image.Resampling.BICUBIC)
    edges = [min(255, max(0, (value - 90) * 4)) for value in range(256)]
    return _of_height(large.filter(ImageFilter.GaussianBlur(4)).point(edges), height)


def _of_height(sheet: Image.Image, height: int) -> Image.Image:
    ink = sheet.crop(sheet.getbbox())
    if max(ink.size) > 4 * min(ink.size) and ink.width > ink.height:
        height = max(4, height * ink.height // ink.width)
    width = max(2, round(ink.width * height / ink.height))
    return ink.resize((width, height), Image.Resampling.LANCZOS)


def lay(page: Image.Image, ink: Image.Image, colour: Colour, centre: tuple[float, float]) -> None:
    """Put ink onto a page, its middle at a share of the page's width and height."""
    at = (
        round(centre[0] * page.width - ink.width / 2),
        round(centre[1] * page.height - ink.height / 2),
    )
    page.paste(colour, at, ink)


def paper(size: tuple[int, int], colour: Colour, grain: float, random: Random) -> Image.Image:
    """A page with a soft texture."""
    rough = random.normal(0, grain, (size[1] // 3 + 1, size[0] // 3 + 1)).astype(np.float32)
    texture = np.asarray(Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC))
    pixels = np.asarray(colour, np.float32) + texture[..., np.newaxis]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def view(page: Image.Image, size: tuple[int, int], slant: float, random: Random) -> Image.Image:
    """The middle of a page as a camera sees it that is not held straight: four moved corners."""
    turn = random.uniform(-slant, slant)
    corners = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)], np.float64)
    corners *= 0.5 * np.array(size)
    turned = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    turned += random.uniform(-slant, slant, (4, 2)) * 0.35 * min(size)
    turned += 0.5 * np.array(page.size)
    return page.transform(
        size, Image.Transform.QUAD, turned.ravel().tolist(), Image.Resampling.BICUBIC
    )


def on_table(
    sheet: Image.Image, table: Image.Image, corners: list[tuple[float, float]]
) -> Image.Image:
    """A sheet on a table, its four corners (as of `view`) at shares of the table's size."""
    target = [(x * table.width, y * table.height) for x, y in corners]
    width, height = sheet.size
    source = [(0, 0), (0, height), (width, height), (width, 0)]
    rows, right = [], []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    data = np.linalg.solve(np.array(rows), np.array(right)).tolist()
    how = (table.size, Image.Transform.PERSPECTIVE, data, Image.Resampling.BICUBIC)
    seen = table.copy()
    seen.paste(sheet.transform(*how), mask=Image.new("L", sheet.size, 255).transform(*how))
    return seen


def shaped(size: tuple[int, int], points: Any, soft: float) -> Floats:
    """1 inside a polygon given in shares of the size, 0 outside, its edge `soft` pixels wide."""
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).polygon([(x * size[0], y * size[1]) for x, y in points], fill=255)
    if soft:
        mask = mask.filter(ImageFilter.GaussianBlur(soft))
    inside: Floats = np.asarray(mask, np.float32) * np.float32(1 / 255)
    return inside


def gradient(size: tuple[int, int], least: float, random: Random) -> Floats:
    """Light that falls off to one side, down to `least`."""
    angle = random.uniform(0, 2 * np.pi)
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, size[0]), np.linspace(-0.5, 0.5, size[1]))
    along = x * np.cos(angle) + y * np.sin(angle)
    light: Floats = (1 - (1 - least) * (along + 0.7) / 1.4).astype(np.float32)
    return light


def vignette(size: tuple[int, int], depth: float) -> Floats:
    """Light that falls off towards the corners."""
    x, y = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1]))
    light: Floats = (1 - depth * (x * x + y * y) / 2).astype(np.float32)
    return light


def camera(
    scene: Image.Image, light: Floats, *, blur: float, noise: float, quality: int, random: Random
) -> bytes:
    """The JPEG file of a scene under a light."""
    pixels = np.asarray(scene.convert("RGB"), np.float32) * light[..., np.newaxis]
    if blur:
        seen = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        pixels = np.asarray(seen.filter(ImageFilter.GaussianBlur(blur)), np.float32)
    pixels = pixels + random.normal(0, noise, pixels.shape).astype(np.float32)
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
