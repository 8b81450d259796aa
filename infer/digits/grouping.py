"""Decide which components of an image are digits ("figures"), and which are clutter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ptx.infer.digits.components import Component, Labels, Mask, min_filter

MIN_SIDE: Final = 0.04
"""Minimum side of an object, as a fraction of the image's longer side."""

MAX_ASPECT: Final = 1.7
"""Maximum width / height of a figure; the maximum in MNIST's 70,000 images is 1.54."""

MAX_STROKE: Final = 0.3
"""Maximum stroke width / longer side; a disc has 0.5, the boldest typefaces 0.27."""

SIMILAR_SIDE: Final = 0.5
"""An object of at least this fraction of the largest one's side is a figure; others are ignored."""

NOISE: Final = 0.05
"""A component with less than this fraction of the largest one's area is dust, not a stroke."""

CLOSE: Final = 2
"""Maximum gap in pixels between two parts of one figure, such as a missing row in 28 rows."""

# Fractions of a side.
_ENCLOSED: Final = 0.7  # of the inner component's height and width that a frame must flank
_MAX_GRID_STROKE: Final = 0.02  # stroke width of grid lines; MNIST's strokes have 0.08
_MAX_STROKES: Final = (
    6  # maximum total length of a figure's strokes: an 8 has 5, a grid more than 9
)
_DOT_GAP: Final = 0.4  # between a large component and a small one above or below it
_BAR_GAP: Final = 0.15  # the same for a wide one that is neither small nor a line
_TIGHT_SIDE: Final = 0.8  # of the image's side: a figure that was cropped tightly

_SAME_PEN: Final = 2  # maximum ratio of the stroke widths of one pen
_MAX_COMPONENTS: Final = 100  # that are examined; noise gives thousands
_MAX_FOREGROUND: Final = 0.5  # of an image: with more, the foreground is the paper
_MAX_TIGHT_EDGE: Final = 0.3  # of the image's edge that a tightly cropped figure may touch
_MAX_TIGHT_RUNS: Final = 8  # places at which it may touch the edge


def group_components(components: Sequence[Component], labels: Labels) -> list[Component]:
    """The objects, the largest first: components that lie close together are one object.

    Clutter is removed: components that touch the image's edge, frames around another component, and
    lines, if there is anything else.

    Args:
        labels: The label image of the components, (height, width).
    """
    shape = labels.shape[0], labels.shape[1]
    components = sorted(components, key=lambda one: -one.area)[:_MAX_COMPONENTS]
    inside = [one for one in components if not touches_edge(one, shape)]
    inside = [one for one in inside if not _is_frame(one, inside, labels)]
    smallest = NOISE * max((one.area for one in inside), default=0)
    inside = [one for one in inside if one.area >= smallest]
    return sorted(_without_lines(_merge(inside)), key=lambda one: -one.side)


def is_single_figure(components: Sequence[Component], labels: Labels, mask: Mask) -> bool:
    """Whether the components, whose pixels are `mask`, are one figure on paper and nothing else.

    A single component may touch the image's edge if the figure was cropped tightly.
    """
    shape = mask.shape[0], mask.shape[1]
    objects = group_components(components, labels)
    if not objects and len(components) == 1 and components[0].side > _TIGHT_SIDE * max(shape):
        objects = list(components) if _is_cut_tightly(mask) else []
    return (
        len(objects) == 1
        and len(objects[0].labels) == len(components)
        and is_figure(objects[0], shape)
        and float(mask.mean()) < _MAX_FOREGROUND
        and not is_filled(mask, objects[0].side)
    )


def _is_cut_tightly(mask: Mask) -> bool:
    """Whether strokes touch the image's edge in a few places, unlike a frame or grid lines."""
    edge = np.concatenate([mask[0], mask[:, -1], mask[-1, ::-1], mask[::-1, 0]])
    runs = np.count_nonzero(edge[1:] & ~edge[:-1])
    return bool(edge.mean() < _MAX_TIGHT_EDGE and runs <= _MAX_TIGHT_RUNS)


def is_filled(mask: Mask, side: int) -> bool:
    """Whether a component contains a square too large for a stroke. `side`: its longer side."""
    radius = max(1, round(MAX_STROKE * side / 2))
    return bool(min_filter(np.pad(mask, radius), radius).any())


def touches_edge(one: Component, shape: tuple[int, int]) -> bool:
    """Whether the component touches the image's edge, and so may be cut off."""
    height, width = shape
    return one.top <= 0 or one.left <= 0 or one.bottom >= height or one.right >= width


