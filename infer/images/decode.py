"""One picture path: bytes or an array in, the picture that a person sees out.

Every picture goes the same way: format by its first bytes, size from its header, integrity, frames,
pixels, EXIF orientation, depth and mode. What cannot be read right is refused with an `InputError`.
No check relies on Pillow's global settings and none is changed, so that threads may decode side by
side.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

import numpy as np
from PIL import Image

from ptx.infer.errors import InputError, LimitError, quote
from ptx.infer.images.errors import (
    MAX_PIXELS,
    check_size,
    damaged_error,
    map_decoder_error,
    size_error,
    truncated_error,
)
from ptx.infer.images.formats import (
    PNG_MAGIC,
    MinSize,
    convert_pillow_image,
    decode_with_pillow,
    eight_bit_table,
    find_format,
)

# PNG bit depth and colour type -> mode, where the pixels need no palette, scaling or interlacing.
_PLAIN: Final = {(8, 0): "L", (8, 2): "RGB", (8, 4): "LA", (8, 6): "RGBA"}
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                 (0, 1, 1, 2))  # x, y, columns and rows apart, of an interlaced picture  # fmt: skip
_PIECE: Final = 2**18  # bytes that are unpacked at a time
# Chunks that neither change pixels nor can hold an orientation.
_INERT: Final = frozenset((b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"tIME", b"bKGD", b"sBIT"))
_HEAD: Final = struct.Struct(">I4s").unpack_from
_CRC: Final = struct.Struct(">I").unpack_from
_IHDR: Final = struct.Struct(">IIBBBBB").unpack_from

Chunk = tuple[bytes, int, int]  # chunk_type, start and end of its data


def decode(
    data: bytes, *, name: str = "image", frame: int | None = None, min_size: MinSize | None = None
) -> Image.Image:
    """The picture in `data`, as a person sees it: mode L, LA, RGB or RGBA, 8 bit, upright, alpha
    kept.

    Args:
        name: The name of the image in messages.
        frame: Which image of an animation or multi-page file to decode, from 0.
        min_size: A JPEG that is at least twice as large is decoded at 1/2, 1/4 or 1/8 of its size, but
            not below this size; this is many times as fast.

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
        return _decode(data, format_name, name, frame, min_size)
    except (InputError, LimitError):
        raise
    except Exception as error:  # seven families were seen
        raise map_decoder_error(error, name, format_name, len(data)) from error


def from_pillow(image: Image.Image, *, name: str = "the Pillow image") -> Image.Image:
    """The picture that a Pillow image shows, as `decode` gives it of the file that it was opened from.

    Raises:
        InputError: E-IMG-DEPTH, E-IMG-TOO-LARGE, or as of `decode` where its file cannot be read.
        LimitError: memory ran out.
    """
    try:
        return convert_pillow_image(image, name)
    except (InputError, LimitError):
        raise
    except Exception as error:
        raise map_decoder_error(error, name, image.format or "picture", 0) from error


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
        pixels = eight_bit_table(65535)[pixels]
    return Image.fromarray(np.ascontiguousarray(pixels))


def _shape_hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return ": move the channels to the end with numpy.moveaxis(pixels, 0, -1)"
    if len(shape) == 4:
        return ": give the pictures one at a time"
    return ""


def _decode(
    data: bytes, format_name: str, name: str, frame: int | None, min_size: MinSize | None
) -> Image.Image:
    if format_name == "PNG":
        chunks = _read_chunks(data, name)
        _check_pixels(data, chunks, name)
        plain = _decode_plain(data, chunks)
        if plain is not None and not frame:
            return plain
    return decode_with_pillow(data, format_name, name, frame, min_size)


def _read_chunks(data: bytes, name: str) -> list[Chunk]:
    """The chunks up to IEND, each held to its CRC, before any pixel is decoded."""
    chunks: list[Chunk] = []
    chunk_type, position, total = b"", len(PNG_MAGIC), len(data)
    while chunk_type != b"IEND":
        if position + 8 > total:
            raise truncated_error(name, "PNG", total)
        length, chunk_type = _HEAD(data, position)
        start = position + 8
        end = start + length
        if not chunks:
            _check_header(data, chunk_type, length, name)
        if end + 4 > total:
            raise truncated_error(name, "PNG", total)
        if zlib.crc32(data[position + 4 : end]) != _CRC(data, end)[0]:
            raise damaged_error(name, "PNG", f"checksum of chunk {chunk_type!r} at byte {position}")
        chunks.append((chunk_type, start, end))
        position = end + 4
    return chunks


def _check_header(data: bytes, chunk_type: bytes, length: int, name: str) -> None:
    if chunk_type != b"IHDR" or length != 13:
        raise damaged_error(name, "PNG", f"it starts with chunk {chunk_type!r} of {length} bytes")
    if len(data) < 29:
        raise truncated_error(name, "PNG", len(data))
    width, height, *_ = _IHDR(data, 16)
    if width == 0 or height == 0:
        raise damaged_error(name, "PNG", f"its size is {width}x{height}")
    if width * height > MAX_PIXELS:
        raise size_error((width, height), name)


def _check_pixels(data: bytes, chunks: list[Chunk], name: str) -> None:
    """A palette where one is needed, and all rows: Pillow leaves those that are missing black."""
    width, height, depth, colour, *_, interlace = _IHDR(data, 16)
    if colour == 3 and all(chunk_type != b"PLTE" for chunk_type, _, _ in chunks):
        raise damaged_error(name, "PNG", "its palette is missing")
    bits = depth * _CHANNELS.get(colour, 1)
    left = 0 if interlace else height * (1 + (width * bits + 7) // 8)
    for x, y, across, down in _ADAM7 if interlace else ():
        columns, rows = -((x - width) // across), -((y - height) // down)
        if columns > 0:
            left += max(rows, 0) * (1 + (columns * bits + 7) // 8)
    inflate = zlib.decompressobj()
    for chunk_type, start, end in chunks:
        packed = data[start:end] if chunk_type == b"IDAT" else b""
        while packed and left > 0:
            left -= len(inflate.decompress(packed, min(left, _PIECE)))
            packed = inflate.unconsumed_tail
    if left > 0:
        raise truncated_error(name, "PNG", len(data))


def _decode_plain(data: bytes, chunks: list[Chunk]) -> Image.Image | None:
    """The picture of a plain 8-bit PNG through Pillow's decoder alone; None for every other PNG.

    Three times as fast as opening the file a second time through `PngImageFile`, and the chunks are
    known already.
    """
    width, height, depth, colour, compression, filtering, interlace = _IHDR(data, 16)
    mode = _PLAIN.get((depth, colour))
    if mode is None or compression or filtering or interlace:
        return None
    parts: list[bytes] = []
    previous = b"IHDR"
    for chunk_type, start, end in chunks[1:-1]:
        if chunk_type == b"IDAT" and (previous == b"IDAT" or not parts):
            parts.append(data[start:end])
        elif chunk_type not in _INERT:
            return None
        previous = chunk_type
    return Image.frombytes(mode, (width, height), b"".join(parts), "zip", mode, 0)
