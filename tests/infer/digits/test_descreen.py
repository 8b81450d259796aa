"""Dithered pictures: the grays that their dots stand for, and pictures of two tones that have none."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ptx.infer.digits.foreground import descreen
from ptx.infer.digits.mnist import detect_digits
from ptx.infer.images.decode import decode
from tests.infer.digits.test_detection import INK, alike, page
from tests.infer.digits.test_mnist import SIZE, drawn, png


def two_tones(image: Image.Image) -> Image.Image:
    return image.convert("L").point([255 * (value > 128) for value in range(256)])


def test_the_strokes_of_a_dithered_digit_are_no_wider_than_those_of_the_digit() -> None:
    gray = drawn((70, 70, 75), (225, 225, 225), side=130, at=(150, 80)).convert("L")
    dithered = gray.convert("1")
    (seen,) = detect_digits(decode(png(dithered)), SIZE)
    (whole,) = detect_digits(decode(png(gray)), SIZE)
    assert alike(seen.pixels) > 0.95
    assert float(seen.pixels.mean()) == pytest.approx(float(whole.pixels.mean()), rel=0.25)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_dots_become_the_mean_of_what_lies_around_them(mode: str) -> None:
    pixels = np.full((60, 80), 255, np.uint8)
    pixels[1::4, 1::4] = 0
    flat = descreen(Image.fromarray(pixels).convert(mode))
    assert flat.mode == "L"
    around = np.pad(pixels.astype(float), 1, mode="edge")
    means = sum(around[y : y + 60, x : x + 80] for y in range(3) for x in range(3)) / 9
    assert np.array_equal(np.asarray(flat), np.floor(means + 0.5))


def test_what_is_not_dithered_stays_as_it_is() -> None:
    dotted = np.tile(np.array([[0, 255], [255, 255]], np.uint8), (40, 40))
    coloured = Image.fromarray(dotted).convert("RGB")
    coloured.putpixel((3, 3), INK)
    grainy = Image.fromarray(dotted)
    grainy.putpixel((3, 3), 128)
    small = Image.fromarray(dotted[:55])
    for flat in (two_tones(page()), coloured, grainy, small):
        assert descreen(flat) is flat
