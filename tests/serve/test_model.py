"""What a model says of itself, and that it answers only where it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ptx.serve.model as measured
from ptx.infer import ArtifactError, load
from ptx.serve import Source
from ptx.serve.messages import Asked, Wanted
from ptx.serve.model import Model
from ptx.serve.refusals import RefusalError
from ptx.serve.registry import open_model
from ptx.serve.tensors import Tensor


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


def test_a_request_of_a_shape_that_fitted_before_is_held_to_all_the_rest(predictor: Any) -> None:
    model = Model("convnet", predictor)

    def ask(array: Any, **more: Any) -> Any:
        return model.job(Asked([Tensor("image", "FP32", array.shape, array)], **more), limit=4)

    good = np.zeros((2, 1, 28, 28), np.float32)
    first, again = ask(good), ask(good, timeout=1.5)
    assert (again.rows, again.key, list(again.content)) == (first.rows, first.key, ["image"])
    assert (first.deadline, again.deadline) == (None, pytest.approx(again.arrived + 1.5))
    with pytest.raises(RefusalError, match="nan"):
        ask(np.where(np.arange(28) == 3, np.float32("nan"), good))
    with pytest.raises(RefusalError, match="unexpected output"):
        ask(good, outputs=[Wanted("other")])
    with pytest.raises(RefusalError, match="5 rows"):
        ask(np.zeros((5, 1, 28, 28), np.float32))
    with pytest.raises(RefusalError, match="expected"):
        model.job(Asked([Tensor("image", "FP64", good.shape, good.astype(np.float64))]), limit=4)
    assert ask(good).rows == 2


def measure(
    predictor: Any, seconds: Callable[[int], float], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, float, set[int]]:
    """What is measured of a model whose runs of so many rows take `seconds`; and the rows tried."""
    clock, tried = [0.0], set[int]()

    class Timed:
        signature, card, preprocessing = (
            predictor.signature,
            predictor.card,
            predictor.preprocessing,
        )
        labels = predictor.labels

        def run(self, inputs: Any) -> None:
            rows = len(inputs["image"])
            tried.add(rows)
            clock[0] += seconds(rows)

    monkeypatch.setattr(measured, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    return *Model("convnet", Timed())._measure(), tried  # type: ignore[arg-type]


def test_the_best_batch_is_where_a_row_gets_no_cheaper(
    predictor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 ms for any number of rows up to 8, and half a millisecond for each beyond."""
    best, seconds, tried = measure(predictor, lambda rows: max(0.004, 0.0005 * rows), monkeypatch)
    assert tried == {1, 4, 16, 64}
    assert best == 16
    assert seconds == pytest.approx(0.0005)


def test_a_short_run_is_shared_by_many_though_none_computes_faster(
    predictor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of 10 µs; what is around a run takes ten times as long."""
    best, seconds, _ = measure(predictor, lambda rows: 0.00001 * rows, monkeypatch)
    assert best == 64
    assert seconds == pytest.approx(0.00001)


def test_a_long_network_that_no_batch_makes_cheaper_is_measured_no_further(
    predictor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    best, seconds, tried = measure(predictor, lambda rows: 0.006 * rows, monkeypatch)
    assert (best, tried) == (1, {1, 4})
    assert seconds == pytest.approx(0.006)


def test_no_batch_is_measured_that_would_hold_the_event_loop_too_long(
    predictor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each larger batch is cheaper by the row; one of 64 would take 6.5 ms."""
    best, _, tried = measure(predictor, lambda rows: 0.0001 + 0.0001 * rows, monkeypatch)
    assert tried == {1, 4, 16}
    assert best == 16
