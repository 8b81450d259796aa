"""Colour photographs to normalised input arrays, as torchvision's classifiers take them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ptx.infer.errors import InputError
from ptx.infer.preprocessing import Pictures
from ptx.infer.preprocessing.picture import (
    PicturePreprocessing,
    check_steps,
    pixel_steps,
    pixel_table,
    two_lengths,
)
from ptx.infer.signature import Array, Signature, TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image

INTERPOLATIONS = ("bilinear", "bicubic")  # Pillow's, which average where they make smaller
COLOURS = ("RGB", "BGR")


class PhotoPreprocessing(PicturePreprocessing):
    """A photograph: resized, its middle cut out, scaled to [0, 1] and normalised channel by channel.

    This is torchvision's `ImageClassification` preset on a Pillow image, bit for bit: `resize_size`,
    `crop_size`, `interpolation`, `mean`, `std`. Beyond it, a picture is turned as its EXIF data say,
    and what is transparent is laid on white.

    Args:
        resize: The length of the shorter side in pixels, or [height, width].
        size: [height, width] of the middle that is cut out.
        mean: A number for each channel, of pixels scaled to [0, 1].
        std: Likewise.
        colours: The order of three channels. A model with one channel gets gray.
    """

    dimensions = 3

    def __init__(
        self,
        signature: Signature,
        *,
        size: Sequence[int],
        resize: int | Sequence[int],
        interpolation: str = "bilinear",
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        colours: str = "RGB",
    ) -> None:
        from ptx.infer.picture.problems import MAX_PIXELS

        for name, value, known in (
            ("interpolation", interpolation, INTERPOLATIONS),
            ("colours", colours, COLOURS),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; known: {', '.join(known)}")
        super().__init__(signature, size)
        self.interpolation, self.colours = interpolation, colours
        self.resize = resize if type(resize) is int else two_lengths("resize", resize)
        least = (self.resize, self.resize) if isinstance(self.resize, int) else self.resize
        if least[0] < self.height or least[1] < self.width:
            raise ValueError(
                f"resize is {resize}; expected at least size, {self.height} by {self.width} pixels"
            )
        if least[0] * least[1] > MAX_PIXELS:
            raise ValueError(f"resize is {resize}; expected at most {MAX_PIXELS:,} pixels")
        self.channels, self.channel_axis = _channels(self.spec, self.height, self.width)
        self.mean, self.std = self._numbers("mean", mean, 0.0), self._numbers("std", std, 1.0)
        if not (self.std > 0).all():
            raise ValueError(f"std is {list(std)}; expected positive numbers")
        check_steps(self.spec, self.mean, self.std)

    @cached_property
    def table(self) -> Array:
        """float32 (channels, 256): the number for each pixel value."""
        return pixel_table(self.mean, self.std)

    @property
    def pictures(self) -> Pictures:
        sizes = [self.height, self.width]
        sizes.insert(self.channel_axis, self.channels)
        steps = pixel_steps(self.mean, self.std)
        return Pictures(self.fitted, None, self.table, tuple(sizes), self.channel_axis, steps)

    def fitted(self, image: Image) -> Array:
        """uint8 (height, width, channels): the middle of the resized picture, channels in order."""
        from PIL import Image

        flat = _opaque(image).convert("RGB" if self.channels == 3 else "L")
        resample = Image.Resampling[self.interpolation.upper()]
        resized = flat.resize(self._fitted_size(flat.width, flat.height), resample)
        left, top = (
            round((resized.width - self.width) / 2),
            round((resized.height - self.height) / 2),
        )
        middle = resized.crop((left, top, left + self.width, top + self.height))
        pixels = np.asarray(middle).reshape(self.height, self.width, self.channels)
        return np.ascontiguousarray(pixels[..., ::-1]) if self.colours == "BGR" else pixels

    def arrange(self, batch: Array) -> Array:
        if batch.dtype == np.uint8 and self.spec.is_float:
            planes = [table[batch[..., channel]] for channel, table in enumerate(self.table)]
            batch = np.stack(planes, axis=1 + self.channel_axis)
        return self.spec.place_batch(batch)

    def _fitted_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing, rounded as torchvision does."""
        from ptx.infer.picture.problems import MAX_PIXELS

        if not isinstance(self.resize, int):
            return self.resize[1], self.resize[0]
        shorter, longer = sorted((width, height))
        length = int(self.resize * longer / shorter)
        if length * self.resize > MAX_PIXELS:
            raise InputError(
                f"the picture of {width}×{height} would be {length} pixels long once its shorter side"
                f" has {self.resize}; expected at most {MAX_PIXELS // self.resize}: crop it",
                code="E-IMG-TOO-LARGE",
            )
        return (self.resize, length) if width <= height else (length, self.resize)

    def _numbers(self, name: str, values: Sequence[float], default: float) -> Array:
        with np.errstate(over="ignore"):
            numbers = np.asarray(list(values) or [default] * self.channels, np.float32)
        if numbers.shape != (self.channels,) or not np.isfinite(numbers).all():
            raise ValueError(f"{name} is {values}; expected {self.channels} finite numbers")
        return numbers


def _channels(spec: TensorSpec, height: int, width: int) -> tuple[int, int]:
    """How many channels there are, and which axis of a sample they are."""
    axes = spec.sample_axes
    for position in (0, 2) if len(axes) == 3 else ():
        channels, rest = axes[position], [*axes[:position], *axes[position + 1 :]]
        fits = zip(rest, (height, width), strict=True)
        if channels in (1, 3) and all(a == size or isinstance(a, str) for a, size in fits):
            return int(channels), position
    raise ValueError(
        f"a photograph of {height}×{width} with 1 or 3 channels does not fill {spec.describe()}"
    )


def _opaque(image: Image) -> Image:
    """Without transparency: what is transparent shows white, as on a page."""
    from PIL import Image

    if image.mode not in ("LA", "RGBA"):
        return image
    *_, alpha = image.split()
    colours = image.convert(image.mode[:-1])
    ground = Image.new(colours.mode, colours.size, (255,) * len(colours.getbands()))
    ground.paste(colours, mask=alpha)
    return ground
