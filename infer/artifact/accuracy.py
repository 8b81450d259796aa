"""Accuracy of a quantized model compared with the original, on the same labelled rows.

The outputs of a file that computes in int8 are far outside the float64 tolerance, since each of its
values is one of 256. Such a file is accepted by its predictions on test rows instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ptx.infer.artifact.golden import require_field
from ptx.infer.errors import pluralise

BY_ACCURACY = "int8, by accuracy"
ONE_SIDED = 1.645  # standard deviations of a one-sided bound of 95 %
# Labels that may change, in percent of the predictions: 3 per point of accepted accuracy loss, and 0.1
# for ties.
CHANGED_PER_DROP, CHANGED = 3.0, 0.1
_COUNTS = ("predictions", "changed", "newly_wrong", "newly_right")


@dataclass(frozen=True)
class AccuracyComparison:
    """Predictions of two versions of a model on the same rows: the original, and a quantized one.

    Attributes:
        data: The name of the data set.
        predictions: Number of predictions: one per row, or one per step of a sequence.
        before: Accuracy of the original, 0 to 1; for a regression its root mean squared error.
        after: The same for the quantized version.
        changed: Number of predictions with another label.
        newly_wrong: Predictions that only the original has right.
        newly_right: Predictions that only the quantized version has right.
        max_drop: Accepted loss of accuracy, in percentage points.
        regression: Whether `before` and `after` are errors.
    """

    data: str
    predictions: int
    before: float
    after: float
    changed: int = 0
    newly_wrong: int = 0
    newly_right: int = 0
    max_drop: float = math.inf
    regression: bool = False

    @property
    def drop(self) -> float:
        """Loss of accuracy in percentage points; negative if the quantized version is better."""
        return 100 * (self.newly_wrong - self.newly_right) / self.predictions

    @property
    def bound(self) -> float:
        """One-sided 95 % confidence bound of `drop`, from the paired counts."""
        discordant = self.newly_wrong + self.newly_right
        if not discordant:
            return 300 / self.predictions  # the rule of three
        net = self.newly_wrong - self.newly_right
        deviation = math.sqrt(discordant - net**2 / self.predictions) / self.predictions
        return self.drop + 100 * ONE_SIDED * deviation

    @property
    def max_changed(self) -> int:
        """The number of labels that may change."""
        return int(self.predictions * (CHANGED_PER_DROP * self.max_drop + CHANGED) / 100)

    def __str__(self) -> str:
        rows = pluralise(self.predictions, "test prediction") + (
            f" of {self.data}" if self.data else ""
        )
        if self.regression:
            return f"root mean squared error {self.before:.6g} → {self.after:.6g} over {rows}"
        text = (
            f"{100 * self.before:.2f} → {100 * self.after:.2f} % of {rows},"
            f" {pluralise(self.changed, 'label')} changed ({self.newly_wrong:,} newly wrong,"
            f" {self.newly_right:,} newly right"
        )
        if math.isinf(self.max_drop):
            return f"{text})"
        return f"{BY_ACCURACY}: {text}; at 95 % at most {self.bound:.2f} lost)"

    def to_data(self) -> dict[str, Any]:
        """The JSON form: `verification.quantization` in the manifest of an int8 file."""
        return {key: value for key, value in asdict(self).items() if key != "regression"}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> AccuracyComparison:
        """Parse the JSON form; ValueError if it is not valid."""
        counts = {key: require_field(data, key, int) for key in _COUNTS}
        numbers = {
            key: float(require_field(data, key, float)) for key in ("before", "after", "max_drop")
        }
        if counts["predictions"] < 1 or min(counts.values()) < 0:
            raise ValueError(
                f"the counts of 'quantization' are {counts}; expected counts of 1 or more predictions"
            )
        return cls(data=require_field(data, "data", str), **counts, **numbers)  # type: ignore[arg-type]
