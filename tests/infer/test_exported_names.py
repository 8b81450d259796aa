"""What `ptx.infer` promises: a change here is a change of the public interface."""

from __future__ import annotations

import ptx.infer

NAMES = [
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


def test_the_public_names_are_these() -> None:
    assert ptx.infer.__all__ == NAMES


def test_every_public_name_is_there_and_documented() -> None:
    for name in NAMES:
        value = getattr(ptx.infer, name)
        assert name == "BACKENDS" or value.__doc__, name
