"""One small network for all tests of ptx.scale: untrained, so that it is there at once."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # of `scale_faults`, which workers import too

# Of Ray, before it is imported: it sends nothing, writes no token into the home of the user, and its
# workers do not starve beside other tests.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_worker_niceness": "0",
    "RAY_raylet_start_wait_time_s": "240",
}


@pytest.fixture(scope="session")
def convnet(artifact: Any) -> Path:
    """The file of a convnet."""
    path: Path = artifact("convnet", "onnx")
    return path
