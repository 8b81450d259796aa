"""Things that are no digit, as ink."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scene import Random

_ANGLES = np.arange(6) * 4 * np.pi / 5 - np.pi / 2
_AROUND = np.linspace(0, 2 * np.pi, 30)
_ALONG = np.linspace(0, 1, 40)
_ROUND = 0.5 + 0.5 * np.stack([np.cos(_AROUND), np.sin(_AROUND)], 1)
_HEART = np.stack(
    [
        0.5 + 0.47 * np.sin(_AROUND) ** 3,
        0.45 - (13 * np.cos(_AROUND) - 5 * np.cos(2 * _AROUND) - 2 * np.cos(3 * _AROUND)) / 32,
    ],
    1,
)
LINES: dict[str, list[Any]] = {
    "star": [0.5 + 0.5 * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)],
    "house": [[(0, 0.4), (0.5, 0), (1, 0.4), (1, 1), (0, 1), (0, 0.4), (1, 0.4)]],
    "face": [
        _ROUND,
        [(0.35, 0.33), (0.35, 0.42)],
        [(0.65, 0.33), (0.65, 0.42)],
        [(0.3, 0.65), (0.5, 0.75), (0.7, 0.65)],
    ],
    "heart": [_HEART],
    "arrow": [[(0, 0.5), (1, 0.5)], [(0.7, 0.2), (1, 0.5), (0.7, 0.8)]],
    "cross": [[(0, 0.5), (1, 0.5)], [(0.5, 0), (0.5, 1)]],
    "waves": [np.stack([_ALONG, down + 0.12 * np.sin(_ALONG * 15)], 1) for down in (0.3, 0.7)],
    "bars": [[(across, 0), (across, 1)] for across in (0, 0.33, 0.67, 1)],
}
DOODLES = (*LINES, "scribble", "blot")


def draw_doodle(name: str, side: int, random: Random, corners: int) -> Image.Image:
    """Mode L, ink 255, about `side` pixels tall. `corners`: of a scribble."""
    scale = max(40, side)
    sheet = Image.new("L", (scale, scale))
    draw, pen = ImageDraw.Draw(sheet), max(2, round(scale * random.uniform(0.03, 0.1)))
    if name == "blot":
        spread = random.uniform(0.7, 1, 30)
        spread = (spread + np.roll(spread, 1) + np.roll(spread, 2))[:, np.newaxis] / 3
        edge = scale / 2 + scale * spread * (_ROUND - 0.5)
        draw.polygon([(float(x), float(y)) for x, y in edge], fill=255)
    for line in LINES.get(name, [random.uniform(0, 1, (corners, 2))] if name == "scribble" else []):
        places = (
            pen
            + np.asarray(line) * (scale - 2 * pen)
            + random.normal(0, scale * 0.015, (len(line), 2))
        )
        draw.line([(float(x), float(y)) for x, y in places], fill=255, width=pen, joint="curve")
    return sheet.crop(sheet.getbbox())
