"""How likely a prediction is wrong: calibrated scores, and for digits an out-of-distribution detector.

A manifest holds what belongs to its network, the temperature, and the digest of the detector, which is
the same for all: `{"temperature": 1.2, "ood_detector": "10f3…"}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ptx.infer.artifact.golden import require_field
from ptx.infer.digits import ood
from ptx.infer.errors import ArtifactError
from ptx.infer.signature import Array
from ptx.infer.tasks import find_task

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Calibration:
    """Gives the probability that a predicted label is wrong.

    Attributes:
        temperature: Dividing the logits by it makes the softmax as often right as it says on test rows.
        ood_detector: A digest, see `ptx.infer.digits.ood`; empty for other data than digits.
    """

    temperature: float
    ood_detector: str = ""

    @classmethod
    def from_data(
        cls, data: Mapping[str, Any], task: str, size: Sequence[int], labels: int
    ) -> Calibration | None:
        """What a manifest holds; None if it holds nothing.

        Args:
            task: The model's; only logits can be calibrated.
            size: Height and width in pixels of the network's pictures; anything for other inputs.
            labels: How many the network knows.

        Raises:
            ArtifactError: E-MANIFEST: it is not valid, or does not fit the model.
        """
        if not data:
            return None
        try:
            temperature = require_field(data, "temperature", float)
            digest = require_field({"ood_detector": "", **data}, "ood_detector", str)
            if not find_task(task).reads_logits:
                raise ValueError(f"the task {task!r} reads no logits; expected one that does")
            if not 0.01 <= temperature <= 100:
                raise ValueError(f"the temperature is {temperature}; expected 0.01 to 100")
            if digest and not _SHA256.fullmatch(digest):
                raise ValueError(f"ood_detector is {digest[:70]!r}; expected a SHA-256 in hex")
            if digest and (tuple(size), labels) != (ood.SIZE, ood.LABELS):
                raise ValueError(
                    f"ood_detector is for {ood.LABELS} labels and pictures of {ood.SIZE}; the model has"
                    f" {labels} labels and pictures of {tuple(size)}"
                )
        except ValueError as error:
            raise ArtifactError(
                f"the manifest's calibration is not valid: {error}", code="E-MANIFEST"
            ) from error
        return cls(temperature, digest)

    def error_probabilities(self, logits: Array, pixels: Sequence[Array]) -> list[float] | None:
        """For each row the probability, 0 to 1, that the label of its largest logit is wrong.

        None if the detector that the manifest names is not in this ptx, or has no pixels to look at.

        Args:
            logits: float (batch, labels).
            pixels: What the network was given for each row; uint8 (height, width) for pictures.
        """
        labels = logits.argmax(axis=1)[:, np.newaxis]
        right = _softmax_at(logits.astype(np.float64) / self.temperature, labels)
        if self.ood_detector:
            detector = ood.load_detector(self.ood_detector)
            if detector is None or not pixels or any(row.dtype != np.uint8 for row in pixels):
                return None
            right = right * _softmax_at(detector.logits(pixels), labels)
        wrong: list[float] = (1 - right).tolist()
        return wrong


def _softmax_at(logits: Array, labels: Array) -> Array:
    """float64 (batch,): each row's softmax at its label, of `labels` (batch, 1)."""
    above = logits - np.take_along_axis(logits, labels, axis=1)
    totals: Array = np.exp(np.minimum(above, 80)).sum(axis=1)  # beyond it the share is 0 anyway
    return 1 / totals.astype(np.float64)
