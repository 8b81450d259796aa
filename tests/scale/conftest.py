"""One small network for all tests of ptx.scale: untrained, so that it is there at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def convnet(artifact: Any) -> Path:
    """The file of a convnet."""
    path: Path = artifact("convnet", "onnx")
    return path
