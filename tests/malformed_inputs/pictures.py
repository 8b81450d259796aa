"""ImageSpec: damaged, hostile, rare, and those that other programs read wrong."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from .case import Case, Group, Kit, bind

picture = Group("picture", ".png")

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TURNS = (1, 2, 3, 4, 5, 6, 7, 8)  # EXIF orientations
UNTURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def saved(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes, interlace: int = 0
) -> bytes:
    """A PNG of raw rows, each with its filter byte; `extra` chunks stand before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    body = [
        chunk(b"IHDR", header),
        *extra,
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    ]
    return SIGNATURE + b"".join(body)


def rows_of(pixels: Any) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def sixteen_png(kit: Kit, colour: int) -> bytes:
    """16 bit per channel, big-endian as PNG wants it."""
    gray = np.asarray(kit.seven).astype(np.uint16) * 257
    opaque = np.full_like(gray, 65535)
    channels = {0: [gray], 2: [gray] * 3, 4: [gray, opaque], 6: [gray] * 3 + [opaque]}[colour]
    return png(28, 28, 16, colour, rows_of(np.stack(channels, axis=-1).astype(">u2")))


def low_depth_png(kit: Kit, depth: int) -> bytes:
    """Gray of 1, 2 or 4 bit per pixel."""
    levels = np.asarray(kit.seven).astype(np.int64) * (2**depth - 1) + 127
    bits = (levels // 255)[..., None] >> np.arange(depth - 1, -1, -1) & 1
    return png(
        28, 28, depth, 0, rows_of(np.packbits(bits.reshape(28, -1).astype(np.uint8), axis=1))
    )


def interlaced_png(kit: Kit, missing: int = 0) -> bytes:
    """An interlaced PNG, without so many of the rows of its last pass."""
    pixels = np.asarray(kit.seven)
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
              (1, 0, 2, 1))  # fmt: skip
    rows = b"".join(rows_of(pixels[y::dy, x::dx]) for y, x, dy, dx in passes)
    return png(28, 28, 8, 0, rows[: len(rows) - 29 * missing], interlace=1)


def shuffled_palette(kit: Kit, **options: Any) -> bytes:
    """A palette in an order that has nothing to do with brightness."""
    order = np.random.default_rng(0).permutation(256).astype(np.uint8)
    image = Image.fromarray(np.argsort(order).astype(np.uint8)[np.asarray(kit.seven)])
    image = image.convert("L")
    image.putpalette(np.repeat(order, 3).tobytes())
    return saved(image, **options)


def ink(kit: Kit, colour: int, mode: str) -> Image.Image:
    """The 7 as ink of that gray over nothing: its shape stands in the alpha channel alone."""
    alpha = ImageOps.expand(kit.seven, 40).resize((216, 216), Image.Resampling.BICUBIC)
    gray = Image.new("L", alpha.size, colour)
    return Image.merge("LA", (gray, alpha)).convert(mode)


