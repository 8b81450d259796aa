"""The connected parts of a mask, and what they are beside each other: objects or surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Labels = np.ndarray[Any, np.dtype[np.int32]]
_Places = np.ndarray[Any, np.dtype[np.intp]]

SPECK: Final = 0.05
"""A part with less ink than this share of the largest part is dust, not a stroke of the digit."""
Value = TypeVar("Value", bound=np.generic)

_CRUMB: Final = 0.002  # of the largest part's area: what is less is not even looked at


@dataclass(frozen=True)
class Part:
    """One or several connected parts that belong together."""

    labels: frozenset[int]
    top: int
    left: int
    bottom: int  # exclusive, as `right`
    right: int
    area: int
    edge: int  # pixels of it with a neighbour that is not

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def side(self) -> int:
        return max(self.height, self.width)

    @property
    def stroke(self) -> float:
        """The width of its strokes in pixels."""
        return 2 * self.area / max(1, self.edge)

    def within(self, labels: Labels) -> Mask:
        """Where a picture's labels, or a window of them, are this part's."""
        if len(self.labels) == 1:  # mostly, and many times faster
            own: Mask = labels == next(iter(self.labels))
            return own
        return np.isin(labels, list(self.labels))

    def joined(self, other: Part) -> Part:
        return Part(
            self.labels | other.labels,
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
            self.area + other.area,
            self.edge + other.edge,
        )


def find_parts(mask: Mask) -> tuple[Labels, list[Part]]:
    """Labels of the 8-connected parts of `mask`, 0 where it is False, and those parts but for crumbs.

    Runs of pixels are joined where they touch in two rows; each takes the smallest number within reach
    until nothing changes.
    """
    height, width = mask.shape
    stride = width + 2
    flat = np.zeros((height, stride), bool)
    flat[:, 1:-1] = mask
    row = flat.reshape(-1)
    change = np.flatnonzero(row[1:] != row[:-1]) + 1  # a gap lies before each run and after it
    starts, ends = change[::2], change[1::2]
    roots = _roots(starts, ends, stride)
    first = roots == np.arange(len(roots))
    run_label = (np.cumsum(first) - 1)[roots]
    values = np.zeros(len(change) + 1, np.int32)
    values[1::2] = run_label + 1
    lengths = np.diff(change, prepend=0, append=flat.size)
    labels = np.repeat(values, lengths).reshape(height, stride)[:, 1:-1]
    return labels, _measure(mask, starts, ends, run_label, int(first.sum()))


def _roots(starts: _Places, ends: _Places, stride: int) -> _Places:
    """Of each run the smallest index of those that it is connected with."""
    low = np.searchsorted(ends, starts + stride, "left")
    high = np.searchsorted(starts, ends + stride, "right")
    count = np.maximum(high - low, 0)
    above = np.repeat(np.arange(len(starts)), count)
    below = (
        np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
    )
    roots = np.arange(len(starts))
    while True:
        least = np.minimum(roots[above], roots[below])
        before = roots.copy()
        np.minimum.at(roots, before[above], least)
        np.minimum.at(roots, before[below], least)
        while not np.array_equal(hop := roots[roots], roots):
            roots = hop
        if np.array_equal(roots, before):
            return roots


def _measure(
    mask: Mask, starts: _Places, ends: _Places, run_label: _Places, count: int
) -> list[Part]:
    stride = mask.shape[1] + 2
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    outer = np.zeros((mask.shape[0], stride), bool)
    outer[:, 1:-1] = mask & ~inner
    edges = np.flatnonzero(outer)
    rows = starts // stride
    columns = starts % stride - 1, ends - rows * stride - 1
    area = np.bincount(run_label, weights=ends - starts, minlength=count)
    its_run = np.searchsorted(starts, edges, "right") - 1
    edge = np.bincount(run_label[its_run], minlength=count)
    box = np.full((4, count), [[mask.shape[0]], [mask.shape[1]], [0], [0]])
    np.minimum.at(box[0], run_label, rows)
    np.minimum.at(box[1], run_label, columns[0])
    np.maximum.at(box[2], run_label, rows + 1)
    np.maximum.at(box[3], run_label, columns[1])
    kept = np.flatnonzero(area >= _CRUMB * area.max(initial=0))
    table = np.vstack([kept + 1, box[:, kept], area[kept], edge[kept]]).T.astype(int).tolist()
    return [Part(frozenset((label,)), *numbers) for label, *numbers in table]


def widen(mask: Mask, reach: int) -> Mask:
    """The mask and what lies within `reach` of it, on both axes; what would leave is cut off."""
    height, width = mask.shape
    wide = np.zeros((height + 2 * reach, width + 2 * reach), bool)
    wide[reach : reach + height, reach : reach + width] = mask  # many times as fast as np.pad
    return grow(wide, reach)


def grow(pixels: np.ndarray[Any, np.dtype[Value]], reach: int) -> np.ndarray[Any, np.dtype[Value]]:
    """The largest value within `reach` of each pixel; the outermost `reach` pixels are dropped.

    The window is doubled from step to step: Pillow's rank filter takes a second for a hair-thin
    digit of 600 pixels, this takes milliseconds.
    """
    for _ in range(2):
        window = 1
        while window < 2 * reach + 1:
            step = min(window, 2 * reach + 1 - window)
            pixels = np.maximum(pixels[:-step], pixels[step:])
            window += step
        pixels = pixels.T
    return pixels
