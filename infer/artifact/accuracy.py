"""How often two versions of a model are right on the same labelled rows: what quantization changes.

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
# Labels that may change, in percent of the predictions: 3 for each point of accuracy that may be lost,
# and 0.1 for ties.
CHANGED_PER_DROP, CHANGED = 3.0, 0.1
_COUNTS = ("predictions", "changed", "newly_wrong", "newly_right")


@dataclass(frozen=True)
class AccuracyComparison:
    """Predictions of two versions of a model on the same rows: the original, and a quantized one.

    Attributes:
        data: The name of the data set.
        predictions: How many: one a row, or one a step of a sequence.
        before: The share that the original predicts right; of a regression its root mean squared error.
        after: The same of the quantized version.
        changed: Predictions with another label.
        max_drop: Points of accuracy that may be lost.
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
        """Points of accuracy lost; negative if the quantized version is right more often."""
        return 100 * (self.newly_wrong - self.newly_right) / self.predictions

    @property
    def bound(self) -> float:
        """Upper bound of the points lost on rows like these: one-sided, 95 %, from the paired counts."""
        either = self.newly_wrong + self.newly_right
        if not either:
            return 300 / self.predictions  # the rule of three
        net = self.newly_wrong - self.newly_right
        return (
            self.drop
            + 100 * ONE_SIDED * math.sqrt(either - net**2 / self.predictions) / self.predictions
        )

    @property
    def max_changed(self) -> int:
        """How many labels may change."""
        return int(self.predictions * (CHANGED_PER_DROP * self.max_drop + CHANGED) / 100)

    def __str__(self) -> str:
        rows = pluralise(self.predictions, "test answer") + (
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
        """The JSON form, which the manifest of an int8 file holds as `verification.quantization`."""
        return {key: value for key, value in asdict(self).items() if key != "regression"}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> AccuracyComparison:
        """Parse the JSON form; ValueError if it is not valid."""
        counts = {key: require_field(data, key, int) for key in _COUNTS}
        shares = {
            key: float(require_field(data, key, float)) for key in ("before", "after", "max_drop")
        }
        if counts["predictions"] < 1 or min(counts.values()) < 0:
            raise ValueError(
                f"the counts of 'quantization' are {counts}; expected counts of 1 or more predictions"
            )
        return cls(data=require_field(data, "data", str), **counts, **shares)  # type: ignore[arg-type]
