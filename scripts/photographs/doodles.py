"""Things that are no digit, as ink."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from scene import Random


def draw_doodle(name: str, side: int, random: Random, variant: int) -> Image.Image:
    """Mode L, ink 255, about `side` pixels tall."""
    scale = max(40, side)
    sheet = Image.new("L", (scale, scale))
    draw, pen = ImageDraw.Draw(sheet), max(2, round(scale * random.uniform(0.03, 0.1)))
    low, high = pen, scale - pen - 1

    def line(points: object, *, closed: bool = False) -> None:
        places = [(low + x * (high - low), low + y * (high - low)) for x, y in np.asarray(points)]
        places += places[:1] if closed else []
        moved = [
            (x + random.normal(0, scale * 0.015), y + random.normal(0, scale * 0.015))
            for x, y in places
        ]
        if closed:
            moved[-1] = moved[0]
        draw.line(moved, fill=255, width=pen, joint="curve")

    angles = np.arange(5) * 4 * np.pi / 5 - np.pi / 2
    around = np.linspace(0, 2 * np.pi, 30)
    if name == "star":
        line(0.5 + 0.5 * np.stack([np.cos(angles), np.sin(angles)], 1), closed=True)
    elif name == "house":
        line([(0, 0.4), (0.5, 0), (1, 0.4), (1, 1), (0, 1), (0, 0.4), (1, 0.4)])
        if variant:
            line([(0.4, 1), (0.4, 0.65), (0.6, 0.65), (0.6, 1)])
    elif name == "face":
        line(0.5 + 0.5 * np.stack([np.cos(around), np.sin(around)], 1), closed=True)
        for x in (0.35, 0.65):
            line([(x, 0.33), (x, 0.42)])
        line([(0.3, 0.65), (0.5, 0.75), (0.7, 0.65)])
    elif name == "heart":
        x = 16 * np.sin(around) ** 3
        y = (
            13 * np.cos(around)
            - 5 * np.cos(2 * around)
            - 2 * np.cos(3 * around)
            - np.cos(4 * around)
        )
        line(np.stack([0.5 + x / 34, 0.45 - y / 32], 1), closed=True)
    elif name == "arrow":
        line([(0, 0.5), (1, 0.5)])
        line([(0.7, 0.2), (1, 0.5), (0.7, 0.8)])
    elif name == "scribble":
        line(random.uniform(0, 1, (9 + 8 * variant, 2)))
    elif name == "blot":
        spread = random.uniform(0.7, 1, 30)
        spread = (spread + np.roll(spread, 1) + np.roll(spread, 2)) / 3
        points = scale / 2 * (1 + np.stack([spread * np.cos(around), spread * np.sin(around)], 1))
        draw.polygon([tuple(point) for point in points.tolist()], fill=255)
    elif name == "cross":
        line([(0, 0.5), (1, 0.5)])
        line([(0.5, 0), (0.5, 1)])
        if variant:
            line([(0, 0), (1, 1)])
            line([(0, 1), (1, 0)])
    elif name == "waves":
        x = np.linspace(0, 1, 40)
        for y in (0.3, 0.7):
            line(np.stack([x, y + 0.12 * np.sin(x * 15)], 1))
    else:
        for x in np.linspace(0, 1, 4 + variant):
            line([(x, 0), (x, 1)])
    return sheet.crop(sheet.getbbox())
