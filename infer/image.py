"""One picture path: bytes or an array in, the picture that a person sees out.

Every picture goes the same way: format by its first bytes, size from its header, integrity, frames,
pixels, EXIF orientation, depth and mode. What cannot be read right is refused with an `InputError`.
No check relies on Pillow's global settings and none is changed, so that threads may decode side by
side.
"""

from __future__ import annotations

import importlib
import struct
import zlib
from io import BytesIO
from typing import Any, Final, cast

import numpy as np
from PIL import Image, ImageFile

from ptx.infer.errors import InputError, LimitError, quoted

MAX_PIXELS: Final = 40_000_000
"""Largest picture, in pixels. Pillow holds at most 4 bytes per pixel (16-bit RGBA too: it keeps the
high bytes), and at most two copies live at once while one is turned or converted: 40 Mpx x 4 B x 2
= 320 MB. A digit or a garment needs 28x28, a 24 Mpx photo fits, and Pillow's own limit (179 Mpx)
would allow 1.4 GB."""

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

_PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"

# First bytes of what is accepted; WEBP (its mark stands at byte 8) and PPM: see `_format`.
_MAGIC: Final[dict[bytes, str]] = {
    _PNG_MAGIC: "PNG",
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

# PNG bit depth and colour type -> mode, where the pixels need no palette, scaling or interlacing.
_PNG_PLAIN: Final = {(8, 0): "L", (8, 2): "RGB", (8, 4): "LA", (8, 6): "RGBA"}
_PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                 (0, 1, 1, 2))  # x, y, columns and rows apart, of an interlaced picture  # fmt: skip
_PIECE: Final = 2**18  # bytes that are unpacked at a time
# Chunks that neither change pixels nor can hold an orientation.
_PNG_INERT: Final = frozenset((b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"tIME", b"bKGD", b"sBIT"))
_PNG_HEAD: Final = struct.Struct(">I4s").unpack_from
_PNG_CRC: Final = struct.Struct(">I").unpack_from
_PNG_IHDR: Final = struct.Struct(">IIBBBBB").unpack_from

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
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262

_Chunk = tuple[bytes, int, int]  # kind, start and end of its data


def decode(
    data: bytes, *, name: str = "image", frame: int | None = None, least: int | None = None
) -> Image.Image:
    """The picture in `data`, as a person sees it: mode L, LA, RGB or RGBA, 8 bit, upright, alpha
    kept.

    `name` stands in the messages. `frame` chooses one picture of an animation or a multi-page file,
    from 0.
    `least`: a JPEG of which both sides are at least twice that may be decoded at a half, a quarter or
    an eighth of its size, at which both sides are still at least `least`; many times as fast.

    PNG carries checksums and is held to them, so that a damaged one is refused and never answered
    with other pixels; it must be complete to its end chunk. The other formats carry none: they are
    refused where their decoder notices. 16-bit gray is scaled, not clipped. A JPEG is its main
    picture; previews that phones append are not frames.

    Raises:
        InputError: E-IMG-EMPTY, E-IMG-FORMAT, E-IMG-TRUNCATED, E-IMG-DAMAGED, E-IMG-TOO-LARGE,
            E-IMG-FRAMES or E-IMG-DEPTH.
        LimitError: memory ran out.
    """
    kind = _format(data, name)
    try:
        return _decode(data, kind, name, frame, least)
    except (InputError, LimitError):
        raise
    except Exception as error:
        raise _as_ours(error, name, kind, len(data)) from error


def from_array(pixels: np.ndarray[Any, Any], *, name: str = "array") -> Image.Image:
    """A picture from `pixels`: (height, width) or (height, width, 1 | 3 | 4), gray, RGB or RGBA.

    uint8 is taken as it is; uint16 is scaled by 65535, not clipped.

    Raises:
        InputError: E-TYPE, E-SHAPE or E-IMG-TOO-LARGE.
    """
    label = quoted(name)
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
    _check_size((pixels.shape[1], pixels.shape[0]), name)
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


def _decode(data: bytes, kind: str, name: str, frame: int | None, least: int | None) -> Image.Image:
    if kind == "PNG":
        chunks = _png_chunks(data, name)
        _check_png_pixels(data, chunks, name)
        plain = _plain_png(data, chunks)
        if plain is not None:
            _pick_frame(1, frame, name)
            return plain
    elif kind == "WEBP":
        _check_webp(data, name)
    elif kind == "GIF":
        _check_gif(data, name)
    return _decode_with_pillow(data, kind, name, frame, least)


