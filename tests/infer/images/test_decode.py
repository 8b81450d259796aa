"""Every picture is decoded to what a person sees, or refused with its code."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo

from ptx.infer.errors import InputError, LimitError
from ptx.infer.images.decode import decode, from_array
from ptx.infer.images.errors import MAX_PIXELS
from ptx.infer.images.formats import FORMATS

Array = np.ndarray[Any, Any]

GRAY = np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (20, 24, 3), dtype=np.uint8)
RAMP = np.add.outer(np.arange(40) * 3, np.arange(32) * 4).astype(np.uint8)


def encoded(pixels: Array | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def frames(kind: str) -> bytes:
    pictures = [Image.fromarray(np.rot90(COLOUR[:20, :20], k)) for k in range(3)]
    return encoded(pictures[0], kind, save_all=True, append_images=pictures[1:])


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, body: bytes = b"", *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *more,
            chunk(b"IDAT", body),
            chunk(b"IEND", b""),
        ]
    )


def zeros(count: int) -> bytes:
    """`count` zero bytes, deflated piece by piece, so that the test stays small itself."""
    deflate = zlib.compressobj(9)
    piece = bytes(1 << 20)
    parts = [deflate.compress(piece) for _ in range(count >> 20)]
    return b"".join([*parts, deflate.compress(bytes(count % (1 << 20))), deflate.flush()])


def code_of(data: bytes, **options: Any) -> str:
    """The code that `data` is refused with, its message checked for form."""
    with pytest.raises(InputError) as caught:
        decode(data, name="a\nb.png", **options)
    assert str(caught.value).startswith("'a\\nb.png': ")
    assert "\n" not in str(caught.value)
    return caught.value.code


PLAIN = encoded(GRAY)

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "png cut in half": (lambda: PLAIN[: len(PLAIN) // 2], "E-IMG-TRUNCATED"),
    "png cut to 20 bytes": (lambda: PLAIN[:20], "E-IMG-TRUNCATED"),
    "png cut in its magic": (lambda: PLAIN[:5], "E-IMG-TRUNCATED"),
    "png without its end": (lambda: PLAIN[:-20], "E-IMG-TRUNCATED"),
    "png whose pixels stop early": (
        lambda: png(8, 8, 8, 0, zlib.compress(bytes(20))),
        "E-IMG-TRUNCATED",
    ),
    "jpeg cut": (lambda: encoded(COLOUR, "JPEG")[:-60], "E-IMG-TRUNCATED"),
    "webp cut": (lambda: encoded(COLOUR, "WEBP")[:-9], "E-IMG-TRUNCATED"),
    "gif cut": (lambda: encoded(GRAY, "GIF")[:-9], "E-IMG-TRUNCATED"),
    "nothing": (lambda: b"", "E-IMG-EMPTY"),
    "text": (lambda: b"seven, as I said\n", "E-IMG-FORMAT"),
    "svg": (lambda: b"<?xml version='1.0'?><svg/>", "E-IMG-FORMAT"),
    "eps": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "E-IMG-FORMAT"),
    "zip": (lambda: b"PK\x03\x04" + bytes(40), "E-IMG-FORMAT"),
    "float map": (lambda: b"Pf\n2 2\n-1.0\n" + bytes(16), "E-IMG-FORMAT"),
    "bad header checksum": (
        lambda: PLAIN[:29] + bytes([PLAIN[29] ^ 1]) + PLAIN[30:],
        "E-IMG-DAMAGED",
    ),
    "width 0": (lambda: png(0, 8, 8, 0), "E-IMG-DAMAGED"),
    "first chunk is no header": (
        lambda: PLAIN[:8] + chunk(b"tEXt", b"a\0b") + PLAIN[8:],
        "E-IMG-DAMAGED",
    ),
    "bmp header of noise": (lambda: b"BM" + bytes(60), "E-IMG-DAMAGED"),
    "tiff of noise": (lambda: b"II*\x00" + b"\x08\0\0\0" + b"\xff" * 40, "E-IMG-DAMAGED"),
    "69 bytes of 65500x65500": (lambda: png(65500, 65500, 8, 2, b"x"), "E-IMG-TOO-LARGE"),
    "just over the cap": (lambda: png(MAX_PIXELS // 4000 + 1, 4000, 1, 0), "E-IMG-TOO-LARGE"),
    "webp canvas 16000x16000": (
        lambda: (
            b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0"
            + (15999).to_bytes(3, "little") * 2
            + bytes(20)
        ),
        "E-IMG-TOO-LARGE",
    ),
    "ppm 60000x60000": (lambda: b"P6 60000 60000 255\n" + bytes(9), "E-IMG-TOO-LARGE"),
    "200 MB of text": (
        lambda: png(
            1, 1, 8, 0, zlib.compress(bytes(2)), chunk(b"zTXt", b"a\0\0" + zeros(200 << 20))
        ),
        "E-IMG-TOO-LARGE",
    ),
    "float tiff": (lambda: encoded(GRAY.astype(np.float32) / 255, "TIFF"), "E-IMG-DEPTH"),
    "int32 tiff": (lambda: encoded(GRAY.astype(np.int32), "TIFF"), "E-IMG-DEPTH"),
    "animated gif": (lambda: frames("GIF"), "E-IMG-FRAMES"),
    "animated webp": (lambda: frames("WEBP"), "E-IMG-FRAMES"),
    "animated png": (lambda: frames("PNG"), "E-IMG-FRAMES"),
    "tiff of three pages": (lambda: frames("TIFF"), "E-IMG-FRAMES"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_right_is_refused_with_its_code(case: str) -> None:
    make, code = REFUSED[case]
    assert code_of(make()) == code


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"<svg xmlns='x'/>", r"looks like SVG\); expected one of PNG, JPEG, GIF, BMP, TIFF, WEBP"),
        (b"\0\0\0\x18ftypheic" + bytes(12), "looks like HEIC"),
        (b"%PDF-1.7", "looks like PDF"),
        (b"P2P is no picture", "looks like text"),
        (bytes(range(128, 200)), "looks like unknown data"),
    ],
)
def test_a_foreign_file_is_named_for_what_it_looks_like(data: bytes, text: str) -> None:
    with pytest.raises(InputError, match=text):
        decode(data)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_every_plain_png_decodes_as_pillow_opens_it(depth: int, colour: int) -> None:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    rng = np.random.default_rng(colour)
    row = 24 * channels * depth // 8
    rows = [bytes([kind % 5]) + rng.bytes(row) for kind in range(20)]  # all five filters
    data = png(24, 20, depth, colour, zlib.compress(b"".join(rows)))
    with Image.open(BytesIO(data)) as expected:
        if expected.mode == "I;16":
            reference = (np.asarray(expected).astype(int) * 255 + 32767) // 65535
        else:
            reference = np.asarray(expected)
    np.testing.assert_array_equal(np.asarray(decode(data)), reference)


def test_pngs_of_several_data_chunks_and_inert_chunks_decode_alike() -> None:
    body = zlib.compress(b"".join(b"\0" + bytes(row) for row in GRAY))
    header = PLAIN[:33]
    split = b"".join(chunk(b"IDAT", body[i : i + 50]) for i in range(0, len(body), 50))
    inert = chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1))
    end = chunk(b"IEND", b"")
    for data in (header + split + end, header + inert + split + end + b"trailing bytes"):
        np.testing.assert_array_equal(np.asarray(decode(data)), GRAY)
    torn = header + chunk(b"IDAT", body[:50]) + inert + chunk(b"IDAT", body[50:]) + end
    _refused_or_equal(torn, GRAY)


def _refused_or_equal(data: bytes, pixels: Array) -> bool:
    """Whether `data` is answered; if it is, with `pixels`."""
    try:
        picture = decode(data)
    except InputError:
        return False
    np.testing.assert_array_equal(np.asarray(picture), pixels)
    return True


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_cut_at_any_length_is_refused_or_gives_equal_pixels(kind: str) -> None:
    data = encoded(COLOUR[:12, :14], kind)
    whole = np.asarray(decode(data))
    answered = sum(_refused_or_equal(data[:length], whole) for length in range(len(data)))
    assert answered <= (2 if kind == "BMP" else 0)  # the padding of BMP's last row holds nothing


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF"])
def test_a_cut_animation_is_never_answered_with_the_frames_that_are_left(kind: str) -> None:
    data = frames(kind)
    for length in range(0, len(data), 3):
        with pytest.raises(InputError):
            decode(data[:length])


@pytest.mark.parametrize("pixels", [GRAY, COLOUR[:6, :7]], ids=["gray", "colour"])
def test_every_flipped_byte_of_a_png_is_refused(pixels: Array) -> None:
    data = bytearray(encoded(pixels))
    answered = 0
    for position in range(len(data)):
        for flip in (1, 0x20, 0x80, 0xFF):
            data[position] ^= flip
            answered += _refused_or_equal(bytes(data), pixels)
            data[position] ^= flip
    assert answered == 0


@pytest.mark.parametrize("mode", ["P", "1", "I;16"])
def test_flipped_bytes_of_a_png_with_palette_depth_or_text_give_no_other_pixels(mode: str) -> None:
    notes = PngInfo()
    notes.add_text("Title", "seven", zip=True)
    picture = Image.fromarray(GRAY.astype(np.uint16) * 257 if mode == "I;16" else GRAY)
    data = bytearray(encoded(picture if mode == "I;16" else picture.convert(mode), pnginfo=notes))
    pixels = np.asarray(decode(bytes(data)))
    for position in range(len(data)):
        data[position] ^= 0x11
        assert not _refused_or_equal(bytes(data), pixels)
        data[position] ^= 0x11


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(FORMATS)), st.data())
def test_damaged_files_of_any_format_are_answered_or_refused_never_anything_else(
    kind: str, data: st.DataObject
) -> None:
    good = bytearray(encoded(COLOUR[:8, :9], kind))
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd TIFF tags
        try:
            picture = decode(bytes(good))
        except InputError:
            return
    assert picture.mode in ("L", "LA", "RGB", "RGBA")


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=80), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"P5 ", b"BM"])
)
def test_noise_behind_any_magic_is_refused(noise: bytes, magic: bytes) -> None:
    assert code_of(magic + noise).startswith("E-IMG-")


def test_tiff_bytes_named_png_are_read_for_what_they_are() -> None:
    np.testing.assert_array_equal(np.asarray(decode(encoded(GRAY, "TIFF"), name="digit.png")), GRAY)


def test_sixteen_bits_decode_as_their_eight_bit_twin() -> None:
    twin = GRAY.astype(np.uint16) * 257
    for kind in ("PNG", "TIFF", "PPM"):
        np.testing.assert_array_equal(np.asarray(decode(encoded(twin, kind))), GRAY)
    big_endian = encoded(Image.fromarray(twin.astype(">u2")), "TIFF")
    np.testing.assert_array_equal(np.asarray(decode(big_endian)), GRAY)


def test_sixteen_bit_rgb_decodes_as_its_eight_bit_twin() -> None:
    rows = [b"\0" + row.repeat(2, axis=-1).tobytes() for row in COLOUR]
    data = png(24, 20, 16, 2, zlib.compress(b"".join(rows)))
    np.testing.assert_array_equal(np.asarray(decode(data)), COLOUR)


def tiff(samples: Array, bits: int, photometric: int) -> bytes:
    """A little-endian gray TIFF with one strip, written by hand: Pillow writes no such file."""
    height, width = samples.shape
    if bits == 12:
        pairs = samples.reshape(-1, 2).astype(int)
        high, low = pairs[:, 0], pairs[:, 1]
        packed = np.stack([high >> 4, (high & 15) << 4 | low >> 8, low & 255], axis=1)
        body = packed.astype(np.uint8).tobytes()
    else:
        body = samples.astype("<u2").tobytes()
    entries = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8)]
    entries += [(277, 1), (278, height), (279, len(body))]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    head = b"II*\x00" + struct.pack("<I", 8 + len(body))
    return head + body + struct.pack("<H", len(entries)) + table + bytes(4)


@pytest.mark.parametrize("bits", [12, 16])
def test_a_gray_tiff_is_scaled_by_its_own_depth(bits: int) -> None:
    peak = 2**bits - 1
    samples = np.rint(GRAY * (peak / 255)).astype(np.uint16)
    np.testing.assert_array_equal(np.asarray(decode(tiff(samples, bits, 1))), GRAY)


def test_a_sixteen_bit_tiff_whose_zero_is_white_is_inverted() -> None:
    samples = GRAY.astype(np.uint16) * 257
    np.testing.assert_array_equal(np.asarray(decode(tiff(samples, 16, 0))), 255 - GRAY)


@pytest.mark.parametrize(
    ("mode", "kind", "tolerance"),
    [("CMYK", "JPEG", 12), ("CMYK", "TIFF", 0), ("YCbCr", "TIFF", 4), ("RGB", "WEBP", 12)],
)
def test_other_colour_spaces_come_close_to_the_truth(mode: str, kind: str, tolerance: int) -> None:
    truth = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=-1)
    data = encoded(Image.fromarray(truth).convert(mode), kind)
    found = np.asarray(decode(data)).astype(int)
    assert found.shape == truth.shape
    assert np.abs(found - truth).max() <= tolerance


def test_palettes_and_single_bits_keep_their_colours() -> None:
    palette = Image.fromarray(COLOUR).quantize(16)
    for kind in ("PNG", "GIF", "BMP"):
        found = decode(encoded(palette, kind))
        np.testing.assert_array_equal(np.asarray(found), np.asarray(palette.convert("RGB")))
    bits = Image.fromarray(GRAY > 127)
    for kind in ("PNG", "TIFF", "PPM", "BMP"):
        found = decode(encoded(bits, kind)).convert("L")
        np.testing.assert_array_equal(np.asarray(found), (GRAY > 127) * 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_kept(kind: str) -> None:
    pixels = np.dstack([COLOUR, GRAY])
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    found = decode(encoded(pixels, kind, **options))
    assert found.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(found), pixels)


def test_palette_transparency_becomes_alpha() -> None:
    palette = Image.fromarray((GRAY > 127).astype(np.uint8)).convert("P")
    palette.putpalette([250, 10, 20, 30, 40, 240])
    for kind in ("PNG", "GIF"):
        alpha = np.asarray(decode(encoded(palette, kind, transparency=1)))[..., 3]
        np.testing.assert_array_equal(alpha, np.where(GRAY > 127, 0, 255))
    partly = np.asarray(decode(encoded(palette, transparency=bytes([255, 90]))))
    np.testing.assert_array_equal(partly[..., 3], np.where(GRAY > 127, 90, 255))


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_transparent_gray_of_a_png_becomes_alpha_at_every_depth(depth: int) -> None:
    peak = 2**depth - 1
    levels = np.arange(8) % 2 * peak  # black and white in turns
    bits = "".join(f"{value:0{depth}b}" for value in levels)
    body = zlib.compress(b"\0" + int(bits, 2).to_bytes(depth, "big"))
    data = png(8, 1, depth, 0, body, chunk(b"tRNS", struct.pack(">H", peak)))
    found = decode(data)
    assert found.mode == "LA"
    gray, alpha = np.asarray(found)[0].T
    np.testing.assert_array_equal(gray, [0, 255] * 4)
    np.testing.assert_array_equal(alpha, [255, 0] * 4)


@pytest.mark.parametrize("depth", [8, 16])
def test_the_transparent_colour_of_a_png_becomes_alpha(depth: int) -> None:
    low = b"\x4d" if depth == 16 else b""  # Pillow keeps the high bytes of pixels, not of the key
    samples = b"".join(bytes([value]) + low for value in (9, 8, 7, 1, 2, 3))
    key = b"".join((value << 8 | 0x4D if low else value).to_bytes(2) for value in (9, 8, 7))
    found = decode(png(2, 1, depth, 2, zlib.compress(b"\0" + samples), chunk(b"tRNS", key)))
    np.testing.assert_array_equal(np.asarray(found)[0], [[9, 8, 7, 0], [1, 2, 3, 255]])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_a_frame_can_be_chosen(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    pictures = [Image.fromarray(np.full((8, 8), tone, np.uint8)) for tone in (10, 90, 200)]
    data = encoded(pictures[0], kind, save_all=True, append_images=pictures[1:], **options)
    for frame, tone in enumerate((10, 90, 200)):
        assert np.unique(np.asarray(decode(data, frame=frame).convert("L"))).tolist() == [tone]
    for frame in (3, -1):
        assert code_of(data, frame=frame) == "E-IMG-FRAMES"


def test_a_still_picture_has_frame_0_only() -> None:
    for data in (PLAIN, encoded(GRAY, "JPEG")):
        assert decode(data, frame=0).size == (24, 20)
        with pytest.raises(InputError, match="has 1 frame, frame 1 does not exist"):
            decode(data, frame=1)


UPRIGHT = np.zeros((32, 48), np.uint8)
UPRIGHT[4:12, 4:30], UPRIGHT[12:28, 4:10] = 250, 120
TURNED: dict[int, Array] = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: UPRIGHT.T[::-1],
    7: UPRIGHT.T[::-1, ::-1],
    8: UPRIGHT.T[:, ::-1],
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_all_eight_exif_orientations_give_the_upright_picture(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    options = {"quality": 100} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    stored = np.ascontiguousarray(TURNED[orientation])
    found = np.asarray(decode(encoded(stored, kind, exif=exif, **options)).convert("L"))
    assert found.shape == UPRIGHT.shape
    assert np.abs(found.astype(int) - UPRIGHT).max() <= (20 if kind == "JPEG" else 0)


def test_a_phone_photo_is_its_main_picture_not_its_preview() -> None:
    main, preview = Image.fromarray(COLOUR), Image.fromarray(GRAY).convert("RGB")
    data = encoded(main, "MPO", save_all=True, append_images=[preview])
    assert decode(data).size == main.size


PEAK_UNDER_LIMIT = """
import resource, sys
from ptx.infer.errors import PtxError
from ptx.infer.images.decode import decode
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = "answered"
try:
    decode(data)
