"""ONNX Runtime on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, final

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import Options
from ptx.infer.backends.ort.session import open_session, run_session
from ptx.infer.backends.threads import usable_processors
from ptx.infer.backends.watchdog import Watchdog
from ptx.infer.errors import BackendError
from ptx.infer.signature import Array

SMALL_MODEL = 4 * 2**20  # bytes of the file; more weights are worth all threads for any input
SMALL_INPUT = 12_544  # numbers; 16 pictures of 28×28


@final
class OrtCpuBackend:
    """Runs an ONNX file with the CPU execution provider; a session may serve many threads.

    To wake a second thread for one small picture takes as long as the picture itself: a small model has
    a session with one thread for small inputs, and one with all of them that is opened when a large
    input comes. Where the number of threads is given there is one session.

    Attributes:
        small_input: Numbers of the largest small input; to be raised where the other processors have
            other things to do.
    """

    name = "ort-cpu"
    device = "cpu"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        self._artifact, self.small_input = artifact, SMALL_INPUT
        self._watchdog = None if options.timeout is None else Watchdog(options.timeout)
        self._options, self._opening = options, threading.Lock()
        self._two = (
            options.threads is None
            and len(artifact.data) <= SMALL_MODEL
            and usable_processors() > 1
        )
        self._session: Any = self._open(1 if self._two else options.threads)
        self._parallel: Any = None
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        session = self._session
        if self._two and _count(inputs) > self.small_input:
            session = self._parallel or self._open_parallel()
        return run_session(self._artifact, session, self._outputs, inputs, self._watchdog)

    def close(self) -> None:
        self._session = self._parallel = None

    def _open(self, threads: int | None) -> Any:
        options = replace(self._options, threads=threads)
        session = open_session(self._artifact, options, ["CPUExecutionProvider"], self._watchdog)
        provider = session.get_providers()[0]
        if provider != "CPUExecutionProvider":
            raise BackendError(f"ONNX Runtime opened {provider}; expected CPUExecutionProvider")
        return session

    def _open_parallel(self) -> Any:
        with self._opening:
            if self._parallel is None:
                self._parallel = self._open(None)
            return self._parallel


def _count(inputs: Mapping[str, Any]) -> int:
    """The numbers of all inputs; a sum over a generator would cost half a microsecond more."""
    count = 0
    for value in inputs.values():
        count += getattr(value, "size", 0)
    return count
