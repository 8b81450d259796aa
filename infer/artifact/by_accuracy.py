"""What holds a file that computes in int8: not float64, but its answers on test rows.

Beside the network's tolerance, some 1e-5 of its largest number, an int8 file is far off everywhere: each
of its numbers is one of 256. What a person wants to know is whether the labels are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ptx.infer.artifact.golden import take
from ptx.infer.errors import pluralise

BY_ACCURACY = "int8, by accuracy"
ONE_SIDED = 1.645  # standard deviations of a one-sided bound of 95 %
# Labels that may change, in percent of the answers: three for each point that may be lost, and a tenth
# of a percent, since level answers change whatever one does.
CHANGED_PER_DROP, CHANGED = 3.0, 0.1


@dataclass(frozen=True)
class ByAccuracy:
    """Two files' answers on the same test rows: computed in float32, and in int8.

    Attributes:
        data: The name of the data set.
        answers: One a row, or one a step of a sequence.
        before: The share of them that float32 gives right.
        changed: Answers with another label.
        max_drop: Points of accuracy that int8 may lose.
    """

    data: str
    answers: int
    before: float
    after: float
    changed: int
    newly_wrong: int
    newly_right: int
    max_drop: float

    @property
    def drop(self) -> float:
        """Points of accuracy lost; less than 0 where int8 gives more right."""
        return 100 * (self.newly_wrong - self.newly_right) / self.answers

    @property
    def bound(self) -> float:
        """Points that are lost at most on rows like these: one-sided, 95 %, from the paired counts."""
        either = self.newly_wrong + self.newly_right
        if not either:
            return 300 / self.answers  # the rule of three
        net = self.newly_wrong - self.newly_right
        return (
            self.drop + 100 * ONE_SIDED * math.sqrt(either - net**2 / self.answers) / self.answers
        )

    @property
    def most_changed(self) -> int:
        """Labels that may change."""
        return int(self.answers * (CHANGED_PER_DROP * self.max_drop + CHANGED) / 100)

    def __str__(self) -> str:
        return (
            f"{BY_ACCURACY}: {100 * self.before:.2f} → {100 * self.after:.2f} % of {self.answers:,} test"
            f" answers of {self.data}, {pluralise(self.changed, 'label')} changed ({self.newly_wrong:,}"
            f" newly wrong, {self.newly_right:,} newly right; at 95 % at most {self.bound:.2f} lost)"
        )

    def to_data(self) -> dict[str, Any]:
        """The JSON form, which a card carries as `agreement.by_accuracy`."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> ByAccuracy:
        """What is behind the JSON form; ValueError where it is not one."""
        counts = {key: take(data, key, int) for key in ("answers", *_COUNTS)}
        shares = {key: float(take(data, key, float)) for key in _NUMBERS}
        if counts["answers"] < 1 or min(counts.values()) < 0:
            raise ValueError(f"the answers by accuracy are {counts}; expected counts")
        return cls(data=take(data, "data", str), **counts, **shares)  # type: ignore[arg-type]


_COUNTS = ("changed", "newly_wrong", "newly_right")
_NUMBERS = ("before", "after", "max_drop")
