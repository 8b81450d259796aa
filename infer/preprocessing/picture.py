"""Pictures to normalised input arrays: what all kinds share, and the gray one, in a manifest `image`."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from ptx.infer.artifact.files import read_bytes
from ptx.infer.artifact.golden import RawInput
from ptx.infer.errors import InputError
from ptx.infer.picture.decode import decode, from_array, from_pillow
from ptx.infer.picture.flatten import min_decode_size
from ptx.infer.picture.formats import Least
from ptx.infer.picture.resize import RESIZE_MODES
from ptx.infer.preprocessing import Pictures
from ptx.infer.signature import Array, Signature, TensorSpec

SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".gif",
    ".bmp",
    ".tif",
    ".tiff",
    ".webp",
    ".ppm",
    ".pgm",
    ".avif",
)
SIZE_LIMIT = 256 * 2**20  # bytes of one picture file


def two_lengths(name: str, lengths: Any) -> tuple[int, int]:
    """The setting `name` as height and width in pixels; ValueError where it is neither."""
    height, width = lengths
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise ValueError(f"{name} is {list(lengths)}; expected [height, width] in pixels")
    return height, width


def pixel_steps(mean: Array, std: Array) -> tuple[tuple[str, Array], ...]:
    """What makes a number of a pixel, `(pixel/255 − mean)/std`, without the steps that change nothing.

    Args:
        mean: float32, a number or one for each channel; each step is one in float32.
        std: Likewise.
    """
    steps = [("divide", np.asarray(255, np.float32))]
    steps += [("subtract", mean)] if mean.any() else []
    steps += [("divide", std)] if (std != 1).any() else []
    return tuple(steps)


def check_steps(spec: TensorSpec, mean: Array, std: Array) -> None:
    """ValueError where a network that takes the pixels themselves is given numbers to scale them by."""
    if not spec.is_float and len(pixel_steps(mean, std)) > 1:
        raise ValueError("mean and std are of a float32 input; this one takes uint8 pixels")


def pixel_table(mean: Array, std: Array) -> Array:
    """float32 (*of `mean`, 256): the number for each pixel value; see `pixel_steps`."""
    numbers = np.broadcast_to(np.arange(256, dtype=np.float32), (*mean.shape, 256))
    for name, by in pixel_steps(mean, std):
        numbers = getattr(np, name)(numbers, by[..., np.newaxis])
    return numbers


class PicturePreprocessing(ABC):
    """What the kinds share, before and after each fits a picture to its model.

    A value is what `open_picture` reads, or a float array that is one ready sample of the model's input.
    """

    expects, noun, suffixes = "a picture", "pictures", SUFFIXES
    columns = ()
    pads = False
    least: Least | None = None  # see `open_picture`

    def __init__(self, signature: Signature, size: Sequence[int]) -> None:
        if len(signature.inputs) != 1 or signature.inputs[0].dtype not in ("float32", "uint8"):
            raise ValueError("a picture fills one float32 input, or one of uint8 pixels")
        self.spec: TensorSpec = signature.inputs[0]
        self.specs = (self.spec,)
        self.height, self.width = two_lengths("size", size)
        self.rows = "image", (self.height, self.width)

    @abstractmethod
    def fitted(self, image: Image.Image) -> Array:
        """uint8 (height, width[, channels]): the picture as the model is to see it."""

    @abstractmethod
    def arrange(self, batch: Array) -> Array:
        """The input array of such pixels or of ready samples, which `batch` is on its first axis.

        The result is float32 in the signature's axes, with the batch where it has its place; or the
        pixels, where the network takes those.
        """

    def read(self, value: Any) -> Array:
        """uint8 pixels as `fitted` gives them, or a ready sample of a float input as it is."""
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or not self.spec.is_float:
            return self.fitted(open_picture(value, least=self.least))
        if not self.spec.fits_sample(value.shape):
            raise InputError(
                f"the float array has shape {value.shape}; expected one ready sample"
                f" {self.spec.sample_axes}, or the picture's pixels as uint8",
                code="E-SHAPE",
            )
        if value.dtype == np.float32:
            return value
        with np.errstate(over="ignore"):  # what does not fit becomes infinite: no model is given it
            return value.astype(np.float32)

    def read_rows(self, rows: Array, names: Sequence[str] = ()) -> Sequence[Array]:
        return list(rows)

    def raw(self, row: Any, names: Sequence[str] = ()) -> RawInput:
        return pixels_as_png(row)

    def collate(self, samples: Sequence[Array]) -> dict[str, Array]:
        # Of a single one no copy is made.
        batch = samples[0][np.newaxis] if len(samples) == 1 else np.stack(samples)
        return {self.spec.name: self.arrange(batch)}

    def examples(self) -> tuple[RawInput, ...]:
        from ptx.infer.preprocessing.examples import picture_examples

        return picture_examples()


class GrayPreprocessing(PicturePreprocessing):
    """A single-channel picture, fitted to the model's size, scaled to [0, 1] and normalised.

    The way from a pixel (0 to 255) to a number is a table of 256 entries, `(pixel/255 − mean)/std`, each
    step in float32: the same table serves training on any device, so that both agree bit for bit.
    """

    dimensions = 2

    def __init__(
        self,
        signature: Signature,
        *,
        size: Sequence[int],
        resize_mode: str,
        mean: float = 0.0,
        std: float = 1.0,
    ) -> None:
        if resize_mode not in RESIZE_MODES:
            raise ValueError(f"resize_mode is {resize_mode!r}; known: {', '.join(RESIZE_MODES)}")
        super().__init__(signature, size)
        self.least = min_decode_size  # a larger picture is made smaller while it is decoded
        self.resize_mode = resize_mode
        self.mean, self.std = float(mean), float(std)
        with np.errstate(over="ignore"):
            single = np.asarray([self.mean, self.std], np.float32)
        if not np.isfinite(single).all() or not single[1] > 0:
            raise ValueError(f"mean is {mean!r}, std is {std!r}; expected a positive number")
        check_steps(self.spec, *single)
        fixed = [axis for axis in self.spec.sample_axes if isinstance(axis, int)]
        free = len(self.spec.sample_axes) - len(fixed)
        rest = self.height * self.width
        for axis in fixed:
            rest = rest // axis if rest % axis == 0 else 0
        if free > 1 or rest == 0 or (free == 0 and rest != 1):
            raise ValueError(f"a picture of {self.height}×{self.width} does not fill {self.spec}")

    @cached_property
    def table(self) -> Array:
        """float32 (256,): the number for each pixel value."""
        return pixel_table(np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32))

    @property
    def pictures(self) -> Pictures:
        steps = pixel_steps(np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32))
        return Pictures(self.fitted, self.resize_mode, self.table, self.sample_shape, steps=steps)

    @cached_property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample; −1 stands for the dynamic axis of a sequence of rows."""
        return tuple(axis if isinstance(axis, int) else -1 for axis in self.spec.sample_axes)

    def fitted(self, image: Image.Image) -> Array:
        return RESIZE_MODES[self.resize_mode](image, (self.width, self.height))

    def arrange(self, batch: Array) -> Array:
        if batch.dtype == np.uint8 and self.spec.is_float:
            # No uint8 lies outside the table: "wrap" leaves out the buffer that "raise" needs.
            batch = self.table.take(batch, mode="wrap").reshape(len(batch), *self.sample_shape)
        return self.spec.place_batch(batch) if self.spec.batch_axis else batch


