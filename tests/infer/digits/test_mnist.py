"""Pictures as people have them are brought to the form that the model was trained on."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw

from ptx.infer.digits.mnist import to_mnist
from ptx.infer.errors import InputError
from ptx.infer.images.decode import decode, from_array
from ptx.infer.images.flatten import min_decode_size
from ptx.infer.images.resize import RESIZE_MODES, letterbox

Array = np.ndarray[Any, Any]
Colour = tuple[int, int, int]

SIZE = (28, 28)
PICTURES = Path(__file__).parents[2] / "pictures"
DATASETS = Path(__file__).parents[3].parent / "shared" / "datasets"
SEVEN = np.asarray(decode((PICTURES / "mnist-7.png").read_bytes()))


def png(picture: Image.Image) -> bytes:
    stream = BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def ink_mask(
    side: int = 150, size: tuple[int, int] = (400, 300), at: tuple[int, int] = (210, 60)
) -> Image.Image:
    """The seven's ink, `side` pixels tall, as a mask on a larger sheet."""
    seven = Image.fromarray(SEVEN)
    seven = seven.crop(seven.getbbox())
    width = max(1, round(seven.width * side / seven.height))
    sheet = Image.new("L", size)
    sheet.paste(seven.resize((width, side), Image.Resampling.BICUBIC), at)
    return sheet


def drawn(ink: Colour, paper: Colour, **place: Any) -> Image.Image:
    mask = ink_mask(**place)
    sheet = Image.new("RGB", mask.size, paper)
    sheet.paste(ink, mask=mask)
    return sheet


def likeness(pixels: Array) -> float:
    """Correlation with the seven that was drawn. 99 % of any other digit stay below 0.65."""
    return float(np.corrcoef(pixels.ravel(), SEVEN.ravel())[0, 1])


def is_in_form(pixels: Array) -> bool:
    rows, columns = np.nonzero(pixels > 127)
    mass = pixels.astype(float)
    centre = [float((mass.sum(axis=1 - axis) @ np.arange(28)) / mass.sum()) for axis in (0, 1)]
    longer = max(np.ptp(rows), np.ptp(columns)) + 1
    return bool(16 <= longer <= 20 and max(abs(c - 14) for c in centre) <= 1 and pixels.max() > 250)


DRAWN: dict[str, Callable[[], Image.Image]] = {
    "black on white": lambda: drawn((0, 0, 0), (255, 255, 255)),
    "white on black": lambda: drawn((255, 255, 255), (0, 0, 0)),
    "chalk on a board": lambda: drawn((230, 235, 230), (25, 40, 30)),
    "red on white": lambda: drawn((220, 30, 30), (255, 255, 255)),
    "blue on yellow": lambda: drawn((30, 40, 200), (250, 240, 90)),
    "red on green of the same luminance": lambda: drawn((210, 70, 60), (70, 132, 60)),
    "faint pencil": lambda: drawn((180, 180, 180), (225, 222, 215)),
    "small": lambda: drawn((0, 0, 0), (255, 255, 255), side=40, at=(10, 250)),
    "large": lambda: drawn((0, 0, 0), (255, 255, 255), side=1200, size=(2400, 1600)),
    "in a strip": lambda: drawn((0, 0, 0), (255, 255, 255), side=90, size=(900, 100), at=(7, 5)),
    "with hardly a margin": lambda: drawn(
        (0, 0, 0), (255, 255, 255), side=196, size=(150, 200), at=(2, 2)
    ),
    "16 by 12 pixels": lambda: drawn((0, 0, 0), (255, 255, 255), side=12, size=(12, 16), at=(1, 2)),
}


@pytest.mark.parametrize("case", DRAWN)
def test_a_drawn_digit_comes_out_as_mnist_would_have_it(case: str) -> None:
    pixels = to_mnist(decode(png(DRAWN[case]())), SIZE)
    assert pixels.shape == (28, 28)
    assert pixels.dtype == np.uint8
    assert is_in_form(pixels)
    assert likeness(pixels) > 0.8


