"""Decode an image file, or convert an array or a Pillow image: 8 bits per channel, upright.

The steps are the same for every file: format from the first bytes, size from the header, integrity,
frame, pixels, EXIF orientation, bit depth and mode. An image that cannot be decoded reliably is an
`InputError`. Pillow's global settings are neither used nor changed, so that threads can decode at the
same time.
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

# PNG bit depth and colour type -> mode, for pixels without palette or scaling.
_PLAIN: Final = {(8, 0): "L", (8, 2): "RGB", (8, 4): "LA", (8, 6): "RGBA"}
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                 (0, 1, 1, 2))  # x, y, column step, row step of each interlace pass  # fmt: skip
_BLOCK_SIZE: Final = 2**18  # bytes that are decompressed at a time
# Chunks that neither change pixels nor can contain an orientation.
_INERT: Final = frozenset((b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"tIME", b"bKGD", b"sBIT"))
_HEAD: Final = struct.Struct(">I4s").unpack_from
_CRC: Final = struct.Struct(">I").unpack_from
_IHDR: Final = struct.Struct(">IIBBBBB").unpack_from

Chunk = tuple[bytes, int, int]  # type, start and end of the data of a PNG chunk


def decode(
    data: bytes, *, name: str = "image", frame: int | None = None, min_size: MinSize | None = None
) -> Image.Image:
    """The image in a file as a person sees it: upright, mode L, LA, RGB or RGBA with 8 bits.

    The checksums of a PNG are verified, and it must be complete up to its end chunk, so that a damaged
    file is an error and never other pixels. The other formats have no checksums: damage is an error if
    the decoder notices it. 16-bit gray is scaled, not clipped. Previews that phones append to a JPEG
    are not frames.

    Args:
        data: The bytes of the file.
        name: The name of the image in messages.
        frame: Which image of an animation or multi-page file to decode, from 0.
        min_size: A JPEG that is at least twice as large is decoded at 1/2, 1/4 or 1/8 of its size, but
            not below this size; this is many times as fast.

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
    except Exception as error:  # Pillow's decoders raise many unrelated classes
        raise map_decoder_error(error, name, format_name, len(data)) from error


def from_pillow(image: Image.Image, *, name: str = "the Pillow image") -> Image.Image:
    """A Pillow image, converted as `decode` converts the file that it was opened from.

    Raises:
        InputError: E-IMG-DEPTH, E-IMG-TOO-LARGE, or as `decode` if its file cannot be decoded.
        LimitError: memory ran out.
    """
    try:
        return convert_pillow_image(image, name)
    except (InputError, LimitError):
        raise
    except Exception as error:
        raise map_decoder_error(error, name, image.format or "picture", 0) from error


def from_array(pixels: np.ndarray[Any, Any], *, name: str = "array") -> Image.Image:
    """An image from pixels: (height, width) or (height, width, 1 | 3 | 4), gray, RGB or RGBA.

    uint8 is used unchanged; uint16 is scaled from 0..65535 to 0..255, not clipped.

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
            f"{label} has shape {pixels.shape}; expected one image (height, width) or "
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
        return ": pass the images one at a time"
    return ""


def _decode(
    data: bytes, format_name: str, name: str, frame: int | None, min_size: MinSize | None
) -> Image.Image:
    if format_name == "PNG":
        chunks = _read_chunks(data, name)
        _check_pixels(data, chunks, name)
        image = _decode_plain(data, chunks)
        if image is not None and not frame:
            return image
    return decode_with_pillow(data, format_name, name, frame, min_size)


def _read_chunks(data: bytes, name: str) -> list[Chunk]:
    """The chunks up to IEND, after the CRC of each was verified."""
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
    """Check that there are all rows, which Pillow would leave black, and a palette if one is needed."""
    width, height, depth, colour, *_, interlace = _IHDR(data, 16)
    if colour == 3 and all(chunk_type != b"PLTE" for chunk_type, _, _ in chunks):
        raise damaged_error(name, "PNG", "its palette is missing")
    bits = depth * _CHANNELS.get(colour, 1)
    # Each row has a filter byte before its pixels.
    missing = 0 if interlace else height * (1 + (width * bits + 7) // 8)
    for x, y, column_step, row_step in _ADAM7 if interlace else ():
        columns, rows = -((x - width) // column_step), -((y - height) // row_step)
        if columns > 0:
            missing += max(rows, 0) * (1 + (columns * bits + 7) // 8)
    decompressor = zlib.decompressobj()
    for chunk_type, start, end in chunks:
        compressed = data[start:end] if chunk_type == b"IDAT" else b""
        while compressed and missing > 0:
            missing -= len(decompressor.decompress(compressed, min(missing, _BLOCK_SIZE)))
            compressed = decompressor.unconsumed_tail
    if missing > 0:
        raise truncated_error(name, "PNG", len(data))


def _decode_plain(data: bytes, chunks: list[Chunk]) -> Image.Image | None:
    """Decode a plain 8-bit PNG with Pillow's raw decoder; None for every other PNG.

    This is three times as fast as `PngImageFile`, which would parse the chunks a second time.
    """
    width, height, depth, colour, compression, filtering, interlace = _IHDR(data, 16)
    mode = _PLAIN.get((depth, colour))
    if mode is None or compression or filtering or interlace:
        return None
    pixel_data: list[bytes] = []
    previous = b"IHDR"
    for chunk_type, start, end in chunks[1:-1]:
        if chunk_type == b"IDAT" and (previous == b"IDAT" or not pixel_data):
            pixel_data.append(data[start:end])
        elif chunk_type not in _INERT:
            return None
        previous = chunk_type
    return Image.frombytes(mode, (width, height), b"".join(pixel_data), "zip", mode, 0)
