"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from ptx.infer.artifact import Artifact
from ptx.infer.backends import Options
from ptx.infer.backends.ort_session import open_session, translated
from ptx.infer.errors import BackendError, UsageError, quoted
from ptx.infer.signature import Array


@final
class OrtCpuBackend:
    """Runs an ONNX file with the CPU execution provider; a session may serve many threads."""

    name = "ort-cpu"
    device = "cpu"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        if options.device not in ("auto", "cpu"):
            raise UsageError(
                f"backend 'ort-cpu' runs on the CPU; the device asked for is {quoted(options.device)}"
            )
        self._artifact = artifact
        self._session: Any = open_session(artifact, options, ["CPUExecutionProvider"])
        provider = self._session.get_providers()[0]
        if provider != "CPUExecutionProvider":
            raise BackendError(f"ONNX Runtime opened {provider}; expected CPUExecutionProvider")
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with translated(self._artifact, "run"):
            return dict(zip(self._outputs, self._session.run(None, inputs), strict=True))

    def close(self) -> None:
        self._session = None