def turned(kit: Kit, orientation: int, form: str) -> bytes:
    image = kit.drawn.convert("L")
    if orientation > 1:
        image = image.transpose(UNTURNED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(image, form, exif=exif)


def transparent_gray(kit: Kit) -> bytes:
    """White paper that a tRNS chunk declares transparent, black ink."""
    pixels = 255 - np.asarray(ImageOps.expand(kit.seven, 20))
    return png(68, 68, 8, 0, rows_of(pixels), chunk(b"tRNS", b"\0\xff"))


def animation(kit: Kit, form: str) -> bytes:
    images = [kit.seven.convert("RGB"), ImageOps.invert(kit.seven).convert("RGB")]
    return saved(images[0], form, save_all=True, append_images=images[1:])


def cut(form: str, tenths: int) -> Callable[[Kit], bytes]:
    def make(kit: Kit) -> bytes:
        data = saved(kit.drawn.convert("L"), form)
        return data[: len(data) * tenths // 10]

    return make


def changed(change: Callable[[bytearray], None]) -> Callable[[Kit], bytes]:
    """The MNIST 7 as a PNG with other bytes; offsets: IHDR data at 16, IDAT length at 33."""

    def make(kit: Kit) -> bytes:
        data = bytearray(png(28, 28, 8, 0, rows_of(np.asarray(kit.seven))))
        change(data)
        return bytes(data)

    return make


def _flip(at: int) -> Callable[[Kit], bytes]:
    def change(data: bytearray) -> None:
        data[at] ^= 0x10

    return changed(change)


def named(
    name: str | bytes, content: Callable[[Kit], bytes] | None = None
) -> Callable[[Kit], Path]:
    def make(kit: Kit) -> Path:
        path = kit.folder / os.fsdecode(name)
        path.write_bytes(saved(kit.seven) if content is None else content(kit))
        return path

    return make


def sparse(name: str, size: int, head: bytes = b"") -> Callable[[Kit], Path]:
    """A file of that size that takes no room on the disk."""

    def make(kit: Kit) -> Path:
        path = kit.folder / name
        path.write_bytes(head)
        os.truncate(path, size)
        return path

    return make


def special(kind: str) -> Callable[[Kit], Path]:
    def make(kit: Kit) -> Path:
        path = kit.folder / f"{kind}.png"
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "loop":
            path.symlink_to(path.name)
        elif kind == "dangling":
            path.symlink_to("nowhere.png")
        elif kind == "socket":
            os.chdir(kit.folder)  # a socket's path has at most 108 bytes
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path.name)
        elif kind == "link":
            named("real.png")(kit)
            path.symlink_to("real.png")
        return path

    return make


def bmp(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 300, 0, 0, 54) + header + bytes(300)


def rle_bmp() -> bytes:
    """8×8 in one run each row that goes beyond the row's end."""
    rows = b"\xff\x01" * 8 + b"\0\1"
    header = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return (
        b"BM"
        + struct.pack("<IHHI", 1078 + len(rows), 0, 0, 1078)
        + header
        + bytes(v for level in range(256) for v in (level, level, level, 0))
        + rows
    )


def tiff(width: int, height: int, packing: int = 1, samples: int = 1) -> bytes:
    tags = (
        (256, width),
        (257, height),
        (258, 8),
        (259, packing),
        (262, 1),
        (273, 200),
        (277, samples),
        (278, height),
        (279, width * height % 2**32),
    )
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + bytes(300)


def no_frames(kit: Kit) -> bytes:
    """A PNG that says it is an animation, of no frames."""
    return png(28, 28, 8, 0, rows_of(np.asarray(kit.seven)), chunk(b"acTL", bytes(8)))


def two_places(kit: Kit) -> bytes:
    """A PNG with a chunk among those of its pixels, where none may stand."""
    packed = zlib.compress(rows_of(np.asarray(kit.seven)))
    more = chunk(b"IDAT", packed[:50]), chunk(b"pHYs", bytes(9))
    return _raw(28, 28, 8, 0, packed[50:], *more)


def endless_rows(kit: Kit) -> bytes:
    """The rows of the 7 and 1.2 GB more, in 1.2 MB."""
    deflate = zlib.compressobj(9)
    rows = deflate.compress(rows_of(np.asarray(kit.seven))) + deflate.flush(zlib.Z_FULL_FLUSH)
    return rows + 1200 * (deflate.compress(bytes(2**20)) + deflate.flush(zlib.Z_FULL_FLUSH))


def jpeg_claim(kit: Kit, size: int) -> bytes:
    data = bytearray(saved(kit.seven, "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", size, size)
    return bytes(data)


WEBP_CLAIM = (
    b"RIFF"
    + struct.pack("<I", 300)
    + b"WEBPVP8X"
    + struct.pack("<IB3x", 10, 0)
    + (16382).to_bytes(3, "little") * 2
    + bytes(300)
)
BIT_BOMB = zlib.compress(bytes(12000 * 1501), 9)
ZTXT = chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(100_000_000), 9))
ICCP = chunk(b"iCCP", b"bomb\0\0" + zlib.compress(bytes(100_000_000), 9))


