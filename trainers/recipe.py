"""A recipe: the hyper-parameters of one training run."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from ptx.infer.errors import UsageError, nearest
from ptx.models import Entry, known_models, lookup
from ptx.trainers.losses import LOSSES

OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    loss: str  # a key of `ptx.trainers.losses.LOSSES`
    optimizer: str  # "sgd" or "adam"
    lr: float  # learning rate
    batch_size: int
    epochs: int
    momentum: float = 0.0  # of SGD
    weight_decay: float = 0.0  # half of it times the weights' squared length joins the loss
    standardise: bool = False  # columns to mean 0 and standard deviation 1 over the training rows

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise UsageError(
                f"there is no optimizer {self.optimizer!r}; {nearest(self.optimizer, OPTIMIZERS)}"
            )
        if self.loss not in LOSSES:
            raise UsageError(f"there is no loss {self.loss!r}; {nearest(self.loss, LOSSES)}")
        for name in ("batch_size", "epochs"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; expected at least 1")
        if not 0 < self.lr < math.inf:
            raise UsageError(f"lr is {self.lr}; expected a positive number")
        if not 0 <= self.momentum < 1:
            raise UsageError(f"momentum is {self.momentum}; expected at least 0 and below 1")
        if not 0 <= self.weight_decay < math.inf:
            raise UsageError(f"weight_decay is {self.weight_decay}; expected at least 0")

    def to_data(self) -> dict[str, Any]:
        """The JSON form that the card carries."""
        return dataclasses.asdict(self)


def documented_recipe(model: str, **overrides: Any) -> Recipe:
    """The catalog's recipe for a model, with the overrides that are not None."""
    changes = {name: value for name, value in overrides.items() if value is not None}
    return Recipe(**{**find_entry(model).recipe, **changes})


def find_entry(model: str) -> Entry:
    """The entry of a model of the catalog or of a package; UsageError names the nearest."""
    entry = lookup(model)
    if entry is None:
        raise UsageError(f"there is no model {model!r}; {nearest(model, known_models())}")
    return entry
