"""Image formats: recognised by their first bytes, decoded by Pillow after checks that it lacks."""

from __future__ import annotations

import pkgutil
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any, Final, cast

import numpy as np
from PIL import Image, ImageFile

from ptx.infer.errors import InputError, quote
from ptx.infer.images.errors import check_size, damaged_error, truncated_error

PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"

FORMATS: Final[dict[str, str]] = {
    "PNG": "PIL.PngImagePlugin:PngImageFile",
    "JPEG": "PIL.JpegImagePlugin:JpegImageFile",
    "GIF": "PIL.GifImagePlugin:GifImageFile",
    "BMP": "PIL.BmpImagePlugin:BmpImageFile",
    "TIFF": "PIL.TiffImagePlugin:TiffImageFile",
    "WEBP": "PIL.WebPImagePlugin:WebPImageFile",
    "PPM": "PIL.PpmImagePlugin:PpmImageFile",
    "AVIF": "PIL.AvifImagePlugin:AvifImageFile",
}
"""The accepted formats. Each is opened by its own class: `Image.open` would try others, warn through the
process-wide filters, and include the preview frames that phones append to a JPEG."""

# First bytes of the accepted formats; for WEBP, PPM and AVIF see `find_format`.
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

_AVIF: Final = (b"ftypavif", b"ftypavis")  # at byte 4: an image, a sequence of images

# Offset, bytes and name of formats that are not accepted, for the message.
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
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftypmif", "HEIC"),
    (4, b"ftyp", "a video"),
)


# Pillow mode -> mode of the result. Modes with more than 8 bits, which `convert` would clip, are absent.
_CONVERT: Final[dict[str, str]] = {
    "1": "L",
    "L": "L",
    "LA": "LA",
    "La": "LA",
    "P": "RGB",
    "PA": "RGBA",
    "RGB": "RGB",
    "RGBX": "RGB",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
    "CMYK": "RGB",
    "YCbCr": "RGB",
}
MinSize = int | Callable[[tuple[int, int]], tuple[int, int]]
"""The minimum of both sides, or a function from the file's (width, height) to the minimum ones."""

_MAX_COUNTED: Final = 1000  # pages of a TIFF
_BLOCK_SIZE: Final = 2**22  # bytes for a decoder at a time; libjpeg is slower at the end of each
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262


def find_format(data: bytes, name: str) -> str:
    """The format, a key of FORMATS, from the content; the extension of the file is not used.

    Raises:
        InputError: E-IMG-EMPTY, E-IMG-FORMAT or E-IMG-TRUNCATED.
    """
    if not data:
        raise InputError(
            f"{quote(name)}: the file is empty (0 bytes); expected an image", code="E-IMG-EMPTY"
        )
    for magic, format_name in _MAGIC.items():
        if data.startswith(magic):
            return format_name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3] in b" \t\r\n#" and len(data) > 2:
        return "PPM"
    if data[4:12] in _AVIF and _supports_avif():
        return "AVIF"
    if PNG_MAGIC.startswith(data):
        raise truncated_error(name, "PNG", len(data))
    raise InputError(
        f"{quote(name)}: not a supported image format (it looks like {_looks_like(data)}); "
        f"expected one of {', '.join(_supported())}: save it as PNG or JPEG",
        code="E-IMG-FORMAT",
    )


def _supported() -> list[str]:
    """The formats that the installed Pillow can decode: it may be built without AVIF."""
    return [name for name in FORMATS if name != "AVIF" or _supports_avif()]


def _supports_avif() -> bool:
    from PIL import features  # the import takes as long as decoding a small image

    return bool(features.check("avif"))


def _looks_like(data: bytes) -> str:
    for offset, magic, format_name in _LOOKS_LIKE:
        if data.startswith(magic, offset):
            return format_name
    head = data[:1024].lower()
    if b"<svg" in head:
        return "SVG"
    if b"<html" in head or b"<!doctype html" in head:
        return "HTML"
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return "text" if printable > 0.9 * len(head) else "unknown data"


def decode_with_pillow(
    data: bytes, format_name: str, name: str, frame: int | None, min_size: MinSize | None
) -> Image.Image:
    """Decode a file with Pillow; arguments and errors as `ptx.infer.images.decode.decode`."""
    from PIL import ImageOps

    if format_name == "WEBP":
        _check_webp(data, name)
    elif format_name == "GIF":
        _check_gif(data, name)
    plugin = cast(type[ImageFile.ImageFile], pkgutil.resolve_name(FORMATS[format_name]))
    with plugin(BytesIO(data)) as image:
        check_size(image.size, name)
        index = _choose_frame(image, frame, name)
        if index:
            image.seek(index)
            check_size(image.size, name)
        if min_size is not None:
            size = min_size(image.size) if callable(min_size) else (min_size, min_size)
            image.draft(image.mode, size)  # only JPEG supports it
        image.decodermaxblock = _BLOCK_SIZE
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        depth = data[24] if format_name == "PNG" else 8
        return _eight_bit(image, format_name, name, depth, getattr(image, "tag_v2", {}))


