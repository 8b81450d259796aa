"""From colour images to normalised input arrays, as torchvision's classifiers expect them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ptx.infer.errors import InputError
from ptx.infer.preprocessing import ImageSpec
from ptx.infer.preprocessing.gray_image import (
    ImagePreprocessing,
    check_normalization,
    height_width,
    pixel_lookup_table,
    pixel_normalization,
)
from ptx.infer.signature import Array, Signature, TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image

INTERPOLATIONS = ("bilinear", "bicubic")  # Pillow's, with antialiasing
COLOURS = ("RGB", "BGR")


class RgbPreprocessing(ImagePreprocessing):
    """A colour image: resized, centre-cropped, scaled to [0, 1] and normalised per channel.

    This is torchvision's `ImageClassification` preset on a Pillow image, bit for bit: `resize_size`,
    `crop_size`, `interpolation`, `mean`, `std`. In addition, the EXIF orientation is applied,
    and transparent pixels are composited onto white.

    Args:
        resize: The length of the shorter side in pixels, or [height, width].
        size: [height, width] of the centre crop.
        mean: One number per channel, for pixels scaled to [0, 1].
        std: Likewise.
        colours: The order of the three channels. A model with one channel gets gray.
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
        from ptx.infer.images.errors import MAX_PIXELS

        for name, value, known in (
            ("interpolation", interpolation, INTERPOLATIONS),
            ("colours", colours, COLOURS),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; known: {', '.join(known)}")
        super().__init__(signature, size)
        self.interpolation, self.colours = interpolation, colours
        self.resize = resize if type(resize) is int else height_width("resize", resize)
        min_size = (self.resize, self.resize) if isinstance(self.resize, int) else self.resize
        if min_size[0] < self.height or min_size[1] < self.width:
            raise ValueError(
                f"resize is {resize}; expected at least size, {self.height} by {self.width} pixels"
            )
        if min_size[0] * min_size[1] > MAX_PIXELS:
            raise ValueError(f"resize is {resize}; expected at most {MAX_PIXELS:,} pixels")
        self.channels, self.channel_axis = _channels(self.spec, self.height, self.width)
        self.mean, self.std = self._numbers("mean", mean, 0.0), self._numbers("std", std, 1.0)
        if not (self.std > 0).all():
            raise ValueError(f"std is {list(std)}; expected positive numbers")
        check_normalization(self.spec, self.mean, self.std)

    @cached_property
    def lookup_table(self) -> Array:
        """float32 (channels, 256): the number for each pixel value."""
        return pixel_lookup_table(self.mean, self.std)

    @property
    def image_spec(self) -> ImageSpec:
        sizes = [self.height, self.width]
        sizes.insert(self.channel_axis, self.channels)
        normalization = pixel_normalization(self.mean, self.std)
        return ImageSpec(
            self.to_model_size,
            None,
            self.lookup_table,
            tuple(sizes),
            self.channel_axis,
            normalization,
        )

    def to_model_size(self, image: Image) -> Array:
        """uint8 (height, width, channels): the centre of the resized image, channels in order."""
        from PIL import Image

        flat = _opaque(image).convert("RGB" if self.channels == 3 else "L")
        resample = Image.Resampling[self.interpolation.upper()]
        resized = flat.resize(self._resized_size(flat.width, flat.height), resample)
        left, top = (
            round((resized.width - self.width) / 2),
            round((resized.height - self.height) / 2),
        )
        centre = resized.crop((left, top, left + self.width, top + self.height))
        pixels = np.asarray(centre).reshape(self.height, self.width, self.channels)
        return np.ascontiguousarray(pixels[..., ::-1]) if self.colours == "BGR" else pixels

    def to_input_layout(self, batch: Array) -> Array:
        if batch.dtype == np.uint8 and self.spec.is_float:
            planes = [table[batch[..., channel]] for channel, table in enumerate(self.lookup_table)]
            batch = np.stack(planes, axis=1 + self.channel_axis)
        return self.spec.place_batch(batch)

    def _resized_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing, rounded as torchvision does."""
        from ptx.infer.images.errors import MAX_PIXELS

        if not isinstance(self.resize, int):
            return self.resize[1], self.resize[0]
        shorter, longer = sorted((width, height))
        length = int(self.resize * longer / shorter)
        if length * self.resize > MAX_PIXELS:
            raise InputError(
                f"the image of {width}×{height} would be {length} pixels long once its shorter side"
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
    """The number of channels, and their axis in a sample."""
    axes = spec.sample_axes
    for position in (0, 2) if len(axes) == 3 else ():
        channels, rest = axes[position], [*axes[:position], *axes[position + 1 :]]
        pairs = zip(rest, (height, width), strict=True)
        if channels in (1, 3) and all(
            axis == size or isinstance(axis, str) for axis, size in pairs
        ):
            return int(channels), position
    raise ValueError(
        f"an image of {height}×{width} with 1 or 3 channels does not match {spec.describe()}"
    )


def _opaque(image: Image) -> Image:
    """Composite transparent pixels onto white."""
    from PIL import Image

    if image.mode not in ("LA", "RGBA"):
        return image
    *_, alpha = image.split()
    colours = image.convert(image.mode[:-1])
    background = Image.new(colours.mode, colours.size, (255,) * len(colours.getbands()))
    background.paste(colours, mask=alpha)
    return background
