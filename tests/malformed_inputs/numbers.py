"""Arrays, numbers, names and tables."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .case import Case, Group, Kit, bind
from .pictures import sparse

array = Group("picture", ".npy")
number = Group("number", "")
row = Group("row", ".npy")
name = Group("name", "")
table = Group("table", ".csv")

LINE = "1,85,66,29,0,26.6,0.351,31\n"  # eight columns of the diabetes model
HEADER = "pregnancies,glucose,blood pressure,skin thickness,insulin,body mass index,pedigree,age\n"
TURNED = "".join(",".join(line.split(",")[::-1]) + "\n" for line in (HEADER + LINE).splitlines())
ROW = np.array([1, 85, 66, 29, 0, 26.6, 0.351, 31])


def npy(make: Callable[[np.ndarray[Any, Any]], Any], **options: Any) -> Callable[[Kit], bytes]:
    """A .npy file of what `make` does to the pixels of a 7, uint8 (28, 28)."""

    def write(kit: Kit) -> bytes:
        target = io.BytesIO()
        np.lib.format.write_array(target, np.asanyarray(make(np.asarray(kit.seven))), **options)
        return target.getvalue()

    return write


def ready(pixels: np.ndarray[Any, Any], dtype: str = "f4") -> np.ndarray[Any, Any]:
    """A batch of one sample, as the model takes it."""
    return ((pixels / 255 - 0.1307) / 0.3081).astype(dtype)[None, None]


def filled(value: float, dtype: str = "f4") -> Callable[[np.ndarray[Any, Any]], Any]:
    def make(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        sample = ready(pixels, dtype)
        sample[0, 0, 3, 3] = value
        return sample

    return make


def with_header(text: str, values: bytes = bytes(784)) -> Callable[[Kit], bytes]:
    return lambda kit: b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode() + values


def header(shape: str, descr: str = "'|u1'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


def npy_head(shape: str) -> bytes:
    text = header(shape).ljust(70)
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode()


def trimmed(end: int) -> Callable[[Kit], bytes]:
    return lambda kit: npy(lambda p: p)(kit)[:end]


def eight(values: Any) -> Callable[[Kit], bytes]:
    return npy(lambda _: np.asarray(values))


ARRAYS = [
    array("pixels", npy(lambda p: p)),
    array("two pictures", npy(lambda p: np.stack([p, p])), answer="7 7"),
    array("no pictures", npy(lambda p: p[None][:0]), answer=""),
    array("no samples", npy(lambda p: ready(p)[:0]), answer=""),
    array("colour pixels", npy(lambda p: np.stack([p] * 3, -1)[None])),
    array("pixels of 16 bit", npy(lambda p: p.astype("u2") * 257)),
    array("pixels of 16 bit, big-endian", npy(lambda p: (p.astype("u2") * 257).astype(">u2"))),
    array("pixels in Fortran's order", npy(np.asfortranarray)),
    array("pixels, mirrored by a stride", npy(lambda p: p[:, ::-1].copy()[:, ::-1])),
    *(
        array(f"a ready sample of {dtype}", npy(partial(ready, dtype=dtype)))
        for dtype in ("f4", "f8", "f2", ">f4", ">f8")
    ),
    array("format version 3", npy(lambda p: p, version=(3, 0))),
    array("int64 pixels", npy(lambda p: p.astype("i8")), "E-TYPE"),
    array("signed pixels", npy(lambda p: p.astype("i1")), "E-TYPE"),
    array("booleans", npy(lambda p: p > 99), "E-TYPE"),
    array("floats of rank 2", npy(lambda p: ready(p)[0, 0]), "E-SHAPE"),
    array("floats of rank 5", npy(lambda p: ready(p)[None]), "E-SHAPE"),
    array("channels last", npy(lambda p: np.moveaxis(ready(p), 1, -1)), "E-SHAPE"),
    array("three channels", npy(lambda p: np.repeat(ready(p), 3, 1)), "E-SHAPE"),
    array("32×32", npy(lambda p: np.pad(ready(p), ((0, 0), (0, 0), (2, 2), (2, 2)))), "E-SHAPE"),
    array("29×29", npy(lambda p: np.pad(ready(p), ((0, 0), (0, 0), (0, 1), (0, 1)))), "E-SHAPE"),
    array("uint8 of rank 5", npy(lambda p: p[None, None, None]), "E-SHAPE"),
    array("a single number", npy(lambda p: np.uint8(7)), "E-SHAPE"),
    array("pixels of width 0", npy(lambda p: p[:, :0]), "E-SHAPE"),
    array("a NaN", npy(filled(np.nan)), "E-NONFINITE"),
    array("an infinity", npy(filled(np.inf)), "E-NONFINITE"),
    array("too large for float32", npy(filled(1e39, "f8")), "E-NONFINITE"),
    array(
        "so large that the model overflows",
        npy(lambda p: np.full((1, 1, 28, 28), 3e38, "f4")),
        "E-NONFINITE",
    ),
    array("an empty file", lambda kit: b"", "E-NPY"),
    array("a picture that is named .npy", lambda kit: kit.drawing.read_bytes(), "E-NPY"),
    array("a zip of arrays", lambda kit: b"PK\3\4" + bytes(60), "E-NPY"),
    *(array(f"the first {end} bytes", trimmed(end), "E-NPY") for end in (5, 8, 40, 128, 500, 911)),
    array("trailing bytes", lambda kit: npy(lambda p: p)(kit) + b"x", "E-NPY"),
    array(
        "pickled objects", npy(lambda p: np.array([{}, None], object), allow_pickle=True), "E-NPY"
    ),
    array("a structured array", npy(lambda p: np.zeros(4, "u1,f4")), "E-NPY"),
    array("complex numbers", npy(lambda p: p * 1j), "E-NPY"),
    array("texts", npy(lambda p: np.array(["7"])), "E-NPY"),
    array("dates", npy(lambda p: np.zeros(3, "M8[s]")), "E-NPY"),
    array(
        "a header that claims 16 TiB",
        with_header(header("(2**44,)".replace("2**44", str(2**44)))),
        "E-NPY",
    ),
    array("a header with a negative size", with_header(header("(-28, 28)")), "E-NPY"),
    array(
        "a header that computes", with_header(header("(__import__('os').system('true'),)")), "E-NPY"
    ),
    array(
        "a header with a key too many",
        with_header("{'descr': '|u1', 'shape': (1,), 'x': 1}"),
        "E-NPY",
    ),
    array("a header nested deep", with_header("(" * 9000), "E-NPY"),
    array("2 GiB", sparse("a.npy", 2**31), "E-IN-SIZE"),
    array(
        "256 MB of pixels in one picture",
        sparse("a.npy", 80 + 16384**2, npy_head("(16384, 16384)")),
        "E-IMG-TOO-LARGE",
    ),
    array(
        "a million million empty pictures",
        with_header(header(f"({10**12}, 0, 28)"), b""),
        "E-SHAPE",
    ),
    array("format version 9", lambda kit: b"\x93NUMPY\x09\0" + npy(lambda p: p)(kit)[8:], "E-NPY"),
]

NUMBERS = [
    *(
        number(f"the number {text!r}", bind(lambda kit, text: text, text), answer="*")
        for text in (
            "4.0",
            "4",
            "1e3",
            " 4 ",
            "+4",
            ".5",
            "5.",
            "-4",
            "-0.0",
            "1e-300",
            "0" * 400 + "1",
        )
    ),
    *(
        number(f"the number {text!r}", bind(lambda kit, text: text, text), "E-NONFINITE")
        for text in ("nan", "inf", "-inf", "Infinity", "1e400")
    ),
    number("the number '1e39'", lambda kit: "1e39", "E-RANGE"),
    *(
        number(f"not a number: {text!r}", bind(lambda kit, text: text, text), "E-TYPE")
        for text in (
            "four",
            "",
            "0x10",
            "1e",
            "--4",
            "4;5",
            "4 5",
            "4\n5",
            "None",
            "4.0.0",
            "\u221e",
        )
    ),
    number("several numbers for one", lambda kit: "1,2", "E-SHAPE"),
    number("a picture for a number", lambda kit: kit.drawing, "E-IN-FORMAT"),
    row("a row of eight", eight(ROW), answer="*"),
    row("rows in big-endian", eight(np.stack([ROW, ROW]).astype(">f8")), answer="* *"),
    row("no rows", eight(np.empty((0, 8))), answer=""),
    row("rows of nine", eight(np.ones((1, 9))), "E-SHAPE"),
    row("rows of rank 3", eight(np.ones((1, 1, 8))), "E-TYPE"),
    row("a row with NaN", eight(np.where(ROW == 85, np.nan, ROW)), "E-NONFINITE"),
    row("a row of complex numbers", eight(ROW + 0j), "E-NPY"),
    *(
        name(f"the name {text[:20]!r}", bind(lambda kit, text: text, text), answer="*")
        for text in (
            "Satoshi",
            "O'Brien",
            "Müller",
            "山田",
            "🙂",
            " x ",
            "a\tb",
            "a" * 1000,
            "-1",
            "x.y",
        )
    ),
    *(
        name(f"the empty name {text!r}", bind(lambda kit, text: text, text), "E-EMPTY")
        for text in ("", " ", "\n", "\u0301")
    ),
    *(
        name(
            f"codes: {what}",
            bind(lambda kit, codes: npy(lambda _: codes)(kit), np.array(codes)),
            code,
            answer="" if code else "*",
            suffix=".npy",
        )
        for what, codes, code in (
            ("two letters", [[83, 97]], ""),
            ("beyond ASCII", [[65, 128]], "E-RANGE"),
            ("negative", [[65, -1]], "E-RANGE"),
            ("padding alone", [[0, 0]], "E-EMPTY"),
            ("floats", [[65.0, 66.0]], "E-TYPE"),
            ("rank 3", [[[65]]], "E-TYPE"),
            ("2 to the 63", [[2**63]], "E-RANGE"),
        )
    ),
    name("a name of 1001 letters", lambda kit: "a" * 1001, "E-RANGE"),
    name("a name that is not UTF-8", lambda kit: "\udcff", answer="*"),
]

TABLES = [
    *(
        table(
            what,
            bind(lambda kit, text: text if isinstance(text, bytes) else text.encode(), text),
            answer=answer,
        )
        for what, text, answer in (
            ("a table", LINE * 2, "* *"),
            ("a header", HEADER + LINE, "*"),
            ("a header in another order", TURNED, "*"),
            ("a byte order mark", b"\xef\xbb\xbf" + LINE.encode(), "*"),
            ("line ends of Windows", LINE.replace("\n", "\r\n") * 2, "* *"),
            ("line ends of the old Macintosh", LINE.replace("\n", "\r") * 2, "* *"),
            ("blank lines", f"\n{LINE}\n\n{LINE}\n", "* *"),
            ("cells in quotes", ",".join(f'"{cell}"' for cell in LINE.strip().split(",")), "*"),
            ("no line end at the end", LINE.strip(), "*"),
        )
    ),
    *(
        table(
            what,
            bind(lambda kit, text: text if isinstance(text, bytes) else text.encode(), text),
            "E-CSV",
        )
        for what, text in (
            ("an empty table", ""),
            ("blank lines alone", "\n\n"),
            ("a header alone", HEADER),
            ("a header of other names", "a,b,c,d,e,f,g,h\n" + LINE),
            ("a word in a cell", LINE.replace("66", "many")),
            ("an empty cell", LINE.replace("66", "")),
            ("semicolons", LINE.replace(",", ";")),
            ("tabs", LINE.replace(",", "\t")),
            ("decimal commas in quotes", LINE.replace("26.6", '"26,6"')),
            ("thousands in quotes", LINE.replace("85", '"1,085"')),
            ("an underscore in a number", LINE.replace("85", "8_5")),
            ("digits of another script", LINE.replace("85", "٨٥")),
            ("a NaN", LINE.replace("85", "nan")),
            ("an infinity", LINE.replace("85", "inf")),
            ("too large for a float", LINE.replace("85", "1e999")),
            ("Latin-1", (LINE + "gr\xfc\xdfe,").encode("latin-1")),
            ("UTF-16", LINE.encode("utf-16")),
            ("an open quote", '"' + LINE),
            ("null bytes", LINE.replace("85", "8\0")),
            ("a PNG that is named .csv", b"\x89PNG\r\n\x1a\n" + bytes(90)),
            ("a cell of 200 kB", LINE.replace("85", "8" * 200_000)),
        )
    ),
    table("too large for float32", lambda kit: LINE.replace("85", "1e200").encode(), "E-RANGE"),
    table("decimal commas", lambda kit: LINE.replace("26.6", "26,6").encode(), "E-SHAPE"),
    table("seven columns", lambda kit: LINE.replace("1,85", "1").encode(), "E-SHAPE"),
    table("2 GiB", sparse("a.csv", 2**31), "E-IN-SIZE"),
    table("a million columns", lambda kit: b"1," * 999_999 + b"1\n", "E-SHAPE"),
    table("200,000 quotes", lambda kit: b'"' * 200_000, "E-CSV"),
    table("a missing table", lambda kit: kit.folder / "missing.csv", "E-IN-MISSING"),
]

CASES: list[Case] = [*ARRAYS, *NUMBERS, *TABLES]
