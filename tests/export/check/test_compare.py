"""`compare`: do the backends agree, and where not, which input tells it first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ptx.export import compare, describe, read_model
from ptx.export.check.equivalence import EquivalenceCheck
from ptx.export.check.tolerance import FACTOR
from ptx.infer import load
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.errors import ArtifactError, InputError
from ptx.infer.predictor import Predictor

Checkpoint = Callable[[str], Path]
Array = NDArray[Any]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]


@final
class FaultyBackend:
    """Answers what it is told to."""

    device = "cpu"

    def __init__(self, name: str, run: Run) -> None:
        self.name, self._run = name, run

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self._run(inputs)

    def close(self) -> None:
        pass


class Setting:
    """A model, its proof and three batches of four rows, numbered from 100."""

    def __init__(self, checkpoint: Path, inputs: Callable[[int], dict[str, Array]]) -> None:
        trained = read_model(checkpoint)
        self.manifest: Manifest = trained.manifest
        self.check = EquivalenceCheck(trained.network, trained.manifest.signature, trained.samples)
        self._inputs = inputs

    def predictor(self, name: str, run: Run | None = None) -> Predictor:
        return Predictor(
            self.manifest, lambda: FaultyBackend(name, run or self.check.reference.eager)
        )

    def batches(self) -> Iterator[tuple[Array, dict[str, Array]]]:
        for start in (100, 104, 108):
            yield np.arange(start, start + 4), self._inputs(start)


def pictures(start: int) -> dict[str, Array]:
    generator = np.random.default_rng(start)
    images = generator.random((4, 784), np.float32)
    images[:, 0] = np.arange(start, start + 4) / 1000  # by which an injected fault knows the row
    return {"image": images}


def numbers(start: int) -> dict[str, Array]:
    return {"x": np.arange(start, start + 4, dtype=np.float32)[:, None]}


@pytest.fixture
def digits(checkpoint: Checkpoint) -> Setting:
    return Setting(checkpoint("softmax-regression"), pictures)


@pytest.fixture
def line(checkpoint: Checkpoint) -> Setting:
    return Setting(checkpoint("linear-model"), numbers)


def other_label(setting: Setting, row: int) -> Run:
    """Wrong on one row: its best class changes places with its worst."""

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        logits = setting.check.reference.eager(inputs)["logits"].copy()
        here = np.flatnonzero(np.isclose(inputs["image"][:, 0], row / 1000))
        logits[here] = -logits[here]
        return {"logits": logits}

    return run


def test_backends_that_agree_hold(digits: Setting) -> None:
    told: list[int] = []
    predictors = [digits.predictor("a"), digits.predictor("b")]
    found = compare(digits.check, predictors, digits.batches(), progress=told.append)
    assert found.passed
    assert found.rows == 12
    assert told == [4, 4, 4]
    assert found.between == [[0, 0], [0, 0]]
    reference = digits.check.reference
    errors = [
        np.abs(reference.exact(inputs)["logits"] - reference.eager(inputs)["logits"])
        for _, inputs in digits.batches()
    ]
    for result, name in zip(found.results, ("a", "b"), strict=True):
        assert (result.backend, result.device) == (name, "cpu")
        assert (result.differ, result.first, result.failure) == (0, None, "")
        # In the column that is nearest to its bound. The bound is the eager error's, or that of rounding
        # where a processor's products are more exact.
        columns = np.concatenate(errors).max(axis=0)
        assert np.isclose(columns, result.error, rtol=1e-6, atol=0).any()
        assert 0 < result.error <= found.tolerance / FACTOR


def test_an_injected_wrong_label_is_reported_with_the_first_input(digits: Setting) -> None:
    predictors = [digits.predictor("right"), digits.predictor("wrong", other_label(digits, 106))]
    found = compare(digits.check, predictors, digits.batches())
    right, wrong = found.results
    assert not found.passed
    assert right.passed
    assert (wrong.passed, wrong.differ, wrong.first) == (False, 1, 106)
    assert wrong.error > found.tolerance
    assert found.between == [[0, 1], [1, 0]]


def test_an_error_beyond_the_tolerance_counts_though_the_labels_are_the_same(
    digits: Setting,
) -> None:
    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        logits = digits.check.reference.eager(inputs)["logits"].copy()
        logits[np.isclose(inputs["image"][:, 0], 0.109)] += np.float32(1e-3)  # of every class
        return {"logits": logits}

    found = compare(digits.check, [digits.predictor("wrong", run)], digits.batches())
    (wrong,) = found.results
    assert not found.passed
    assert (wrong.passed, wrong.differ, wrong.first) == (False, 0, 109)
    assert wrong.error == pytest.approx(1e-3, rel=1e-2)


def test_a_regression_has_errors_and_no_labels(line: Setting) -> None:
    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        y = line.check.reference.eager(inputs)["y"].copy()
        y[inputs["x"] >= 105] += np.float32(0.5)
        return {"y": y}

    predictors = [line.predictor("right"), line.predictor("wrong", run)]
    found = compare(line.check, predictors, line.batches())
    right, wrong = found.results
    assert right.passed
    assert (wrong.passed, wrong.differ, wrong.first) == (False, 0, 105)
    assert wrong.error == pytest.approx(0.5, rel=1e-3)
    assert found.between == [[None, None], [None, None]]


def test_a_tagging_differs_where_one_of_its_steps_does(checkpoint: Checkpoint) -> None:
    def words(start: int) -> dict[str, Array]:
        steps = np.random.default_rng(start).integers(0, 4, (5, 4))
        return {"sequence": np.eye(4, dtype=np.float32)[steps]}

    setting = Setting(checkpoint("char-rnn"), words)
    calls: list[None] = []

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        logits = setting.check.reference.eager(inputs)["logits"].copy()
        calls.append(None)
        if len(calls) == 2:
            logits[3, 2] *= -1  # step 3 of the third word of the second batch
        return {"logits": logits}

    predictors = [setting.predictor("right"), setting.predictor("wrong", run)]
    found = compare(setting.check, predictors, setting.batches())
    right, wrong = found.results
    assert right.passed
    assert (wrong.passed, wrong.differ, wrong.first) == (False, 1, 106)
    assert found.between == [[0, 1], [1, 0]]


def test_a_backend_that_fails_is_told_and_asked_no_more(digits: Setting) -> None:
    asked: list[None] = []

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        asked.append(None)
        if len(asked) == 2:
            raise InputError("it broke")
        return digits.check.reference.eager(inputs)

    predictors = [digits.predictor("right"), digits.predictor("broken", run)]
    found = compare(digits.check, predictors, digits.batches())
    right, broken = found.results
    assert right.passed
    assert (broken.passed, broken.failure) == (False, "it broke")
    assert len(asked) == 2
    assert found.between == [[0, None], [None, None]]
    assert not found.passed


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_not_finite_is_a_failure(value: float, digits: Setting) -> None:
    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {"logits": np.full((len(inputs["image"]), 10), value, np.float32)}

    found = compare(digits.check, [digits.predictor("injected", run)], digits.batches())
    assert "not finite" in found.results[0].failure
    assert not found.passed


def test_eager_itself_must_be_finite(line: Setting) -> None:
    inputs = {"x": np.full((1, 1), 3e38, np.float32)}
    weights = {"linear.weight": torch.tensor([[9.0]]), "linear.bias": torch.tensor([0.0])}
    line.check.reference._network.load_state_dict(weights)
    with pytest.raises(ArtifactError, match="output 'y' of eager float32 is not finite"):
        compare(line.check, [line.predictor("a")], [(np.arange(1), inputs)])


def test_a_comparison_of_nothing_does_not_hold(digits: Setting) -> None:
    assert not compare(digits.check, [digits.predictor("a")], []).passed
    assert not compare(digits.check, [], digits.batches()).passed


class TwoHeads(nn.Module):
    """Pixels of ±4000 and, in the same output and in one of its own, a probability."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        parts = self.layer(x)
        sure = torch.sigmoid(parts[:, 2:])
        return torch.cat([4000 * torch.tanh(parts[:, :2]), sure], dim=1), sure


