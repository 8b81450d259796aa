"""Recipes: the documented ones, and the ones that cannot be."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import torch

from ptx.infer.errors import UsageError
from ptx.models import CATALOG
from ptx.trainers import Recipe, default_recipe, documented_recipe, find_recipe
from ptx.trainers.recipe import find_entry

DEFAULTS = {
    "momentum": 0.0,
    "weight_decay": 0.0,
    "standardise": False,
    "schedule": "constant",
    "dropout": True,
    "shuffle": True,
    "drop_last": False,
    "max_pixel": None,
}


@pytest.mark.parametrize("model", CATALOG)
def test_a_default_recipe_holds_what_the_catalog_says(model: str) -> None:
    data = default_recipe(model).to_data()
    assert data == json.loads(json.dumps(data))
    assert {name: data[name] for name in CATALOG[model].recipe} == CATALOG[model].recipe
    for name in data.keys() - CATALOG[model].recipe.keys():
        assert data[name] == DEFAULTS[name]


def test_an_override_replaces_and_none_does_not() -> None:
    recipe = default_recipe("convnet", epochs=3, lr=None)
    assert recipe == Recipe(
        loss="cross-entropy", optimizer="sgd", lr=0.01, batch_size=100, epochs=3, momentum=0.9
    )
    assert CATALOG["convnet"].recipe["epochs"] == 20


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"optimizer": "adm"}, "there is no optimizer 'adm'; did you mean 'adam'?"),
        ({"loss": "cross-entrpy"}, "there is no loss 'cross-entrpy'; did you mean 'cross-entropy'"),
        ({"batch_size": 0}, "batch size is 0; expected an integer from 1 to 1000000"),
        ({"schedule": "one-cycl"}, "there is no schedule 'one-cycl'; did you mean 'one-cycle'?"),
        ({"epochs": 0}, "epochs is 0; expected an integer from 1 to 1000000"),
        ({"epochs": -1}, "epochs is -1; expected an integer from 1 to 1000000"),
        ({"epochs": 1.0}, "epochs is 1.0; expected an integer"),
        ({"epochs": True}, "epochs is True; expected an integer"),
        ({"batch_size": 10**19}, f"batch size is {10**19}; expected an integer"),
        ({"lr": 0.0}, "lr is 0.0; expected a number from 1e-12 to 1000000"),
        ({"lr": -0.1}, "lr is -0.1; expected a number from"),
        ({"lr": float("nan")}, "lr is nan; expected a number from"),
        ({"lr": float("inf")}, "lr is inf; expected a number from"),
        ({"momentum": -0.1}, "momentum is -0.1; expected at least 0 and below 1"),
        ({"momentum": 1.0}, "momentum is 1.0; expected at least 0 and below 1"),
        ({"weight_decay": -1e-4}, "weight decay is -0.0001; expected at least 0"),
        ({"max_pixel": 0}, "max_pixel is 0; expected a positive number"),
        ({"max_pixel": float("inf")}, "max_pixel is inf; expected a positive number"),
        ({"momentum": float("nan")}, "momentum is nan; expected at least 0 and below 1"),
    ],
)
def test_a_value_that_cannot_be_is_named(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        default_recipe("convnet", **overrides)
    assert caught.value.exit_code == 2


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=re.escape("there is no model 'convet'; did you mean 'convnet'")
    ):
        default_recipe("convet")
    assert find_entry("convnet") is CATALOG["convnet"]


def test_a_model_has_recipes_by_name_and_an_unknown_one_is_answered_with_them() -> None:
    assert find_recipe("convnet", "default") == default_recipe("convnet")
    assert find_recipe("convnet", "documented") == documented_recipe("convnet")
    assert documented_recipe("convnet") != default_recipe("convnet")
    assert documented_recipe("basic-cnn") == default_recipe("basic-cnn")
    fast = find_recipe("convnet", "fast", epochs=1)
    assert (fast.epochs, fast.schedule, fast.dropout) == (1, "one-cycle", False)
    with pytest.raises(
        UsageError, match=re.escape("did you mean 'fast'? Known: default, documented, fast")
    ):
        find_recipe("convnet", "fst")
    with pytest.raises(
        UsageError, match=r"lstm has no recipe 'fast'; .*Known: default, documented$"
    ):
        find_recipe("lstm", "fast")


@pytest.mark.parametrize("model", [name for name in CATALOG if CATALOG[name].recipes])
def test_every_recipe_of_the_catalog_can_be(model: str) -> None:
    for name in CATALOG[model].recipes:
        assert find_recipe(model, name).loss == CATALOG[model].recipe["loss"]


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 100])
def test_a_one_cycle_is_that_of_torch(steps: int) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    recipe = default_recipe("convnet", lr=0.3, schedule="one-cycle")
    rates = [recipe.learning_rate(step, steps) for step in range(steps)]
    if steps < 5:  # torch divides by zero
        assert all(0 < rate <= 0.3 for rate in rates)
        return
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.3, total_steps=steps, pct_start=0.25, cycle_momentum=False
    )
    expected = []
    for _ in range(steps):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        if len(expected) < steps:
            scheduler.step()
    assert rates == pytest.approx(expected, rel=1e-9)


def test_a_constant_rate_is_constant() -> None:
    recipe = default_recipe("convnet")
    assert {recipe.learning_rate(step, 10) for step in range(10)} == {0.01}
