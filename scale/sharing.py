"""A model as it travels: the file's bytes, and how they are opened where they arrive."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptx.infer.artifact.artifact import Artifact, parse_artifact
from ptx.infer.backends import BACKENDS, Options
from ptx.infer.loading import open_predictor
from ptx.infer.predictor import Predictor

if TYPE_CHECKING:
    from ptx.infer.described.description import Description


@dataclass(frozen=True)
class Opening:
    """All that another process needs to open a predictor; its seal is checked there."""

    data: bytes
    name: str  # of the file, for messages
    backend: str
    options: Options
    description: Description | None = None

    def open(self) -> Predictor:
        """The predictor.

        Raises:
            ArtifactError: the bytes are not those that were sealed.
            BackendError: the backend is not available here.
        """
        artifact = parse_artifact(self.data, path=Path(self.name))
        options = heeded(self.options, artifact)
        return open_predictor(
            artifact, backend=self.backend, options=options, description=self.description
        )


def heeded(options: Options, artifact: Artifact) -> Options:
    """The options, without threads where no backend of such a file heeds them."""
    entries = [entry for entry in BACKENDS.values() if entry.reads == artifact.kind]
    return options if any("threads" in e.heeds for e in entries) else replace(options, threads=None)
