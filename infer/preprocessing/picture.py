"""What the preprocessings of pictures share: from what a person has in hand to a decoded picture."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from PIL import Image

from ptx.infer.errors import InputError
from ptx.infer.files import read_bytes
from ptx.infer.guard import is_finite
from ptx.infer.image import decode, from_array
from ptx.infer.signature import Array, Axis, TensorSpec

SIZE_LIMIT = 256 * 2**20  # bytes of one picture file


def open_picture(value: Any, *, least: int | None = None) -> Image.Image:
    """The picture that `value` is, as a person sees it: mode L, LA, RGB or RGBA.

    `value`: a path, the bytes of a picture file, a binary file object, a Pillow image, or uint8 or
    uint16 pixels (height, width[, channels]). `least`: see `ptx.infer.image.decode`.

    Raises:
        InputError: it is none of these, or cannot be decoded.
    """
    if isinstance(value, str | os.PathLike):
        return decode(read_bytes(value, limit=SIZE_LIMIT), name=os.fsdecode(value), least=least)
    if isinstance(value, np.ndarray):
        return from_array(value)
    if isinstance(value, Image.Image):
        return decode(_png(value), name="the Pillow image", least=least)
    if isinstance(value, bytes | bytearray | memoryview):
        return decode(bytes(value), name="the picture", least=least)
    if hasattr(value, "read"):
        return decode(_content(value), name="the file object", least=least)
    raise InputError(
        f"the input is a {type(value).__name__}; expected a path, bytes, a file object, a"
        " Pillow image or an array",
        code="E-TYPE",
    )


def ready_sample(spec: TensorSpec, value: Array) -> Array:
    """A float array that is one sample of the input already, as float32.

    Raises:
        InputError: its shape is another one, or it is not finite.
    """
    expected = spec.sample_axes
    if value.shape != expected and not _fits(value.shape, expected):
        raise InputError(
            f"the float array has shape {value.shape}; expected one ready sample"
            f" {expected}, or the picture's pixels as uint8",
            code="E-SHAPE",
        )
    sample = value
    if value.dtype != np.float32:
        with np.errstate(over="ignore"):
            sample = value.astype(np.float32)
    if not sample.size or not is_finite(sample):
        raise InputError(
            f"the float array of shape {value.shape} is empty or not finite; expected finite"
            " numbers",
            code="E-NONFINITE",
        )
    return sample


def _fits(shape: tuple[int, ...], axes: tuple[Axis, ...]) -> bool:
    return len(shape) == len(axes) and all(
        size == axis or isinstance(axis, str) for size, axis in zip(shape, axes, strict=True)
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