@pytest.mark.parametrize("ink", [(0, 0, 0), (255, 255, 255), (220, 30, 30), (128, 128, 128)])
@pytest.mark.parametrize("hidden", [(0, 0, 0), (255, 255, 255)])
def test_any_ink_on_transparency_is_seen(ink: Colour, hidden: Colour) -> None:
    mask = ink_mask()
    sheet = Image.new("RGB", mask.size, hidden)
    sheet.paste(ink, mask=mask.point([255 * (value > 0) for value in range(256)]))
    sheet.putalpha(mask)
    assert likeness(to_mnist(decode(png(sheet)), SIZE)) > 0.9
    gray = sheet.convert("LA")
    assert likeness(to_mnist(decode(png(gray)), SIZE)) > 0.9


def test_ink_on_paper_that_lies_on_transparency_is_seen() -> None:
    for ink, paper in (((0, 0, 0), (250, 250, 250)), ((250, 250, 250), (20, 40, 30))):
        sheet = Image.new("RGBA", (500, 400))
        sheet.paste(drawn(ink, paper), (50, 40))
        assert likeness(to_mnist(decode(png(sheet)), SIZE)) > 0.9


@pytest.mark.parametrize("grain", [4, 12])
def test_shaded_and_grainy_paper_does_not_count_as_ink(grain: int) -> None:
    sheet = np.asarray(drawn((40, 40, 60), (245, 243, 238)), float)
    rows, columns = np.mgrid[:300, :400]
    light = 1 - 0.35 * (rows / 300 + columns / 400) / 2 - 0.1 * np.square(columns / 400 - 0.5)
    noise = np.random.default_rng(3).normal(0, grain, sheet.shape)
    photo = np.clip(sheet * light[..., np.newaxis] + noise, 0, 255).astype(np.uint8)
    pixels = to_mnist(from_array(photo), SIZE)
    assert is_in_form(pixels)
    assert likeness(pixels) > 0.9


def test_specks_do_not_move_the_digit() -> None:
    clean = drawn((0, 0, 0), (255, 255, 255))
    dusty = clean.copy()
    for x, y in ((5, 5), (390, 290), (20, 280), (380, 12)):
        ImageDraw.Draw(dusty).ellipse((x, y, x + 3, y + 3), fill=(60, 60, 60))
    np.testing.assert_allclose(to_mnist(dusty, SIZE), to_mnist(clean, SIZE), atol=2)


@pytest.mark.parametrize("pen", [1, 4, 12, 40])
def test_strokes_of_any_pen_get_the_width_of_mnist(pen: int) -> None:
    sheet = Image.new("RGB", (400, 300), "white")
    ImageDraw.Draw(sheet).line([(150, 50), (250, 50), (190, 250)], fill="black", width=pen)
    pixels = to_mnist(sheet, SIZE)
    assert 45 <= np.count_nonzero(pixels > 127) <= 157  # as 98 % of MNIST's sevens


def test_exif_rotation_and_fit_work_together() -> None:
    exif = Image.Exif()
    exif[274] = 6
    stream = BytesIO()
    turned = drawn((0, 0, 0), (255, 255, 255)).transpose(Image.Transpose.ROTATE_90)
    turned.save(stream, "JPEG", exif=exif)
    assert likeness(to_mnist(decode(stream.getvalue()), SIZE)) > 0.9


def test_the_picture_on_paper_comes_out_upright_and_centred() -> None:
    pixels = to_mnist(decode((PICTURES / "seven-on-paper.png").read_bytes()), SIZE)
    assert is_in_form(pixels)
    assert likeness(pixels) > 0.5


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1"])
def test_mnists_form_passes_unchanged_in_every_mode(mode: str) -> None:
    picture = Image.fromarray(SEVEN).convert(mode, dither=Image.Dither.NONE)
    expected = np.where(SEVEN > 127, 255, 0) if mode == "1" else SEVEN
    np.testing.assert_array_equal(to_mnist(decode(png(picture)), SIZE), expected)


