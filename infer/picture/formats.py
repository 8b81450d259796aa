"""Which format a picture has, by its first bytes."""

from __future__ import annotations

from typing import Final

from ptx.infer.errors import InputError, quote
from ptx.infer.picture.png import PNG_MAGIC
from ptx.infer.picture.problems import truncated_error

FORMATS: Final[dict[str, str]] = {
    "PNG": "PIL.PngImagePlugin:PngImageFile",
    "JPEG": "PIL.JpegImagePlugin:JpegImageFile",
    "GIF": "PIL.GifImagePlugin:GifImageFile",
    "BMP": "PIL.BmpImagePlugin:BmpImageFile",
    "TIFF": "PIL.TiffImagePlugin:TiffImageFile",
    "WEBP": "PIL.WebPImagePlugin:WebPImageFile",
    "PPM": "PIL.PpmImagePlugin:PpmImageFile",
}
"""The formats that are accepted. Each is opened by its own class: `Image.open` would try others,
warn through the process-wide filters, and follow a JPEG into the preview frames that phones append
to it."""

# First bytes of what is accepted; WEBP (its mark stands at byte 8) and PPM: see `find_format`.
_MAGIC: Final[dict[bytes, str]] = {
    PNG_MAGIC: "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}

# What else a file named .png turns out to be: for the message only.
_LOOKS_LIKE: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"%!PS", "EPS"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
    (0, b"%PDF", "PDF"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\x00\x00\x01\x00", "an icon"),
    (0, b"\x00\x00\x00\x0cjP", "JPEG 2000"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftypmif", "HEIC"),
    (4, b"ftyp", "a video"),
)


def find_format(data: bytes, name: str) -> str:
    """The format by content, a key of FORMATS; the file's name says nothing.

    Raises:
        InputError: E-IMG-EMPTY, E-IMG-FORMAT or E-IMG-TRUNCATED.
    """
    if not data:
        raise InputError(
            f"{quote(name)}: the file is empty (0 bytes); expected a picture", code="E-IMG-EMPTY"
        )
    for magic, format_name in _MAGIC.items():
        if data.startswith(magic):
            return format_name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3] in b" \t\r\n#" and len(data) > 2:
        return "PPM"
    if PNG_MAGIC.startswith(data):
        raise truncated_error(name, "PNG", len(data))
    raise InputError(
        f"{quote(name)}: not a picture that can be read, it looks like {_looks_like(data)}; "
        f"expected one of {', '.join(FORMATS)}: save it as PNG or JPEG",
        code="E-IMG-FORMAT",
    )


def _looks_like(data: bytes) -> str:
    for offset, sign, format_name in _LOOKS_LIKE:
        if data.startswith(sign, offset):
            return format_name
    head = data[:1024].lower()
    if b"<svg" in head:
        return "SVG"
    if b"<html" in head or b"<!doctype html" in head:
        return "HTML"
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return "text" if printable > 0.9 * len(head) else "unknown data"
