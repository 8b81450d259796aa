"""From images to normalised input arrays: the common base class, and the kind `gray-image`."""

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
from ptx.infer.images.decode import decode, from_array, from_pillow
from ptx.infer.images.flatten import min_decode_size
from ptx.infer.images.formats import MinSize
from ptx.infer.images.resize import RESIZE_MODES
from ptx.infer.preprocessing import ImageSpec
from ptx.infer.signature import Array, Signature, TensorSpec

EXTENSIONS = (
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
SIZE_LIMIT = 256 * 2**20  # bytes of one image file


def height_width(name: str, lengths: Any) -> tuple[int, int]:
    """Check the setting `name`: height and width in pixels; ValueError if it is not valid."""
    height, width = lengths
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        raise ValueError(f"{name} is {list(lengths)}; expected [height, width] in pixels")
    return height, width


def pixel_normalization(mean: Array, std: Array) -> tuple[tuple[str, Array], ...]:
    """The operations of `(pixel/255 − mean)/std`, without those that change nothing.

    Args:
        mean: float32, one number or one per channel; each operation is computed in float32.
        std: Likewise.
    """
    operations = [("divide", np.asarray(255, np.float32))]
    operations += [("subtract", mean)] if mean.any() else []
    operations += [("divide", std)] if (std != 1).any() else []
    return tuple(operations)


def check_normalization(spec: TensorSpec, mean: Array, std: Array) -> None:
    """ValueError if the network takes uint8 pixels but mean or std is set."""
    if not spec.is_float and len(pixel_normalization(mean, std)) > 1:
        raise ValueError("mean and std need a float32 input; this network takes uint8 pixels")


def pixel_lookup_table(mean: Array, std: Array) -> Array:
    """float32 (*mean.shape, 256): the number for each pixel value; see `pixel_normalization`."""
    numbers = np.broadcast_to(np.arange(256, dtype=np.float32), (*mean.shape, 256))
    for name, operand in pixel_normalization(mean, std):
        numbers = getattr(np, name)(numbers, operand[..., np.newaxis])
    return numbers


class ImagePreprocessing(ABC):
    """The common part of the image kinds: decoding before the resize, input arrays after it.

    A value is anything that `open_image` reads, or a float array that already is a sample of the input.
    """

    input_description, plural, extensions = "an image", "pictures", EXTENSIONS
    feature_names = ()
    variable_length = False
    row_spec: tuple[str, tuple[int, ...]] | None
    min_decode_size: MinSize | None = None  # see `open_image`

    def __init__(self, signature: Signature, size: Sequence[int] | None) -> None:
        if len(signature.inputs) != 1 or signature.inputs[0].dtype not in ("float32", "uint8"):
            raise ValueError("an image needs exactly one input, float32 or uint8 pixels")
        self.spec: TensorSpec = signature.inputs[0]
        self.specs = (self.spec,)
        # 0 for any size
        self.height, self.width = (0, 0) if size is None else height_width("size", size)
        self.row_spec = None if size is None else ("image", (self.height, self.width))

    @abstractmethod
    def to_model_size(self, image: Image.Image) -> Array:
        """uint8 (height, width[, channels]): the image at the model's input size."""

    @abstractmethod
    def to_input_layout(self, batch: Array) -> Array:
        """The input array of a batch of pixels or of ready samples, stacked on the first axis.

        The result is float32 in the order of the signature's axes, or uint8 if the network takes pixels.
        """

    def transform(self, value: Any) -> Array:
        """uint8 pixels from `to_model_size`, or a ready sample of a float input unchanged."""
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or not self.spec.is_float:
            return self.to_model_size(open_image(value, min_size=self.min_decode_size))
        if not self.spec.fits_sample(value.shape):
            raise InputError(
                f"the float array has shape {value.shape}; expected one ready sample"
                f" {self.spec.sample_axes}, or the image's pixels as uint8",
                code="E-SHAPE",
            )
        if value.dtype == np.float32:
            return value
        # A number that is too large becomes infinite, which the check of the inputs rejects.
        with np.errstate(over="ignore"):
            return value.astype(np.float32)

    def transform_rows(self, rows: Array, names: Sequence[str] = ()) -> Sequence[Array]:
        return list(rows)

    def to_raw(self, row: Any, names: Sequence[str] = ()) -> RawInput:
        return pixels_as_png(row)

    def collate(self, samples: Sequence[Array]) -> dict[str, Array]:
        # A single sample is not copied.
        batch = samples[0][np.newaxis] if len(samples) == 1 else np.stack(samples)
        return {self.spec.name: self.to_input_layout(batch)}

    def probe_inputs(self) -> tuple[RawInput, ...]:
        from ptx.infer.preprocessing.examples import probe_images

        return probe_images()


class GrayPreprocessing(ImagePreprocessing):
    """A single-channel image, resized to the model's size, scaled to [0, 1] and normalised.

    A negative `std` is for a network that was trained on dark strokes on a light background.

    Pixels become numbers by a lookup table of 256 entries, `(pixel/255 − mean)/std` in float32. Training
    uses the same table on every device, so that training and prediction agree bit for bit.
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
        self.min_decode_size = min_decode_size  # a larger JPEG is scaled down while it is decoded
        self.resize_mode = resize_mode
        self.mean, self.std = float(mean), float(std)
        with np.errstate(over="ignore"):
            single = np.asarray([self.mean, self.std], np.float32)
        if not np.isfinite(single).all() or single[1] == 0:
            raise ValueError(f"mean is {mean!r}, std is {std!r}; expected a number other than 0")
        check_normalization(self.spec, *single)
        fixed = [axis for axis in self.spec.sample_axes if isinstance(axis, int)]
        dynamic = len(self.spec.sample_axes) - len(fixed)
        # The size of the dynamic axis, if there is one; 0 if the pixels do not fill the fixed axes.
        remaining = self.height * self.width
        for axis in fixed:
            remaining = remaining // axis if remaining % axis == 0 else 0
        if dynamic > 1 or remaining == 0 or (dynamic == 0 and remaining != 1):
            raise ValueError(f"an image of {self.height}×{self.width} does not match {self.spec}")

    @cached_property
    def lookup_table(self) -> Array:
        """float32 (256,): the number for each pixel value."""
        return pixel_lookup_table(
            np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        )

    @property
    def image_spec(self) -> ImageSpec:
        operations = pixel_normalization(
            np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        )
        return ImageSpec(
            self.to_model_size,
            self.resize_mode,
            self.lookup_table,
            self.sample_shape,
            normalization=operations,
        )

    @cached_property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample; −1 for the dynamic axis of a sequence of rows."""
        return tuple(axis if isinstance(axis, int) else -1 for axis in self.spec.sample_axes)

    def to_model_size(self, image: Image.Image) -> Array:
        return RESIZE_MODES[self.resize_mode](image, (self.width, self.height))

    def to_input_layout(self, batch: Array) -> Array:
        if batch.dtype == np.uint8 and self.spec.is_float:
            # Every uint8 is a valid index: "wrap" avoids the buffer that the default "raise" needs.
            batch = self.lookup_table.take(batch, mode="wrap").reshape(
                len(batch), *self.sample_shape
            )
        return self.spec.place_batch(batch) if self.spec.batch_axis else batch


def pixels_as_png(pixels: Array) -> bytes:
    """uint8 (height, width[, 1 or 3 channels]) as a small PNG file."""
    from ptx.infer.preprocessing.examples import png_bytes

    return png_bytes(Image.fromarray(np.ascontiguousarray(pixels.squeeze())))


def open_image(value: Any, *, min_size: MinSize | None = None) -> Image.Image:
    """Decode an image as a person sees it (upright): mode L, LA, RGB or RGBA.

    Args:
        value: A path, the bytes of an image file, a binary file object, a Pillow image, or uint8
            or uint16 pixels (height, width[, channels]).
        min_size: See `ptx.infer.images.decode.decode`.

    Raises:
        InputError: the value is of another type, or cannot be decoded.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return decode(bytes(value), name="the image", min_size=min_size)
    if isinstance(value, np.ndarray):
        return from_array(value)
    if isinstance(value, str | os.PathLike):
        return decode(
            read_bytes(value, limit=SIZE_LIMIT), name=os.fsdecode(value), min_size=min_size
        )
    if isinstance(value, Image.Image):
        return from_pillow(value)
    if hasattr(value, "read"):
        return decode(_content(value), name="the file object", min_size=min_size)
    raise InputError(
        f"the input is a {type(value).__name__}; expected a path, bytes, a file object, a"
        " Pillow image or an array",
        code="E-TYPE",
    )


def _content(file: Any) -> bytes:
    """The remaining bytes of a file object; a pipe returns them in pieces."""
    parts: list[bytes] = []
    remaining = SIZE_LIMIT + 1
    try:
        while remaining > 0 and (part := file.read(remaining)):
            if not isinstance(part, bytes):
                raise InputError(
                    "the file object returns text; open it in binary mode",
                    code="E-TYPE",
                )
            parts.append(part)
            remaining -= len(part)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"the file object cannot be read: {error}", code="E-IN-READ") from error
    if remaining <= 0:
        raise InputError(f"the file object has more than {SIZE_LIMIT:,} bytes", code="E-IN-SIZE")
    return b"".join(parts)