def test_mnists_form_inverted_comes_back_exactly() -> None:
    np.testing.assert_array_equal(to_mnist(from_array(255 - SEVEN), SIZE), SEVEN)
    for ink in (0, 255):
        sheet = Image.new("L", SIZE, ink)
        sheet.putalpha(Image.fromarray(SEVEN))
        np.testing.assert_array_equal(to_mnist(sheet, SIZE), SEVEN)


def test_noise_in_mnists_form_is_left_to_the_model() -> None:
    noise = np.random.default_rng(5).integers(0, 50, SEVEN.shape, dtype=np.uint8)
    noisy = np.maximum(SEVEN, noise)
    np.testing.assert_array_equal(to_mnist(from_array(noisy), SIZE), noisy)


@pytest.mark.parametrize("change", ["shifted", "doubled", "halved"])
def test_28_by_28_in_another_layout_is_brought_into_form(change: str) -> None:
    picture = Image.fromarray(SEVEN)
    other = {
        "shifted": lambda: np.roll(SEVEN, (-3, 4), (0, 1)),
        "doubled": lambda: np.asarray(picture.crop((3, 6, 25, 28)).resize(SIZE)),
        "halved": lambda: np.pad(np.asarray(picture.resize((14, 14))), 7),
    }[change]()
    pixels = to_mnist(from_array(other), SIZE)
    assert is_in_form(pixels)
    assert likeness(pixels) > 0.6


@pytest.mark.skipif(not DATASETS.is_dir(), reason="the MNIST files are not beside the repository")
def test_all_70000_mnist_pictures_pass_unchanged_and_come_back_from_their_inverse() -> None:
    for split, count in (("train", 60000), ("t10k", 10000)):
        archive = DATASETS / "MNIST" / "raw" / f"{split}-images-idx3-ubyte.gz"
        pictures = np.frombuffer(gzip.decompress(archive.read_bytes()), np.uint8, offset=16)
        pictures = pictures.reshape(-1, 28, 28)
        assert len(pictures) == count
        for pixels in pictures:
            assert to_mnist(Image.fromarray(pixels), SIZE).tobytes() == pixels.tobytes()
            assert to_mnist(Image.fromarray(255 - pixels), SIZE).tobytes() == pixels.tobytes()


@pytest.mark.parametrize("shape", [(28, 28), (300, 400), (1, 1), (28, 28, 3)])
@pytest.mark.parametrize("tone", [0, 128, 255])
def test_a_blank_picture_is_refused(shape: tuple[int, ...], tone: int) -> None:
    with pytest.raises(InputError, match="the image is blank") as caught:
        to_mnist(from_array(np.full(shape, tone, np.uint8)), SIZE)
    assert caught.value.code == "E-IMG-BLANK"
    assert "background is 0 of 255" in str(caught.value)


def test_bare_paper_with_grain_or_shading_is_refused() -> None:
    grain = np.random.default_rng(2).normal(230, 6, (300, 400, 3)).clip(0, 255).astype(np.uint8)
    shading = np.tile(np.linspace(180, 250, 400).astype(np.uint8), (300, 1))
    for paper in (grain, shading):
        with pytest.raises(InputError) as caught:
            to_mnist(from_array(paper), SIZE)
        assert caught.value.code == "E-IMG-BLANK"
    with pytest.raises(InputError):
        to_mnist(Image.new("RGBA", (40, 40)), SIZE)


pictures = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4])),
    elements=st.sampled_from([0, 1, 60, 128, 200, 254, 255]),
)


@settings(max_examples=150, deadline=None)
@given(pictures)
def test_every_picture_gets_a_digit_or_a_refusal(pixels: Array) -> None:
    try:
        found = to_mnist(from_array(pixels), SIZE)
    except InputError as error:
        assert error.code in ("E-IMG-BLANK", "E-IMG-NO-DIGIT", "E-IMG-OBJECTS")  # noqa: PT017
        return
    assert found.shape == (28, 28)
    assert found.dtype == np.uint8
    assert found.max() > 100


