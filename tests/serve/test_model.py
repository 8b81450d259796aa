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
from ptx.infer.backends.ort.cpu import SMALL_INPUT
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
            outputs={
                name: np.asarray(array) + 1
                for name, array in predictor.card.golden[0].outputs.items()
            },
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


@pytest.mark.parametrize(
    ("seconds", "rows", "each", "tried"),
    [
        # No longer for 8 rows than for one, and half a millisecond for each beyond.
        (lambda rows: max(0.004, 0.0005 * rows), 16, 0.0005, {1, 4, 16, 64}),
        # As long for many as for one.
        (lambda _: 0.0015, 64, 0.0015 / 64, {1, 4, 16, 64}),
        (lambda _: 0.0005, 64, 0.0005 / 16, {1, 16}),
        # No row is cheaper beside others; what is around a run takes ten times as long, or no time.
        (lambda rows: 0.00001 * rows, 64, 0.00001, {1}),
        (lambda rows: 0.006 * rows, 1, 0.006, {1, 4}),
        (lambda rows: 0.07 * rows, 1, 0.07, {1}),
        (lambda rows: 0.0001 + 0.0001 * rows, 64, 0.0065 / 64, {1, 64}),
        # A batch of 4 holds the event loop for twice as long as any run may.
        (lambda rows: 0.001 * rows, 4, 0.001, {1}),
    ],
)  # fmt: skip
def test_a_batch_is_as_large_as_makes_a_row_cheaper(
    predictor: Any, monkeypatch: pytest.MonkeyPatch,
    seconds: Callable[[int], float], rows: int, each: float, tried: set[int],
) -> None:  # fmt: skip
    best, found, sizes = measure(predictor, seconds, monkeypatch)
    assert (best, sizes) == (rows, tried)
    assert found == pytest.approx(each)


@pytest.mark.parametrize(("seconds", "rows"), [(0.00002, 64), (0.01, 16)])
def test_batches_of_the_event_loop_take_one_thread(
    predictor: Any, monkeypatch: pytest.MonkeyPatch, seconds: float, rows: int
) -> None:
    monkeypatch.setattr(Model, "_measure", lambda _: (rows, seconds))
    Model("convnet", predictor).prove()
    assert predictor.backend.small_input == (64 * 784 if rows == 64 else SMALL_INPUT)
