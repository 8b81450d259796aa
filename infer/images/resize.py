"""The resize modes: from a decoded image to the pixels of a gray model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image

from ptx.infer.digits.components import Pixels
from ptx.infer.digits.mnist import INVERTED, choose_filter, to_mnist
from ptx.infer.images.flatten import border, flatten, reduce_to_working_side


def letterbox(image: Image.Image, size: tuple[int, int]) -> Pixels:
    """The entire image as uint8 (height, width), light on dark as in Fashion-MNIST.

    Transparent pixels get a contrasting background, an image with a light border is inverted, the image
    is resized with antialiasing, and its shorter side is padded with the border's gray. A gray image of
    exactly `size` with a dark border is returned unchanged.

    Args:
        image: Mode L, LA, RGB or RGBA.
        size: (width, height) of the result.
    """
    gray = image if image.mode == "L" else flatten(image).convert("L")
    # An object that fills the image touches up to half of the border.
    if float(np.mean(border(np.asarray(gray)) > 127)) > 0.5:
        gray = gray.point(INVERTED)
    if gray.size == size:
        return np.asarray(gray)
    gray = reduce_to_working_side(gray)
    scale = max(gray.width / size[0], gray.height / size[1])
    inner = (max(1, round(gray.width / scale)), max(1, round(gray.height / scale)))
    canvas = Image.new("L", size, int(np.median(border(np.asarray(gray)))))
    offset = ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2)
    canvas.paste(gray.resize(inner, choose_filter(scale)), offset)
    return np.asarray(canvas)


RESIZE_MODES: Final[dict[str, Callable[[Image.Image, tuple[int, int]], Pixels]]] = {
    "mnist": to_mnist,
    "letterbox": letterbox,
}
"""The values of the preprocessing setting `resize_mode`."""
