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
    """The one `openvino.Core` of a process, which a fork does not share.

    On processors with AMX each core gives its thread a stack for signal handlers, and where a second one
    goes after the first it leaves that thread the first one's, which is freed: the next signal, such as
    Ctrl-C, then ends the process without a word.
    """
    return import_openvino().Core()


@final
class OpenvinoBackend:
    """Runs an ONNX file that ptx exported; each thread has an inference request of its own.

    Where a processor has bfloat16, OpenVINO computes in it by default: on such a one a ConvNet missed by
    750 times what is allowed, and an LSTM gave other labels. So float32 is asked for, and read back.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        self._artifact = artifact
        signature = artifact.require_manifest().signature
        rough = [spec.name for spec in signature if spec.dtype == "float64"]
        if rough:
            raise ArtifactError(
                f"tensor {rough[0]!r} of {artifact.name} is float64, and OpenVINO computes float32: use"
                " ort-cpu",
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
        self._own = threading.local()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with _mapping_errors(self._artifact, "run"):
            request = getattr(self._own, "request", None)
            if request is None:
                request = self._own.request = self._compiled.create_infer_request()
            answers = request.infer(dict(inputs))
            return {name: answers[output] for name, output in self._outputs.items()}

    def close(self) -> None:
        self._compiled, self._own = None, threading.local()


def _require_float32(got: Any, openvino: Any) -> None:
    if got != openvino.Type.f32:
        raise BackendError(
            f"OpenVINO opened the model in {got}; expected float32, which was asked for"
        )


@contextmanager
def _mapping_errors(artifact: Artifact, verb: str) -> Iterator[None]:
    """What OpenVINO raises in the body as an error of ptx; they have no base class of their own."""
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ArtifactError(
            f"OpenVINO cannot {verb} {artifact.name}: {text[:300]}", code=_CODES[verb]
        ) from error
