"""Manifests of one model: each field in which they differ is named with both values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ptx.export.check.manifest_comparison import compare_manifests
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.signature import Signature

SIGNATURE = {
    "inputs": {"x": ["float32", ["batch", 2]]},
    "outputs": {"y": ["float32", ["batch", 3]]},
}
MANIFEST = Manifest(
    model="own",
    task="classification",
    signature=Signature.from_data(SIGNATURE),
    preprocessing={"kind": "tabular", "names": ["a", "b"], "mean": (0.5, 1.0)},
    labels=("x", "y", "z"),
    weights_sha256="00",
)


def test_equal_manifests_differ_in_nothing() -> None:
    written = Manifest.from_json(MANIFEST.to_json().encode(), name="a")
    others = {"a.onnx": replace(written, versions={"torch": "1"}, golden=()), "b.pt2": MANIFEST}
    assert compare_manifests(MANIFEST, others) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"labels": ("z", "y", "x")},
            'a.onnx: labels: ["z", "y", "x"]; the checkpoint says ["x", "y", "z"]',
        ),
        (
            {"task": "probabilities"},
            'a.onnx: task: "probabilities"; the checkpoint says "classification"',
        ),
        (
            {"preprocessing": {**MANIFEST.preprocessing, "mean": [0.5, 2.0]}},
            "a.onnx: preprocessing mean: [0.5, 2.0]; the checkpoint says [0.5, 1.0]",
        ),
        (
            {"preprocessing": {"kind": "tabular", "names": ["a", "b"]}},
            "a.onnx: preprocessing mean: nothing; the checkpoint says [0.5, 1.0]",
        ),
        ({"weights_sha256": "01"}, 'a.onnx: weights_sha256: "01"; the checkpoint says "00"'),
        (
            {
                "signature": Signature.from_data(
                    {**SIGNATURE, "inputs": {"x": ["float32", ["batch", 4]]}}
                )
            },
            (
                'a.onnx: signature inputs: {"x": ["float32", ["batch", 4]]}; the checkpoint says'
                ' {"x": ["float32", ["batch", 2]]}'
            ),
        ),
    ],
)
def test_a_difference_names_the_field_and_both_values(changes: dict[str, Any], line: str) -> None:
    (found,) = compare_manifests(
        MANIFEST, {"a.onnx": replace(MANIFEST, **changes), "b.onnx": MANIFEST}
    )
    assert found == line


def test_of_a_thousand_labels_the_first_that_differs_is_shown() -> None:
    labels = tuple(f"label {index}" for index in range(1000))
    swapped = (*labels[:500], labels[501], labels[500], *labels[502:])
    (found,) = compare_manifests(
        replace(MANIFEST, labels=labels), {"a.onnx": replace(MANIFEST, labels=swapped)}
    )
    assert found == 'a.onnx: labels: "label 501" at 500; the checkpoint says "label 500" at 500'
