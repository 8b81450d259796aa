"""A model is served only if its golden samples pass; its raw input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ptx.infer import ArtifactError, load
from ptx.serve import ModelSource
from ptx.serve.model import Model
from ptx.serve.registry import open_model


def test_a_model_that_fails_its_golden_samples_is_not_served(artifact: Any) -> None:
    def other() -> Any:
        predictor = load(artifact("convnet", "onnx"), backend="ort-cpu")
        golden = replace(
            predictor.manifest.golden[0],
            outputs={
                name: np.asarray(array) + 1
                for name, array in predictor.manifest.golden[0].outputs.items()
            },
        )
        predictor.manifest = replace(
            predictor.manifest, golden=(golden, *predictor.manifest.golden[1:])
        )
        return predictor

    with pytest.raises(ArtifactError, match="fails its golden samples"):
        open_model(ModelSource("convnet", other))


@pytest.mark.parametrize(
    ("name", "value", "outputs"),
    [
        ("convnet", "picture", ("label", "score")),
        ("name-classifier", "text", ("label", "score")),
        ("diabetes", "row", ("label", "score")),
    ],
)
def test_the_raw_input_is_named_by_the_preprocessing(
    source: Callable[[str], ModelSource], name: str, value: str, outputs: tuple[str, ...]
) -> None:
    model = Model(name, source(name).open())
    assert (model.raw_input, model.raw_outputs) == (value, outputs)
    model.predictor.close()
