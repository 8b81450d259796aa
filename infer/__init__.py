"""ptx.infer: from an exported file to predictions, without torch.

>>> from ptx.infer import load
>>> digits = load("runs/convnet/convnet.onnx", backend="ort-cpu")
>>> digits.predict("digit.png").label
'7'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.infer.lazy import lazy

if TYPE_CHECKING:
    from ptx.infer.artifact.artifact import Artifact, parse_artifact, read_artifact
    from ptx.infer.artifact.card import Card
    from ptx.infer.artifact.golden import GoldenSample
    from ptx.infer.backends import BACKENDS, Backend, Options
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
    from ptx.infer.loading import load, open_predictor
    from ptx.infer.prediction import Failure, Named, Prediction
    from ptx.infer.predictor import Predictor
    from ptx.infer.replay import Check
    from ptx.infer.signature import Array, Signature, TensorSpec
    from ptx.infer.verification import verify
else:
    _HOMES = {
        "artifact.artifact": "Artifact parse_artifact read_artifact",
        "artifact.card": "Card",
        "artifact.golden": "GoldenSample",
        "backends": "BACKENDS Backend Options",
        "errors": "AgreementError ArtifactError BackendError InputError"
        " LimitError OutputError PtxError UsageError",
        "loading": "load open_predictor",
        "prediction": "Failure Named Prediction",
        "predictor": "Predictor",
        "replay": "Check",
        "signature": "Array Signature TensorSpec",
        "verification": "verify",
    }
    __getattr__, __dir__ = lazy(
        __name__, {name: home for home, names in _HOMES.items() for name in names.split()}
    )

__all__ = [
    "BACKENDS",
    "AgreementError",
    "Array",
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
    "Named",
    "Options",
    "OutputError",
    "Prediction",
    "Predictor",
    "PtxError",
    "Signature",
    "TensorSpec",
    "UsageError",
    "load",
    "open_predictor",
    "parse_artifact",
    "read_artifact",
    "verify",
]
