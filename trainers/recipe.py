"""A recipe: the hyper-parameters of one training run, and the losses that one may name."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import functional

from ptx.infer.errors import UsageError, nearest, quote
from ptx.infer.ranges import BATCH_SIZE, EPOCHS, LEARNING_RATE
from ptx.models import Entry, known_models, lookup

OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("constant", "one-cycle")
DEFAULT = "default"  # the recipe that a model is trained with when none is named
DOCUMENTED = "documented"  # as its source types it; the default one where that is the same
WARM_UP = 0.25  # share of a one-cycle's steps in which the learning rate rises
# Shares of the learning rate that a one-cycle begins and ends with.
FIRST, LAST = 1 / 25, 1 / 250_000


class Loss(NamedTuple):
    """What an optimiser makes small."""

    compute: Callable[[Tensor, Tensor], Tensor]  # (outputs, targets) → ()
    summed: bool = False  # over the rows of a batch; else their mean


def _bce(outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
    """Binary cross-entropy; probabilities (batch, 1) against classes 0 or 1 (batch,)."""
    classes = targets.to(outputs.dtype)
    return functional.binary_cross_entropy(outputs[:, 0], classes, reduction=reduction)


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy; logits (batch, ..., classes) against class indices (batch, ...)."""
    return functional.cross_entropy(outputs.flatten(0, -2), targets.flatten())


LOSSES = {
    "mse-mean": Loss(functional.mse_loss),
    "mse-sum": Loss(partial(functional.mse_loss, reduction="sum"), summed=True),
    "bce-mean": Loss(partial(_bce, reduction="mean")),
    "bce-sum": Loss(partial(_bce, reduction="sum"), summed=True),
    "cross-entropy": Loss(_cross_entropy),
}


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        loss: A key of LOSSES.
        optimizer: "sgd" or "adam".
        lr: Learning rate.
        momentum: Of SGD.
        weight_decay: Half of it times the weights' squared length joins the loss.
        standardise: Columns to mean 0 and standard deviation 1 over the training rows.
        schedule: Of the learning rate, see `learning_rate`.
        dropout: False trains without the network's dropout.
        shuffle: False takes the training rows in the order of the data.
        drop_last: True leaves out the last of several batches where it is not whole.
        max_pixel: Pictures: pixels from 0 to this, not normalised; else the model's.
    """

    loss: str
    optimizer: str
    lr: float
    batch_size: int
    epochs: int
    momentum: float = 0.0
    weight_decay: float = 0.0
    standardise: bool = False
    schedule: str = "constant"
    dropout: bool = True
    shuffle: bool = True
    drop_last: bool = False
    max_pixel: float | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise UsageError(
                f"there is no optimizer {self.optimizer!r}; {nearest(self.optimizer, OPTIMIZERS)}"
            )
        if self.schedule not in SCHEDULES:
            raise UsageError(
                f"there is no schedule {self.schedule!r}; {nearest(self.schedule, SCHEDULES)}"
            )
        if self.loss not in LOSSES:
            raise UsageError(f"there is no loss {self.loss!r}; {nearest(self.loss, LOSSES)}")
        BATCH_SIZE.check("batch size", self.batch_size)
        EPOCHS.check("epochs", self.epochs)
        LEARNING_RATE.check("lr", self.lr)
        if not 0 <= self.momentum < 1:
            raise UsageError(f"momentum is {self.momentum}; expected at least 0 and below 1")
        if not 0 <= self.weight_decay < math.inf:
            raise UsageError(f"weight decay is {self.weight_decay}; expected at least 0")
        if self.max_pixel is not None and not 0 < self.max_pixel < math.inf:
            raise UsageError(f"white is {self.max_pixel}; expected a positive number")

    def to_data(self) -> dict[str, Any]:
        """The JSON form that the manifest carries."""
        return dataclasses.asdict(self)

    @classmethod
    def completed(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """A manifest's recipe with what recipes did not have on its day, as it was done then."""
        fields = dataclasses.fields(cls)
        return {f.name: f.default for f in fields if f.default is not dataclasses.MISSING} | dict(
            data
        )

    def learning_rate(self, step: int, steps: int) -> float:
        """The learning rate of step `step`, from 0, of the run's `steps`.

        `constant`: always `lr`. `one-cycle`: along a cosine up to `lr` and down to nearly nothing.
        Source: Smith, Topin: Super-Convergence, https://arxiv.org/abs/1708.07120
        """
        if self.schedule == "constant":
            return self.lr
        peak = WARM_UP * steps - 1
        if step < peak:
            return _cosine(self.lr * FIRST, self.lr, step / peak)
        return _cosine(self.lr, self.lr * LAST, (step - peak) / (steps - 1 - peak))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def default_recipe(model: str, **overrides: Any) -> Recipe:
    """The recipe that a model is trained with, with the overrides that are not None."""
    return find_recipe(model, DEFAULT, **overrides)


def documented_recipe(model: str, **overrides: Any) -> Recipe:
    """The recipe as the model's source types it, with the overrides that are not None."""
    return find_recipe(model, DOCUMENTED, **overrides)


def find_recipe(model: str, name: str, **overrides: Any) -> Recipe:
    """The catalog's recipe of that name for a model, with the overrides that are not None.

    Raises:
        UsageError: no such model or recipe, or a value that cannot be.
    """
    recipes = recipes_of(find_entry(model))
    if name not in recipes:
        raise UsageError(f"{model} has no recipe {name!r}; {nearest(name, recipes)}")
    changes = {name: value for name, value in overrides.items() if value is not None}
    return Recipe(**{**recipes[name], **changes})


def recipes_of(entry: Entry) -> dict[str, Mapping[str, Any]]:
    """A model's recipes by name; the default one also goes by the name of the documented one."""
    return {DEFAULT: entry.recipe, DOCUMENTED: entry.recipe, **entry.recipes}


def find_entry(model: str) -> Entry:
    """The entry of a model of the catalog or of a package; UsageError names the nearest."""
    entry = lookup(model)
    if entry is None:
        raise UsageError(f"there is no model {quote(model)}; {nearest(model, known_models())}")
    return entry
