"""Boxes: what a network with a fixed number of candidate boxes returns, and where they are in an image.

A manifest, or a model spec, states how the numbers are read:

    [boxes]
    format = "cxcywh"           # center, width and height; or "xyxy": left, top, right, bottom
    units = "fraction"          # of the network's input; or its "pixels"
    scores = "softmax"          # of logits; or their "sigmoid"; or each is a "probability" (if absent)
    threshold = 0.7             # the lowest score of a box that is shown; 0.5 if absent

The first output has the boxes (batch, boxes, 4) and the second the scores (batch, boxes, labels), or one
output has both (batch, boxes, 4 + labels). The scores may have one class more, "no object", as the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ptx.infer.errors import ArtifactError, did_you_mean
from ptx.infer.ranges import BOX_THRESHOLD
from ptx.infer.signature import Array
from ptx.infer.tasks import TASKS

if TYPE_CHECKING:
    from ptx.infer.preprocessing import Preprocessing

FORMATS = ("xyxy", "cxcywh")
UNITS = ("fraction", "pixels")
SCORES = ("probability", "sigmoid", "softmax")
TOLERANCE = 1e-2  # of a probability, as in `ptx.infer.tasks`
MAX_FRACTION = 10  # of a side of a box: one that is larger is in pixels, or no box


class LabelledBox(NamedTuple):
    """One object in an image.

    Attributes:
        label: The most probable label.
        score: Its probability, in [0, 1].
        box: Left, top, right and bottom in pixels of the upright image, from its upper left corner.
    """

    label: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class BoxFormat:
    """How the boxes and scores of a network are read; see the module's docstring."""

    format: str
    units: str
    scores: str = "probability"
    threshold: float = 0.5

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> BoxFormat:
        """Parse the settings; ValueError if one is unknown, missing or not valid."""
        names = [field.name for field in fields(cls)]
        for name in data:
            if name not in names:
                raise ValueError(f"{name!r} is unknown; {did_you_mean(str(name), names)}")
        for name, known in (("format", FORMATS), ("units", UNITS), ("scores", SCORES)):
            value = data.get(name, "probability" if name == "scores" else None)
            if value not in known:
                raise ValueError(f"{name} is {value!r}; expected {' or '.join(known)}")
        threshold = data.get("threshold", cls.threshold)
        if threshold not in BOX_THRESHOLD:
            raise ValueError(f"threshold is {threshold!r}; expected {BOX_THRESHOLD}")
        return cls(**data)

    def read(self, output: Array, labels: int, size: tuple[int, int]) -> Array:
        """Boxes as fractions of the network's input, and the probability of each label.

        Args:
            output: (batch, boxes, 4 + classes), the numbers of the network.
            labels: Number of labels; a further class is "no object".
            size: Height and width of the network's input, in pixels.

        Returns:
            float64 (batch, boxes, 4 + labels): left, top, right and bottom, from 0 to 1, and scores.

        Raises:
            ArtifactError: E-OUTPUT: scores that should be probabilities are not, or boxes that should
                be fractions.
        """
        output = output.astype(np.float64)
        corners, scores = output[..., :4], output[..., 4:]
        if self.units == "fraction" and corners.size and np.abs(corners).max() > MAX_FRACTION:
            raise ArtifactError(
                f"the boxes are not fractions of the image: from {corners.min():.3g} to"
                f" {corners.max():.3g}; state units = 'pixels' in the specification's boxes, or name the"
                " output with the boxes first",
                code="E-OUTPUT",
            )
        if self.format == "cxcywh":
            center, half = corners[..., :2], corners[..., 2:] / 2
            corners = np.concatenate([center - half, center + half], axis=-1)
        # A box that ends before it starts is empty.
        ends = np.maximum(corners[..., :2], corners[..., 2:])
        corners = np.concatenate([corners[..., :2], ends], axis=-1)
        if self.units == "pixels":
            height, width = size
            corners = corners / (width, height, width, height)
        return np.concatenate([corners, self._probabilities(scores)[..., :labels]], axis=-1)

    def _probabilities(self, scores: Array) -> Array:
        if self.scores == "softmax":
            exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
            softmax: Array = exponentials / exponentials.sum(axis=-1, keepdims=True)
            return softmax
        if self.scores == "sigmoid":
            sigmoid: Array = 0.5 * (1 + np.tanh(scores / 2))  # never overflows
            return sigmoid
        if scores.size and (scores.min() < -TOLERANCE or scores.max() > 1 + TOLERANCE):
            raise ArtifactError(
                f"the scores are not probabilities: from {scores.min():.3g} to {scores.max():.3g}; state"
                ' scores = "sigmoid" or "softmax" in the boxes of the specification',
                code="E-OUTPUT",
            )
        return np.clip(scores, 0, 1)


class ImagePixels(np.ndarray[Any, np.dtype[np.uint8]]):
    """The pixels that the network gets, with the width and height of the image that they are from."""

    original_size: tuple[int, int] | None = None


def with_original_size(pixels: Array, size: tuple[int, int]) -> ImagePixels:
    """The pixels with the width and height of their image; they are not copied."""
    sized = pixels.view(ImagePixels)
    sized.original_size = size
    return sized


def find_box_format(
    task: str, data: Mapping[str, Any], preprocessing: Preprocessing
) -> BoxFormat | None:
    """The box format that a manifest states; None for another task.

    Raises:
        ValueError: it is missing, not valid, or stated for another task; or boxes cannot be traced back
            through the preprocessing.
    """
    if not TASKS[task].reads_boxes:
        if data:
            raise ValueError(f"the task is {task!r}; expected 'boxes'")
        return None
    image_spec = preprocessing.image_spec
    if image_spec is None or image_spec.to_original is None:
        raise ValueError(
            "the preprocessing does not say where a pixel comes from; expected the kind 'rgb-image'"
            " with a size"
        )
    return BoxFormat.from_data(data)


def select_boxes(row: Array, labels: Sequence[str], threshold: float) -> list[LabelledBox]:
    """The boxes whose score is at least the threshold, best first.

    Args:
        row: (boxes, 4 + labels): a row of what `BoxFormat.read` returns, in any unit.
        labels: The labels of the scores.
        threshold: From 0 to 1.
    """
    best = row[:, 4:].argmax(axis=1)
    scores = row[:, 4:].max(axis=1)
    order = np.argsort(-scores, kind="stable")
    return [
        LabelledBox(labels[best[index]], float(scores[index]), tuple(row[index, :4].tolist()))
        for index in order[: int((scores >= threshold).sum())]
    ]