def _as_ours(error: Exception, name: str, kind: str, length: int) -> InputError | LimitError:
    """Whatever a decoder raised (seven families were seen) as an error of ptx."""
    if isinstance(error, MemoryError):
        return LimitError(
            f"{quoted(name)}: not enough memory to decode the {kind}", code="E-MEMORY"
        )
    if isinstance(error, Image.DecompressionBombError):
        return _too_large(name, str(error))
    text = str(error) or type(error).__name__
    if "too large" in text:
        return _too_large(name, text)
    if any(sign in text.lower() for sign in ("truncated", "not enough", "eof", "unexpected end")):
        return _truncated(name, kind, length)
    return _damaged(name, kind, text)


def _too_large(name: str, found: str) -> InputError:
    return InputError(
        f"{quoted(name)}: {found}; expected at most {MAX_PIXELS:,} pixels: make the picture smaller",
        code="E-IMG-TOO-LARGE",
    )


def _truncated(name: str, kind: str, length: int) -> InputError:
    return InputError(
        f"{quoted(name)}: the {kind} ends early ({length} bytes read); expected a complete file: "
        "copy or download it again",
        code="E-IMG-TRUNCATED",
    )


def _damaged(name: str, kind: str, found: str) -> InputError:
    return InputError(
        f"{quoted(name)}: the {kind} is damaged ({found}); expected an intact file: "
        "copy, download or save it again",
        code="E-IMG-DAMAGED",
    )


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise _too_large(name, f"the picture has {width}x{height} pixels")


def _format(data: bytes, name: str) -> str:
    """The format by content; the file's name says nothing."""
    if data.startswith(_PNG_MAGIC):  # the usual case, at once
        return "PNG"
    if not data:
        raise InputError(
            f"{quoted(name)}: the file is empty (0 bytes); expected a picture", code="E-IMG-EMPTY"
        )
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            return kind
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3] in b" \t\r\n#" and len(data) > 2:
        return "PPM"
    if _PNG_MAGIC.startswith(data):
        raise _truncated(name, "PNG", len(data))
    raise InputError(
        f"{quoted(name)}: not a picture that can be read, it looks like {_looks_like(data)}; "
        f"expected one of {', '.join(FORMATS)}: save it as PNG or JPEG",
        code="E-IMG-FORMAT",
    )


def _looks_like(data: bytes) -> str:
    for offset, sign, kind in _LOOKS_LIKE:
        if data.startswith(sign, offset):
            return kind
    head = data[:1024].lower()
    if b"<svg" in head:
        return "SVG"
    if b"<html" in head or b"<!doctype html" in head:
        return "HTML"
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return "text" if printable > 0.9 * len(head) else "unknown data"


def _png_chunks(data: bytes, name: str) -> list[_Chunk]:
    """Walks the chunks up to IEND and holds each to its CRC, before any pixel is decoded."""
    chunks: list[_Chunk] = []
    kind, position, total = b"", len(_PNG_MAGIC), len(data)
    while kind != b"IEND":
        if position + 8 > total:
            raise _truncated(name, "PNG", total)
        length, kind = _PNG_HEAD(data, position)
        start = position + 8
        end = start + length
        if not chunks:
            _check_png_header(data, kind, length, name)
        if end + 4 > total:
            raise _truncated(name, "PNG", total)
        if zlib.crc32(data[position + 4 : end]) != _PNG_CRC(data, end)[0]:
            raise _damaged(name, "PNG", f"checksum of chunk {kind!r} at byte {position}")
        chunks.append((kind, start, end))
        position = end + 4
    return chunks


def _check_png_header(data: bytes, kind: bytes, length: int, name: str) -> None:
    if kind != b"IHDR" or length != 13:
        raise _damaged(name, "PNG", f"it starts with chunk {kind!r} of {length} bytes")
    if len(data) < 29:
        raise _truncated(name, "PNG", len(data))
    width, height, *_ = _PNG_IHDR(data, 16)
    if width == 0 or height == 0:
        raise _damaged(name, "PNG", f"its size is {width}x{height}")
    _check_size((width, height), name)


