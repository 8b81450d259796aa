"""A predictor's specification, to open it in another process: the bytes of the file and the options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptx.infer.artifact.artifact import Artifact, parse_artifact
from ptx.infer.backends import Options, supports
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
            options=without_unsupported_threads(self.options, self.backend, artifact),
            model_spec=self.model_spec,
        )


def without_unsupported_threads(options: Options, backend: str, artifact: Artifact) -> Options:
    """The options, without `threads` if the backend does not have that option."""
    if supports("threads", backend, artifact.kind):
        return options
    return replace(options, threads=None)