def pixels_as_png(pixels: Array) -> bytes:
    """uint8 (height, width[, 1 or 3 channels]) as a small PNG file."""
    from ptx.infer.preprocessing.examples import png_bytes

    return png_bytes(Image.fromarray(np.ascontiguousarray(pixels.squeeze())))


def open_picture(value: Any, *, least: Least | None = None) -> Image.Image:
    """The picture that `value` is, as a person sees it: mode L, LA, RGB or RGBA.

    Args:
        value: A path, the bytes of a picture file, a binary file object, a Pillow image, or uint8
            or uint16 pixels (height, width[, channels]).
        least: See `ptx.infer.picture.decode.decode`.

    Raises:
        InputError: it is none of these, or cannot be decoded.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return decode(bytes(value), name="the picture", least=least)
    if isinstance(value, np.ndarray):
        return from_array(value)
    if isinstance(value, str | os.PathLike):
        return decode(read_bytes(value, limit=SIZE_LIMIT), name=os.fsdecode(value), least=least)
    if isinstance(value, Image.Image):
        return from_pillow(value)
    if hasattr(value, "read"):
        return decode(_content(value), name="the file object", least=least)
    raise InputError(
        f"the input is a {type(value).__name__}; expected a path, bytes, a file object, a"
        " Pillow image or an array",
        code="E-TYPE",
    )


def _content(file: Any) -> bytes:
    """What is left in a file object; a pipe gives it piece by piece."""
    parts: list[bytes] = []
    left = SIZE_LIMIT + 1
    try:
        while left > 0 and (part := file.read(left)):
            if not isinstance(part, bytes):
                raise InputError(
                    "the file object gives text; expected one that was opened in binary mode",
                    code="E-TYPE",
                )
            parts.append(part)
            left -= len(part)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"the file object cannot be read: {error}", code="E-IN-READ") from error
    if left <= 0:
        raise InputError(f"the file object gives more than {SIZE_LIMIT:,} bytes", code="E-IN-SIZE")
    return b"".join(parts)
