"""Which parts of a picture are things that somebody wrote, and which their surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ptx.infer.picture.parts import SPECK, Labels, Mask, Part, grow

LEAST: Final = 0.04
"""Least side of an object, as a share of the picture's longer side."""

WIDEST: Final = 1.7
"""Width of a figure by its height, at most: of MNIST's 70,000 the widest has 1.54 ."""

BLOB: Final = 0.3
"""Width of the strokes by the longer side, at most; a disc has 0.5, the boldest typefaces 0.27."""

ALIKE: Final = 0.5
"""An object with this share of the largest one's side is one more figure, and no speck beside it."""

SEEN: Final = 0.7
"""Share of a thing's length and width beside which a frame goes, at least."""

NET: Final = 0.02
"""Width of the lines of a net by its longer side, at most; MNIST's strokes have 0.08."""

LONGEST: Final = 6
"""Length of all strokes by the longer side, at most; an eight has 5, and squares have more than 9."""

CLOSE: Final = 2
"""Pixels between two parts of one figure: of 28 rows a missing one makes such a gap."""

_DOT: Final = 0.4  # of the larger part's side, at most, between it and a small one above or below
_BAR: Final = 0.15  # the same, of a wide one that is neither small nor a line
_SAME_PEN: Final = 2  # times as wide as another's strokes, or as narrow, at most: of the same pen
_MOST_PARTS: Final = 100  # that are looked at; noise makes thousands
_MOST_INK: Final = 0.5  # of a picture: where more of it is ink, that is the paper
_CUT: Final = 0.8  # side of a figure, of the picture's, that was cut out tightly
_TIGHT_EDGE: Final = 0.3  # of the picture's edge, at most, is met by such a figure
_TIGHT_RUNS: Final = 8  # and in so many places


def find_objects(parts: Sequence[Part], labels: Labels) -> list[Part]:
    """The objects among the parts, the largest first.

    What touches the picture's edge, what frames another part and what runs along as a line are
    surroundings; parts that lie close together are one object.

    Args:
        labels: Of the parts, (height, width).
    """
    shape = labels.shape[0], labels.shape[1]
    parts = sorted(parts, key=lambda part: -part.area)[:_MOST_PARTS]
    inside = [part for part in parts if not at_edge(part, shape)]
    inside = [p for p in inside if not any(_frames(p, other, labels) for other in inside)]
    least = SPECK * max((part.area for part in inside), default=0)
    inside = [part for part in inside if part.area >= least]
    return sorted(_without_lines(_joined(inside)), key=lambda part: -part.side)


def is_alone(parts: Sequence[Part], labels: Labels, own: Mask) -> bool:
    """Whether the parts, whose pixels are `own`, are one figure on paper and nothing else.

    A single part may touch the picture's edge, where a figure was cut out tightly.
    """
    shape = own.shape[0], own.shape[1]
    objects = find_objects(parts, labels)
    if not objects and len(parts) == 1 and parts[0].side > _CUT * max(shape):
        objects = list(parts) if _is_tight(own) else []
    return (
        len(objects) == 1
        and len(objects[0].labels) == len(parts)
        and is_figure(objects[0], shape)
        and float(own.mean()) < _MOST_INK
        and not is_blot(own, objects[0].side)
    )


def _is_tight(own: Mask) -> bool:
    """Whether the picture's edge is met by strokes: here and there, and not by a frame or by squares."""
    edge = np.concatenate([own[0], own[:, -1], own[-1, ::-1], own[::-1, 0]])
    runs = np.count_nonzero(edge[1:] & ~edge[:-1])
    return bool(edge.mean() < _TIGHT_EDGE and runs <= _TIGHT_RUNS)


def is_blot(own: Mask, side: int) -> bool:
    """Whether a part holds a square that no stroke holds. `own`: its pixels, `side`: its longer one."""
    reach = max(1, round(BLOB * side / 2))
    return bool((~grow(~np.pad(own, reach), reach)).any())


def at_edge(part: Part, shape: tuple[int, int]) -> bool:
    """Whether the picture's edge cuts the part off, or may do so."""
    height, width = shape
    return part.top <= 0 or part.left <= 0 or part.bottom >= height or part.right >= width