def _raw(width: int, height: int, depth: int, colour: int, data: bytes, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(body)


CUT_CODES = {
    "PNG": "E-IMG-TRUNCATED",
    "JPEG": "E-IMG-TRUNCATED",
    "GIF": "E-IMG-TRUNCATED",
    "BMP": "E-IMG-TRUNCATED",
    "TIFF": "E-IMG-TRUNCATED",
    "WEBP": "E-IMG-TRUNCATED",
}

CASES: list[Case] = [
    # Damaged
    *(picture(f"a PNG cut at {n} tenths", cut("PNG", n), "E-IMG-TRUNCATED") for n in range(1, 10)),
    *(
        picture(f"a JPEG cut at {n} tenths", cut("JPEG", n), "E-IMG-TRUNCATED")
        for n in range(1, 10)
    ),
    *(
        picture(f"a {form} cut at {n} tenths", cut(form, n), CUT_CODES[form])
        for form in ("GIF", "BMP", "TIFF", "WEBP")
        for n in range(1, 10)
    ),
    picture("a PNG without its last chunk", lambda kit: saved(kit.drawn)[:-12], "E-IMG-TRUNCATED"),
    picture("a PNG without its last 4 bytes", lambda kit: saved(kit.drawn)[:-4], "E-IMG-TRUNCATED"),
    picture(
        "a JPEG without its last 2 bytes",
        lambda kit: saved(kit.drawn.convert("L"), "JPEG")[:-2],
        "E-IMG-TRUNCATED",
    ),
    picture("zero bytes", lambda kit: b"", "E-IMG-EMPTY"),
    picture("one byte", lambda kit: b"\x89", "E-IMG-TRUNCATED"),
    picture("the PNG signature alone", lambda kit: SIGNATURE, "E-IMG-TRUNCATED"),
    picture("a flipped bit in the size", _flip(19), "E-IMG-DAMAGED"),
    picture("a flipped bit in the pixels", _flip(60), "E-IMG-DAMAGED"),
    picture("a flipped bit in a checksum", _flip(29), "E-IMG-DAMAGED"),
    picture("a width of 0", lambda kit: png(0, 28, 8, 0, b""), "E-IMG-DAMAGED"),
    picture("a depth of 3 bits", lambda kit: png(28, 28, 3, 0, bytes(29 * 28)), "E-IMG-DAMAGED"),
    picture(
        "an unknown colour type", lambda kit: png(28, 28, 8, 5, bytes(29 * 28)), "E-IMG-DAMAGED"
    ),
    picture("too few rows", lambda kit: png(28, 28, 8, 0, bytes(29 * 5)), "E-IMG-TRUNCATED"),
    picture(
        "half of its rows",
        lambda kit: png(28, 28, 8, 0, rows_of(np.asarray(kit.seven)[:14])),
        "E-IMG-TRUNCATED",
    ),
    picture(
        "half of its rows in a palette",
        lambda kit: png(
            28, 28, 8, 3, rows_of(np.asarray(kit.seven)[:14]), chunk(b"PLTE", bytes(range(256)) * 3)
        ),
        "E-IMG-TRUNCATED",
    ),
    *(
        picture(
            f"an interlaced PNG without {rows} of its rows",
            bind(interlaced_png, rows),
            "E-IMG-TRUNCATED",
        )
        for rows in (1, 14)
    ),
    picture("its pixels in two places", two_places, "E-IMG-TRUNCATED"),
    picture("no pixels at all", lambda kit: png(28, 28, 8, 0, b""), "E-IMG-TRUNCATED"),
    picture(
        "a filter that is none", lambda kit: png(28, 28, 8, 0, b"\x09" * 29 * 28), "E-IMG-DAMAGED"
    ),
    picture(
        "pixels that are no zlib stream", lambda kit: _raw(28, 28, 8, 0, bytes(90)), "E-IMG-DAMAGED"
    ),
    picture(
        "a palette that is missing", lambda kit: png(28, 28, 8, 3, bytes(29 * 28)), "E-IMG-DAMAGED"
    ),
    picture("rubbish behind the end", lambda kit: saved(kit.seven) + b"rubbish"),
    # Those about which Pillow, its log and libtiff say something of their own
    picture("an animation of no frames", no_frames),
    picture("a TIFF of 65535 samples", lambda kit: tiff(28, 28, samples=65535), "E-IMG-DAMAGED"),
    picture(
        "a TIFF that is packed as WebP", lambda kit: tiff(28, 28, packing=50001), "E-IMG-DAMAGED"
    ),
    # Bombs
    picture(
        "a PNG that claims 65500×65500",
        lambda kit: png(65500, 65500, 8, 0, b"\0"),
        "E-IMG-TOO-LARGE",
    ),
    picture(
        "a PNG of 12000×12000 bits in 17 kB",
        lambda kit: _raw(12000, 12000, 1, 0, BIT_BOMB),
        "E-IMG-TOO-LARGE",
    ),
    picture(
        "a PNG of 9400×9400 at 16 bit", lambda kit: png(9400, 9400, 16, 6, b"\0"), "E-IMG-TOO-LARGE"
    ),
    picture("1.2 GB of zeros behind its rows", lambda kit: _raw(28, 28, 8, 0, endless_rows(kit))),
    picture(
        "100 MB of compressed text",
        lambda kit: png(28, 28, 8, 0, rows_of(np.asarray(kit.seven)), ZTXT),
        "E-IMG-TOO-LARGE",
    ),
    picture(
        "100 MB of colour profile",
        lambda kit: png(28, 28, 8, 0, rows_of(np.asarray(kit.seven)), ICCP),
        "E-IMG-TOO-LARGE",
    ),
    picture(
        "a JPEG that claims 65500×65500", lambda kit: jpeg_claim(kit, 65500), "E-IMG-TOO-LARGE"
    ),
    picture("a TIFF that claims 60000×60000", lambda kit: tiff(60000, 60000), "E-IMG-TOO-LARGE"),
    picture("a BMP that claims 60000×60000", lambda kit: bmp(60000, 60000), "E-IMG-TOO-LARGE"),
    picture("a BMP of negative width", lambda kit: bmp(-28, 28), "E-IMG-TOO-LARGE"),
    picture(
        "a GIF that claims 65000×65000",
        lambda kit: b"GIF89a" + struct.pack("<HH", 65000, 65000) + saved(kit.seven, "GIF")[10:],
        "E-IMG-TOO-LARGE",
    ),
    picture("a WebP that claims 16383×16383", lambda kit: WEBP_CLAIM, "E-IMG-TOO-LARGE"),
    picture(
        "a PPM that claims 60000×60000",
        lambda kit: b"P6 60000 60000 255\n" + bytes(30),
        "E-IMG-TOO-LARGE",
    ),
    # Not pictures
    picture("text", lambda kit: b"this is no picture\n", "E-IMG-FORMAT"),
    picture("SVG", lambda kit: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "E-IMG-FORMAT"),
    picture("HTML", lambda kit: b"<!DOCTYPE html><p>404", "E-IMG-FORMAT"),
    picture(
        "EPS", lambda kit: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "E-IMG-FORMAT"
    ),
    picture("PDF", lambda kit: b"%PDF-1.7\n", "E-IMG-FORMAT"),
    picture("a zip archive", lambda kit: b"PK\3\4" + bytes(60), "E-IMG-FORMAT"),
    picture("a pickle", lambda kit: b"\x80\x04cos\nsystem\n.", "E-IMG-FORMAT"),
    picture("a HEIC picture", lambda kit: b"\0\0\0\x18ftypheic" + bytes(60), "E-IMG-FORMAT"),
    picture(
        "an array that is named .png", lambda kit: b"\x93NUMPY\1\0" + bytes(90), "E-IMG-FORMAT"
    ),
    # Names and special files
    picture("a missing file", lambda kit: kit.folder / "missing.png", "E-IN-MISSING"),
    picture("a file as a folder", lambda kit: named("a.png")(kit) / "b.png", "E-IN-MISSING"),
    picture("a name that is too long", lambda kit: "n" * 300 + ".png", "E-IN-MISSING"),
    picture("a dangling link", special("dangling"), "E-IN-MISSING"),
    picture("a link in a circle", special("loop"), "E-IN-LOOP"),
    picture("a link to a picture", special("link")),
    picture("an empty folder", special("folder"), "E-IN-EMPTY"),
    picture("a FIFO", special("fifo"), "E-IN-NOTFILE"),
    picture("a socket", special("socket"), "E-IN-READ"),
    picture("/dev/zero", lambda kit: "/dev/zero", "E-IN-NOTFILE"),
    picture("/dev/null", lambda kit: "/dev/null", "E-IN-NOTFILE"),
    picture("a glob without matches", lambda kit: str(kit.folder / "*.gif"), "E-IN-MISSING"),
    *(
        picture(f"the name {name!r}", named(name))
        for name in (
            "a b.png",
            "a\nb.png",
            "a\x1b[31mb.png",
            "七.png",
            "e\u0301.png",
            "\u202egnp.png",
            "[1].png",
            "-x.png",
            "x.txt",
            "x.jpg",
            "x",
            ".png",
            "n" * 251 + ".png",
            b"\xff\xfe.png",
            "~.png",
            "$HOME.png",
        )
    ),
    picture(
        "a name with a newline that is refused", named("a\nb.png", lambda kit: b""), "E-IMG-EMPTY"
    ),
    picture(
        "a name that is not UTF-8 and refused", named(b"\xff.png", lambda kit: b""), "E-IMG-EMPTY"
    ),
    # What other programs read wrong
    *(
        picture(
            f"a PNG of {depth} bit gray", bind(lambda kit, depth: low_depth_png(kit, depth), depth)
        )
        for depth in (1, 2, 4)
    ),
    *(
        picture(
            f"a 16-bit PNG of colour type {colour}",
            bind(lambda kit, colour: sixteen_png(kit, colour), colour),
        )
        for colour in (0, 2, 4, 6)
    ),
    picture("an interlaced PNG", interlaced_png),
    picture("a palette out of order", shuffled_palette),
    picture(
        "a 1-bit picture of Pillow",
        lambda kit: saved(kit.seven.point(lambda v: 255 * (v > 99), "1")),
    ),
    picture(
        "16-bit gray TIFF",
        lambda kit: saved(Image.fromarray(np.asarray(kit.seven).astype("u2") * 257), "TIFF"),
        suffix=".tif",
    ),
    picture(
        "16-bit gray PGM",
        lambda kit: b"P5 28 28 65535\n" + (np.asarray(kit.seven).astype(">u2") * 257).tobytes(),
        suffix=".pgm",
    ),
    picture(
        "plain PGM in text",
        lambda kit: (
            b"P2 28 28 255\n" + b" ".join(b"%d" % v for v in np.asarray(kit.seven).ravel().tolist())
        ),
        suffix=".pgm",
    ),
    picture(
        "32-bit integer TIFF", lambda kit: saved(kit.seven.convert("I"), "TIFF"), "E-IMG-DEPTH"
    ),
    picture("float TIFF", lambda kit: saved(kit.seven.convert("F"), "TIFF"), "E-IMG-DEPTH"),
    picture(
        "a TIFF whose white is 0",
        lambda kit: saved(ImageOps.invert(kit.seven), "TIFF", tiffinfo={262: 0}),
        suffix=".tif",
    ),
    *(
        picture(
            f"a TIFF packed by {packing}",
            bind(lambda kit, packing: saved(kit.seven, "TIFF", compression=packing), packing),
        )
        for packing in ("tiff_lzw", "tiff_adobe_deflate", "packbits")
    ),
    *(
        picture(
            f"{mode} in a {form}",
            bind(
                lambda kit, mode, form: saved(kit.drawn.convert("RGB").convert(mode), form),
                mode,
                form,
            ),
        )
        for mode, form in (
            ("CMYK", "JPEG"),
            ("CMYK", "TIFF"),
            ("YCbCr", "TIFF"),
            ("RGB", "JPEG"),
            ("RGB", "WEBP"),
            ("P", "GIF"),
            ("RGB", "BMP"),
            ("P", "BMP"),
            ("1", "BMP"),
            ("RGB", "PPM"),
            ("RGBA", "TIFF"),
        )
    ),
    *(
        picture(
            f"{what} ink of mode {mode} over nothing in a {form}",
            bind(
                lambda kit, colour, mode, form: saved(
                    ink(kit, colour, mode), form, **({"lossless": True} if form == "WEBP" else {})
                ),
                colour,
                mode,
                form,
            ),
        )
        for what, colour in (("black", 0), ("white", 255))
        for mode, form in (("LA", "PNG"), ("RGBA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "TIFF"))
    ),
    picture("paper that a tRNS chunk makes transparent", transparent_gray),
    picture(
        "a palette with a transparent colour",
        lambda kit: saved(
            ImageOps.invert(ImageOps.expand(kit.seven, 20)).convert("P"), transparency=255
        ),
    ),
    *(
        picture(f"EXIF orientation {n} in a JPEG", bind(lambda kit, n: turned(kit, n, "JPEG"), n))
        for n in TURNS
    ),
    *(
        picture(
            f"EXIF orientation {n} in a {form}",
            bind(lambda kit, n, form: turned(kit, n, form), n, form),
        )
        for form in ("PNG", "WEBP", "TIFF")
        for n in (3, 6)
    ),
    picture("EXIF orientation 9", lambda kit: turned_nine(kit)),
    *(
        picture(
            f"two pictures in a {form}",
            bind(lambda kit, form: animation(kit, form), form),
            "E-IMG-FRAMES",
        )
        for form in ("GIF", "WEBP", "PNG", "TIFF")
    ),
    picture("a TIFF that is named .png", lambda kit: saved(kit.drawn.convert("L"), "TIFF")),
    # Forms that Pillow reads and ptx does not take
    *(
        picture(
            f"a {form}",
            bind(
                lambda kit, form, mode: saved(kit.drawn.convert(mode).resize((64, 64)), form),
                form,
                mode,
            ),
            "E-IMG-FORMAT",
            suffix=f".{form.lower()}",
        )
        for form, mode in (
            ("TGA", "L"),
            ("ICO", "RGB"),
            ("PCX", "L"),
            ("SGI", "L"),
            ("XBM", "1"),
            ("JPEG2000", "L"),
            ("DDS", "RGB"),
            ("MSP", "1"),
            ("SPIDER", "F"),
            ("PDF", "L"),
            ("EPS", "L"),
            ("ICNS", "RGB"),
            ("BLP", "P"),
        )
    ),
    picture("a BMP packed by run length", lambda kit: rle_bmp(), "E-IMG-TRUNCATED"),
    picture("a digit in a strip", lambda kit: saved(ImageOps.expand(kit.seven, (0, 28, 0, 28)))),
    picture(
        "a digit in a wide strip", lambda kit: saved(ImageOps.expand(kit.seven, (56, 0, 56, 0)))
    ),
    picture("2 GiB that are named .png", sparse("a.png", 2**31), "E-IN-SIZE"),
    picture(
        "a drawing of 12 Mpx", lambda kit: saved(kit.drawn.resize((4000, 3000)), compress_level=1)
    ),
    picture("white on black, large", lambda kit: saved(ImageOps.invert(kit.drawn.convert("L")))),
    picture("a folder of one picture", lambda kit: named("a.png")(kit).parent),
    picture("a glob", lambda kit: str(named("a.png")(kit).with_name("*.png"))),
]


def turned_nine(kit: Kit) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 9
    return saved(kit.drawn.convert("L"), "JPEG", exif=exif)
