"""Recipes: the documented ones, and the ones that cannot be."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ptx.infer.errors import UsageError
from ptx.models import CATALOG
from ptx.trainers import Recipe, documented_recipe
from ptx.trainers.recipe import find_entry


@pytest.mark.parametrize("model", CATALOG)
def test_a_documented_recipe_holds_what_the_catalog_says(model: str) -> None:
    data = documented_recipe(model).to_data()
    assert data == json.loads(json.dumps(data))
    assert {name: data[name] for name in CATALOG[model].recipe} == CATALOG[model].recipe
    for name in data.keys() - CATALOG[model].recipe.keys():
        assert data[name] == {"momentum": 0.0, "weight_decay": 0.0, "standardise": False}[name]


def test_an_override_replaces_and_none_does_not() -> None:
    recipe = documented_recipe("convnet", epochs=3, lr=None)
    assert recipe == Recipe(
        loss="cross-entropy", optimizer="sgd", lr=0.01, batch_size=100, epochs=3, momentum=0.9
    )
    assert CATALOG["convnet"].recipe["epochs"] == 20


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"optimizer": "adm"}, "there is no optimizer 'adm'; did you mean 'adam'?"),
        ({"loss": "cross-entrpy"}, "there is no loss 'cross-entrpy'; did you mean 'cross-entropy'"),
        ({"batch_size": 0}, "batch size is 0; expected at least 1"),
        ({"epochs": 0}, "epochs is 0; expected at least 1"),
        ({"epochs": -1}, "epochs is -1; expected at least 1"),
        ({"lr": 0.0}, "lr is 0.0; expected a positive number"),
        ({"lr": -0.1}, "lr is -0.1; expected a positive number"),
        ({"lr": float("nan")}, "lr is nan; expected a positive number"),
        ({"lr": float("inf")}, "lr is inf; expected a positive number"),
        ({"momentum": -0.1}, "momentum is -0.1; expected at least 0 and below 1"),
        ({"momentum": 1.0}, "momentum is 1.0; expected at least 0 and below 1"),
        ({"weight_decay": -1e-4}, "weight decay is -0.0001; expected at least 0"),
        ({"momentum": float("nan")}, "momentum is nan; expected at least 0 and below 1"),
    ],
)
def test_a_value_that_cannot_be_is_named(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        documented_recipe("convnet", **overrides)
    assert caught.value.exit_code == 2


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=re.escape("there is no model 'convet'; did you mean 'convnet'")
    ):
        documented_recipe("convet")
    assert find_entry("convnet") is CATALOG["convnet"]
