"""What the preprocessings of pictures share, before and after each fits a picture to its model."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ptx.infer.artifact.files import read_bytes
from ptx.infer.errors import InputError
from ptx.infer.picture.decode import Least, decode, from_array
from ptx.infer.signature import Array, Signature, TensorSpec

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
SIZE_LIMIT = 256 * 2**20  # bytes of one picture file


def picture_input(signature: Signature) -> TensorSpec:
    """The one input that a picture fills; ValueError where the signature has another."""
    if len(signature.inputs) != 1 or signature.inputs[0].dtype not in ("float32", "uint8"):
        raise ValueError("a picture fills one float32 input, or one of uint8 pixels")
    return signature.inputs[0]


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
        return decode(_png(value), name="the Pillow image", least=least)
    if hasattr(value, "read"):
        return decode(_content(value), name="the file object", least=least)
    raise InputError(
        f"the input is a {type(value).__name__}; expected a path, bytes, a file object, a"
        " Pillow image or an array",
        code="E-TYPE",
    )


def ready_sample(spec: TensorSpec, value: Any) -> Array | None:
    """A float array, which is one sample of a float input, as float32; None for any other value.

    Raises:
        InputError: its shape is another one. Its numbers are looked at with its batch.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or not spec.is_float:
        return None
    if not spec.fits_sample(value.shape):
        raise InputError(
            f"the float array has shape {value.shape}; expected one ready sample"
            f" {spec.sample_axes}, or the picture's pixels as uint8",
            code="E-SHAPE",
        )
    if value.dtype == np.float32:
        return value
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, which no model is given
        return value.astype(np.float32)


def sample_key(sample: Array) -> Hashable:
    """Pixels and ready samples do not go into one batch, nor do two sizes."""
    return sample.dtype.kind, sample.shape


def stack_samples(samples: Sequence[Array]) -> Array:
    """The samples along a new first axis; of a single one no copy is made."""
    return samples[0][np.newaxis] if len(samples) == 1 else np.stack(samples)


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


def _png(image: Any) -> bytes:
    """The picture as a file: so that a Pillow image takes the one path that all pictures take."""
    import io

    buffer = io.BytesIO()
    try:
        image.save(buffer, format="PNG", exif=image.getexif(), compress_level=0)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"the Pillow image of mode {image.mode} cannot be used: {error}", code="E-IMG-MODE"
        ) from error
    return buffer.getvalue()