except PtxError as error:
    found = error.code
print(found, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def with_canvas(webp: bytes, side: int) -> bytes:
    """An animated WebP with another canvas than that of its frames."""
    return webp[:24] + (side - 1).to_bytes(3, "little") * 2 + webp[30:]


@pytest.mark.parametrize(
    "bomb",
    [
        lambda: png(65500, 65500, 8, 2, b"x"),
        lambda: png(12000, 12000, 1, 0, zeros(12000 * 1501)),
        lambda: png(9400, 9400, 16, 6, zeros(9400 * 100)),
        lambda: (
            b"GIF89a"
            + struct.pack("<HHBBB", 65000, 65000, 0, 0, 0)
            + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
        ),
        lambda: with_canvas(frames("WEBP"), 12000),
    ],
    ids=[
        "65500x65500",
        "12000x12000 1-bit",
        "9400x9400 RGBA16",
        "gif 65000x65000",
        "webp 12000x12000",
    ],
)
def test_a_bomb_is_refused_without_memory(bomb: Callable[[], bytes]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAK_UNDER_LIMIT], input=bomb(), capture_output=True, check=True
    )
    code, megabytes = done.stdout.decode().split()
    assert code == "E-IMG-TOO-LARGE"
    assert int(megabytes) < 16
    assert not done.stderr


