"""How many processors this process may use, and how PyTorch's threads wait for each other."""

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


def settle_threads() -> None:
    """Let them spin for 0.1 ms and then sleep, unless the environment says something else.

    To be called before PyTorch is imported. The gaps between two operators are shorter, those between
    two predictions longer. By default they spin for 3 ms: where another process holds a processor one
    prediction then takes up to 46 ms instead of 0.2. If they slept at once, an epoch of the ConvNet
    would take 1.5 times as long.
    See https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # heeded by all OpenMP libraries
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # by that of Linux, above the other
