"""From a file to a predictor."""

from __future__ import annotations

from pathlib import Path

from ptx.infer.artifact import Artifact, read_artifact
from ptx.infer.backends import Options, open_backend
from ptx.infer.predictor import Predictor
from ptx.infer.trust import Trust


def load(
    path: str | Path,
    *,
    backend: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    precision: str = "float32",
    trust: Trust = False,
    timeout: float | None = None,
) -> Predictor:
    """A predictor for a model file.

    `path`: an artifact (`.onnx`, `.torchscript`, `.pt2`) or a checkpoint, told by its content.
    `backend`: `auto`, or one of `ptx.infer.backends.BACKENDS`; what is asked for is opened, or an
    error says why not. `auto` takes ONNX Runtime on CUDA where it opens, else on the CPU, and the torch
    backend of the other kinds of file; `predictor.backend` says what it took.
    `device`: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    `threads`: for ONNX Runtime on the CPU; one for each usable processor by default.
    `precision`: `float32`, or `tf32` for CUDA.
    `trust`: a TorchScript or `.pt2` file is a program, which can run code as soon as it is loaded: True
    loads any, a collection of sha256 digests those files. ONNX files and checkpoints are data.
    `timeout`: seconds that loading, and each run of the model (a prediction, or a batch of
    `predict_many`), may take; for ONNX Runtime, which looks at it between two operators. By default
    there is none.

    Raises:
        ArtifactError: the file cannot be read or loaded, has changed since it was written, or is a
            program that is not trusted.
        BackendError: the backend or device is not available here.
        UsageError: there is no such backend or device, it does not run this kind of file, or it takes
            no timeout.
        LimitError: loading took longer than `timeout`; a prediction raises it in the same way.
    """
    options = Options(device, threads, precision, trust, timeout)
    return open_predictor(read_artifact(path), backend=backend, options=options)


def open_predictor(artifact: Artifact, *, backend: str, options: Options) -> Predictor:
    """A predictor for a file that has been read already."""
    card = artifact.require_card()

    return Predictor(card, lambda: open_backend(backend, artifact, options))
