"""What each part of the kill test counted, and the table of it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Row:
    """A line of the table."""

    what: str
    counts: Counter[str] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)

    def expect(self, holds: object, what: str) -> None:
        """Count a check, and keep what it says where it does not hold."""
        self.counts["checks"] += 1
        if not holds:
            self.losses.append(f"{self.what}: {what}")


def report(rows: Sequence[Row]) -> int:
    """Print the table; 1 where something was lost."""
    lost = sum(len(row.losses) for row in rows)
    kills = sum(row.counts["kills"] for row in rows)
    for row in rows:
        counts = ", ".join(f"{count} {what}" for what, count in row.counts.items())
        print(f"{row.what + ':':20}{counts}; lost {len(row.losses)}")
    print(f"{kills} kills, files lost: {lost}")
    for row in rows:
        for loss in row.losses:
            print(f"LOST {loss}", file=sys.stderr)
    return 1 if lost else 0