def convert_pillow_image(image: Image.Image, name: str) -> Image.Image:
    """The current frame of a Pillow image, converted as `decode_with_pillow` does; a copy."""
    from PIL import ImageOps

    check_size(image.size, name)
    image.load()
    tags = getattr(image, "tag_v2", {})  # a copy does not have them
    upright = ImageOps.exif_transpose(image)
    return _eight_bit(upright, image.format or "image", name, 8, tags)


def _check_webp(data: bytes, name: str) -> None:
    """Check length and canvas size: when it opens a file, the decoder allocates the canvas twice."""
    if len(data) < 30 or int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise truncated_error(name, "WEBP", len(data))
    if data[12:16] == b"VP8X":
        size = (
            int.from_bytes(data[24:27], "little") + 1,
            int.from_bytes(data[27:30], "little") + 1,
        )
    elif data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        size = ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    else:
        width, height = struct.unpack_from("<HH", data, 26)
        size = (width & 0x3FFF, height & 0x3FFF)
    check_size(size, name)


def _check_gif(data: bytes, name: str) -> None:
    """Walk the blocks to the trailer: Pillow does not notice that frames at the end are missing."""
    position = 6
    try:
        position += 7 + _gif_palette(data[10])
        while (block_type := data[position]) != 0x3B:
            if block_type == 0x2C:
                position += 11 + _gif_palette(data[position + 9])
            elif block_type == 0x21:
                position += 2
            else:
                raise damaged_error(name, "GIF", f"block {block_type:#04x} at byte {position}")
            while data[position]:
                position += data[position] + 1
            position += 1
    except IndexError as error:
        raise truncated_error(name, "GIF", len(data)) from error


def _gif_palette(flags: int) -> int:
    """The size of a colour table in bytes."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _choose_frame(image: ImageFile.ImageFile, frame: int | None, name: str) -> int:
    maximum = max(_MAX_COUNTED, frame or 0) + 1
    frames = _count_frames(image, maximum)
    if frame is None and frames == 1:
        return 0
    if frame is not None and 0 <= frame < frames:
        return frame
    problem = "expected one image" if frame is None else f"frame {frame} does not exist"
    count, last = str(frames), f"to {frames - 1}"
    if image.format == "TIFF" and frames == maximum:  # there may be more
        count, last = f"more than {maximum - 1:,}", "or a later one"
    raise InputError(
        f"{quote(name)}: the file has {count} frame{'s' * (frames != 1)}, {problem}: "
        f"choose frame 0 {last}",
        code="E-IMG-FRAMES",
    )


def _count_frames(image: ImageFile.ImageFile, maximum: int) -> int:
    """The number of frames; for a TIFF at most `maximum`, because each page must be parsed."""
    if image.format != "TIFF":
        return int(getattr(image, "n_frames", 1))
    count = 1
    with suppress(EOFError):
        while count < maximum:
            image.seek(count)
            count += 1
    image.seek(0)
    return count


def _eight_bit(
    image: Image.Image, format_name: str, name: str, depth: int, tags: Mapping[int, Any]
) -> Image.Image:
    """`image` in mode L, LA, RGB or RGBA; a transparent colour becomes alpha.

    Args:
        depth: Bits per channel of a PNG; 8 for other formats.
        tags: The tags of a TIFF; empty for other formats.
    """
    key = image.info.get("transparency")
    if image.mode.startswith("I;16") or (image.mode == "I" and format_name == "PPM"):
        return _from_sixteen_bit(image, tags, key)
    if image.mode not in _CONVERT:
        raise InputError(
            f"{quote(name)}: the {format_name} has pixels of mode {image.mode!r}, whose range is"
            " not known; expected 8 or 16 bits per channel: save it as an 8-bit PNG",
            code="E-IMG-DEPTH",
        )
    if key is None:
        return image.convert(_CONVERT[image.mode])
    if image.mode in ("1", "L"):
        # Pillow scales pixels of 2 and 4 bits to 0..255, but not the transparent colour.
        scale = 255 // (2**depth - 1) if image.mode == "L" else 1
        gray = image.convert("L")
        opaque = [255] * 256
        opaque[key * scale & 255] = 0
        return Image.merge("LA", (gray, gray.point(opaque)))
    if image.mode == "RGB" and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in key)  # 8 bits, like the pixels
    return image.convert("RGBA")


def _from_sixteen_bit(image: Image.Image, tags: Mapping[int, Any], key: int | None) -> Image.Image:
    """Gray of more than 8 bits, scaled by its full range: `convert("L")` would clip it at 255."""
    bits = tags[_TIFF_BITS][0] if tags else 16
    samples = np.asarray(image)
    gray = eight_bit_table(2**bits - 1)[samples]
    if tags.get(_TIFF_PHOTOMETRIC) == 0:  # white is 0, which Pillow respects only up to 8 bits
        gray = 255 - gray
    if key is None:
        return Image.fromarray(gray)
    alpha = np.where(samples == key, 0, 255).astype(np.uint8)
    return Image.fromarray(np.dstack([gray, alpha]))


def eight_bit_table(peak: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """uint8 (65536,): the 8-bit value of each 16-bit value, rounded; `peak` is white."""
    samples = np.arange(65536)
    return np.minimum((samples * 255 + peak // 2) // peak, 255).astype(np.uint8)