@pytest.mark.parametrize(("output", "column"), [("head", 2), ("sure", 0)])
def test_a_fault_in_any_output_and_column_is_found(output: str, column: int) -> None:
    trained = describe(
        TwoHeads(),
        signature={
            "inputs": {"x": ["float32", ["batch", 4]]},
            "outputs": {"head": ["float32", ["batch", 3]], "sure": ["float32", ["batch", 1]]},
        },
    )

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        outputs = trained.equivalence_check.reference.eager(inputs)
        outputs[output][1, column] += np.float32(1e-3)
        return outputs

    def injected(name: str, run: Run) -> Predictor:
        return Predictor(trained.manifest, lambda: FaultyBackend(name, run))

    rows = [(np.arange(4), trained.manifest.signature.example({"batch": 4}))]
    predictors = [
        injected("right", trained.equivalence_check.reference.eager),
        injected("wrong", run),
    ]
    right, wrong = compare(trained.equivalence_check, predictors, rows).results
    assert right.passed
    assert (wrong.passed, wrong.first, wrong.output) == (False, 1, output)
    assert wrong.error == pytest.approx(1e-3, rel=1e-2)
    assert wrong.tolerance < 1e-4


def test_real_backends_agree(artifact: Callable[[str, str], Path], checkpoint: Checkpoint) -> None:
    setting = Setting(checkpoint("softmax-regression"), pictures)
    predictors = [load(checkpoint("softmax-regression"), backend="eager", device="cpu")]
    predictors += [
        load(artifact("softmax-regression", f), device="cpu", trust=True)
        for f in ("torchscript", "pt2")
    ]
    predictors.append(load(artifact("softmax-regression", "onnx"), backend="ort-cpu"))
    found = compare(setting.check, predictors, setting.batches())
    assert [result.backend for result in found.results] == [
        "eager",
        "torchscript",
        "pt2",
        "ort-cpu",
    ]
    assert found.passed, found.results
