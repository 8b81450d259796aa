"""Converts exceptions of ONNX Runtime, which differ only in their texts, into errors of ptx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.artifact.onnx_bytes import read_header
from ptx.infer.errors import ArtifactError, BackendError, LimitError, PtxError
from ptx.infer.ranges import OPSETS

NEWEST_OPSET, NEWEST_IR = (
    int(OPSETS.max),
    13,
)  # the newest that ONNX Runtime 1.31 supports officially

# Characters of ONNX Runtime's text that a message shows; the reason is at the end.
_START, _END = 100, 200
_HOST_MEMORY = "bad_alloc"
# Messages of the arena, which name neither the device nor the error of CUDA.
_ARENA = ("Failed to allocate", "is smaller than requested bytes")
# See onnxruntime/core/providers/cuda/cuda_call.cc and cudnn_fe_call.cc.
_FAILURE = re.compile(
    r"(CUDA|CUBLAS|CUDNN|CUDNN_FE|CURAND|CUFFT|CUSPARSE) failure (-?\d+): (.*?) ?; GPU="
)
_OUT_OF_MEMORY = re.compile(r"out of memory|ALLOC(ATION)?_FAILED")
_LIBRARIES = {
    "CUBLAS": "cuBLAS",
    "CUDNN": "cuDNN",
    "CUDNN_FE": "cuDNN",
    "CURAND": "cuRAND",
    "CUFFT": "cuFFT",
    "CUSPARSE": "cuSPARSE",
}
_MORE_MEMORY = {
    "load": "stop other programs that use the memory, or use a smaller model",
    "run": "use a smaller batch",
}
# Source paths of the machine that built ONNX Runtime.
_SOURCE_PATH = re.compile(r"\S+\.(cc|cu|h|cpp):\d+ ")


class CudaFailure(NamedTuple):
    """A failed call of a CUDA library."""

    library: str
    status: int
    text: str

    def __str__(self) -> str:
        return f"{self.library} error {self.status}: {self.text}"


@contextmanager
def mapping_onnxruntime_errors(artifact: Artifact, verb: str) -> Iterator[None]:
    """Convert exceptions of ONNX Runtime in the body; `verb`: "load" or "run", for the message."""
    try:
        yield
    except Exception as error:
        raise map_error(error, artifact, verb) from error


def map_error(error: Exception, artifact: Artifact, verb: str) -> PtxError:
    """An exception of ONNX Runtime as an error of ptx."""
    if isinstance(error, PtxError):
        return error
    if isinstance(error, MemoryError):
        return LimitError(f"{artifact.name}: out of memory", code="E-MEMORY")
    text = " ".join(str(error).split())
    failure = find_cuda_failure(text)
    if failure is not None and not _OUT_OF_MEMORY.search(failure.text):
        return BackendError(
            f"ort-cuda cannot {verb} {artifact.name}: {failure}: check nvidia-smi, or use --backend"
            " ort-cpu",
            code="E-CUDA",
            reason=str(failure),
        )
    if failure is not None or _HOST_MEMORY in text or any(words in text for words in _ARENA):
        cause = f" ({failure})" if failure else ""
        return LimitError(
            f"{artifact.name}: ONNX Runtime ran out of memory{cause}: {_MORE_MEMORY[verb]}",
            code="E-MEMORY",
        )
    return _artifact_error(artifact, verb, text)


def find_cuda_failure(text: str) -> CudaFailure | None:
    """The failed call that a text of ONNX Runtime reports; None if it reports something else."""
    match = _FAILURE.search(text)
    if match is None:
        return None
    library, status, reason = match.groups()
    return CudaFailure(_LIBRARIES.get(library, library), int(status), reason)


def _artifact_error(artifact: Artifact, verb: str, text: str) -> ArtifactError:
    header = read_header(artifact.data, name=artifact.name)
    opset = header.opsets.get("", 0)
    if verb == "load" and opset > NEWEST_OPSET:
        return ArtifactError(
            f"{artifact.name} uses opset {opset}; ONNX Runtime here supports up to {NEWEST_OPSET}",
            code="E-ONNX-OPSET",
        )
    if verb == "load" and header.ir_version > NEWEST_IR:
        return ArtifactError(
            f"{artifact.name} has IR version {header.ir_version}; ONNX Runtime here supports up to"
            f" {NEWEST_IR}",
            code="E-ONNX-OPSET",
        )
    if verb == "load" and "External data" in text:
        return ArtifactError(
            f"{artifact.name} has weights in another file that cannot be read; expected one file with"
            " all weights",
            code="E-ONNX-EXTERNAL",
        )
    text = _SOURCE_PATH.sub("", text)
    if len(text) > _START + _END:
        text = f"{text[:_START]}…{text[-_END:]}"
    return ArtifactError(
        f"ONNX Runtime cannot {verb} {artifact.name}: {text}", code=f"E-ONNX-{verb.upper()}"
    )
