"""Connected components of a mask, and morphology with square structuring elements, in NumPy.

OpenCV's and SciPy's versions are not faster here (0.5 ms for a labelling and 0.6 ms for a wide closing,
compared with 0.3 ms each), and predicting needs neither: OpenCV takes 150 MB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Labels = np.ndarray[Any, np.dtype[np.int32]]
_Indices = np.ndarray[Any, np.dtype[np.intp]]
Value = TypeVar("Value", bound=np.generic)

MIN_AREA: Final = 0.002
"""Smaller components are omitted from the list; as a fraction of the largest one's area."""


@dataclass(frozen=True)
class Component:
    """A connected component, or several that make up one object. Lengths are in pixels."""

    labels: frozenset[int]
    top: int
    left: int
    bottom: int  # exclusive, as `right`
    right: int
    area: int
    edge: int  # pixels with a 4-neighbour outside of it

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def side(self) -> int:
        """The longer side of its box."""
        return max(self.height, self.width)

    @property
    def stroke_width(self) -> float:
        return 2 * self.area / max(1, self.edge)

    def mask(self, labels: Labels) -> Mask:
        """Where `labels`, a whole label image or a window of it, belong to this component."""
        if len(self.labels) == 1:  # nearly always, and many times faster
            mask: Mask = labels == next(iter(self.labels))
            return mask
        return np.isin(labels, list(self.labels))

    def union(self, other: Component) -> Component:
        return Component(
            self.labels | other.labels,
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
            self.area + other.area,
            self.edge + other.edge,
        )


def connected_components(mask: Mask) -> tuple[Labels, list[Component]]:
    """The label image of the 8-connected components of `mask`, with 0 as background, and the components.

    Runs of pixels in adjacent rows are connected if they touch. Each run repeatedly gets the smallest
    label of the runs that it is connected with, until nothing changes.
    """
    height, width = mask.shape
    stride = width + 2
    padded = np.zeros((height, stride), bool)
    padded[:, 1:-1] = mask
    flat = padded.reshape(-1)
    # each run has background before and after it
    change = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts, ends = change[::2], change[1::2]
    roots = _find_roots(starts, ends, stride)
    is_root = roots == np.arange(len(roots))
    run_label = (np.cumsum(is_root) - 1)[roots]
    values = np.zeros(len(change) + 1, np.int32)
    values[1::2] = run_label + 1
    lengths = np.diff(change, prepend=0, append=flat.size)
    labels = np.repeat(values, lengths).reshape(height, stride)[:, 1:-1]
    return labels, _measure(mask, starts, ends, run_label, int(is_root.sum()))


def _find_roots(starts: _Indices, ends: _Indices, stride: int) -> _Indices:
    """For each run the smallest index of the runs that it is connected with."""
    low = np.searchsorted(ends, starts + stride, "left")
    high = np.searchsorted(starts, ends + stride, "right")
    count = np.maximum(high - low, 0)
    above = np.repeat(np.arange(len(starts)), count)
    below = (
        np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
    )
    roots = np.arange(len(starts))
    while True:
        smallest = np.minimum(roots[above], roots[below])
        previous = roots.copy()
        np.minimum.at(roots, previous[above], smallest)
        np.minimum.at(roots, previous[below], smallest)
        while not np.array_equal(parents := roots[roots], roots):
            roots = parents
        if np.array_equal(roots, previous):
            return roots


def _measure(
    mask: Mask, starts: _Indices, ends: _Indices, run_label: _Indices, count: int
) -> list[Component]:
    stride = mask.shape[1] + 2
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    edges = np.zeros((mask.shape[0], stride), bool)
    edges[:, 1:-1] = mask & ~inner
    edge_pixels = np.flatnonzero(edges)
    rows = starts // stride
    columns = starts % stride - 1, ends - rows * stride - 1
    area = np.bincount(run_label, weights=ends - starts, minlength=count)
    edge_run = np.searchsorted(starts, edge_pixels, "right") - 1
    edge = np.bincount(run_label[edge_run], minlength=count)
    box = np.full((4, count), [[mask.shape[0]], [mask.shape[1]], [0], [0]])
    np.minimum.at(box[0], run_label, rows)
    np.minimum.at(box[1], run_label, columns[0])
    np.maximum.at(box[2], run_label, rows + 1)
    np.maximum.at(box[3], run_label, columns[1])
    kept = np.flatnonzero(area >= MIN_AREA * area.max(initial=0))
    table = np.vstack([kept + 1, box[:, kept], area[kept], edge[kept]]).T.astype(int).tolist()
    return [Component(frozenset((label,)), *numbers) for label, *numbers in table]


def dilate(mask: Mask, radius: int) -> Mask:
    """`mask` and what lies within `radius` of it on both axes."""
    height, width = mask.shape
    padded = np.zeros((height + 2 * radius, width + 2 * radius), bool)  # np.pad takes much longer
    padded[radius : radius + height, radius : radius + width] = mask
    return max_filter(padded, radius)


def max_filter(
    pixels: np.ndarray[Any, np.dtype[Value]], radius: int
) -> np.ndarray[Any, np.dtype[Value]]:
    """The largest value within `radius` of each pixel; the outermost `radius` pixels are dropped."""
    return _filter(pixels, radius, np.maximum)


def min_filter(
    pixels: np.ndarray[Any, np.dtype[Value]], radius: int
) -> np.ndarray[Any, np.dtype[Value]]:
    """The smallest value within `radius` of each pixel; the outermost `radius` pixels are dropped."""
    return _filter(pixels, radius, np.minimum)


def _filter(
    pixels: np.ndarray[Any, np.dtype[Value]], radius: int, extreme: np.ufunc
) -> np.ndarray[Any, np.dtype[Value]]:
    # The window doubles from step to step, so that a wide one takes few steps.
    for _ in range(2):
        window = 1
        while window < 2 * radius + 1:
            step = min(window, 2 * radius + 1 - window)
            pixels = extreme(pixels[:-step], pixels[step:])
            window += step
        pixels = pixels.T
    return pixels


def closing(pixels: Pixels, radius: int) -> Pixels:
    """Fill dark structures narrower than 2 `radius` + 1 pixels; the border is replicated."""
    return min_filter(max_filter(np.pad(pixels, 2 * radius, mode="edge"), radius), radius)


def opening(pixels: Pixels, radius: int) -> Pixels:
    """Remove light structures narrower than 2 `radius` + 1 pixels; the border is replicated."""
    eroded = min_filter(np.pad(pixels, radius, mode="edge"), radius)
    return max_filter(np.pad(eroded, radius, mode="edge"), radius)