def test_what_stands_behind_the_last_row_is_not_unpacked() -> None:
    deflate = zlib.compressobj(9)
    rows = deflate.compress(bytes(9 * 8)) + deflate.flush(zlib.Z_FULL_FLUSH)
    more = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    done = subprocess.run(
        [sys.executable, "-c", PEAK_UNDER_LIMIT],
        input=png(8, 8, 8, 0, rows + 2048 * more),
        capture_output=True,
        check=True,
    )
    answer, megabytes = done.stdout.decode().split()
    assert answer == "answered"
    assert int(megabytes) < 16


def test_the_size_of_the_chosen_frame_is_looked_at_too() -> None:
    data = bytearray(frames("TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    (second,) = struct.unpack_from("<I", data, first + 2 + 12 * entries)
    for index in range(2):  # width and height are the first two tags
        struct.pack_into("<HHII", data, second + 2 + 12 * index, 256 + index, 4, 1, 7000)
    assert decode(bytes(data), frame=0).size == (20, 20)
    assert code_of(bytes(data), frame=1) == "E-IMG-TOO-LARGE"


def test_memory_that_runs_out_is_not_called_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("ptx.infer.images.decode._decode", full)
    with pytest.raises(LimitError, match="not enough memory to decode the PNG") as caught:
        decode(PLAIN)
    assert caught.value.code == "E-MEMORY"


def test_no_child_process_is_started_for_postscript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch '{ran}'\n")
    ghostscript.chmod(ghostscript.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert code_of(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") == "E-IMG-FORMAT"
    assert not ran.exists()


@pytest.fixture
def pillow_globals() -> Iterator[None]:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    yield
    after = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    assert before == after


@pytest.mark.usefixtures("pillow_globals")
def test_threads_decode_side_by_side_with_pillow_left_as_it_was() -> None:
    exif = Image.Exif()
    exif[274] = 6
    files = [encoded(COLOUR, kind) for kind in FORMATS if kind != "JPEG"]
    files += [encoded(COLOUR, "JPEG", exif=exif), PLAIN, encoded(GRAY.astype(np.uint16))]
    expected = [decode(data).tobytes() for data in files]
    barrier = threading.Barrier(8)

    def work(_: int) -> bool:
        barrier.wait()
        return all(
            decode(data).tobytes() == pixels
            for _ in range(20)
            for data, pixels in zip(files, expected, strict=True)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 9), st.integers(1, 9))
        | st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4])),
    )
)
def test_arrays_become_the_picture_they_hold(pixels: Array) -> None:
    found = np.asarray(from_array(pixels))
    np.testing.assert_array_equal(found.reshape(pixels.shape), pixels)
    turned = np.asarray(from_array(pixels[::-1, ::-1]))
    np.testing.assert_array_equal(turned.reshape(pixels.shape), pixels[::-1, ::-1])


