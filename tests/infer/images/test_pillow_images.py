"""A Pillow image is answered as the file that it was opened from."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from ptx.infer.errors import InputError
from ptx.infer.images.decode import decode, from_pillow

RANDOM = np.random.RandomState(0)
COLOURS = Image.fromarray(RANDOM.randint(0, 256, (12, 16, 3), np.uint8))
SIXTEEN = RANDOM.randint(0, 65536, (12, 16)).astype(np.uint16)


def saved(image: Image.Image, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


FILES = {
    "CMYK JPEG": saved(COLOURS.convert("CMYK"), "JPEG"),
    "CMYK TIFF": saved(COLOURS.convert("CMYK"), "TIFF"),
    "YCbCr TIFF": saved(COLOURS.convert("YCbCr"), "TIFF"),
    "16-bit PNG": saved(Image.fromarray(SIXTEEN), "PNG"),
    "16-bit TIFF": saved(Image.fromarray(SIXTEEN), "TIFF"),
    "16-bit TIFF, white is 0": saved(Image.fromarray(SIXTEEN), "TIFF", tiffinfo={262: 0}),
    "16-bit PGM": b"P5 16 12 65535\n" + SIXTEEN.astype(">u2").tobytes(),
    "12-bit PGM": b"P5 16 12 4095\n" + (SIXTEEN >> 4).astype(">u2").tobytes(),
    "palette": saved(COLOURS.convert("P"), "PNG", transparency=3),
    "bilevel": saved(COLOURS.convert("1"), "TIFF"),
    "transparent": saved(COLOURS.convert("RGBA"), "PNG"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("orientation", [None, 6])
def test_a_pillow_image_is_the_picture_of_its_file(name: str, orientation: int | None) -> None:
    with Image.open(io.BytesIO(FILES[name])) as opened:
        before = opened.mode, opened.size, opened.tobytes()
        found = from_pillow(opened)
        assert (opened.mode, opened.size, opened.tobytes()) == before
        expected = decode(FILES[name])
        if orientation:
            opened.getexif()[0x112] = orientation
            found = from_pillow(opened)
            expected = expected.transpose(Image.Transpose.ROTATE_270)
        assert found.mode == expected.mode
        assert np.array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_numbers_of_an_unknown_range_are_refused_in_both(mode: str) -> None:
    image = COLOURS.convert(mode)
    with pytest.raises(InputError) as made:
        from_pillow(image)
    with pytest.raises(InputError) as read:
        decode(saved(image, "TIFF"))
    assert made.value.code == read.value.code == "E-IMG-DEPTH"


def test_a_pillow_image_whose_file_ends_early_is_refused() -> None:
    data = saved(ImageOps.scale(COLOURS, 8), "JPEG")
    with (
        Image.open(io.BytesIO(data[: len(data) // 2])) as opened,
        pytest.raises(InputError) as caught,
    ):
        from_pillow(opened)
    assert caught.value.code == "E-IMG-TRUNCATED"
