"""From colour images to normalised input arrays, as torchvision's classifiers expect them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ptx.infer.boxes import with_original_size
from ptx.infer.errors import InputError
from ptx.infer.limits import NO_LIMITS
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

    A model with a dynamic height and width needs no `size`: the image keeps its proportions, is enlarged
    or reduced into the limits of these axes, and each side has the nearest size that its axis accepts.

    Args:
        resize: The length of the shorter side in pixels, or [height, width]. Without it and without
            `size` the image is not resized, but for the limits.
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
        size: Sequence[int] | None = None,
        resize: int | Sequence[int] | None = None,
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
        if resize is None and size is not None:
            raise ValueError("resize is missing; expected the shorter side, or [height, width]")
        self.resize = (
            resize if resize is None or type(resize) is int else height_width("resize", resize)
        )
        min_size = (self.resize, self.resize) if isinstance(self.resize, int) else self.resize
        if min_size and (min_size[0] < self.height or min_size[1] < self.width):
            raise ValueError(
                f"resize is {resize}; expected at least size, {self.height} by {self.width} pixels"
            )
        if min_size and min_size[0] * min_size[1] > MAX_PIXELS:
            raise ValueError(f"resize is {resize}; expected at most {MAX_PIXELS:,} pixels")
        self.channels, self.channel_axis = _channels(self.spec, self.height, self.width)
        axes = list(self.spec.sample_axes)
        axes.pop(self.channel_axis)
        # Of height and width, if they are dynamic.
        self._limits = [signature.limits.get(str(axis), NO_LIMITS) for axis in axes]
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
        sizes = [self.height or -1, self.width or -1]
        sizes.insert(self.channel_axis, self.channels)
        normalization = pixel_normalization(self.mean, self.std)
        return ImageSpec(
            self.to_model_size,
            None,
            self.lookup_table,
            tuple(sizes),
            self.channel_axis,
            normalization,
            self.to_original if self.row_spec else None,  # of a fixed size
        )

    def to_model_size(self, image: Image) -> Array:
        """uint8 (height, width, channels): the centre of the resized image, channels in order."""
        from PIL import Image

        flat = _opaque(image).convert("RGB" if self.channels == 3 else "L")
        resample = Image.Resampling[self.interpolation.upper()]
        resized = flat.resize(self._resized_size(flat.width, flat.height), resample)
        width, height = self.width or resized.width, self.height or resized.height
        left, top = (round((resized.width - width) / 2), round((resized.height - height) / 2))
        centre = resized.crop((left, top, left + width, top + height))
        pixels = np.asarray(centre).reshape(height, width, self.channels)
        ordered = np.ascontiguousarray(pixels[..., ::-1]) if self.colours == "BGR" else pixels
        return with_original_size(ordered, image.size)

    def to_original(self, boxes: Array, size: tuple[int, int]) -> Array:
        """Undo crop and resize: boxes in pixels of an image, cut off at its sides.

        Args:
            boxes: float64 (n, 4): left, top, right and bottom, as fractions of the network's input.
            size: Width and height of the image.
        """
        resized = np.array(self._resized_size(*size), np.float64)
        model = np.array([self.width, self.height], np.float64)
        offset = np.array([round(space / 2) for space in resized - model])
        points = (boxes.reshape(-1, 2, 2) * model + offset) * (size / resized)
        clipped: Array = np.clip(points, 0, size)
        return clipped.reshape(-1, 4)

    def to_input_layout(self, batch: Array) -> Array:
        if batch.dtype == np.uint8 and self.spec.is_float:
            planes = [table[batch[..., channel]] for channel, table in enumerate(self.lookup_table)]
            batch = np.stack(planes, axis=1 + self.channel_axis)
        return self.spec.place_batch(batch)

    def _resized_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing, rounded as torchvision does, and to what the axes accept."""
        if isinstance(self.resize, int):
            width, height = self._shorter_side(self.resize, width, height)
        elif self.resize is not None:
            height, width = self.resize
        return (width, height) if self.row_spec else self._accepted(width, height)

    def _accepted(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that the dynamic axes accept, in about the same proportions."""
        sides = list(zip((height, width), self._limits, strict=True))
        enlarge = max(1.0, *(limits.minimum / side for side, limits in sides))
        reduce = min(1.0, *((limits.maximum or side) / side for side, limits in sides))
        scale = enlarge if reduce == 1.0 else reduce
        height, width = (limits.nearest(round(side * scale)) for side, limits in sides)
        return width, height

    def _shorter_side(self, length: int, width: int, height: int) -> tuple[int, int]:
        """Width and height with a shorter side of this length."""
        from ptx.infer.images.errors import MAX_PIXELS

        shorter, longer = sorted((width, height))
        other = int(length * longer / shorter)
        if other * length > MAX_PIXELS:
            raise InputError(
                f"the image of {width}×{height} would be {other} pixels long once its shorter side"
                f" has {length}; expected at most {MAX_PIXELS // length}: crop it",
                code="E-IMG-TOO-LARGE",
            )
        return (length, other) if width <= height else (other, length)

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
    if not height:
        raise ValueError(
            f"setting 'size' is missing; only a dynamic height and width need none, not"
            f" {spec.describe()}"
        )
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
