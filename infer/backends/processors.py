"""How many processors this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")  # "quota period" in microseconds, or "max period"


def usable_processors(cgroup_limit: Path = _CGROUP_LIMIT) -> int:
    """At least 1: the affinity mask, or the cgroup's quota where that is smaller.

    `os.cpu_count()` counts the host's processors, of which a container may have two.
    """
    has_mask = hasattr(os, "sched_getaffinity")
    count = len(os.sched_getaffinity(0)) if has_mask else os.cpu_count() or 1
    try:
        quota, period = cgroup_limit.read_text().split()
        allowed = count if quota == "max" else int(quota) // int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return count
    return max(1, min(count, allowed))