def test_sixteen_bit_arrays_are_scaled_in_both_byte_orders() -> None:
    for order in ("<u2", ">u2"):
        wide = (GRAY.astype(np.uint16) * 257).astype(order)
        np.testing.assert_array_equal(np.asarray(from_array(wide)), GRAY)
        steps = np.array([[0, 128, 129, 32768, 65535]], order)
        np.testing.assert_array_equal(np.asarray(from_array(steps)), [[0, 0, 1, 128, 255]])


@pytest.mark.parametrize(
    ("pixels", "code", "text"),
    [
        (np.zeros((28, 28), np.float32), "E-TYPE", "dtype float32; expected uint8"),
        (np.zeros((28, 28), np.int64), "E-TYPE", "dtype int64; expected uint8"),
        (np.zeros((28, 28), bool), "E-TYPE", "dtype bool; expected uint8"),
        (np.zeros((28, 28), object), "E-TYPE", "dtype object; expected uint8"),
        ([[0, 1]], "E-TYPE", "type list; expected a numpy array"),
        (np.zeros(784, np.uint8), "E-SHAPE", r"shape \(784,\); expected one image"),
        (np.zeros((0, 28), np.uint8), "E-SHAPE", r"shape \(0, 28\)"),
        (np.zeros((28, 28, 2), np.uint8), "E-SHAPE", r"shape \(28, 28, 2\)"),
        (np.zeros((1, 28, 28), np.uint8), "E-SHAPE", "moveaxis"),
        (np.zeros((5, 28, 28, 3), np.uint8), "E-SHAPE", "one at a time"),
        (np.broadcast_to(np.uint8(0), (9000, 9000)), "E-IMG-TOO-LARGE", "9000x9000"),
    ],
)
def test_other_arrays_are_refused_with_what_to_do(pixels: Any, code: str, text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        from_array(pixels, name="digit")
    assert caught.value.code == code
    assert str(caught.value).startswith("'digit'")


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1600, 1280), (800, 640)), ((1279, 1600), (1279, 1600)), ((5200, 2560), (1300, 640))],
)
def test_a_large_jpeg_is_decoded_no_smaller_than_asked(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    gray = Image.linear_gradient("L").resize(size)
    data = BytesIO()
    gray.save(data, "JPEG", quality=95)
    small = decode(data.getvalue(), min_size=640)
    assert small.size == expected
    assert decode(data.getvalue()).size == size
    reference = np.asarray(gray.resize(expected, Image.Resampling.BOX), int)
    assert np.abs(np.asarray(small, int) - reference).max() <= 3


def test_a_large_jpeg_decoded_smaller_is_upright_all_the_same() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = BytesIO()
    Image.linear_gradient("L").resize((1600, 1300)).save(data, "JPEG", exif=exif)
    assert decode(data.getvalue(), min_size=640).size == (650, 800)
