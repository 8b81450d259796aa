"""The errors of images, and the largest accepted size."""

from __future__ import annotations

from typing import Final

from PIL import Image

from ptx.infer.errors import InputError, LimitError, quote

MAX_PIXELS: Final = 40_000_000
"""Largest image, in pixels. Pillow needs at most 4 bytes per pixel (also for 16-bit RGBA, of which it
keeps the high bytes), and at most two copies exist at once, during a rotation or conversion: 40 Mpx ×
4 B × 2 = 320 MB. A 24 Mpx photograph is accepted. Pillow's limit (179 Mpx) would allow 1.4 GB."""


def map_decoder_error(
    error: Exception, name: str, format_name: str, length: int
) -> InputError | LimitError:
    """The error of ptx for an exception of a decoder; `length`: bytes of the file."""
    if isinstance(error, MemoryError):
        return LimitError(
            f"{quote(name)}: not enough memory to decode the {format_name}", code="E-MEMORY"
        )
    if isinstance(error, Image.DecompressionBombError):
        return too_large_error(name, str(error))
    text = str(error) or type(error).__name__
    if "too large" in text:
        return too_large_error(name, text)
    if any(word in text.lower() for word in ("truncated", "not enough", "eof", "unexpected end")):
        return truncated_error(name, format_name, length)
    return damaged_error(name, format_name, text)


def check_size(size: tuple[int, int], name: str) -> None:
    """E-IMG-TOO-LARGE if an image of (width, height) has more than MAX_PIXELS."""
    if size[0] * size[1] > MAX_PIXELS:
        raise size_error(size, name)


def size_error(size: tuple[int, int], name: str) -> InputError:
    """E-IMG-TOO-LARGE for an image of (width, height)."""
    return too_large_error(name, f"the image has {size[0]}x{size[1]} pixels")


def too_large_error(name: str, reason: str) -> InputError:
    """E-IMG-TOO-LARGE; `reason`: the size, or the message of a decoder."""
    return InputError(
        f"{quote(name)}: {reason}; expected at most {MAX_PIXELS:,} pixels: scale the image down",
        code="E-IMG-TOO-LARGE",
    )


def truncated_error(name: str, format_name: str, length: int) -> InputError:
    """E-IMG-TRUNCATED; `format_name`: a key of FORMATS, `length`: bytes of the file."""
    return InputError(
        f"{quote(name)}: the {format_name} is truncated ({length} bytes); expected a complete file: "
        "copy or download it again",
        code="E-IMG-TRUNCATED",
    )


def damaged_error(name: str, format_name: str, reason: str) -> InputError:
    """E-IMG-DAMAGED; `reason`: what is damaged, or the message of a decoder."""
    return InputError(
        f"{quote(name)}: the {format_name} is damaged ({reason}); expected an intact file: "
        "copy, download or save it again",
        code="E-IMG-DAMAGED",
    )
