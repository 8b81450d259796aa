"""Polling a socket for a moment: a lone client asks again sooner than a sleeping server is woken."""

from __future__ import annotations

import os
import time

_PATIENCE = 1e-4  # seconds: about what sleeping and being woken would take
_READ = 256 * 2**10  # bytes


def read_soon(file: int) -> bytes:
    """The bytes that come on a socket that does not block, or none where none come soon.

    None also at its end and where it is broken: the loop will find the same.
    """
    end = time.perf_counter() + _PATIENCE
    while time.perf_counter() < end:
        try:
            return os.read(file, _READ)
        except BlockingIOError:
            continue
        except OSError:
            break
    return b""
