"""The recipe `documented` of each model against its tutorial, and on the page of the models."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ptx.models import CATALOG
from ptx.trainers import default_recipe, documented_recipe

RAW = {"max_pixel": 255, "shuffle": False}  # pixels as bytes, rows in the order of the file


@dataclass(frozen=True)
class Typed:
    """What a tutorial types."""

    chapter: str  # where
    loss: str
    optimizer: str
    lr: float
    momentum: float
    batch_size: int
    epochs: int
    # what differs from plain training: shuffled rows, no weight decay
    rest: dict[str, Any] = field(default_factory=dict)


# Read off the tutorials, not the catalog. Adam without a rate is Adam at 0.001.
TUTORIALS = {
    "linear-regression": Typed(
        "Mini 1", "mse-mean", "sgd", 0.01, 0.9, 10, 100, {"shuffle": False, "drop_last": True}
    ),
    "softmax-regression": Typed("Mini 2", "cross-entropy", "sgd", 0.01, 0.9, 100, 100, RAW),
    "mlp": Typed("Mini 2, 3", "cross-entropy", "sgd", 0.01, 0.9, 100, 100, RAW),
    "sigmoid-mlp": Typed("Mini 3", "cross-entropy", "sgd", 0.01, 0.9, 100, 100, RAW),
    "dropout-mlp": Typed("Mini 4", "cross-entropy", "adam", 0.001, 0, 100, 100, RAW),
    "convnet": Typed("Mini 5", "cross-entropy", "sgd", 0.01, 0.9, 100, 20, RAW),
    "lstm": Typed("Mini 6", "cross-entropy", "sgd", 0.01, 0.9, 100, 20, RAW),
    "deep-convnet": Typed("Keras-style", "cross-entropy", "adam", 0.001, 0, 100, 100),
    "neural-network": Typed("Quickstart", "cross-entropy", "adam", 0.001, 0, 64, 10),
    "linear-model": Typed("Lecture 5", "mse-sum", "sgd", 0.01, 0, 3, 100),
    "logistic-regression": Typed("Lecture 6", "bce-sum", "sgd", 0.01, 0, 3, 1000),
    "diabetes": Typed("Lecture 7, 8", "bce-mean", "sgd", 0.01, 0, 32, 100),
    "softmax-mlp": Typed("Lecture 9", "cross-entropy", "sgd", 0.01, 0.5, 64, 10),
    "basic-cnn": Typed("Lecture 10", "cross-entropy", "sgd", 0.01, 0.5, 64, 10),
    "inception": Typed("Lecture 11", "cross-entropy", "sgd", 0.01, 0.5, 64, 10),
    "residual-net": Typed("Lecture 11", "cross-entropy", "sgd", 0.01, 0.5, 64, 10),
    "char-rnn-cell": Typed("Lecture 12", "cross-entropy", "adam", 0.1, 0, 1, 15),
    "char-rnn": Typed("Lecture 12", "cross-entropy", "adam", 0.05, 0, 1, 15),
    "char-rnn-embedding": Typed("Lecture 12", "cross-entropy", "adam", 0.05, 0, 1, 15),
    "name-classifier": Typed("Lecture 13", "cross-entropy", "adam", 0.001, 0, 256, 100),
}
PLAIN = {
    "weight_decay": 0.0,
    "standardise": False,
    "schedule": "constant",
    "dropout": True,
    "shuffle": True,
    "drop_last": False,
    "max_pixel": None,
}


def published_recipe(model: str) -> dict[str, Any]:
    typed = asdict(TUTORIALS[model])
    return {
        **PLAIN,
        **{k: v for k, v in typed.items() if k not in ("chapter", "rest")},
        **typed["rest"],
    }


def test_every_model_has_a_chapter() -> None:
    assert set(TUTORIALS) == set(CATALOG)


@pytest.mark.parametrize("model", TUTORIALS)
def test_the_recipe_documented_is_the_tutorials(model: str) -> None:
    assert documented_recipe(model).to_data() == published_recipe(model)


PAGE = Path(__file__).parents[2] / "docs" / "reference" / "models.md"


@pytest.mark.parametrize("model", TUTORIALS)
def test_the_page_shows_both_recipes_where_they_differ(model: str) -> None:
    recipes = PAGE.read_text(encoding="utf-8").partition("## Recipes")[2].partition("\n## ")[0]
    rows = [
        row.split(" | ")
        for row in recipes.splitlines()
        if row.startswith("|") and f"`{model}`" in row
    ]
    found = {
        recipe: set(values.removesuffix(" |").split(", "))
        for names, _, values in rows
        for recipe in names.removeprefix("| ").split(", ")
    }
    typed, default = published_recipe(model), default_recipe(model).to_data()
    for name in typed:
        if typed[name] == default[name]:
            continue
        for recipe, value in (("default", default[name]), ("documented", typed[name])):
            shown = {text for text in found[recipe] if text.startswith(f"{name} ")}
            # The page leaves out what is plain training.
            assert shown == (set() if value == PLAIN.get(name, "") else {f"{name} {value}"}), name


def test_the_diabetes_note_says_what_the_documented_recipe_reaches() -> None:
    assert "predicts only the larger class" in CATALOG["diabetes"].notes
