"""How PyTorch's threads wait for each other, which is decided before PyTorch is imported."""

from __future__ import annotations

import os


def settle_threads() -> None:
    """Let them spin for 0.1 ms and then sleep, unless the environment says something else.

    The gaps between two operators are shorter, those between two predictions longer. By default they
    spin for 3 ms: where another process holds a processor one prediction then takes up to 46 ms instead
    of 0.2. If they slept at once, an epoch of the ConvNet would take 1.5 times as long.
    See https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # heeded by all OpenMP libraries
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # by that of Linux, above the other
