"""Out-of-distribution detection: how likely 28x28 pixels show the digit that a classifier predicted.

A classifier predicts one of its labels for every image, even for a letter, and often with a high score.
The detector is a small MLP over the same pixels with one more class, "not a digit". All models of digits
share it, so that it ships with ptx; a manifest names it by its digest.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import numpy as np

from ptx.infer.signature import Array

SIZE: Final = (28, 28)
LABELS: Final = 10

DETECTORS: Final[dict[str, str]] = {
    "10f38aeced542164dbb7de310198288d9845e9121164cc6dc359b58443819252": "ood.npz",
}
"""SHA-256 of a file in this package -> its name. New models get the last one; the others stay, so that
the models that were trained with them keep their probabilities."""

CURRENT: Final = list(DETECTORS)[-1]


@dataclass(frozen=True)
class OodDetector:
    """An MLP with a ReLU after each layer but the last.

    Attributes:
        layers: weights float32 (outputs, inputs) and biases float32 (outputs,) of each layer. The inputs
            of the first are 2x2 means of the pixels, in [0, 1], row by row; the outputs of the last are
            logits of the labels and of "not a digit".
    """

    layers: tuple[tuple[Array, Array], ...]

    def logits(self, pixels: Sequence[Array]) -> Array:
        """float32 (batch, labels + 1).

        Args:
            pixels: uint8 (28, 28) each, light on dark, as the classifier gets them.
        """
        images = np.stack(pixels)
        rows = images[:, ::2].astype(np.float32) + images[:, 1::2]
        values: Array = (rows[..., ::2] + rows[..., 1::2]).reshape(len(rows), -1)
        values *= np.float32(1 / (4 * 255))
        for index, (weights, biases) in enumerate(self.layers):
            values = (np.maximum(values, 0) if index else values) @ weights.T + biases
        return values


@cache
def load_detector(digest: str) -> OodDetector | None:
    """The detector with this SHA-256; None if this ptx does not have it.

    The file holds `weights`, int8, `scale`, float64, and `biases`, float32, of each layer: `weights0`, …
    """
    name = DETECTORS.get(digest)
    if name is None:
        return None
    content = resources.files(__package__).joinpath(name).read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        return None  # the installed file was changed: no probability rather than a wrong one
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return OodDetector(
            tuple(
                (
                    (arrays[f"weights{layer}"] * arrays[f"scale{layer}"]).astype(np.float32),
                    arrays[f"biases{layer}"],
                )
                for layer in range(len(arrays.files) // 3)
            )
        )
