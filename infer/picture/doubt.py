"""How far an answer is to be doubted: where the picture shows none of the labels, or might show two.

A network says one of its labels of anything, a letter too, and often with a high score. Beside its
scores, softened by a temperature, stands a small reader of pixels that also knows what is none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from ptx.infer.artifact.golden import array_from_data, take
from ptx.infer.errors import ArtifactError
from ptx.infer.signature import Array

LARGEST: Final = 1e3  # of a weight
MOST_LAYERS: Final = 4  # together they keep all that is computed within float32


@dataclass(frozen=True)
class Doubt:
    """Gives the probability that a label is wrong.

    The reader's layers are matrices (outputs, inputs) and biases (outputs,) with a ReLU between them.
    Its inputs are means of 2x2 pixels in [0, 1], row by row; its outputs the labels, and none of them.
    """

    temperature: float
    layers: Sequence[tuple[Array, Array]]

    @classmethod
    def from_data(cls, data: Mapping[str, Any], size: Sequence[int], labels: int) -> Doubt | None:
        """What a card says of it; None where it says nothing.

        Args:
            size: Height and width in pixels of what the network sees.
            labels: That the network knows.

        Raises:
            ArtifactError: E-CARD: it is not valid, or for other pictures or labels.
        """
        if not data:
            return None
        try:
            layers = [_layer(layer) for layer in take(data, "layers", list)]
            temperature = take(data, "temperature", float)
            if len(size) != 2 or size[0] % 2 or size[1] % 2:
                raise ValueError(f"it is of pictures, and the model takes {tuple(size)}")
            _check(temperature, layers, size[0] * size[1] // 4, labels + 1)
        except (ValueError, AttributeError) as error:
            raise ArtifactError(f"the card's doubt is not valid: {error}", code="E-CARD") from error
        return cls(temperature, layers)

    def of(self, pixels: Array, logits: Array) -> float:
        """The doubt of the label with the largest logit, 0 to 1.

        Args:
            pixels: uint8 (height, width), as the network saw them.
            logits: float (labels,), what it said.
        """
        return self.of_many([pixels], logits[np.newaxis])[0]

    def of_many(self, pixels: Sequence[Array], logits: Array) -> list[float]:
        """The same of several, each as in `of`: a batch takes little longer than one."""
        pictures = np.stack(pixels)
        rows = pictures[:, ::2].astype(np.float32) + pictures[:, 1::2]
        values = (rows[..., ::2] + rows[..., 1::2]).reshape(len(rows), -1)
        values *= np.float32(1 / (4 * 255))
        for index, (weights, biases) in enumerate(self.layers):
            values = (np.maximum(values, 0) if index else values) @ weights.T + biases
        labels = logits.argmax(axis=1)[:, np.newaxis]
        found = 1 - _shares(logits / self.temperature, labels) * _shares(values, labels)
        doubts: list[float] = found.tolist()
        return doubts

    def of_row(self, pixels: Sequence[Array], logits: Array, found: list[float], row: int) -> float:
        """The same of one of several; they are computed together, into `found`, once one is asked."""
        if not found:
            found.extend(self.of_many(pixels, logits))
        return found[row]


def _shares(values: Array, labels: Array) -> Array:
    """Of each row's softmax the one of its label, in float64."""
    beyond = values - np.take_along_axis(values, labels, axis=1)
    totals: Array = np.exp(np.minimum(beyond, 80)).sum(axis=1)
    return 1 / totals.astype(np.float64)


def _layer(data: Mapping[str, Any]) -> tuple[Array, Array]:
    """float32 of what is kept as int8 with a scale."""
    weights, biases = (array_from_data(data.get(name)) for name in ("weights", "biases"))
    scaled = weights.astype(np.float64) * take(data, "scale", float)
    for values in (scaled, biases):
        if not (np.abs(values) < LARGEST).all():
            raise ValueError(f"a number is not below {LARGEST:g}")
    return scaled.astype(np.float32), biases.astype(np.float32)


def _check(
    temperature: float, layers: Sequence[tuple[Array, Array]], inputs: int, outputs: int
) -> None:
    """ValueError where a temperature is none, or layers do not lead from `inputs` to `outputs`."""
    if not 0.01 <= temperature <= 100 or len(layers) > MOST_LAYERS:
        raise ValueError(f"the temperature is {temperature}, there are {len(layers)} layers")
    sizes = [inputs, *(biases.size for _, biases in layers)]
    for (weights, biases), shape in zip(layers, pairwise(sizes), strict=True):
        if biases.ndim != 1 or weights.shape != shape[::-1]:
            raise ValueError(f"a layer of shape {weights.shape} for {shape[0]} values")
    if sizes[-1] != outputs:
        raise ValueError(f"there are {sizes[-1]} outputs; expected {outputs}")
