"""The forms: what stands in a photograph beside the digit, by two makers that share no number.

A maker has typefaces, sizes, colours, light and cameras of its own, and draws each form in its own way.
What is tuned is tuned on one of them; the other one is reported.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from doodles import DOODLES, draw_doodle
from PIL import Image, ImageDraw
from scene import Colour, Floats, lay, on_table, paper, shaped, view, vignette
from shots import DIGITS, Shot, larger, taken, write, written

LETTERS = "ABCDEFGHJKMNPQRTUVWXYabdefhijkmnprtuvwxy"  # without those that are a digit's twins


def plain(shot: Shot, text: str) -> bytes:
    size = shot.pick(shot.maker.sizes)
    return taken(shot, written(shot, text, larger(size)), size)


def vignetted(shot: Shot, text: str) -> bytes:
    size = shot.pick(shot.maker.sizes)
    return taken(
        shot, written(shot, text, larger(size)), size, vignette(size, shot.between(0.3, 0.6))
    )


def chalk(shot: Shot, text: str) -> bytes:
    size = shot.pick(shot.maker.sizes)
    page = paper(
        larger(size), shot.pick(((25, 45, 35), (40, 40, 44), (30, 34, 60))), 4, shot.random
    )
    return taken(shot, write(shot, text, page, size[1], dark=False), size)


def pencil(shot: Shot, text: str) -> bytes:
    size = shot.pick(shot.maker.sizes)
    page = paper(larger(size), shot.pick(shot.maker.papers), 2, shot.random)
    ink = shot.ink(text, size[1] * shot.between(*shot.maker.height))
    grain = shot.random.uniform(0.55, 1, (ink.height, ink.width))
    ink = Image.fromarray((np.asarray(ink) * grain).astype(np.uint8))
    lay(page, ink, (105, 105, 110), (0.5, 0.5))
    return taken(shot, page, size)


def ruled(page: Image.Image, step: float, colour: Colour, width: int, *, both: bool = True) -> None:
    draw = ImageDraw.Draw(page)
    for at in np.arange(step / 2, page.width, step) if both else ():
        draw.line((at, 0, at, page.height), fill=colour, width=width)
    for at in np.arange(step / 2, page.height, step):
        draw.line((0, at, page.width, at), fill=colour, width=width)


def squared(shot: Shot, text: str, *, dark: bool = False) -> bytes:
    size = shot.pick(shot.maker.sizes)
    page = paper(larger(size), shot.pick(shot.maker.papers), 2, shot.random)
    colours = (
        ((90, 100, 120), (70, 70, 70), (60, 80, 140), (110, 110, 110))
        if dark
        else ((200, 215, 235), (215, 215, 215))
    )
    step = size[1] * (shot.between(0.07, 0.16) if shot.maker.variant else shot.between(0.09, 0.25))
    width = max(1, round(size[1] * shot.between(0.002, 0.006)))
    ruled(page, step, shot.pick(colours), width, both=shot.random.random() < 0.8)
    return taken(shot, write(shot, text, page, size[1], dark=True), size)


def dark_squared(shot: Shot, text: str) -> bytes:
    return squared(shot, text, dark=True)


def edged(shot: Shot, text: str) -> bytes:
    """A frame or the edge of a manifest round the picture."""
    size = shot.pick(shot.maker.sizes)
    page = written(shot, text, larger(size))
    scene = view(page, size, shot.maker.slant, shot.random)
    width = round(min(size) * shot.between(0.01, 0.06))
    inset = 0 if shot.random.random() < 0.6 else round(min(size) * shot.between(0.0, 0.03))
    box = (inset, inset, size[0] - 1 - inset, size[1] - 1 - inset)
    colour = shot.pick(((20, 20, 20), (60, 50, 40), (140, 20, 30), (90, 90, 95)))
    draw = ImageDraw.Draw(scene)
    if shot.maker.variant:
        draw.rounded_rectangle(box, radius=min(size) // 14, outline=colour, width=width)
    else:
        draw.rectangle(box, outline=colour, width=width)
    return taken(shot, scene, size)


def framed(shot: Shot, text: str) -> bytes:
    """A frame at some distance round the digit."""
    size = shot.pick(shot.maker.sizes)
    page = written(shot, text, larger(size))
    x, y = (
        size[0] * shot.between(0.34, 0.46),
        size[1] * shot.between(0.36, 0.46),
    )
    middle = page.width / 2, page.height / 2
    box = (middle[0] - x, middle[1] - y, middle[0] + x, middle[1] + y)
    width = max(2, round(size[1] * shot.between(0.006, 0.02)))
    draw, colour = ImageDraw.Draw(page), shot.pick(shot.maker.inks)
    if shot.maker.variant and shot.random.random() < 0.5:
        draw.rounded_rectangle(box, radius=size[1] // 10, outline=colour, width=width)
    else:
        draw.rectangle(box, outline=colour, width=width)
    return taken(shot, page, size)


def sheet(shot: Shot, text: str) -> bytes:
    """A sheet on a dark table."""
    size = shot.pick(shot.maker.sizes)
    table = paper(size, shot.pick(shot.maker.tables), 6, shot.random)
    page = written(shot, text, (round(size[0] * 0.9), round(size[1] * 0.9)))
    far = 0.06 if shot.maker.variant else 0.1
    corners = [(0.14, 0.14), (0.14, 0.86), (0.86, 0.86), (0.86, 0.14)]
    moved = [(x + shot.between(-far, far), y + shot.between(-far, far)) for x, y in corners]
    return taken(shot, on_table(page, table, moved), size)


def table_edge(shot: Shot, text: str) -> bytes:
    """The edge of the table along a side or two of the picture."""
    size = shot.pick(shot.maker.sizes)
    table = paper(size, shot.pick(shot.maker.tables), 6, shot.random)
    page = written(shot, text, (round(size[0] * 1.2), round(size[1] * 1.2)))
    left, top, right, bottom = -0.1, -0.1, 1.1, 1.1
    sides = shot.random.permutation(4)[: 1 + (shot.random.random() < 0.3)]
    depth = shot.between(0.05, 0.2)
    left, top = (depth if 0 in sides else left), (depth if 1 in sides else top)
    right, bottom = (1 - depth if 2 in sides else right), (1 - depth if 3 in sides else bottom)
    corners = [(left, top), (left, bottom), (right, bottom), (right, top)]
    moved = [(x + shot.between(-0.03, 0.03), y + shot.between(-0.03, 0.03)) for x, y in corners]
    return taken(shot, on_table(page, table, moved), size)


def hand_shadow(shot: Shot, text: str) -> bytes:
    size = shot.pick(shot.maker.sizes)
    side = shot.random.integers(4)
    if shot.maker.variant:  # fingers
        shade = np.zeros((size[1], size[0]), np.float32)
        for _ in range(4):
            x, w = shot.between(0.1, 0.8), shot.between(0.07, 0.13)
            end = shot.between(0.3, 0.75)
            points = [
                (x, -0.1),
                (x + w, -0.1),
                (x + w + 0.1, end),
                (x + 0.1 + w / 2, end + 0.05),
                (x + 0.1, end),
            ]
            shade = np.maximum(shade, shaped(size, points, min(size) * shot.between(0.01, 0.03)))
    else:  # a fist
        angles = np.linspace(0, 2 * np.pi, 24)
        x, y = shot.between(0.1, 0.9), shot.between(-0.1, 0.15)
        wide, tall = shot.between(0.25, 0.5), shot.between(0.3, 0.6)
        points = [(x + wide * np.cos(a), y + tall * np.sin(a)) for a in angles]
        shade = shaped(size, points, min(size) * shot.between(0.005, 0.04))
    shade = np.ascontiguousarray(_turned(shade, int(side)))
    depth = shot.between(0.3, 0.6)
    return taken(shot, written(shot, text, larger(size)), size, 1 - np.float32(depth) * shade)


def _turned(shade: Floats, side: int) -> Floats:
    if side == 1:
        return shade[::-1]
    return shade[:, ::-1] if side == 2 else shade


def shadow_edge(shot: Shot, text: str) -> bytes:
    """Half of the picture in the shadow."""
    size = shot.pick(shot.maker.sizes)
    start, end = shot.between(0.1, 0.9), shot.between(0.1, 0.9)
    if shot.random.random() < 0.5:
        points = [(start, -0.1), (end, 1.1), (1.2, 1.1), (1.2, -0.1)]
    else:
        points = [(-0.1, start), (1.1, end), (1.1, 1.2), (-0.1, 1.2)]
    soft = min(size) * (
        shot.between(0.002, 0.02) if shot.maker.variant else shot.between(0.0, 0.05)
    )
    shade = 1 - np.float32(shot.between(0.3, 0.6)) * shaped(size, points, soft)
    return taken(shot, written(shot, text, larger(size)), size, shade)


def finger(shot: Shot, text: str) -> bytes:
    size = shot.pick(shot.maker.sizes)
    scene = view(written(shot, text, larger(size)), size, shot.maker.slant, shot.random)
    x, y = shot.pick(((0, 0), (0, 1), (1, 0), (1, 1)))
    toward = np.array([0.5 - x, 0.5 - y]) + shot.random.uniform(-0.2, 0.2, 2)
    toward /= np.linalg.norm(toward)
    across = np.array([-toward[1], toward[0]]) * shot.between(0.06, 0.1)
    length = shot.between(0.15, 0.28)
    tip = np.array([x, y]) + toward * length
    half = float(np.linalg.norm(across))
    ends = [
        tip + half * (1.08 * np.sin(angle) * toward + np.cos(angle) * across / half)
        for angle in np.linspace(0, np.pi, 9)
    ]
    points = [
        *ends,
        np.array([x, y]) - across - toward * 0.1,
        np.array([x, y]) + across - toward * 0.1,
    ]
    mask = Image.fromarray((255 * shaped(size, points, 1.5)).astype(np.uint8))
    skin = shot.pick(((214, 160, 130), (150, 100, 70), (235, 190, 165), (90, 58, 40)))
    scene.paste(skin, mask=mask)
    return taken(shot, scene, size)


def margin(shot: Shot, text: str) -> bytes:
    """A red line from the top to the bottom."""
    size = shot.pick(shot.maker.sizes)
    page = written(shot, text, larger(size))
    at = page.width * (0.5 + shot.pick((-1, 1)) * shot.between(0.16, 0.28))
    colour = shot.pick(((215, 60, 70), (230, 110, 120), (190, 30, 40)))
    width = max(2, round(size[1] * shot.between(0.004, 0.012)))
    ImageDraw.Draw(page).line((at, 0, at, page.height), fill=colour, width=width)
    if shot.maker.variant and shot.random.random() < 0.4:
        ruled(page, size[1] * 0.12, (190, 205, 230), 1, both=False)
    return taken(shot, page, size)


def two(shot: Shot, text: str) -> bytes:
    size = shot.pick(shot.maker.sizes)
    page = paper(larger(size), shot.pick(shot.maker.papers), 2, shot.random)
    height = size[1] * shot.between(0.25, 0.42)
    colour, inks = (
        shot.pick(shot.maker.inks),
        [shot.ink(text, height), shot.ink(shot.pick(DIGITS), height)],
    )
    gap = height * (shot.between(0.12, 0.4) if shot.maker.variant else shot.between(0.15, 0.6))
    width = sum(ink.width for ink in inks) + gap
    left = (page.width - width) / 2
    for ink in inks:
        lay(
            page,
            ink,
            colour,
            ((left + ink.width / 2) / page.width, 0.5 + shot.between(-0.01, 0.01)),
        )
        left += ink.width + gap
    return taken(shot, page, size)


def letter(shot: Shot, text: str) -> bytes:
    return plain(shot, shot.pick(LETTERS))


def doodle(shot: Shot, text: str) -> bytes:
    """Nothing that is a digit, or nothing at all."""
    size = shot.pick(shot.maker.sizes)
    page = paper(larger(size), shot.pick(shot.maker.papers), 2, shot.random)
    side = round(size[1] * shot.between(*shot.maker.height))
    ink = draw_doodle(shot.pick(DOODLES), side, shot.random, 9 + 8 * shot.maker.variant)
    lay(page, ink, shot.pick(shot.maker.inks), (0.5, 0.5))
    return taken(shot, page, size)


def one_bit(shot: Shot, text: str) -> bytes:
    """A 1-bit BMP: dithered, by threshold, or of MNIST's size."""
    data = plain(shot, text)
    gray = Image.open(io.BytesIO(data)).convert("L")
    way = int(shot.random.integers(3))
    if way == 0:
        picture = gray.convert("1")
    elif way == 1:
        low, high = np.asarray(gray).min().item(), np.asarray(gray).max().item()
        picture = gray.point([255 * (v > (low + high) / 2) for v in range(256)]).convert("1")
    else:
        ink = shot.ink(text, 20)
        small = Image.new("L", (28, 28))
        small.paste(ink, ((28 - ink.width) // 2, 4))
        picture = small.point([255 * (v > 127) for v in range(256)]).convert("1")
        if shot.random.random() < 0.5:
            picture = picture.convert("L").point([255 - v for v in range(256)]).convert("1")
    buffer = io.BytesIO()
    picture.save(buffer, "BMP")
    return buffer.getvalue()


FORMS: dict[str, Callable[[Shot, str], bytes]] = {
    "plain": plain,
    "vignette": vignetted,
    "chalk": chalk,
    "pencil": pencil,
    "squared paper": squared,
    "frame or manifest edge round the picture": edged,
    "frame at a distance": framed,
    "dark squared paper": dark_squared,
    "sheet on a dark table": sheet,
    "table edge": table_edge,
    "shadow of a hand": hand_shadow,
    "shadow's edge": shadow_edge,
    "finger in a corner": finger,
    "red margin line": margin,
    "1-bit BMP": one_bit,
    "two digits": two,
    "letter": letter,
    "no digit": doodle,
}
NO_ANSWER = ("two digits", "letter", "no digit")  # right where they are refused
