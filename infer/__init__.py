"""ptx.infer: from an exported file to predictions, without torch.

>>> from ptx.infer import load
>>> digits = load("runs/convnet/convnet.onnx", backend="ort-cpu")
>>> digits.predict("digit.png").label
'7'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.infer.lazy import lazy_exports

if TYPE_CHECKING:
    from ptx.infer.artifact.artifact import Artifact as Artifact
    from ptx.infer.artifact.artifact import parse_artifact as parse_artifact
    from ptx.infer.artifact.artifact import read_artifact as read_artifact
    from ptx.infer.artifact.golden import GoldenSample as GoldenSample
    from ptx.infer.artifact.manifest import Manifest as Manifest
    from ptx.infer.backends import BACKENDS as BACKENDS
    from ptx.infer.backends import Backend as Backend
    from ptx.infer.backends import Options as Options
    from ptx.infer.errors import AgreementError as AgreementError
    from ptx.infer.errors import ArtifactError as ArtifactError
    from ptx.infer.errors import BackendError as BackendError
    from ptx.infer.errors import InputError as InputError
    from ptx.infer.errors import LimitError as LimitError
    from ptx.infer.errors import OutputError as OutputError
    from ptx.infer.errors import PtxError as PtxError
    from ptx.infer.errors import UsageError as UsageError
    from ptx.infer.loading import load as load
    from ptx.infer.loading import open_predictor as open_predictor
    from ptx.infer.prediction import Failure as Failure
    from ptx.infer.prediction import NamedInput as NamedInput
    from ptx.infer.prediction import Prediction as Prediction
    from ptx.infer.predictor import Predictor as Predictor
    from ptx.infer.replay import Check as Check
    from ptx.infer.signature import Array as Array
    from ptx.infer.signature import Signature as Signature
    from ptx.infer.signature import TensorSpec as TensorSpec
    from ptx.infer.verification import verify as verify

    __all__: list[str]
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "artifact.artifact": "Artifact parse_artifact read_artifact",
            "artifact.manifest": "Manifest",
            "artifact.golden": "GoldenSample",
            "backends": "BACKENDS Backend Options",
            "errors": "AgreementError ArtifactError BackendError InputError LimitError OutputError"
            " PtxError UsageError",
            "loading": "load open_predictor",
            "prediction": "Failure NamedInput Prediction",
            "predictor": "Predictor",
            "replay": "Check",
            "signature": "Array Signature TensorSpec",
            "verification": "verify",
        },
    )
