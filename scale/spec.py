"""A predictor's specification, to open it in another process: the bytes of the file and the options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptx.infer.artifact.artifact import Artifact, parse_artifact
from ptx.infer.backends import BACKENDS, Options
from ptx.infer.loading import open_predictor
from ptx.infer.predictor import Predictor

if TYPE_CHECKING:
    from ptx.infer.external.spec import ModelSpec


@dataclass(frozen=True)
class PredictorSpec:
    """Everything that another process needs to open a predictor."""

    data: bytes  # the artifact file
    name: str  # the name of the file, for messages
    backend: str
    options: Options
    model_spec: ModelSpec | None = None  # for an ONNX file without ptx metadata

    def open(self) -> Predictor:
        """The predictor.

        Raises:
            ArtifactError: the bytes do not match their content digest.
            BackendError: the backend is not available here.
        """
        artifact = parse_artifact(self.data, path=Path(self.name))
        return open_predictor(
            artifact,
            backend=self.backend,
            options=without_unsupported_threads(self.options, artifact),
            model_spec=self.model_spec,
        )


def without_unsupported_threads(options: Options, artifact: Artifact) -> Options:
    """The options, without `threads` if no backend for this format has that option."""
    entries = [entry for entry in BACKENDS.values() if entry.artifact_format == artifact.kind]
    if any("threads" in entry.supported_options for entry in entries):
        return options
    return replace(options, threads=None)