def find_written(
    components: Sequence[Component],
    objects: Sequence[Component],
    main: Component,
    shape: tuple[int, int],
) -> list[Component]:
    """What was probably written with the same pen as the figure `main`, but is not a figure.

    These are components that the image's edge cuts off, and objects too wide for a figure, such as a
    word. Components that touch two opposite edges are lines, tables or frames, and not included.
    """
    height, width = shape
    cut_off = (
        one
        for one in components
        if touches_edge(one, shape)
        and one.side >= SIMILAR_SIDE * main.side
        and is_figure(one, shape)
        and not (one.top <= 0 and one.bottom >= height)
        and not (one.left <= 0 and one.right >= width)
    )
    wide = (one for one in objects if one.side >= main.side and _is_wide(one))
    low, high = main.stroke_width / _SAME_PEN, main.stroke_width * _SAME_PEN
    return [one for one in (*cut_off, *wide) if low <= one.stroke_width <= high]


def _is_wide(one: Component) -> bool:
    return one.width > MAX_ASPECT * one.height


def is_figure(one: Component, shape: tuple[int, int]) -> bool:
    """Whether an object has the size, the aspect ratio and the strokes of a written figure."""
    return (
        one.side >= max(4, MIN_SIDE * max(shape))
        and not _is_wide(one)
        and one.stroke_width <= max(1.5, MAX_STROKE * one.side)
        and not _is_grid(one, shape)
    )


def _is_grid(one: Component, shape: tuple[int, int]) -> bool:
    """Whether a component is a grid: lines across the image that are much thinner than strokes."""
    spans = one.height > 0.7 * shape[0] and one.width > 0.7 * shape[1]
    return (
        spans
        and one.stroke_width < _MAX_GRID_STROKE * one.side
        and one.area > _MAX_STROKES * one.side * one.stroke_width
    )


def _is_frame(outer: Component, components: Sequence[Component], labels: Labels) -> bool:
    """Whether `outer` encloses one of the components as a frame does."""
    return outer.stroke_width <= 0.12 * outer.side and any(
        _frames(outer, inner, labels) for inner in components
    )


def _frames(outer: Component, inner: Component, labels: Labels) -> bool:
    """Whether `outer` encloses `inner` as a frame does, unlike a zero with a dot in it."""
    if not _encloses(outer, inner) or inner.side < 0.12 * outer.side:
        return False
    spans = outer.height > 0.7 * labels.shape[0] and outer.width > 0.7 * labels.shape[1]
    framing = spans or inner.side > 0.3 * outer.side or outer.stroke_width < 0.05 * outer.side
    return framing and _is_flanked(outer, inner, labels)


def _encloses(outer: Component, inner: Component) -> bool:
    return (
        outer.top < inner.top
        and outer.left < inner.left
        and outer.bottom > inner.bottom
        and outer.right > inner.right
    )


def _is_flanked(outer: Component, inner: Component, labels: Labels) -> bool:
    """Whether `outer` is on all four sides of `inner`, unlike two strokes of one letter."""
    rows, columns = slice(inner.top, inner.bottom), slice(inner.left, inner.right)
    sides = (
        labels[rows, outer.left : inner.left],
        labels[rows, inner.right : outer.right],
        labels[outer.top : inner.top, columns].T,
        labels[inner.bottom : outer.bottom, columns].T,
    )
    label = min(outer.labels)
    return all((side == label).any(axis=1).mean() > _ENCLOSED for side in sides)


def _without_lines(objects: list[Component]) -> list[Component]:
    """Without horizontal lines and much longer ones, if there is anything else."""
    others = [one for one in objects if not _is_line(one)]
    longest = max((one.side for one in others), default=0)
    return [
        one
        for one in objects
        if one in others or not others or (one.height > one.width and one.side < 1.6 * longest)
    ]


def _is_line(one: Component) -> bool:
    return min(one.width, one.height) < 0.15 * one.side


def _merge(components: Sequence[Component]) -> list[Component]:
    """Components of one figure merged, until nothing more belongs together."""
    objects: list[Component] = []
    for one in sorted(components, key=lambda one: -one.area):
        while (near := next((o for o in objects if _belong_together(o, one)), None)) is not None:
            objects.remove(near)
            one = near.union(one)
        objects.append(one)
    return objects


def _belong_together(one: Component, other: Component) -> bool:
    """Whether two components are parts of one figure: they nearly touch, or a small one is close to a
    large one, or above or below it like the dot of an i or the bar of a 5.
    """
    across = max(one.left, other.left) - min(one.right, other.right)
    down = max(one.top, other.top) - min(one.bottom, other.bottom)
    side = max(one.side, other.side)
    gap = max(across, down)
    small = min(one.side, other.side) < SIMILAR_SIDE * side
    if across > 0 and down <= 0 and not small:  # next to each other and equally tall
        return gap <= 0.02 * side
    if small:
        return gap <= max(CLOSE, (_DOT_GAP if across <= 0 else 0.2) * side)
    bar = across <= 0 and _is_wide(one) != _is_wide(other)
    bar = bar and not (_is_line(one) or _is_line(other))
    return gap <= max(CLOSE, (_BAR_GAP if bar else 0.08) * side)
