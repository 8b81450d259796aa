"""What a model says of itself, and that it answers only where it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

import ptx.serve.model as measured
from ptx.infer import ArtifactError, load
from ptx.serve import Source
from ptx.serve.model import Model
from ptx.serve.registry import open_model


def test_a_model_that_does_not_hold_here_is_not_served(artifact: Any) -> None:
    def other() -> Any:
        predictor = load(artifact("convnet", "onnx"), backend="ort-cpu")
        golden = replace(
            predictor.card.golden[0],
            outputs={name: array + 1 for name, array in predictor.card.golden[0].outputs.items()},
        )
        predictor.card = replace(predictor.card, golden=(golden, *predictor.card.golden[1:]))
        return predictor

    with pytest.raises(ArtifactError, match="does not hold here"):
        open_model(Source("convnet", other))


@pytest.mark.parametrize(
    ("name", "value", "outputs"),
    [("convnet", "picture", ("label", "score")), ("name-classifier", "text", ("label", "score")),
     ("diabetes", "row", ("label", "score"))],
)  # fmt: skip
def test_the_own_input_is_named_by_the_preprocessing(
    source: Callable[[str], Source], name: str, value: str, outputs: tuple[str, ...]
) -> None:
    model = Model(name, source(name).open())
    assert (model.value, model.value_outputs) == (value, outputs)
    model.predictor.close()


def test_the_best_batch_is_where_a_row_gets_no_cheaper(
    predictor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    class Fixed:
        """Takes 4 ms for any number of rows up to 8, and half a millisecond for each beyond."""

        signature, card, preprocessing = (
            predictor.signature,
            predictor.card,
            predictor.preprocessing,
        )
        labels = predictor.labels

        def run(self, inputs: Any) -> None:
            clock[0] += max(0.004, 0.0005 * len(inputs["image"]))

    monkeypatch.setattr(measured, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    best, seconds = Model("convnet", Fixed())._measure()  # type: ignore[arg-type]
    assert best == 8
    assert seconds == pytest.approx(0.0005)
