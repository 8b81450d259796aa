"""ptx.infer: from an exported file to predictions, without torch.

>>> from ptx.infer import load
>>> digits = load("runs/convnet/convnet.onnx", backend="ort-cpu")
>>> digits.predict("digit.png").label
'7'
"""

from __future__ import annotations

from ptx.infer.artifact.artifact import Artifact, read_artifact
from ptx.infer.artifact.card import Card
from ptx.infer.artifact.golden import GoldenSample
from ptx.infer.backends import BACKENDS, Backend
from ptx.infer.errors import (
    AgreementError,
    ArtifactError,
    BackendError,
    InputError,
    LimitError,
    OutputError,
    PtxError,
    UsageError,
)
from ptx.infer.loading import load
from ptx.infer.prediction import Failure, Prediction
from ptx.infer.predictor import Predictor
from ptx.infer.replay import Check
from ptx.infer.signature import Signature, TensorSpec
from ptx.infer.verification import verify

__all__ = [
    "BACKENDS",
    "AgreementError",
    "Artifact",
    "ArtifactError",
    "Backend",
    "BackendError",
    "Card",
    "Check",
    "Failure",
    "GoldenSample",
    "InputError",
    "LimitError",
    "OutputError",
    "Prediction",
    "Predictor",
    "PtxError",
    "Signature",
    "TensorSpec",
    "UsageError",
    "load",
    "read_artifact",
    "verify",
]
