"""What stands on the disk: temporary files, and the weights in a file."""

from __future__ import annotations

import os
from pathlib import Path


def temporaries(folder: Path) -> list[str]:
    """The names of temporary files in a folder."""
    try:
        return [name for name in os.listdir(folder) if name.endswith(".ptx-tmp")]  # noqa: PTH208 - the names alone
    except FileNotFoundError:
        return []


def weights_of(path: Path) -> str:
    """The digest of the weights that a file says it holds; "" where the file is not whole."""
    from ptx.infer.artifact.artifact import read_artifact
    from ptx.infer.errors import PtxError
    from ptx.models.checkpoint import loads, weights_digest

    try:
        artifact = read_artifact(path)
        digest = artifact.require_card().weights_sha256
        if artifact.kind == "checkpoint" and weights_digest(loads(artifact.data).weights) != digest:
            return ""
    except PtxError:
        return ""
    return digest
