"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from ptx.infer.artifact import Artifact
from ptx.infer.backends import Options
from ptx.infer.backends.ort_session import open_session, run_session
from ptx.infer.backends.watchdog import Watchdog
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
        self._watchdog = None if options.timeout is None else Watchdog(options.timeout)
        self._session: Any = open_session(
            artifact, options, ["CPUExecutionProvider"], self._watchdog
        )
        provider = self._session.get_providers()[0]
        if provider != "CPUExecutionProvider":
            raise BackendError(f"ONNX Runtime opened {provider}; expected CPUExecutionProvider")
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        outputs = run_session(self._artifact, self._session, inputs, self._watchdog)
        return dict(zip(self._outputs, outputs, strict=True))

    def close(self) -> None:
        self._session = None