@settings(max_examples=100, deadline=None)
@given(pictures, st.sampled_from([(28, 28), (32, 32), (20, 30)]))
def test_every_picture_fits_the_square(pixels: Array, size: tuple[int, int]) -> None:
    found = letterbox(from_array(pixels), size)
    assert found.shape == size[::-1]
    assert found.dtype == np.uint8


def test_a_light_thing_on_dark_of_the_models_size_passes_unchanged() -> None:
    shirt = np.zeros((28, 28), np.uint8)
    shirt[:, 6:22] = np.random.default_rng(0).integers(90, 255, (28, 16))
    np.testing.assert_array_equal(letterbox(from_array(shirt), SIZE), shirt)
    np.testing.assert_array_equal(letterbox(from_array(255 - shirt), SIZE), shirt)


def test_a_thing_on_white_becomes_light_on_dark_with_its_proportions() -> None:
    sheet = Image.new("RGB", (560, 280), "white")
    ImageDraw.Draw(sheet).rectangle((140, 70, 419, 209), fill=(90, 30, 30))
    found = letterbox(sheet, SIZE)
    rows, columns = np.nonzero(found > 100)
    assert np.ptp(columns) + 1 == 14
    assert np.ptp(rows) + 1 in (7, 8)  # its edges lie in the middle of a pixel
    assert found[0].max() == found[:, 0].max() == 0


@pytest.mark.parametrize("tone", [20, 235])
def test_a_thing_on_transparency_is_light_on_dark(tone: int) -> None:
    sheet = Image.new("RGBA", (100, 100))
    ImageDraw.Draw(sheet).ellipse((20, 20, 80, 80), fill=(tone, tone, tone, 255))
    found = letterbox(sheet, SIZE)
    assert found[14, 14] > 200
    assert found[0, 0] == 0


@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1), (3000, 2)])
@pytest.mark.parametrize("resize_mode", RESIZE_MODES)
def test_needles_are_fitted_without_a_square_of_their_length(
    resize_mode: str, shape: tuple[int, int]
) -> None:
    needle = np.zeros(shape, np.uint8)
    needle[shape[0] // 3 : shape[0] // 2 + 1, shape[1] // 3 : shape[1] // 2 + 1] = 255
    try:
        assert RESIZE_MODES[resize_mode](from_array(needle), SIZE).shape == (28, 28)
    except InputError as error:
        assert (resize_mode, error.code) == ("mnist", "E-IMG-NO-DIGIT")  # noqa: PT017


@pytest.mark.parametrize(
    ("size", "least"),
    [
        ((4000, 3000), (500, 375)),  # a quarter, averaged by two
        ((3000, 4000), (375, 500)),
        ((4800, 700), (600, 87)),  # averaged by eight
        ((6000, 4000), (1500, 1000)),  # a quarter, averaged by three
        ((3264, 2448), (1632, 1224)),
        ((2000, 1000), (2000, 1000)),
        ((4, 5000), (1, 625)),
    ],
)
def test_an_eighth_is_decoded_where_all_of_the_averaging_is_of_eight(
    size: tuple[int, int], least: tuple[int, int]
) -> None:
    assert min_decode_size(size) == least


def test_a_photograph_decoded_at_an_eighth_is_the_average_of_the_whole() -> None:
    sheet = drawn((60, 60, 90), (230, 225, 220), side=600, size=(4800, 700), at=(2000, 40))
    stream = BytesIO()
    sheet.save(stream, "JPEG", quality=90)
    small, whole = (
        decode(stream.getvalue(), min_size=min_decode_size),
        decode(stream.getvalue()).reduce(8),
    )
    assert small.size == whole.size == (600, 88)
    assert np.abs(np.asarray(small, int) - np.asarray(whole)).max() <= 12  # of coarser colours
    np.testing.assert_allclose(to_mnist(small, SIZE), to_mnist(whole, SIZE), atol=12)
