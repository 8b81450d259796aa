"""How likely a prediction is wrong: calibrated scores, and for digits an out-of-distribution detector.

A manifest stores the temperature, which was fitted for its network, and the digest of the detector,
which all models of digits share: `{"temperature": 1.2, "ood_detector": "10f3…"}`.
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
    """Computes the probability that a predicted label is wrong.

    Attributes:
        temperature: Temperature scaling: the logits are divided by it before the softmax, so that its
            scores match the accuracy on test rows.
        ood_detector: A digest, see `ptx.infer.digits.ood`; empty unless the model classifies digits.
    """

    temperature: float
    ood_detector: str = ""

    @classmethod
    def from_data(
        cls, data: Mapping[str, Any], task: str, size: Sequence[int], labels: int
    ) -> Calibration | None:
        """The calibration in a manifest; None if there is none.

        Args:
            data: The field `calibration` of the manifest.
            task: The model's task; only logits can be calibrated.
            size: Height and width in pixels of the network's images; not used for other inputs.
            labels: The number of labels of the network.

        Raises:
            ArtifactError: E-MANIFEST: it is not valid, or does not match the model.
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
                    f"ood_detector is for {ood.LABELS} labels and images of {ood.SIZE}; the model has"
                    f" {labels} labels and images of {tuple(size)}"
                )
        except ValueError as error:
            raise ArtifactError(
                f"the manifest's calibration is not valid: {error}", code="E-MANIFEST"
            ) from error
        return cls(temperature, digest)

    def error_probabilities(self, logits: Array, pixels: Sequence[Array]) -> list[float] | None:
        """For each row the probability, 0 to 1, that the label of its largest logit is wrong.

        None if this version of ptx does not have the detector, or the samples are not pixels.

        Args:
            logits: float (batch, labels).
            pixels: The sample of each row: uint8 (height, width) for images.
        """
        labels = logits.argmax(axis=1)
        correct = _softmax_at(logits.astype(np.float64) / self.temperature, labels)
        if self.ood_detector:
            detector = ood.load_detector(self.ood_detector)
            if detector is None or not pixels or any(row.dtype != np.uint8 for row in pixels):
                return None
            correct = correct * _softmax_at(detector.logits(pixels), labels)
        errors: list[float] = (1 - correct).tolist()
        return errors


def _softmax_at(logits: Array, labels: Array) -> Array:
    """float64 (batch,): the softmax of each row at its label; `labels`: integers (batch,)."""
    relative = logits - logits[np.arange(len(labels)), labels, np.newaxis]
    # above 80 the result is 0 to the last digit, and exp would overflow in float32
    totals: Array = np.exp(np.minimum(relative, 80)).sum(axis=1)
    return 1 / totals.astype(np.float64)
