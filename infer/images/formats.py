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
"""The formats that are accepted. Each is opened by its own class: `Image.open` would try others,
warn through the process-wide filters, and follow a JPEG into the preview frames that phones append
to it."""

# First bytes of what is accepted; WEBP (its mark is at byte 8), PPM and AVIF: see `find_format`.
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

_AVIF: Final = (b"ftypavif", b"ftypavis")  # at byte 4: a picture, a sequence of them

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
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftypmif", "HEIC"),
    (4, b"ftyp", "a video"),
)


# Pillow mode -> mode handed on. Depths above 8 bits, which `convert` would clip, are not here.
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
"""The least length of both sides, or what gives the least (width, height) for those of the file."""

_MOST_COUNTED: Final = 1000  # pages of a TIFF
_PIECE: Final = 2**22  # bytes for a decoder at a time; libjpeg is slower at the end of each
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262


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
    if data[4:12] in _AVIF and _reads_avif():
        return "AVIF"
    if PNG_MAGIC.startswith(data):
        raise truncated_error(name, "PNG", len(data))
    raise InputError(
        f"{quote(name)}: not a picture that can be read, it looks like {_looks_like(data)}; "
        f"expected one of {', '.join(_readable())}: save it as PNG or JPEG",
        code="E-IMG-FORMAT",
    )


def _readable() -> list[str]:
    """The formats that the installed Pillow can decode: it may be built without AVIF."""
    return [name for name in FORMATS if name != "AVIF" or _reads_avif()]


def _reads_avif() -> bool:
    from PIL import features  # as slow to import as a small picture is to read

    return bool(features.check("avif"))


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


def decode_with_pillow(
    data: bytes, format_name: str, name: str, frame: int | None, min_size: MinSize | None
) -> Image.Image:
    """What `ptx.infer.images.decode.decode` does for all but a plain PNG."""
    from PIL import ImageOps

    if format_name == "WEBP":
        _check_webp(data, name)
    elif format_name == "GIF":
        _check_gif(data, name)
    plugin = cast(type[ImageFile.ImageFile], pkgutil.resolve_name(FORMATS[format_name]))
    with plugin(BytesIO(data)) as image:
        check_size(image.size, name)
        chosen = _pick_frame(image, frame, name)
        if chosen:
            image.seek(chosen)
            check_size(image.size, name)
        if min_size is not None:
            size = min_size(image.size) if callable(min_size) else (min_size, min_size)
            image.draft(image.mode, size)  # heeded by JPEG alone
        image.decodermaxblock = _PIECE
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        depth = data[24] if format_name == "PNG" else 8
        return _eight_bit(image, format_name, name, depth, getattr(image, "tag_v2", {}))


def convert_pillow_image(image: Image.Image, name: str) -> Image.Image:
    """What `decode_with_pillow` makes of a file, of a picture that Pillow has opened or that was made.

    It has the frame that it is at. `image` stays as it is.
    """
    from PIL import ImageOps

    check_size(image.size, name)
    image.load()
    tags = getattr(image, "tag_v2", {})  # which a copy has not
    upright = ImageOps.exif_transpose(image)
    return _eight_bit(upright, image.format or "picture", name, 8, tags)


def _check_webp(data: bytes, name: str) -> None:
    """Length and canvas: the decoder would allocate the canvas twice over on opening."""
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
    """Walks the blocks to the trailer: Pillow answers a cut animation with the frames left."""
    position = 6
    try:
        position += 7 + _gif_palette(data[10])
        while (mark := data[position]) != 0x3B:
            if mark == 0x2C:
                position += 11 + _gif_palette(data[position + 9])
            elif mark == 0x21:
                position += 2
            else:
                raise damaged_error(name, "GIF", f"block {mark:#04x} at byte {position}")
            while data[position]:
                position += data[position] + 1
            position += 1
    except IndexError as error:
        raise truncated_error(name, "GIF", len(data)) from error


def _gif_palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _pick_frame(image: ImageFile.ImageFile, frame: int | None, name: str) -> int:
    most = max(_MOST_COUNTED, frame or 0) + 1
    frames = _count_frames(image, most)
    if frame is None and frames == 1:
        return 0
    if frame is not None and 0 <= frame < frames:
        return frame
    asked = "expected one picture" if frame is None else f"frame {frame} does not exist"
    held, last = str(frames), f"to {frames - 1}"
    if image.format == "TIFF" and frames == most:  # no more of them were counted
        held, last = f"more than {most - 1:,}", "or a later one"
    raise InputError(
        f"{quote(name)}: the file holds {held} frame{'s' * (frames != 1)}, {asked}: "
        f"choose frame 0 {last}",
        code="E-IMG-FRAMES",
    )


def _count_frames(image: ImageFile.ImageFile, most: int) -> int:
    """The frames of a picture, of a TIFF up to `most`: each page is parsed to find the next one."""
    if image.format != "TIFF":
        return int(getattr(image, "n_frames", 1))
    count = 1
    with suppress(EOFError):
        while count < most:
            image.seek(count)
            count += 1
    image.seek(0)
    return count


def _eight_bit(
    image: Image.Image, format_name: str, name: str, depth: int, tags: Mapping[int, Any]
) -> Image.Image:
    """`image` as L, LA, RGB or RGBA, its transparent colour turned into alpha.

    Args:
        depth: Bits of a sample in a PNG.
        tags: Of a TIFF.
    """
    key = image.info.get("transparency")
    if image.mode.startswith("I;16") or (image.mode == "I" and format_name == "PPM"):
        return _from_sixteen_bit(image, tags, key)
    if image.mode not in _CONVERT:
        raise InputError(
            f"{quote(name)}: the {format_name} holds pixels of mode {image.mode!r}, whose range is"
            " not known; expected 8 or 16 bit per channel: save it as an 8-bit PNG",
            code="E-IMG-DEPTH",
        )
    if key is None:
        return image.convert(_CONVERT[image.mode])
    if image.mode in ("1", "L"):
        # Pillow scales samples of 2 and 4 bits to 0..255 but not the colour that is transparent.
        scale = 255 // (2**depth - 1) if image.mode == "L" else 1
        gray = image.convert("L")
        opaque = [255] * 256
        opaque[key * scale & 255] = 0
        return Image.merge("LA", (gray, gray.point(opaque)))
    if image.mode == "RGB" and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in key)  # as the pixels are
    return image.convert("RGBA")


def _from_sixteen_bit(image: Image.Image, tags: Mapping[int, Any], key: int | None) -> Image.Image:
    """Gray of more than 8 bits, scaled by its own full range: `convert("L")` would clip it at 255."""
    bits = tags[_TIFF_BITS][0] if tags else 16
    samples = np.asarray(image)
    gray = eight_bit_table(2**bits - 1)[samples]
    if tags.get(_TIFF_PHOTOMETRIC) == 0:  # white is 0, which Pillow heeds up to 8 bits only
        gray = 255 - gray
    if key is None:
        return Image.fromarray(gray)
    alpha = np.where(samples == key, 0, 255).astype(np.uint8)
    return Image.fromarray(np.dstack([gray, alpha]))


def eight_bit_table(peak: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Sample 0..65535 -> 0..255, rounded, with `peak` as white."""
    samples = np.arange(65536)
    return np.minimum((samples * 255 + peak // 2) // peak, 255).astype(np.uint8)