def _check_png_pixels(data: bytes, chunks: list[_Chunk], name: str) -> None:
    """A palette where one is needed, and all rows: Pillow leaves those that are missing black."""
    width, height, depth, colour, *_, interlace = _PNG_IHDR(data, 16)
    if colour == 3 and all(kind != b"PLTE" for kind, _, _ in chunks):
        raise _damaged(name, "PNG", "its palette is missing")
    bits = depth * _PNG_CHANNELS.get(colour, 1)
    left = 0 if interlace else height * (1 + (width * bits + 7) // 8)
    for x, y, across, down in _ADAM7 if interlace else ():
        columns, rows = -((x - width) // across), -((y - height) // down)
        if columns > 0:
            left += max(rows, 0) * (1 + (columns * bits + 7) // 8)
    inflate = zlib.decompressobj()
    for kind, start, end in chunks:
        packed = data[start:end] if kind == b"IDAT" else b""
        while packed and left > 0:
            left -= len(inflate.decompress(packed, min(left, _PIECE)))
            packed = inflate.unconsumed_tail
    if left > 0:
        raise _truncated(name, "PNG", len(data))


def _plain_png(data: bytes, chunks: list[_Chunk]) -> Image.Image | None:
    """The picture of a plain 8-bit PNG through Pillow's decoder alone; None for every other PNG.

    Three times as fast as opening the file a second time through `PngImageFile`, and the chunks are
    known already.
    """
    width, height, depth, colour, compression, filtering, interlace = _PNG_IHDR(data, 16)
    mode = _PNG_PLAIN.get((depth, colour))
    if mode is None or compression or filtering or interlace:
        return None
    parts: list[bytes] = []
    previous = b"IHDR"
    for kind, start, end in chunks[1:-1]:
        if kind == b"IDAT" and (previous == b"IDAT" or not parts):
            parts.append(data[start:end])
        elif kind not in _PNG_INERT:
            return None
        previous = kind
    return Image.frombytes(mode, (width, height), b"".join(parts), "zip", mode, 0)


def _check_webp(data: bytes, name: str) -> None:
    """Length and canvas: the decoder would allocate the canvas twice over on opening."""
    if len(data) < 30 or int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise _truncated(name, "WEBP", len(data))
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
    _check_size(size, name)


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
                raise _damaged(name, "GIF", f"block {mark:#04x} at byte {position}")
            while data[position]:
                position += data[position] + 1
            position += 1
    except IndexError as error:
        raise _truncated(name, "GIF", len(data)) from error


def _gif_palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _decode_with_pillow(
    data: bytes, kind: str, name: str, frame: int | None, least: int | None
) -> Image.Image:
    from PIL import ImageOps

    module, attribute = FORMATS[kind].split(":")
    plugin = cast(type[ImageFile.ImageFile], getattr(importlib.import_module(module), attribute))
    with plugin(BytesIO(data)) as image:
        _check_size(image.size, name)
        chosen = _pick_frame(getattr(image, "n_frames", 1), frame, name)
        if chosen:
            image.seek(chosen)
            _check_size(image.size, name)
        if least is not None:
            image.draft(image.mode, (least, least))  # heeded by JPEG alone
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _eight_bit(image, data, kind, name)


def _pick_frame(frames: int, frame: int | None, name: str) -> int:
    if frame is None and frames == 1:
        return 0
    if frame is not None and 0 <= frame < frames:
        return frame
    asked = "expected one picture" if frame is None else f"frame {frame} does not exist"
    raise InputError(
        f"{quoted(name)}: the file holds {frames} frame{'s' * (frames != 1)}, {asked}: "
        f"choose frame 0 to {frames - 1}",
        code="E-IMG-FRAMES",
    )


def _eight_bit(image: ImageFile.ImageFile, data: bytes, kind: str, name: str) -> Image.Image:
    """`image` as L, LA, RGB or RGBA, its transparent colour turned into alpha."""
    key = image.info.get("transparency")
    depth = data[24] if kind == "PNG" else 8
    if image.mode.startswith("I;16") or (image.mode == "I" and kind == "PPM"):
        return _from_sixteen_bit(image, kind, key)
    if image.mode not in _CONVERT:
        raise InputError(
            f"{quoted(name)}: the {kind} holds pixels of mode {image.mode!r}, whose range is not known; "
            "expected 8 or 16 bit per channel: save it as an 8-bit PNG",
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


def _from_sixteen_bit(image: ImageFile.ImageFile, kind: str, key: int | None) -> Image.Image:
    """Gray of more than 8 bits, scaled by its own full range: `convert("L")` would clip it at 255."""
    tags: dict[int, Any] = getattr(image, "tag_v2", {})
    bits = tags[_TIFF_BITS][0] if kind == "TIFF" else 16
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
