"""A figure among its surroundings: what is darker, or lighter, than all that lies close around it.

The paper behind each pixel is the picture with everything filled that is narrower than a quarter of it
(a closing), and than a tenth where that shows no clear figure. A table, a finger, a shadow are wider,
or reach the edge, and so are paper themselves; strokes, lines and frames are not. These are told apart
as parts: see `ptx.infer.picture.objects`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from ptx.infer.picture.ink import Cut, Floats, cut_out, median, otsu, quantile, thinned
from ptx.infer.picture.objects import ALIKE, find_beside, find_objects, is_blot, is_figure
from ptx.infer.picture.parts import Labels, Mask, Part, Pixels, find_parts, grow, widen

SIDE: Final = 400  # longest side in pixels that is searched in
WINDOWS: Final = (0.25, 0.1)  # of the shorter side, in turn: wider things are no strokes
DARK: Final = 32.0  # added to the paper's tone: noise of a dark table is no ink
LEVELS: Final = (0.55, 0.4, 0.7, 0.25, 0.8)  # of the strongest ink, that a mask is cut at, in turn
PENS: Final = (1, 3, 5)  # strokes at least so wide in pixels: the lines of squared paper are finer
_MOST: Final = 12  # objects that are looked at closely
_FAINT: Final = 12.0  # levels of 255 between a figure and the paper right around it
_OPEN: Final = 0.12  # of the rim: where no edge is seen, the search has divided a thing
_SEAMLESS: Final = 0.35  # of the rim, ink or not: the thing goes on there in the same tone
_PREVAILS: Final = 0.3  # of the surroundings: a tone that they share is no ink
USUAL: Final = 0.35  # side of a figure, of the picture's: no merit in a larger one
CLEAR: Final = 0.55  # contrast of a good reading that makes further levels needless
GOOD: Final = 0.25  # score of a reading that makes the search for broader pens needless
NEARLY: Final = 2  # pixels by which one of two windows shows a figure larger than the other does
LEAST_SCORE: Final = 0.15  # of a reading; a gap between two strokes of something cut off has 0.1
WIDE_STROKE: Final = 0.6  # of the window: what has such strokes may be a part of what is wider
_SHADE: Final = 0.7  # of a part's ink: where its rim is so dark, too, it has no edge and is a shade
LEAST_INK: Final = 0.12  # darkness of ink relative to its paper; noise and shading stay below


@dataclass(frozen=True)
class Scene:
    """The figures that were found, and where."""

    ink: Floats  # 0 to 1, of the pixels that were searched
    labels: Labels
    figures: list[Part]
    others: list[Part]  # written, too, as it seems, and far smaller than the figures
    pen: int


@dataclass(frozen=True)
class _Reading:
    """What one mask shows, not looked at further than its largest figure."""

    ink: Floats
    labels: Labels
    objects: list[Part]  # the largest first, which is a figure; the others may be paper
    beside: list[Part]  # written, too, as it seems, though no figures
    pen: int
    contrast: float
    score: float  # the contrast, less where the figure is small


def search(gray: Image.Image) -> Scene | None:
    """The best reading of a picture of mode L, brought to SIDE; None where nothing is a figure."""
    factor = -(-max(gray.size) // SIDE)
    pixels = np.asarray(gray.reduce(factor) if factor > 1 else gray)
    best: _Reading | None = None
    for window in WINDOWS:
        best = _search_within(pixels, window, best)
        if _is_clear(best):
            break
    return None if best is None else _scene(pixels, best)


def _search_within(pixels: Pixels, window: float, best: _Reading | None) -> _Reading | None:
    """The best reading where what is wider than `window` is paper, if it is better than `best`."""
    inks = [
        ink for side in (pixels, 255 - pixels) if (ink := darkness(side, window)).max() > LEAST_INK
    ]
    levels = [_levels(ink) for ink in inks]
    whole, widest = best, WIDE_STROKE * window * min(pixels.shape)
    for pen in PENS:
        drawn = [_opened(ink, pen) for ink in inks]
        for at in range(max(map(len, levels), default=0)):
            for ink, strokes, limits in zip(inks, drawn, levels, strict=True):
                if at >= len(limits):
                    continue
                beaten = best.score if best else LEAST_SCORE
                found = _read(pixels, ink, strokes > limits[at], pen, beaten)
                if found is not None and not _is_piece(found.objects[0], whole, widest):
                    best = found
            if _is_clear(best):
                break
        if best is not None and best.score > GOOD:
            break
    return best


def _is_piece(part: Part, whole: _Reading | None, widest: float) -> bool:
    """Whether a part has strokes of more than `widest` pixels and lies within what a wider window has
    shown: there it may have lost what is wider still."""
    if whole is None or part.stroke <= widest:
        return False
    main = whole.objects[0]
    return (
        min(part.top - main.top, part.left - main.left) >= -NEARLY
        and min(main.bottom - part.bottom, main.right - part.right) >= -NEARLY
    )


def _is_clear(best: _Reading | None) -> bool:
    return best is not None and best.contrast > CLEAR and best.score > GOOD


def _levels(ink: Floats) -> list[float]:
    """The darknesses that a mask is cut at, in turn; none where there is no ink.

    Where the strongest ink is thin beside wide shadows, all of LEVELS lie among these: one more parts
    the two.
    """
    few = thinned(ink)
    least = max(LEAST_INK, 4 * median(few))
    inked = few[few > least]
    if not inked.size:
        return []
    full, between = quantile(inked, 0.9), otsu(inked)
    levels = [max(least, level * full) for level in LEVELS] + [between] * (between > full)
    return list(dict.fromkeys(levels))


def cut_figure(scene: Scene, part: Part) -> Cut:
    """The ink of one figure, without the lines that run through it."""
    margin = scene.pen // 2 + 1
    top, left = max(0, part.top - 2 * margin), max(0, part.left - 2 * margin)
    window = slice(top, part.bottom + 2 * margin), slice(left, part.right + 2 * margin)
    own = part.within(scene.labels[window])
    near, ink = widen(own, margin), scene.ink[window]
    full = quantile(ink[own], 0.75)
    around = near & ~widen(own, 1)
    floor = min(median(ink[around]) if around.any() else 0.0, 0.5 * full)
    ink = (np.clip((ink - floor) / (full - floor), 0, 1) * near).astype(np.float32)
    return cut_out(ink, scene.ink.shape, (top, left))


def darkness(pixels: Pixels, window: float) -> Floats:
    """How much darker than its paper each pixel is, 0 to 1: 1 is black on white.

    `window`: of the shorter side; what is wider is paper itself.
    """
    reach = max(1, round(window * min(pixels.shape) / 2))
    wide = np.pad(pixels, 2 * reach, mode="edge")
    paper = 255 - grow(255 - grow(wide, reach), reach)
    paper = np.maximum(paper, pixels)
    difference: Floats = (paper - pixels).astype(np.float32)
    difference /= paper + np.float32(DARK)
    return difference


def _opened(ink: Floats, pen: int) -> Floats:
    """Without what is narrower than `pen` pixels."""
    if pen == 1:
        return ink
    reach = pen // 2
    pixels = (ink * 255).astype(np.uint8)
    thin = 255 - grow(np.pad(255 - pixels, reach, mode="edge"), reach)
    wide = grow(np.pad(thin, reach, mode="edge"), reach).astype(np.float32)
    return wide * np.float32(1 / 255)


def _read(gray: Pixels, ink: Floats, mask: Mask, pen: int, beaten: float) -> _Reading | None:
    """What a mask shows; None where nothing in it is a figure that scores higher than `beaten`."""
    labels, parts = find_parts(mask)
    shape = mask.shape[0], mask.shape[1]
    whole = find_objects(parts, labels)
    found = [part for part in whole if is_figure(part, shape)][:_MOST]
    seen = [(part, _contrast(ink, labels, part)) for part in found]
    objects, contrasts = [part for part, high in seen if high], [high for _, high in seen if high]
    usual = USUAL * max(shape)
    scores = [
        contrast * min(1.0, part.side / usual) ** 0.5
        for contrast, part in zip(contrasts, objects, strict=True)
    ]
    for at, main in enumerate(objects):
        if max(scores[at:]) <= beaten:
            return None
        if not _is_paper(gray, ink, labels, main):
            beside = find_beside(parts, whole, main, shape)
            return _Reading(ink, labels, objects[at:], beside, pen, contrasts[at], scores[at])
    return None


def _scene(gray: Pixels, best: _Reading) -> Scene:
    """The figures of a reading, left to right: all but what the largest one dwarfs or outshines."""
    main, *others = best.objects
    clear = [
        part
        for part in [*others, *best.beside]
        if _contrast(best.ink, best.labels, part) >= ALIKE * best.contrast
        and not _is_paper(gray, best.ink, best.labels, part)
    ]
    alike = [part for part in clear if part.side >= ALIKE * main.side]
    ordered = sorted([main, *alike], key=lambda part: part.left + part.right)
    small = [part for part in clear if part.side < ALIKE * main.side]
    return Scene(best.ink, best.labels, ordered, small, best.pen)


def _is_paper(gray: Pixels, ink: Floats, labels: Labels, part: Part) -> bool:
    """Whether a part is ground between things, or a blot: as wide as no stroke is, or of the tone that
    prevails around it, too."""
    reach = part.side // 2
    box = _window(part, min(reach, 4))
    own = part.within(labels[box])
    if is_blot(own, part.side):
        return True
    tones = gray[box].astype(np.float32)
    tone = median(tones[own])
    away = np.abs(tones - np.float32(tone))
    far = widen(own, 4)
    ring = far & ~widen(own, 2)
    if not ring.any():
        return False
    rim = away[ring]
    paper = quantile(rim, 0.75)
    like, faint = 0.35 * paper, 0.3 * median(ink[box][own])
    if paper < _FAINT or float((rim < like).mean()) > _SEAMLESS:
        return True
    close = (ink[box] < faint) & (away < like)
    if float(close[ring].mean()) > _OPEN:
        return True
    wide = _window(part, reach)
    ground = ink[wide] < faint
    ground &= np.abs(gray[wide].astype(np.float32) - np.float32(tone)) < like
    outside = ground.size - int(np.count_nonzero(far))
    alike = int(np.count_nonzero(ground)) - int(np.count_nonzero(close & far))
    beyond = alike / max(1, outside)
    # of a light part: what else is as light is paper
    if beyond <= _PREVAILS and tone > median(tones[ring]):
        beyond = float(((np.abs(gray - tone) < like) & (ink < 0.05)).mean())
    return bool(beyond > _PREVAILS)


def _window(part: Part, margin: int) -> tuple[slice, slice]:
    """Where a part is, with so many pixels around it, or as many as there are."""
    top, left = max(0, part.top - margin), max(0, part.left - margin)
    return slice(top, part.bottom + margin), slice(left, part.right + margin)


def _contrast(ink: Floats, labels: Labels, part: Part) -> float:
    """How much darker a part is than what lies right around it; 0 where it has no edge."""
    window = _window(part, 4)
    inside = part.within(labels[window])
    around = widen(inside, 3) & ~widen(inside, 1)
    near = ink[window]
    own, rim = float(near[inside].mean()), float(near[around].mean()) if around.any() else 0.0
    return own - rim if rim < _SHADE * own else 0.0