def find_beside(
    parts: Sequence[Part], objects: Sequence[Part], main: Part, shape: tuple[int, int]
) -> list[Part]:
    """What else somebody wrote with the pen of the figure `main`, as it seems, though it is no figure:
    parts that the picture's edge cuts off, and objects too wide for one, such as a word.

    What meets two edges that face each other is a line, a table or a frame.
    """
    height, width = shape
    cut = (
        part
        for part in parts
        if at_edge(part, shape)
        and part.side >= ALIKE * main.side
        and is_figure(part, shape)
        and not (part.top <= 0 and part.bottom >= height)
        and not (part.left <= 0 and part.right >= width)
    )
    wide = (part for part in objects if part.side >= main.side and _is_wide(part))
    thin, thick = main.stroke / _SAME_PEN, main.stroke * _SAME_PEN
    return [part for part in (*cut, *wide) if thin <= part.stroke <= thick]


def _is_wide(part: Part) -> bool:
    return part.width > WIDEST * part.height


def is_figure(part: Part, shape: tuple[int, int]) -> bool:
    """Whether an object has the size, the proportions and the strokes of something written."""
    return (
        part.side >= max(4, LEAST * max(shape))
        and not _is_wide(part)
        and part.stroke <= max(1.5, BLOB * part.side)
        and not _is_net(part, shape)
    )


def _is_net(part: Part, shape: tuple[int, int]) -> bool:
    """Whether a part spans the picture in lines far thinner than strokes, as squares may."""
    wide = part.height > 0.7 * shape[0] and part.width > 0.7 * shape[1]
    return wide and part.stroke < NET * part.side and part.area > LONGEST * part.side * part.stroke


def _frames(outer: Part, inner: Part, labels: Labels) -> bool:
    """Whether `outer` goes round `inner` as a frame does, and not as a zero round its dot."""
    if (
        not _holds(outer, inner)
        or inner.side < 0.12 * outer.side
        or outer.stroke > 0.12 * outer.side
    ):
        return False
    wide = outer.height > 0.7 * labels.shape[0] and outer.width > 0.7 * labels.shape[1]
    framing = wide or inner.side > 0.3 * outer.side or outer.stroke < 0.05 * outer.side
    return framing and _goes_round(outer, inner, labels)


def _holds(outer: Part, inner: Part) -> bool:
    return (
        outer.top < inner.top
        and outer.left < inner.left
        and outer.bottom > inner.bottom
        and outer.right > inner.right
    )


def _goes_round(outer: Part, inner: Part, labels: Labels) -> bool:
    """Whether `outer` is seen from `inner` on all four sides, unlike a letter from its other stroke."""
    rows, columns = slice(inner.top, inner.bottom), slice(inner.left, inner.right)
    sides = (
        labels[rows, outer.left : inner.left],
        labels[rows, inner.right : outer.right],
        labels[outer.top : inner.top, columns].T,
        labels[inner.bottom : outer.bottom, columns].T,
    )
    label = min(outer.labels)
    return all((side == label).any(axis=1).mean() > SEEN for side in sides)


def _without_lines(parts: list[Part]) -> list[Part]:
    """Not the lines beside something else: lying ones, and those far longer than the rest."""
    others = [part for part in parts if not _is_line(part)]
    longest = max((part.side for part in others), default=0)
    return [
        part
        for part in parts
        if part in others or not others or (part.height > part.width and part.side < 1.6 * longest)
    ]


def _is_line(part: Part) -> bool:
    return min(part.width, part.height) < 0.15 * part.side


def _joined(parts: Sequence[Part]) -> list[Part]:
    """Parts of one figure taken together, again and again until nothing more belongs together."""
    objects: list[Part] = []
    for part in sorted(parts, key=lambda part: -part.area):
        while (near := next((o for o in objects if _belong(o, part)), None)) is not None:
            objects.remove(near)
            part = near.joined(part)
        objects.append(part)
    return objects


def _belong(one: Part, other: Part) -> bool:
    """Whether two parts are one figure: nearly touching, or a small one close to a large one, or above
    or below it, as the dot of an i or the bar of a 5."""
    across = max(one.left, other.left) - min(one.right, other.right)
    down = max(one.top, other.top) - min(one.bottom, other.bottom)
    side = max(one.side, other.side)
    gap = max(across, down)
    small = min(one.side, other.side) < ALIKE * side
    if across > 0 and down <= 0 and not small:  # beside each other and equally tall
        return gap <= 0.02 * side
    if small:
        return gap <= max(CLOSE, (_DOT if across <= 0 else 0.2) * side)
    bar = across <= 0 and _is_wide(one) != _is_wide(other)
    bar = bar and not (_is_line(one) or _is_line(other))
    return gap <= max(CLOSE, (_BAR if bar else 0.08) * side)
