"""What `ptx.infer` promises: a change here is a change of the public interface."""

from __future__ import annotations

from typing import Any

import ptx.infer

NAMES = [
    "BACKENDS",
    "AgreementError",
    "Array",
    "Artifact",
    "ArtifactError",
    "Backend",
    "BackendError",
    "Manifest",
    "Check",
    "Failure",
    "GoldenSample",
    "InputError",
    "LimitError",
    "NamedInput",
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
    "sign",
    "verify",
]


def test_the_public_names_are_these() -> None:
    assert set(ptx.infer.__all__) == set(NAMES)


def test_every_public_name_is_there_and_documented() -> None:
    for name in NAMES:
        value = getattr(ptx.infer, name)
        assert name == "BACKENDS" or value.__doc__, name


def test_a_public_name_is_imported_when_it_is_asked_for(child: Any) -> None:
    done = child(
        "import sys\nfrom ptx.infer.errors import InputError\nimport ptx.infer\n"
        "assert 'numpy' not in sys.modules and 'ptx.infer.predictor' not in sys.modules\n"
        "assert set(ptx.infer.__all__) <= set(dir(ptx.infer))\n"
        "assert ptx.infer.InputError is InputError\n"
        "print(ptx.infer.Predictor.__module__, hasattr(ptx.infer, 'Predikt'))"
    )
    assert done.stdout == "ptx.infer.predictor False\n"
