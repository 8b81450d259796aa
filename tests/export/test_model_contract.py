"""The contract of every catalog model in every format; a new entry is held to it without a new test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ptx.export import EXPORTERS, read_model
from ptx.infer import load, read_artifact, verify
from ptx.infer.signature import Signature
from ptx.models import CATALOG
from ptx.models.checkpoint import Checkpoint as Content
from ptx.models.checkpoint import dumps, loads, weights_digest

Checkpoint = Callable[[str], Path]
Export = Callable[[str, str], Path]
Array = NDArray[Any]

BATCHES = (1, 3, 7, 64)
LENGTHS = (1, 2, 14, 28, 40)

# Between two float32 computations over numbers of order 1: some hundred roundings of 6e-8.
TOLERANCE = 1e-5


def sizes_of(signature: Signature) -> Iterator[dict[str, int]]:
    axes = signature.dynamic_axes
    for sizes in itertools.product(BATCHES, *[LENGTHS] * (len(axes) - 1)):
        yield dict(zip(axes, sizes, strict=True))


@cache
def inputs_of(model: str) -> list[tuple[dict[str, int], dict[str, Array]]]:
    signature = Signature.from_data(CATALOG[model].signature)
    return [(sizes, signature.example(sizes, seed=7)) for sizes in sizes_of(signature)]


@pytest.fixture(scope="module")
def eager(checkpoint: Checkpoint) -> Callable[[str], list[dict[str, Array]]]:
    """Eager PyTorch's answers to a model's inputs, computed once for all formats."""

    @cache
    def answers(model: str) -> list[dict[str, Array]]:
        with load(checkpoint(model), backend="eager", device="cpu") as predictor:
            return [predictor.run(inputs) for _, inputs in inputs_of(model)]

    return answers


@pytest.mark.parametrize("model", CATALOG)
def test_the_weights_survive_a_checkpoint(model: str, checkpoint: Checkpoint) -> None:
    trained = read_model(checkpoint(model))
    weights = dict(trained.network.state_dict())
    again = loads(dumps(Content(weights=weights)))
    assert (
        weights_digest(again.weights) == weights_digest(weights) == trained.manifest.weights_sha256
    )
    for name, tensor in again.weights.items():
        assert torch.equal(tensor, weights[name])


@pytest.mark.parametrize("model", CATALOG)
def test_eager_answers_at_every_size_in_the_shape_of_its_signature(
    model: str, eager: Callable[[str], list[dict[str, Array]]]
) -> None:
    signature = Signature.from_data(CATALOG[model].signature)
    for (sizes, _), outputs in zip(inputs_of(model), eager(model), strict=True):
        assert {name: array.shape for name, array in outputs.items()} == {
            spec.name: spec.shape(sizes) for spec in signature.outputs
        }


@pytest.mark.parametrize("format_name", EXPORTERS)
@pytest.mark.parametrize("model", CATALOG)
def test_an_exported_file_answers_as_eager_does_at_every_size(
    model: str,
    format_name: str,
    artifact: Export,
    eager: Callable[[str], list[dict[str, Array]]],
) -> None:
    backend = EXPORTERS[format_name].backend
    with load(artifact(model, format_name), backend=backend, device="cpu", trust=True) as predictor:
        assert (predictor.backend.name, predictor.backend.device) == (backend, "cpu")
        for (sizes, inputs), expected in zip(inputs_of(model), eager(model), strict=True):
            outputs = predictor.run(inputs)
            assert outputs.keys() == expected.keys()
            for name, array in outputs.items():
                np.testing.assert_allclose(
                    array, expected[name], rtol=TOLERANCE, atol=TOLERANCE, err_msg=str(sizes)
                )


@pytest.mark.parametrize("format_name", EXPORTERS)
@pytest.mark.parametrize("model", CATALOG)
def test_an_exported_file_verifies_and_says_what_it_is(
    model: str, format_name: str, artifact: Export, checkpoint: Checkpoint
) -> None:
    path = artifact(model, format_name)
    checks = verify(path, backend=EXPORTERS[format_name].backend, device="cpu", trust=True)
    assert [check for check in checks if not check.passed] == []
    assert sum(check.name.startswith("sample ") for check in checks) >= 2
    manifest = read_artifact(path).require_manifest()
    trained = read_artifact(checkpoint(model))
    assert manifest.model == model
    assert manifest.checkpoint_sha256 == trained.sha256
    assert manifest.weights_sha256 == trained.require_manifest().weights_sha256
    assert manifest.signature == trained.require_manifest().signature
    assert manifest.labels == trained.require_manifest().labels
