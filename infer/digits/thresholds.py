"""Quantiles and Otsu's threshold of many values.

NumPy's `quantile` spends more time in Python than in the selection, and is called 20 times per image.
"""

from __future__ import annotations

from math import isqrt
from typing import Any, Final

import numpy as np
from PIL import Image

from ptx.infer.digits.components import Floats

SAMPLES: Final = 40_000
"""Maximum number of pixels that are used for statistics."""


def subsample(plane: Floats) -> Floats:
    """Every n-th pixel of both axes, flattened: about SAMPLES pixels at most."""
    step = 1 + isqrt(plane.size // SAMPLES)
    return plane[::step, ::step].reshape(-1)


def quantile(values: np.ndarray[Any, Any], share: float) -> float:
    """`numpy.quantile`: the interpolated value below which the fraction `share` of the values is."""
    position = share * (values.size - 1)
    below = int(position)
    above = min(below + 1, values.size - 1)
    ordered = np.partition(values, (below, above), axis=None)
    low, high = float(ordered[below]), float(ordered[above])
    return low + (high - low) * (position - below)


def median(values: np.ndarray[Any, Any]) -> float:
    return quantile(values, 0.5)


def otsu(values: Floats) -> float:
    """Otsu's threshold over 256 bins from 0 to the largest value."""
    top = max(float(values.max()), 1e-6)
    bins = np.minimum(values * np.float32(256 / top), np.float32(255)).astype(np.uint8)
    counts = np.asarray(Image.fromarray(bins).histogram())
    edges = np.linspace(0, top, 257)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    total, mass = below[-1], np.cumsum(counts * centres)
    above = total - below
    valid = (below > 0) & (above > 0)
    between = np.zeros(256)  # variance between the two classes
    means = mass[valid] / below[valid] - (mass[-1] - mass[valid]) / above[valid]
    between[valid] = below[valid] * above[valid] * np.square(means)
    return float(edges[1:][int(np.argmax(between))])
