"""One small network for all tests of ptx.scale: untrained, so that it is there at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

# Of Ray, before it is imported: it sends nothing, and its workers do not starve beside other tests.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}


@pytest.fixture(scope="session")
def convnet(artifact: Any) -> Path:
    """The file of a convnet."""
    path: Path = artifact("convnet", "onnx")
    return path
