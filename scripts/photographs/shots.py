"""A photograph in the making: what a maker chooses, and the steps that all forms share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image
from scene import (
    Colour,
    Floats,
    Random,
    camera,
    drawn,
    glyph,
    gradient,
    lay,
    paper,
    view,
)

DIGITS = "0123456789"


@dataclass(frozen=True)
class Maker:
    """Numbers that the forms are drawn with."""

    fonts: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    height: tuple[float, float]  # of the ink, in shares of the picture's
    papers: tuple[Colour, ...]
    inks: tuple[Colour, ...]
    tables: tuple[Colour, ...]
    slant: float
    least_light: float
    noise: tuple[float, float]
    blur: tuple[float, float]
    quality: tuple[int, int]
    variant: int


@dataclass
class Shot:
    """One photograph in the making."""

    maker: Maker
    random: Random
    digits: Any  # MNIST's pictures of the label that is asked for; None: typefaces

    def pick(self, values: Any) -> Any:
        return values[int(self.random.integers(len(values)))]

    def between(self, low: float, high: float) -> float:
        return float(self.random.uniform(low, high))

    def ink(self, text: str, height: float) -> Image.Image:
        if self.digits is not None and text in DIGITS:
            return drawn(self.pick(self.digits[int(text)]), round(height))
        return glyph(self.pick(self.maker.fonts), text, round(height))


def written(shot: Shot, text: str, size: tuple[int, int], *, dark: bool = True) -> Image.Image:
    """A page larger than the picture with the ink near its middle."""
    page = paper(size, shot.pick(shot.maker.papers), 2.0, shot.random)
    return write(shot, text, page, (size[1] / 1.5), dark)


def write(shot: Shot, text: str, page: Image.Image, across: float, dark: bool) -> Image.Image:
    colour = shot.pick(shot.maker.inks) if dark else (235, 238, 230)
    height = across * shot.between(*shot.maker.height)
    lay(page, shot.ink(text, height), colour, (shot.between(0.46, 0.54), shot.between(0.46, 0.54)))
    return page


def taken(
    shot: Shot, page: Image.Image, size: tuple[int, int], shade: Floats | None = None
) -> bytes:
    """A photograph of a page, or of a scene of the picture's size."""
    maker, random = shot.maker, shot.random
    scene = page if page.size == size else view(page, size, maker.slant, random)
    light = gradient(size, shot.between(maker.least_light, 1), random)
    if shade is not None:
        light = light * shade
    return camera(
        scene,
        light,
        blur=shot.between(*maker.blur),
        noise=shot.between(*maker.noise),
        quality=int(random.integers(*maker.quality)),
        random=random,
    )


def larger(size: tuple[int, int]) -> tuple[int, int]:
    return round(size[0] * 1.5), round(size[1] * 1.5)
