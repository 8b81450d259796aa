"""One picture path: bytes or an array in, the picture that a person sees out.

Every picture goes the same way: format by its first bytes, size from its header, integrity, frames,
pixels, EXIF orientation, depth and mode. What cannot be read right is refused with an `InputError`.
No check relies on Pillow's global settings and none is changed, so that threads may decode side by
side.
"""

from __future__ import annotations

import pkgutil
import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final, cast

import numpy as np
from PIL import Image, ImageFile

from ptx.infer.errors import InputError, LimitError, quote
from ptx.infer.picture.formats import FORMATS, find_format
from ptx.infer.picture.png import PNG_MAGIC, decode_png
from ptx.infer.picture.problems import (
    check_size,
    damaged_error,
    map_decoder_error,
    truncated_error,
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
Least = int | Callable[[tuple[int, int]], tuple[int, int]]
"""The least length of both sides, or what gives the least (width, height) for those of the file."""

_PIECE: Final = 2**22  # bytes for a decoder at a time; libjpeg is slower at the end of each
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262


def decode(
    data: bytes, *, name: str = "image", frame: int | None = None, least: Least | None = None
) -> Image.Image:
    """The picture in `data`, as a person sees it: mode L, LA, RGB or RGBA, 8 bit, upright, alpha
    kept.

    `name` stands in the messages. `frame` chooses one picture of an animation or a multi-page file,
    from 0.
    `least`: a JPEG that is at least twice as large is decoded at a half, a quarter or an eighth of its
    size, at which it is no smaller than `least`; many times as fast.

    PNG carries checksums and is held to them, so that a damaged one is refused and never answered
    with other pixels; it must be complete to its end chunk. The other formats carry none: they are
    refused where their decoder notices. 16-bit gray is scaled, not clipped. A JPEG is its main
    picture; previews that phones append are not frames.

    Raises:
        InputError: E-IMG-EMPTY, E-IMG-FORMAT, E-IMG-TRUNCATED, E-IMG-DAMAGED, E-IMG-TOO-LARGE,
            E-IMG-FRAMES or E-IMG-DEPTH.
        LimitError: memory ran out.
    """
    format_name = "PNG" if data.startswith(PNG_MAGIC) else find_format(data, name)
    try:
        return _decode(data, format_name, name, frame, least)
    except (InputError, LimitError):
        raise
    except Exception as error:  # seven families were seen
        raise map_decoder_error(error, name, format_name, len(data)) from error


def from_array(pixels: np.ndarray[Any, Any], *, name: str = "array") -> Image.Image:
    """A picture from `pixels`: (height, width) or (height, width, 1 | 3 | 4), gray, RGB or RGBA.

    uint8 is taken as it is; uint16 is scaled by 65535, not clipped.

    Raises:
        InputError: E-TYPE, E-SHAPE or E-IMG-TOO-LARGE.
    """
    label = quote(name)
    if not isinstance(pixels, np.ndarray):
        raise InputError(
            f"{label} is of type {type(pixels).__name__}; expected a numpy array: use numpy.asarray",
            code="E-TYPE",
        )
    if pixels.dtype.kind != "u" or pixels.dtype.itemsize > 2:
        raise InputError(
            f"{label} has dtype {pixels.dtype}; expected uint8 (0..255) or uint16 (0..65535): "
            "scale the values and use astype(numpy.uint8)",
            code="E-TYPE",
        )
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in pixels.shape:
        raise InputError(
            f"{label} has shape {pixels.shape}; expected one picture (height, width) or "
            f"(height, width, 1 | 3 | 4), none of them 0{_shape_hint(pixels.shape)}",
            code="E-SHAPE",
        )
    check_size((pixels.shape[1], pixels.shape[0]), name)
    if channels == 1:
        pixels = pixels.reshape(pixels.shape[:2])
    if pixels.dtype.itemsize == 2:
        pixels = _eight_bit_table(65535)[pixels]
    return Image.fromarray(np.ascontiguousarray(pixels))


def _shape_hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return ": move the channels to the end with numpy.moveaxis(pixels, 0, -1)"
    if len(shape) == 4:
        return ": give the pictures one at a time"
    return ""


def _decode(
    data: bytes, format_name: str, name: str, frame: int | None, least: Least | None
) -> Image.Image:
    if format_name == "PNG":
        plain = decode_png(data, name)
        if plain is not None:
            _pick_frame(1, frame, name)
            return plain
    elif format_name == "WEBP":
        _check_webp(data, name)
    elif format_name == "GIF":
        _check_gif(data, name)
    return _decode_with_pillow(data, format_name, name, frame, least)


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


def _decode_with_pillow(
    data: bytes, format_name: str, name: str, frame: int | None, least: Least | None
) -> Image.Image:
    from PIL import ImageOps

    plugin = cast(type[ImageFile.ImageFile], pkgutil.resolve_name(FORMATS[format_name]))
    with plugin(BytesIO(data)) as image:
        check_size(image.size, name)
        chosen = _pick_frame(getattr(image, "n_frames", 1), frame, name)
        if chosen:
            image.seek(chosen)
            check_size(image.size, name)
        if least is not None:
            size = least(image.size) if callable(least) else (least, least)
            image.draft(image.mode, size)  # heeded by JPEG alone
        image.decodermaxblock = _PIECE
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _eight_bit(image, data, format_name, name)


def _pick_frame(frames: int, frame: int | None, name: str) -> int:
    if frame is None and frames == 1:
        return 0
    if frame is not None and 0 <= frame < frames:
        return frame
    asked = "expected one picture" if frame is None else f"frame {frame} does not exist"
    raise InputError(
        f"{quote(name)}: the file holds {frames} frame{'s' * (frames != 1)}, {asked}: "
        f"choose frame 0 to {frames - 1}",
        code="E-IMG-FRAMES",
    )


def _eight_bit(image: ImageFile.ImageFile, data: bytes, format_name: str, name: str) -> Image.Image:
    """`image` as L, LA, RGB or RGBA, its transparent colour turned into alpha."""
    key = image.info.get("transparency")
    depth = data[24] if format_name == "PNG" else 8
    if image.mode.startswith("I;16") or (image.mode == "I" and format_name == "PPM"):
        return _from_sixteen_bit(image, format_name, key)
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


def _from_sixteen_bit(image: ImageFile.ImageFile, format_name: str, key: int | None) -> Image.Image:
    """Gray of more than 8 bits, scaled by its own full range: `convert("L")` would clip it at 255."""
    tags: dict[int, Any] = getattr(image, "tag_v2", {})
    bits = tags[_TIFF_BITS][0] if format_name == "TIFF" else 16
    samples = np.asarray(image)
    gray = _eight_bit_table(2**bits - 1)[samples]
    if tags.get(_TIFF_PHOTOMETRIC) == 0:  # white is 0, which Pillow heeds up to 8 bits only
        gray = 255 - gray
    if key is None:
        return Image.fromarray(gray)
    alpha = np.where(samples == key, 0, 255).astype(np.uint8)
    return Image.fromarray(np.dstack([gray, alpha]))


def _eight_bit_table(peak: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Sample 0..65535 -> 0..255, rounded, with `peak` as white."""
    samples = np.arange(65536)
    return np.minimum((samples * 255 + peak // 2) // peak, 255).astype(np.uint8)
