"""The loop against an independent computation in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ptx.models import build
from ptx.models.checkpoint import loads
from ptx.trainers import Dataset, Recipe, default_recipe, open_dataset, train
from ptx.trainers.interruption import Interruption
from ptx.trainers.loop import (
    RunningMetrics,
    TrainingSetup,
    epoch_order,
    fit_temperature,
    train_steps,
)
from ptx.trainers.loop import test as measure
from ptx.trainers.manifest import make_manifest
from ptx.trainers.training import _make_setup

Few = Callable[..., Dataset]
Array = NDArray[np.float64]
Weights = dict[str, Array]
Update = Callable[[Weights, Weights], None]

pytestmark = pytest.mark.usefixtures("without_plot")

SEED = 5


def sgd(lr: float, momentum: float, decay: float = 0.0) -> Update:
    velocity: Weights = {}

    def update(weights: Weights, gradients: Weights) -> None:
        for name, gradient in gradients.items():
            gradient = gradient + decay * weights[name]
            velocity[name] = momentum * velocity.get(name, 0.0) + gradient
            weights[name] -= lr * velocity[name]

    return update


def adam(lr: float, decay: float = 0.0) -> Update:
    first: Weights = {}
    second: Weights = {}
    steps: dict[str, int] = {}

    def update(weights: Weights, gradients: Weights) -> None:
        for name, gradient in gradients.items():
            gradient = gradient + decay * weights[name]
            steps[name] = steps.get(name, 0) + 1
            first[name] = 0.9 * first.get(name, 0.0) + 0.1 * gradient
            second[name] = 0.999 * second.get(name, 0.0) + 0.001 * gradient**2
            mean = first[name] / (1 - 0.9 ** steps[name])
            spread = np.sqrt(second[name] / (1 - 0.999 ** steps[name]))
            weights[name] -= lr * mean / (spread + 1e-8)

    return update


def make_setup(model: str, data: Dataset, recipe: Recipe, seed: int = SEED) -> TrainingSetup:
    return _make_setup(make_manifest(model, data, recipe, seed), data, recipe, seed, "cpu")


def first_weights(model: str) -> Weights:
    torch.manual_seed(SEED)
    weights = build(model).state_dict()
    return {name: tensor.double().numpy().copy() for name, tensor in weights.items()}


def trained_weights(model: str, data: Dataset, recipe: Recipe, folder: Path) -> Weights:
    result = train(model, data, recipe, folder=folder, seed=SEED, device="cpu")
    weights = loads(result.checkpoint.read_bytes()).weights
    return {name: tensor.double().numpy() for name, tensor in weights.items()}


def straight_line(weights: Weights, x: Array, y: Array) -> tuple[Array, Weights]:
    """The sum of the squared errors of y = w·x + b, and its gradients."""
    error = x @ weights["linear.weight"].T + weights["linear.bias"] - y
    return (error**2).sum(), {
        "linear.weight": 2 * error.T @ x,
        "linear.bias": 2 * error.sum(axis=0),
    }


def softmax_regression(weights: Weights, images: Array, labels: Array) -> tuple[Array, Weights]:
    """The mean cross-entropy of a linear layer, and its gradient."""
    (name,) = weights
    logits = images @ weights[name].T
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    hot = np.eye(10)[labels.astype(int)]
    loss = -(np.log(probabilities) * hot).sum(axis=1).mean()
    return loss, {name: (probabilities - hot).T @ images / len(images)}


OPTIMIZERS: list[tuple[dict[str, Any], Callable[[], Update]]] = [
    ({"optimizer": "sgd", "lr": 0.01}, lambda: sgd(0.01, 0.0)),
    ({"optimizer": "sgd", "lr": 0.01, "momentum": 0.9}, lambda: sgd(0.01, 0.9)),
    ({"optimizer": "sgd", "lr": 0.01, "weight_decay": 0.5}, lambda: sgd(0.01, 0.0, 0.5)),
    ({"optimizer": "adam", "lr": 0.02}, lambda: adam(0.02)),
    ({"optimizer": "adam", "lr": 0.02, "weight_decay": 0.5}, lambda: adam(0.02, 0.5)),
]


@pytest.mark.parametrize(("settings", "update"), OPTIMIZERS)
@pytest.mark.parametrize("steps", [1, 4])
def test_steps_of_the_linear_model_are_those_of_numpy(
    settings: dict[str, Any], update: Callable[[], Update], steps: int, tmp_path: Path
) -> None:
    data = open_dataset("three-points", default="three-points", cache=tmp_path)
    x, y = data.train.inputs["columns"].astype(np.float64), data.train.targets.astype(np.float64)
    expected, apply = first_weights("linear-model"), update()
    for _ in range(steps):  # one batch is one epoch
        apply(expected, straight_line(expected, x, y)[1])
    recipe = Recipe(**{"loss": "mse-sum", "batch_size": 3, "epochs": steps, **settings})
    weights = trained_weights("linear-model", data, recipe, tmp_path)
    before = first_weights("linear-model")
    for name, tensor in weights.items():
        np.testing.assert_allclose(tensor, expected[name], rtol=2e-6, atol=1e-6)
        assert abs(tensor - before[name]).max() > 1e-3


@pytest.mark.parametrize(("settings", "update"), OPTIMIZERS)
def test_an_epoch_of_softmax_regression_is_that_of_numpy(
    settings: dict[str, Any], update: Callable[[], Update], few: Few, tmp_path: Path
) -> None:
    data = few("softmax-regression", 120)
    images = data.train.inputs["image"].reshape(120, 784) / 255.0
    recipe = Recipe(**{"loss": "cross-entropy", "batch_size": 50, "epochs": 1, **settings})
    order = epoch_order(make_setup("softmax-regression", data, recipe), 1).numpy()
    expected, apply = first_weights("softmax-regression"), update()
    for rows in (order[:50], order[50:100], order[100:]):  # the last batch is smaller
        apply(expected, softmax_regression(expected, images[rows], data.train.targets[rows])[1])
    weights = trained_weights("softmax-regression", data, recipe, tmp_path)
    (name,) = weights
    np.testing.assert_allclose(weights[name], expected[name], rtol=0, atol=2e-6)
    assert abs(weights[name] - first_weights("softmax-regression")[name]).max() > 1e-3


def test_the_history_holds_the_means_that_numpy_finds(few: Few, tmp_path: Path) -> None:
    data = few("softmax-regression", 120, 60)
    recipe = default_recipe("softmax-regression", batch_size=50, epochs=1)
    order = epoch_order(make_setup("softmax-regression", data, recipe), 1).numpy()
    images = data.train.inputs["image"].reshape(120, 784) / 255.0
    weights, apply = first_weights("softmax-regression"), sgd(0.01, 0.9)
    losses, right = 0.0, 0
    for rows in (order[:50], order[50:100], order[100:]):
        labels = data.train.targets[rows]
        loss, gradients = softmax_regression(weights, images[rows], labels)
        losses += float(loss) * len(rows)
        (matrix,) = weights.values()
        right += int(((images[rows] @ matrix.T).argmax(axis=1) == labels).sum())
        apply(weights, gradients)
    result = train("softmax-regression", data, recipe, folder=tmp_path, seed=SEED, device="cpu")
    (row,) = result.history
    assert row["epoch"] == 1
    assert row["train_loss"] == pytest.approx(losses / 120, rel=1e-6)
    assert row["train_accuracy"] == right / 120
    test_images = data.test.inputs["image"].reshape(60, 784) / 255.0
    test_loss, _ = softmax_regression(weights, test_images, data.test.targets)
    assert row["test_loss"] == pytest.approx(float(test_loss), rel=1e-6)
    (matrix,) = weights.values()
    predicted = (test_images @ matrix.T).argmax(axis=1)
    assert row["test_accuracy"] == (predicted == data.test.targets).mean()
    assert row["seconds"] > 0
    assert row["rows_per_second"] == pytest.approx(120 / row["seconds"])


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_a_summed_loss_is_reported_as_the_mean_over_the_rows(
    batch_size: int, tmp_path: Path
) -> None:
    data = open_dataset("three-points", default="three-points", cache=tmp_path)
    recipe = Recipe("mse-sum", "sgd", lr=1e-12, batch_size=batch_size, epochs=1)  # nearly at rest
    x, y = (
        array.astype(np.float64) for array in (data.train.inputs["columns"], data.train.targets)
    )
    expected = float(straight_line(first_weights("linear-model"), x, y)[0]) / 3
    result = train("linear-model", data, recipe, folder=tmp_path, seed=SEED, device="cpu")
    assert result.history[0]["train_loss"] == pytest.approx(expected, rel=1e-5)
    assert result.history[0]["test_loss"] == pytest.approx(expected, rel=1e-5)


def test_each_epoch_draws_each_row_once_in_an_order_of_its_own(few: Few) -> None:
    data = few("softmax-regression")
    recipe = default_recipe("softmax-regression")
    setup, other = (make_setup("softmax-regression", data, recipe, seed) for seed in (5, 6))
    orders = [epoch_order(setup, 1), epoch_order(setup, 2), epoch_order(other, 1)]
    for order in orders:
        assert order.sort().values.tolist() == list(range(230))
    assert len({tuple(order.tolist()) for order in orders}) == 3
    torch.manual_seed(99)  # the order comes from the seed and the epoch alone
    assert torch.equal(epoch_order(setup, 2), orders[1])


def test_without_shuffling_each_epoch_has_the_order_of_the_data(few: Few) -> None:
    recipe = default_recipe("softmax-regression", shuffle=False)
    setup = make_setup("softmax-regression", few("softmax-regression"), recipe)
    for epoch in (1, 2):
        assert epoch_order(setup, epoch).tolist() == list(range(230))


@pytest.mark.parametrize(("drop_last", "steps"), [(False, 5), (True, 4)])
def test_a_last_batch_that_is_not_whole_is_left_out_where_the_recipe_says_so(
    few: Few, drop_last: bool, steps: int
) -> None:
    recipe = default_recipe("softmax-regression", batch_size=50, drop_last=drop_last)
    setup = make_setup("softmax-regression", few("softmax-regression"), recipe)
    metrics = RunningMetrics.zero("cpu")
    assert list(train_steps(setup, 1, 0, metrics, Interruption()))[-1] == steps
    assert metrics.rows == (200 if drop_last else 230)


def test_the_largest_seed_and_many_epochs_still_give_an_order(few: Few) -> None:
    data = few("softmax-regression")
    setup = make_setup("softmax-regression", data, default_recipe("softmax-regression"), 2**32 - 1)
    assert len(epoch_order(setup, 1_000_000)) == 230


def test_testing_leaves_dropout_out_and_the_random_state_alone(few: Few) -> None:
    setup = make_setup("dropout-mlp", few("dropout-mlp"), default_recipe("dropout-mlp"))
    before = torch.get_rng_state()
    assert measure(setup) == measure(setup)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(parameter.grad is not None for parameter in setup.network.parameters())


def test_testing_does_not_depend_on_its_batches(few: Few, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = make_setup("lstm", few("lstm"), default_recipe("lstm"))
    whole = measure(setup)
    monkeypatch.setattr("ptx.trainers.loop.TEST_BATCH", 7)
    parts = measure(setup)
    assert parts["test_accuracy"] == whole["test_accuracy"]
    assert parts["test_loss"] == pytest.approx(whole["test_loss"], rel=1e-6)


def test_each_step_of_a_sequence_counts_as_an_answer(tmp_path: Path) -> None:
    data = open_dataset("hello", default="hello", cache=tmp_path)
    metrics = RunningMetrics.zero("cpu")
    logits = torch.nn.functional.one_hot(torch.tensor([[3, 1, 2, 2, 0]]), 4).float()
    metrics.add(torch.tensor(2.5), logits, torch.from_numpy(data.train.targets))  # o h l o l
    assert metrics.summary("train") == {"train_loss": 2.5, "train_accuracy": 3 / 5}


def test_a_probability_of_one_half_is_the_second_class() -> None:
    metrics = RunningMetrics.zero("cpu")
    probabilities = torch.tensor([[0.0], [0.49], [0.5], [1.0]])
    metrics.add(torch.tensor(4.0), probabilities, torch.tensor([0, 1, 1, 1]))
    assert metrics.summary("test") == {"test_loss": 1.0, "test_accuracy": 0.75}


def test_totals_go_on_from_their_data() -> None:
    metrics, again = RunningMetrics.zero("cpu"), RunningMetrics.zero("cpu")
    metrics.add(torch.tensor(1 / 3), torch.eye(3), torch.tensor([0, 1, 0]))
    again.restore(metrics.to_data())
    for each in (metrics, again):
        each.add(torch.tensor(0.1), torch.eye(3), torch.tensor([0, 1, 2]))
    assert metrics.to_data() == again.to_data()
    assert metrics.to_data()["correct"] == 5


def test_the_temperature_makes_scores_right_as_often_as_they_say(few: Few) -> None:
    class Sure(torch.nn.Module):
        """Says the first class of everything, with the logit 2 ln 36."""

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return float(2 * np.log(36)) * torch.eye(10)[0].expand(len(image), 10)

    data = few("convnet")
    targets = np.zeros(len(data.test), np.int64)
    targets[::5] = np.arange(len(targets[::5])) % 9 + 1
    data = replace(data, test=replace(data.test, targets=targets))
    recipe = default_recipe("convnet")
    setup = _make_setup(make_manifest("convnet", data, recipe, SEED), data, recipe, SEED, "cpu")
    # Four of five are right, which the logit ln 36 says of ten classes.
    assert fit_temperature(replace(setup, network=Sure())) == pytest.approx(2, rel=0.04)
