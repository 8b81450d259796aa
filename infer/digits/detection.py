"""Detection of digits in photographs: strokes that are darker, or lighter, than their surroundings.

The background is estimated by a morphological closing, which fills everything narrower than a quarter of
the image (or a tenth, if that shows no clear digit). Tables, fingers and shadows are wider or touch the
edge, so that they are background; strokes, lines and frames are not. The black top-hat (how much darker
a pixel is than its background) is thresholded at several levels. Each mask is a candidate: its connected
components are grouped, and `ptx.infer.digits.grouping` decides which of them are digits ("figures").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from ptx.infer.digits.components import (
    Component,
    Floats,
    Labels,
    Mask,
    Pixels,
    closing,
    connected_components,
    dilate,
    opening,
)
from ptx.infer.digits.foreground import Crop, crop
from ptx.infer.digits.grouping import (
    SIMILAR_SIDE,
    find_written,
    group_components,
    is_figure,
    is_filled,
)
from ptx.infer.digits.thresholds import median, otsu, quantile, subsample

SIDE: Final = 400
"""Longest side in pixels of the image that is searched."""

# In the order in which they are tried.
WINDOWS: Final = (0.25, 0.1)  # of the shorter side: wider things are background
STROKE_WIDTHS: Final = (1, 3, 5)  # minimum, in pixels: the lines of squared paper are finer
THRESHOLDS: Final = (0.55, 0.4, 0.7, 0.25, 0.8)  # of the strongest foreground

MIN_FOREGROUND: Final = 0.12  # of black on white; noise and shading stay below
MIN_SCORE: Final = 0.15  # a gap between two strokes of something cut off has 0.1
GOOD_SCORE: Final = 0.25  # no search with wider strokes after it
CLEAR_CONTRAST: Final = 0.55  # with a good score: no search with other thresholds after it
USUAL_SIDE: Final = 0.35  # of the image's; a larger figure does not score higher
WIDE_STROKE: Final = 0.6  # of the window: such strokes may be a part of something wider
DARK: Final = (
    32.0  # added to the background's tone, so that noise of a dark table is not foreground
)

_MAX_OBJECTS: Final = 12  # that are examined closely
_TOLERANCE: Final = 2  # pixels by which a narrow window may show a figure larger than a wide one
_MIN_TONE_STEP: Final = 12.0  # of 255, between a figure and the background right around it
_MAX_RIM_FOREGROUND: Final = 0.7  # of a component's own: with more, it is shading without an edge
# Maximum fractions of the ring around a figure, or of its surroundings, that have its tone. Above them
# the threshold has split one object, or the component is background.
_MAX_OPEN: Final = 0.12  # of the ring, except foreground
_MAX_SEAMLESS: Final = 0.35  # of the ring
_MAX_AROUND: Final = 0.3  # of the surroundings


@dataclass(frozen=True)
class Detection:
    """The figures that were found."""

    foreground: Floats  # 0 to 1, of the pixels that were searched
    labels: Labels
    figures: list[Component]  # left to right
    ignored: list[Component]  # probably handwritten too, but much smaller than the figures
    min_stroke_width: int


@dataclass(frozen=True)
class Candidate:
    """What one mask shows; only its largest figure has been examined."""

    foreground: Floats
    labels: Labels
    objects: list[Component]  # the largest first, which is a figure; the others may be background
    written: list[Component]  # probably handwritten too, but not figures
    min_stroke_width: int
    contrast: float
    score: float  # the contrast, less if the figure is small

    @property
    def is_clear(self) -> bool:
        return self.contrast > CLEAR_CONTRAST and self.score > GOOD_SCORE


def detect(gray: Image.Image) -> Detection | None:
    """The figures in an image of mode L, which is reduced to SIDE; None if there are none."""
    factor = -(-max(gray.size) // SIDE)
    pixels = np.asarray(gray.reduce(factor) if factor > 1 else gray)
    best: Candidate | None = None
    for window in WINDOWS:
        best = _find_candidate(pixels, window, best)
        if best is not None and best.is_clear:
            break
    return None if best is None else _select_figures(pixels, best)


def black_tophat(pixels: Pixels, window: float) -> Floats:
    """How much darker than its background each pixel is, 0 to 1: 1 is black on white.

    `window`: of the shorter side; what is wider is background.
    """
    background = closing(pixels, max(1, round(window * min(pixels.shape) / 2)))
    difference: Floats = (background - pixels).astype(np.float32)
    difference /= background + np.float32(DARK)
    return difference


def crop_figure(detection: Detection, figure: Component) -> Crop:
    """The foreground of one figure, without the lines that run through it."""
    margin = detection.min_stroke_width // 2 + 1
    window = _window(figure, 2 * margin)
    mask = figure.mask(detection.labels[window])
    near, foreground = dilate(mask, margin), detection.foreground[window]
    strong = quantile(foreground[mask], 0.75)
    ring = near & ~dilate(mask, 1)
    floor = min(median(foreground[ring]) if ring.any() else 0.0, 0.5 * strong)
    scaled = (np.clip((foreground - floor) / (strong - floor), 0, 1) * near).astype(np.float32)
    return crop(scaled, detection.foreground.shape, (window[0].start, window[1].start))


def _find_candidate(pixels: Pixels, window: float, best: Candidate | None) -> Candidate | None:
    """The best candidate with this background estimate, if it is better than `best`."""
    planes = [black_tophat(side, window) for side in (pixels, 255 - pixels)]
    planes = [plane for plane in planes if plane.max() > MIN_FOREGROUND]
    thresholds = [_thresholds(plane) for plane in planes]
    wider, max_stroke = best, WIDE_STROKE * window * min(pixels.shape)
    for width in STROKE_WIDTHS:
        opened = [_open(plane, width) for plane in planes]
        for at in range(max(map(len, thresholds), default=0)):
            for plane, strokes, levels in zip(planes, opened, thresholds, strict=True):
                if at >= len(levels):
                    continue
                min_score = best.score if best else MIN_SCORE
                found = _examine(pixels, plane, strokes > levels[at], width, min_score)
                if found is not None and not _is_part(found.objects[0], wider, max_stroke):
                    best = found
            if best is not None and best.is_clear:
                break
        if best is not None and best.score > GOOD_SCORE:
            break
    return best


def _is_part(one: Component, wider: Candidate | None, max_stroke: float) -> bool:
    """Whether a component has strokes wider than `max_stroke` pixels and lies within what a wider window
    has shown: it may have lost what is wider still."""
    if wider is None or one.stroke_width <= max_stroke:
        return False
    main = wider.objects[0]
    return (
        min(one.top - main.top, one.left - main.left) >= -_TOLERANCE
        and min(main.bottom - one.bottom, main.right - one.right) >= -_TOLERANCE
    )


def _thresholds(foreground: Floats) -> list[float]:
    """In the order in which they are tried; none if there is no foreground.

    If the strongest foreground is thin next to wide shadows, all of THRESHOLDS lie among the shadows:
    Otsu's threshold separates the two.
    """
    values = subsample(foreground)
    minimum = max(MIN_FOREGROUND, 4 * median(values))
    above = values[values > minimum]
    if not above.size:
        return []
    strong, separating = quantile(above, 0.9), otsu(above)
    thresholds = [max(minimum, share * strong) for share in THRESHOLDS]
    if separating > strong:
        thresholds.append(separating)
    return list(dict.fromkeys(thresholds))


def _open(foreground: Floats, width: int) -> Floats:
    """Without strokes narrower than `width` pixels."""
    if width == 1:
        return foreground
    opened = opening((foreground * 255).astype(np.uint8), width // 2)
    return opened.astype(np.float32) * np.float32(1 / 255)


def _examine(
    gray: Pixels, foreground: Floats, mask: Mask, width: int, min_score: float
) -> Candidate | None:
    """What a mask shows; None if it has no figure that scores more than `min_score`."""
    labels, components = connected_components(mask)
    shape = mask.shape[0], mask.shape[1]
    everything = group_components(components, labels)
    figures = [one for one in everything if is_figure(one, shape)][:_MAX_OBJECTS]
    seen = [(one, _contrast(foreground, labels, one)) for one in figures]
    seen = [(one, contrast) for one, contrast in seen if contrast]
    usual = USUAL_SIDE * max(shape)
    scores = [contrast * min(1.0, one.side / usual) ** 0.5 for one, contrast in seen]
    objects = [one for one, _ in seen]
    for at, (main, contrast) in enumerate(seen):
        if max(scores[at:]) <= min_score:
            return None
        if not _is_background(gray, foreground, labels, main):
            written = find_written(components, everything, main, shape)
            return Candidate(foreground, labels, objects[at:], written, width, contrast, scores[at])
    return None


def _select_figures(gray: Pixels, best: Candidate) -> Detection:
    """The figures of a candidate, without those that are much smaller or fainter than the largest."""
    main, *others = best.objects
    clear = [
        one
        for one in [*others, *best.written]
        if _contrast(best.foreground, best.labels, one) >= SIMILAR_SIDE * best.contrast
        and not _is_background(gray, best.foreground, best.labels, one)
    ]
    figures = [main, *(one for one in clear if one.side >= SIMILAR_SIDE * main.side)]
    figures.sort(key=lambda one: one.left + one.right)
    ignored = [one for one in clear if one.side < SIMILAR_SIDE * main.side]
    return Detection(best.foreground, best.labels, figures, ignored, best.min_stroke_width)


def _is_background(gray: Pixels, foreground: Floats, labels: Labels, one: Component) -> bool:
    """Whether a component is background between objects, or a filled blob: it is wider than any stroke,
    or its tone is common around it.
    """
    radius = one.side // 2
    box = _window(one, min(radius, 4))
    mask = one.mask(labels[box])
    if is_filled(mask, one.side):
        return True
    tones = gray[box].astype(np.float32)
    tone = median(tones[mask])
    difference = np.abs(tones - np.float32(tone))
    near = dilate(mask, 4)
    ring = near & ~dilate(mask, 2)
    if not ring.any():
        return False
    around = difference[ring]
    step = quantile(around, 0.75)  # between the component and its background
    same, faint = 0.35 * step, 0.3 * median(foreground[box][mask])
    if step < _MIN_TONE_STEP or float((around < same).mean()) > _MAX_SEAMLESS:
        return True
    close = (foreground[box] < faint) & (difference < same)
    if float(close[ring].mean()) > _MAX_OPEN:
        return True
    wide = _window(one, radius)
    like = foreground[wide] < faint
    like &= np.abs(gray[wide].astype(np.float32) - np.float32(tone)) < same
    outside = like.size - int(np.count_nonzero(near))
    count = int(np.count_nonzero(like)) - int(np.count_nonzero(close & near))
    share = count / max(1, outside)
    # A light component: all else that is as light is paper.
    if share <= _MAX_AROUND and tone > median(tones[ring]):
        share = float(((np.abs(gray - tone) < same) & (foreground < 0.05)).mean())
    return bool(share > _MAX_AROUND)


def _window(one: Component, margin: int) -> tuple[slice, slice]:
    """A component's box extended by `margin` pixels on each side, within the image."""
    top, left = max(0, one.top - margin), max(0, one.left - margin)
    return slice(top, one.bottom + margin), slice(left, one.right + margin)


def _contrast(foreground: Floats, labels: Labels, one: Component) -> float:
    """How much more foreground a component has than the ring around it; 0 if it has no edge."""
    window = _window(one, 4)
    mask = one.mask(labels[window])
    ring = dilate(mask, 3) & ~dilate(mask, 1)
    near = foreground[window]
    inside = float(near[mask].mean())
    around = float(near[ring].mean()) if ring.any() else 0.0
    return inside - around if around < _MAX_RIM_FOREGROUND * inside else 0.0
