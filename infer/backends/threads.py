"""How many CPUs this process may use, and how idle OpenMP threads of PyTorch wait."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")  # "quota period" in microseconds, or "max period"


def available_cpus(cgroup_limit: Path = _CGROUP_LIMIT) -> int:
    """The CPUs in the affinity mask, or the cgroup's CPU quota if that is smaller; at least 1.

    `os.cpu_count()` counts all CPUs of the host, even if the container may use only two.
    """
    has_mask = hasattr(os, "sched_getaffinity")
    count = len(os.sched_getaffinity(0)) if has_mask else os.cpu_count() or 1
    try:
        quota, period = cgroup_limit.read_text().split()
        allowed = count if quota == "max" else int(quota) // int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return count
    return max(1, min(count, allowed))


def set_openmp_wait_policy() -> None:
    """Let idle OpenMP threads spin for 0.1 ms and then sleep, unless OMP_WAIT_POLICY is set.

    Call this before PyTorch is imported. The gap between two operators is shorter than 0.1 ms, the gap
    between two predictions longer. The default is to spin for 3 ms: if another process uses a CPU, one
    prediction then takes up to 46 ms instead of 0.2 ms. Without any spinning, an epoch of the ConvNet
    would take 1.5 times as long.
    See https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # respected by all OpenMP libraries
        # Read only by GNU OpenMP, where it overrides the policy.
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
