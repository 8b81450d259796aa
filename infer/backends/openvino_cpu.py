"""OpenVINO on the CPU, computing in float32."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, final

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import Options
from ptx.infer.backends.threads import available_cpus
from ptx.infer.errors import ArtifactError, BackendError, UsageError, install_hint
from ptx.infer.signature import Array

_CODES = {"load": "E-ONNX-LOAD", "run": "E-ONNX-RUN"}
_PRECISION, _FLOAT32 = "INFERENCE_PRECISION_HINT", "f32"


def import_openvino() -> Any:
    """The `openvino` module.

    Raises:
        BackendError: it is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise BackendError(f"OpenVINO is not installed: {install_hint('openvino')}") from error
    return openvino


@cache
def open_core(process: int) -> Any:
    """The only `openvino.Core` of a process; `process`: its pid, so that a forked child has another one.

    On processors with AMX, each Core sets a stack for signal handlers in its thread. If a second Core is
    destroyed after the first one, the thread is left with the freed stack of the first: the next signal,
    such as Ctrl-C, then kills the process without a message.
    """
    return import_openvino().Core()


@final
class OpenvinoBackend:
    """Runs an ONNX file that ptx exported; each thread has its own inference request.

    On processors with bfloat16, OpenVINO uses it by default: the error of a ConvNet was 750 times the
    tolerance, and an LSTM predicted other labels. So float32 is requested, and the setting is checked.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        self._artifact = artifact
        signature = artifact.require_manifest().signature
        float64_names = [spec.name for spec in signature if spec.dtype == "float64"]
        if float64_names:
            raise ArtifactError(
                f"tensor {float64_names[0]!r} of {artifact.name} is float64, but OpenVINO computes in"
                " float32: use ort-cpu",
                code="E-ONNX-LOAD",
            )
        if artifact.external_data:
            raise UsageError(
                f"{artifact.name} has its weights in other files, which the backend openvino does not"
                " read: use ort-cpu, or save the model as one file"
            )
        openvino = import_openvino()
        settings = {
            _PRECISION: _FLOAT32,
            "INFERENCE_NUM_THREADS": options.threads or available_cpus(),
        }
        with _mapping_errors(artifact, "load"):
            core = open_core(os.getpid())
            model = core.read_model(artifact.data, b"")
            self._compiled: Any = core.compile_model(model, "CPU", settings)
            self._outputs = {
                spec.name: self._compiled.output(spec.name) for spec in signature.outputs
            }
        _require_float32(self._compiled.get_property(_PRECISION), openvino)
        self._thread_local = threading.local()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with _mapping_errors(self._artifact, "run"):
            request = getattr(self._thread_local, "request", None)
            if request is None:
                request = self._thread_local.request = self._compiled.create_infer_request()
            results = request.infer(dict(inputs))
            return {name: results[output] for name, output in self._outputs.items()}

    def close(self) -> None:
        self._compiled, self._thread_local = None, threading.local()


def _require_float32(precision: Any, openvino: Any) -> None:
    if precision != openvino.Type.f32:
        raise BackendError(f"OpenVINO opened the model in {precision}; expected float32")


@contextmanager
def _mapping_errors(artifact: Artifact, verb: str) -> Iterator[None]:
    """Convert the exceptions of OpenVINO, which have no common base class, into ArtifactError."""
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ArtifactError(
            f"OpenVINO cannot {verb} {artifact.name}: {text[:300]}", code=_CODES[verb]
        ) from error
