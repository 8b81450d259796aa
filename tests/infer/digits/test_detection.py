"""A digit among other things, several digits, and what is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from ptx.infer.digits import detection
from ptx.infer.digits.components import Component, connected_components
from ptx.infer.digits.mnist import detect_digits, to_mnist
from ptx.infer.errors import InputError
from ptx.infer.images.decode import decode, from_array
from tests.infer.digits.test_mnist import SEVEN, SIZE, drawn, likeness, png

Array = np.ndarray[Any, Any]
PAPER, INK = (240, 238, 230), (25, 25, 40)


def alike(pixels: Array) -> float:
    """The likeness with the seven wherever it stands: within two pixels of the middle."""
    shifts = [(y, x) for y in range(-2, 3) for x in range(-2, 3)]
    return max(likeness(np.roll(pixels, shift, (0, 1))) for shift in shifts)


def page(side: int = 130, at: tuple[int, int] = (150, 80)) -> Image.Image:
    return drawn(INK, PAPER, side=side, at=at)


def framed(inset: int, width: int) -> Image.Image:
    sheet = page()
    box = (inset, inset, sheet.width - 1 - inset, sheet.height - 1 - inset)
    ImageDraw.Draw(sheet).rectangle(box, outline=(60, 40, 30), width=width)
    return sheet


def ruled(colour: tuple[int, int, int], step: int, *, across: bool) -> Image.Image:
    sheet = Image.new("RGB", (400, 300), PAPER)
    draw = ImageDraw.Draw(sheet)
    for x in range(step // 2, 400, step):
        draw.line((x, 0, x + 8, 300), fill=colour, width=2)
    for y in range(step // 2, 300, step) if across else ():
        draw.line((0, y + 10, 400, y), fill=colour, width=2)
    mask = page().convert("L").point([255 * (value < 130) for value in range(256)])
    sheet.paste(INK, mask=mask)
    return sheet


def on_table(corners: list[tuple[int, int]]) -> Image.Image:
    sheet, mask = page(), Image.new("L", (400, 300))
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    return Image.composite(sheet, Image.new("RGB", sheet.size, (60, 45, 35)), mask)


def shaded(corners: list[tuple[int, int]], soft: float) -> Image.Image:
    mask = Image.new("L", (400, 300), 255)
    ImageDraw.Draw(mask).polygon(corners, fill=120)
    light = np.asarray(mask.filter(ImageFilter.GaussianBlur(soft)), float)[..., np.newaxis] / 255
    return Image.fromarray((np.asarray(page()) * light).astype(np.uint8))


def fingered() -> Image.Image:
    """A digit across the shadows of fingers, each narrower than a quarter of the picture."""
    mask = Image.new("L", (400, 300), 255)
    for left in (60, 120, 190, 270):
        corners = [
            (left, -10),
            (left + 40, -10),
            (left + 70, 190),
            (left + 55, 205),
            (left + 40, 190),
        ]
        ImageDraw.Draw(mask).polygon(corners, fill=120)
    light = np.asarray(mask.filter(ImageFilter.GaussianBlur(4)), float)[..., np.newaxis] / 255
    return Image.fromarray((np.asarray(page(130, (180, 120))) * light).astype(np.uint8))


def on_grain() -> Image.Image:
    """A sheet that lies aslant on a dark table whose grain is coarse."""
    random = np.random.default_rng(5)
    coarse = Image.fromarray(random.normal(40, 14, (100, 134)).clip(0, 255).astype(np.uint8))
    table = coarse.resize((400, 300), Image.Resampling.BICUBIC).convert("RGB")
    sheet, mask = page(70, (160, 110)), Image.new("L", (400, 300))
    ImageDraw.Draw(mask).polygon([(60, 40), (330, 20), (370, 270), (40, 250)], fill=255)
    return Image.composite(sheet, table, mask)


def squared_within() -> Image.Image:
    """Squares that end before the picture does, and are wide and high as a figure is."""
    sheet = page(80, (170, 110))
    draw = ImageDraw.Draw(sheet)
    for x in range(12, 400, 34):
        draw.line((x, 6, x, 290), fill=(90, 90, 110), width=1)
    for y in range(6, 300, 34):
        draw.line((12, y, 386, y), fill=(90, 90, 110), width=1)
    return sheet


def pointed_at() -> Image.Image:
    sheet = page()
    ImageDraw.Draw(sheet).ellipse((330, 220, 460, 360), fill=(200, 150, 120))
    return sheet


SURROUNDED: dict[str, Callable[[], Image.Image]] = {
    "a frame round the picture": lambda: framed(0, 12),
    "the edge of a manifest near the picture's": lambda: framed(3, 5),
    "a frame at a distance": lambda: framed(40, 3),
    "dark squared paper": lambda: ruled((100, 100, 110), 44, across=True),
    "squares that end in the picture": squared_within,
    "a margin line": lambda: ruled((210, 60, 70), 280, across=False),
    "a sheet on a dark table": lambda: on_table([(60, 30), (360, 50), (340, 270), (40, 260)]),
    "the edge of the table": lambda: on_table([(70, 0), (400, 0), (400, 300), (50, 300)]),
    "the shadow of a hand": lambda: shaded([(60, 0), (330, 0), (300, 110), (190, 150)], 8),
    "the shadows of fingers": fingered,
    "a sheet aslant on a coarse table": on_grain,
    "a shadow's edge": lambda: shaded([(200, 0), (400, 0), (400, 300), (230, 300)], 2),
    "a finger in a corner": pointed_at,
}


@pytest.mark.parametrize("case", SURROUNDED)
def test_a_digit_is_found_among_other_things(case: str) -> None:
    assert alike(to_mnist(decode(png(SURROUNDED[case]())), SIZE)) > 0.85


def test_two_digits_are_refused_with_their_places_and_answered_one_by_one() -> None:
    sheet = page(110, (60, 90))
    sheet.paste(page(110, (60, 90)).crop((50, 80, 190, 210)), (220, 85))
    with pytest.raises(InputError, match="shows 2 figures: 15% to") as caught:
        to_mnist(sheet, SIZE)
    assert caught.value.code == "E-IMG-OBJECTS"
    left, right = detect_digits(sheet, SIZE)
    assert left.box[2] < 0.5 < right.box[0]
    assert min(alike(left.pixels), alike(right.pixels)) > 0.85
    assert left.box == pytest.approx((0.15, 0.3, 0.37, 0.67), abs=0.03)


def test_thin_ink_beneath_the_wide_shadows_of_fingers_is_found_whole() -> None:
    mask = Image.new("L", (225, 300), 255)
    for left in (50, 60, 110):
        corners = [(left, -10), (left + 45, -10), (left + 67, 200), (left + 22, 200)]
        ImageDraw.Draw(mask).polygon(corners, fill=125)
    light = np.asarray(mask.filter(ImageFilter.GaussianBlur(5)), float) / 255
    sheet = Image.new("L", (225, 300), 235)
    ImageDraw.Draw(sheet).ellipse((76, 113, 124, 185), outline=30, width=5)
    (seen,) = detect_digits(Image.fromarray((np.asarray(sheet) * light).astype(np.uint8)), SIZE)
    assert seen.box == pytest.approx((76 / 225, 113 / 300, 125 / 225, 186 / 300), abs=0.02)


def test_a_stroke_beside_an_open_one_is_no_figure_in_a_frame() -> None:
    """A letter whose one stroke goes over, behind and below the other one, and not before it."""
    sheet = Image.new("L", (320, 240), 235)
    draw = ImageDraw.Draw(sheet)
    draw.line([(80, 50), (230, 50), (250, 120), (230, 190), (80, 190)], fill=30, width=8)
    draw.line([(110, 75), (110, 165)], fill=30, width=8)
    (seen,) = detect_digits(sheet, SIZE)
    assert seen.box[2] - seen.box[0] > 0.5
    draw.line([(84, 50), (84, 190)], fill=30, width=8)
    (framed_one,) = detect_digits(sheet, SIZE)
    assert framed_one.box[2] - framed_one.box[0] < 0.1


def test_parts_that_one_missing_row_divides_are_one_figure() -> None:
    rows = (
        ("....................##", 4),
        ("..................###.", 5),
        ("...............####...", 6),
        ("............#####.....", 7),
        (".......########.......", 8),
        (".......#####..........", 9),
        (".....##...............", 11),
        (".....##...............", 12),
        ("......###.............", 13),
        ("........##............", 14),
        (".........##...........", 15),
        (".........##...........", 16),
        (".........#............", 17),
        ("........##............", 18),
        ("........##............", 19),
        (".......###............", 20),
        (".......##.............", 21),
        (".......#..............", 22),
    )
    pixels = np.full((28, 28), 255, np.uint8)
    for row, at in rows:
        pixels[at, :22] = [0 if mark == "#" else 255 for mark in row]
    (seen,) = detect_digits(Image.fromarray(pixels), SIZE)
    assert seen.box == pytest.approx((5 / 28, 4 / 28, 22 / 28, 23 / 28), abs=0.05)
    assert seen.ignored_regions == ()


def test_a_faint_scratch_beside_what_is_cut_off_is_no_digit() -> None:
    sheet = Image.new("L", (225, 300), 225)
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((0, 60, 60, 250), fill=50)
    draw.line([(150, 140), (150, 154)], fill=160, width=2)
    with pytest.raises(InputError) as caught:
        detect_digits(sheet, SIZE)
    assert caught.value.code == "E-IMG-NO-DIGIT"


def test_what_is_left_out_beside_a_digit_has_its_place() -> None:
    sheet = framed(0, 12)
    ImageDraw.Draw(sheet).line([(320, 40), (340, 40), (325, 65)], fill=INK, width=5)
    (seen,) = detect_digits(decode(png(sheet)), SIZE)
    assert alike(seen.pixels) > 0.85
    (box,) = seen.ignored_regions
    assert box == pytest.approx((0.79, 0.13, 0.86, 0.23), abs=0.03)
    (alone,) = detect_digits(decode(png(framed(0, 12))), SIZE)
    assert alone.ignored_regions == ()


def test_a_digit_alone_has_its_box() -> None:
    (seen,) = detect_digits(page(), SIZE)
    left, top, right, bottom = seen.box
    assert (top, bottom) == pytest.approx((80 / 300, 210 / 300), abs=0.01)
    assert left > 150 / 400 - 0.01
    assert right < 0.8
    (exact,) = detect_digits(from_array(SEVEN), SIZE)
    assert exact.box == (0.0, 0.0, 1.0, 1.0)


def test_a_small_speck_is_no_second_digit() -> None:
    sheet = page()
    ImageDraw.Draw(sheet).ellipse((40, 40, 70, 75), fill=INK)
    ImageDraw.Draw(sheet).line((0, 280, 400, 270), fill=INK, width=4)
    assert alike(to_mnist(sheet, SIZE)) > 0.85


def test_the_dot_of_an_i_belongs_to_it() -> None:
    sheet = Image.new("RGB", (400, 300), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((190, 120, 206, 220), fill=INK)
    draw.ellipse((186, 76, 210, 98), fill=INK)
    (seen,) = detect_digits(sheet, SIZE)
    assert seen.box[1] == pytest.approx(76 / 300, abs=0.01)
    assert not seen.ignored_regions


def test_the_bar_of_a_five_belongs_to_it() -> None:
    sheet = Image.new("RGB", (400, 300), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.line([(165, 90), (240, 62)], fill=INK, width=12)
    draw.line([(160, 112), (185, 140), (180, 180), (160, 205)], fill=INK, width=12)
    (seen,) = detect_digits(sheet, SIZE)
    assert seen.box == pytest.approx((154 / 400, 56 / 300, 246 / 400, 211 / 300), abs=0.02)
    draw.line([(130, 238), (270, 238)], fill=INK, width=12)  # what is drawn beneath does not
    (underlined,) = detect_digits(sheet, SIZE)
    assert underlined.box == pytest.approx(seen.box, abs=0.01)


@pytest.mark.parametrize("left", [-30, 330])
def test_a_digit_that_the_edge_cuts_off_is_one_more(left: int) -> None:
    sheet = page(110, (180, 90))
    sheet.paste(page(110, (60, 90)).crop((50, 80, 170, 210)), (left, 85))
    with pytest.raises(InputError, match="shows 2 figures") as caught:
        to_mnist(sheet, SIZE)
    assert caught.value.code == "E-IMG-OBJECTS"


def test_a_face_is_no_digit_in_a_frame() -> None:
    sheet = Image.new("L", (400, 300), 235)
    draw = ImageDraw.Draw(sheet)
    draw.ellipse((100, 50, 300, 250), outline=30, width=4)
    draw.line([(165, 120), (165, 140)], fill=30, width=4)
    draw.line([(235, 120), (235, 140)], fill=30, width=4)
    draw.line([(160, 185), (200, 205), (240, 185)], fill=30, width=4)
    with pytest.raises(InputError) as caught:
        to_mnist(sheet, SIZE)
    assert caught.value.code == "E-IMG-OBJECTS"
    draw.rectangle((225, 110, 245, 150), fill=235)  # winking: an eye alone stands beside the mouth
    with pytest.raises(InputError) as winking:
        to_mnist(sheet, SIZE)
    assert winking.value.code == "E-IMG-OBJECTS"


@pytest.mark.parametrize("thing", ["a blot", "a lying line", "a table alone"])
def test_what_has_no_strokes_or_other_sizes_is_no_digit(thing: str) -> None:
    sheet = Image.new("RGB", (400, 300), PAPER)
    draw = ImageDraw.Draw(sheet)
    if thing == "a blot":
        draw.ellipse((140, 90, 260, 210), fill=INK)
    elif thing == "a lying line":
        draw.line((50, 150, 350, 160), fill=INK, width=6)
    else:
        draw.rectangle((0, 0, 160, 300), fill=(70, 50, 40))
    with pytest.raises(InputError, match="has the size and the strokes") as caught:
        to_mnist(sheet, SIZE)
    assert caught.value.code == "E-IMG-NO-DIGIT"


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_parts_are_those_that_touch(share: float) -> None:
    mask = np.random.default_rng(4).random((23, 31)) < share
    labels, parts = connected_components(mask)
    np.testing.assert_array_equal(labels > 0, mask)
    seen = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        window = labels[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        assert set(np.unique(window)) <= {0, labels[row, column]}
    for part in parts:
        own = np.isin(labels, list(part.labels))
        rows, columns = np.nonzero(own)
        assert (part.top, part.left) == (rows.min(), columns.min())
        assert (part.bottom, part.right) == (rows.max() + 1, columns.max() + 1)
        assert part.area == own.sum()
        reached = np.zeros_like(mask)
        reached[rows[0], columns[0]] = True
        for _ in range(mask.size):
            wider = np.pad(reached, 1)
            spread = sum(
                wider[y : y + mask.shape[0], x : x + mask.shape[1]]
                for y in range(3)
                for x in range(3)
            )
            if np.array_equal((spread > 0) & mask, reached):
                break
            reached = (spread > 0) & mask
        np.testing.assert_array_equal(reached, own)
        seen |= own
    assert seen.sum() > 0


def test_a_clear_figure_is_found_at_the_first_level(monkeypatch: pytest.MonkeyPatch) -> None:
    masks: list[Any] = []

    def find(mask: Any) -> Any:
        masks.append(mask)
        return connected_components(mask)

    monkeypatch.setattr(detection, "connected_components", find)
    sheet = Image.new("L", (400, 300), 240)
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((40, 40, 360, 260), outline=0, width=3)
    draw.line([(150, 90), (230, 90), (170, 210)], fill=0, width=14)
    found = detection.detect(sheet)
    assert found is not None
    assert len(found.figures) == 1
    assert len(masks) == 2  # what is darker than its paper, and what is lighter


@pytest.mark.parametrize(
    ("box", "area", "piece"),
    [
        ((58, 132, 218, 247), 8000, True),  # strokes of 20 within what the wide window shows
        ((58, 132, 218, 261), 8000, True),  # two pixels of a soft edge beyond it
        ((58, 132, 218, 290), 8000, False),
        ((58, 132, 218, 247), 4000, False),  # strokes of 10 lose nothing in a window of 30
    ],
)
def test_what_a_narrow_window_may_have_cut_stands_behind_the_whole(
    box: tuple[int, int, int, int], area: int, piece: bool
) -> None:
    nothing = np.zeros((300, 400))
    main = Component(frozenset((1,)), 24, 131, 218, 259, 12000, 800)
    whole = detection.Candidate(
        nothing.astype(np.float32), nothing.astype(np.intp), [main], [], 1, 0.5, 0.5
    )
    assert detection._is_part(Component(frozenset((1,)), *box, area, 800), whole, 18.0) is piece
    assert not detection._is_part(Component(frozenset((1,)), *box, area, 800), None, 18.0)
