"""Faults in a card."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ptx.infer.artifact.card import Card
from ptx.infer.signature import Signature


def labels(card: Card, *order: int) -> dict[str, Any]:
    """The labels in another order."""
    return {"labels": tuple(card.labels[index] for index in order)}


def two_swapped(card: Card) -> dict[str, Any]:
    """3 and 8 have each other's place."""
    return labels(card, 0, 1, 2, 8, 4, 5, 6, 7, 3, 9)


def misspelt(card: Card) -> dict[str, Any]:
    """One label is another word."""
    return {"labels": (*card.labels[:-1], f"{card.labels[-1]}s")}


def columns_swapped(card: Card) -> dict[str, Any]:
    """The first two columns have each other's names."""
    first, second, *rest = card.preprocessing["names"]
    return {"preprocessing": {**card.preprocessing, "names": [second, first, *rest]}}


def standardised_otherwise(card: Card) -> dict[str, Any]:
    """Mean and standard deviation of the columns have changed places."""
    mean, std = ([float(n) + 1 for n in card.preprocessing[name]] for name in ("std", "mean"))
    return {"preprocessing": {**card.preprocessing, "mean": mean, "std": std}}


def outputs_swapped(card: Card) -> dict[str, Any]:
    """The second output stands first, and is what the labels are read from."""
    data = card.signature.to_data()
    data["outputs"] = dict(reversed(data["outputs"].items()))
    return {"signature": Signature.from_data(data)}


def axes_swapped(card: Card) -> dict[str, Any]:
    """Time and batch of the output have changed places."""
    data = card.signature.to_data()
    ((name, (dtype, (first, second, *rest))),) = data["outputs"].items()
    data["outputs"] = {name: [dtype, [second, first, *rest]]}
    return {"signature": Signature.from_data(data)}


def widened(card: Card) -> dict[str, Any]:
    """The golden samples allow everything."""
    free = dict.fromkeys(card.golden[0].tolerance, 1e9)
    golden = tuple(replace(each, tolerance=free, columns={}, answers=()) for each in card.golden)
    raw = tuple(replace(each, tolerance=free, columns={}, answers=()) for each in card.raw)
    return {"golden": golden, "raw": raw}


def recorded(card: Card, accuracy: float) -> dict[str, Any]:
    """The training is said to have reached another accuracy."""
    return {"training": {**card.training, "test": {**card.training["test"], "accuracy": accuracy}}}
