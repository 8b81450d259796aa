"""What is wrong with a picture, in our words; and the largest size that is read."""

from __future__ import annotations

from typing import Final

from PIL import Image

from ptx.infer.errors import InputError, LimitError, quote

MAX_PIXELS: Final = 40_000_000
"""Largest picture, in pixels. Pillow holds at most 4 bytes per pixel (16-bit RGBA too: it keeps the
high bytes), and at most two copies live at once while one is turned or converted: 40 Mpx x 4 B x 2
= 320 MB. A digit or a garment needs 28x28, a 24 Mpx photo fits, and Pillow's own limit (179 Mpx)
would allow 1.4 GB."""


def map_decoder_error(
    error: Exception, name: str, format_name: str, length: int
) -> InputError | LimitError:
    """Whatever a decoder raises as an error of ptx."""
    if isinstance(error, MemoryError):
        return LimitError(
            f"{quote(name)}: not enough memory to decode the {format_name}", code="E-MEMORY"
        )
    if isinstance(error, Image.DecompressionBombError):
        return too_large_error(name, str(error))
    text = str(error) or type(error).__name__
    if "too large" in text:
        return too_large_error(name, text)
    if any(sign in text.lower() for sign in ("truncated", "not enough", "eof", "unexpected end")):
        return truncated_error(name, format_name, length)
    return damaged_error(name, format_name, text)


def check_size(size: tuple[int, int], name: str) -> None:
    """Refuse a picture of (width, height) that is larger than MAX_PIXELS: E-IMG-TOO-LARGE."""
    if size[0] * size[1] > MAX_PIXELS:
        raise size_error(size, name)


def size_error(size: tuple[int, int], name: str) -> InputError:
    """E-IMG-TOO-LARGE of a picture of (width, height)."""
    return too_large_error(name, f"the picture has {size[0]}x{size[1]} pixels")


def too_large_error(name: str, found: str) -> InputError:
    """E-IMG-TOO-LARGE; `found`: what says so."""
    return InputError(
        f"{quote(name)}: {found}; expected at most {MAX_PIXELS:,} pixels: make the picture smaller",
        code="E-IMG-TOO-LARGE",
    )


def truncated_error(name: str, format_name: str, length: int) -> InputError:
    """E-IMG-TRUNCATED; `format_name`: as in FORMATS, `length`: of what was read, in bytes."""
    return InputError(
        f"{quote(name)}: the {format_name} ends early ({length} bytes read); expected a complete file: "
        "copy or download it again",
        code="E-IMG-TRUNCATED",
    )


def damaged_error(name: str, format_name: str, found: str) -> InputError:
    """E-IMG-DAMAGED; `found`: where or how."""
    return InputError(
        f"{quote(name)}: the {format_name} is damaged ({found}); expected an intact file: "
        "copy, download or save it again",
        code="E-IMG-DAMAGED",
    )
