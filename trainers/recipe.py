"""Recipes: the hyper-parameters of a training run, and the available losses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import functional

from ptx.infer.errors import UsageError, did_you_mean, quote
from ptx.infer.ranges import BATCH_SIZE, EPOCHS, LEARNING_RATE
from ptx.models import ModelEntry, known_models, lookup

OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("constant", "one-cycle")
DEFAULT = "default"  # the recipe that is used if none is named
DOCUMENTED = "documented"  # the recipe of the tutorial; may be the same as the default one
# The one-cycle schedule, with the names and defaults of torch.optim.lr_scheduler.OneCycleLR except for
# PCT_START: the fraction of the steps in which the learning rate rises; it starts at lr / DIV_FACTOR and
# ends at lr / (DIV_FACTOR * FINAL_DIV_FACTOR).
PCT_START, DIV_FACTOR, FINAL_DIV_FACTOR = 0.25, 25, 10_000


class Loss(NamedTuple):
    """A loss that an optimiser minimises."""

    compute: Callable[[Tensor, Tensor], Tensor]  # (outputs, targets) → ()
    summed: bool = False  # whether it is the sum over the rows of a batch, not their mean


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
    """The hyper-parameters of a training run.

    Attributes:
        loss: A key of LOSSES.
        optimizer: "sgd" or "adam".
        lr: Learning rate.
        momentum: For SGD.
        weight_decay: L2 penalty: the loss grows by half of it times the squared norm of the weights.
        standardise: Scale columns to mean 0 and standard deviation 1 over the training rows.
        schedule: An entry of SCHEDULES; see `learning_rate`.
        dropout: False disables the network's dropout.
        shuffle: False keeps the training rows in the order of the data.
        drop_last: Skip the last batch of an epoch if it is incomplete, unless it is the only one.
        max_pixel: Images: scale pixels to [0, max_pixel] and do not normalise them. None means the
            model's preprocessing.
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
                f"there is no optimizer {self.optimizer!r}; {did_you_mean(self.optimizer, OPTIMIZERS)}"
            )
        if self.schedule not in SCHEDULES:
            raise UsageError(
                f"there is no schedule {self.schedule!r}; {did_you_mean(self.schedule, SCHEDULES)}"
            )
        if self.loss not in LOSSES:
            raise UsageError(f"there is no loss {self.loss!r}; {did_you_mean(self.loss, LOSSES)}")
        BATCH_SIZE.check("batch size", self.batch_size)
        EPOCHS.check("epochs", self.epochs)
        LEARNING_RATE.check("lr", self.lr)
        if not 0 <= self.momentum < 1:
            raise UsageError(f"momentum is {self.momentum}; expected at least 0 and below 1")
        if not 0 <= self.weight_decay < math.inf:
            raise UsageError(f"weight decay is {self.weight_decay}; expected at least 0")
        if self.max_pixel is not None and not 0 < self.max_pixel < math.inf:
            raise UsageError(f"max_pixel is {self.max_pixel}; expected a positive number")

    def to_data(self) -> dict[str, Any]:
        """The fields as JSON, for the manifest."""
        return dataclasses.asdict(self)

    @classmethod
    def with_defaults(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a recipe, with defaults for those that it lacks."""
        fields = dataclasses.fields(cls)
        return {f.name: f.default for f in fields if f.default is not dataclasses.MISSING} | dict(
            data
        )

    def learning_rate(self, step: int, steps: int) -> float:
        """The learning rate of `step`, counted from 0, of all `steps` of the run.

        `constant`: always `lr`. `one-cycle`: cosine annealing up to `lr`, then down to nearly 0.
        Source: Smith, Topin: Super-Convergence, https://arxiv.org/abs/1708.07120
        """
        if self.schedule == "constant":
            return self.lr
        first, last = 1 / DIV_FACTOR, 1 / (DIV_FACTOR * FINAL_DIV_FACTOR)
        peak = PCT_START * steps - 1
        if step < peak:
            return _cosine(self.lr * first, self.lr, step / peak)
        return _cosine(self.lr, self.lr * last, (step - peak) / (steps - 1 - peak))


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def default_recipe(model: str, **overrides: Any) -> Recipe:
    """The default recipe of a model, with the overrides that are not None."""
    return find_recipe(model, DEFAULT, **overrides)


def documented_recipe(model: str, **overrides: Any) -> Recipe:
    """The recipe of the tutorial that documents the model, with the overrides that are not None."""
    return find_recipe(model, DOCUMENTED, **overrides)


def find_recipe(model: str, name: str, **overrides: Any) -> Recipe:
    """The catalog's recipe of that name for a model, with the overrides that are not None.

    Raises:
        UsageError: there is no such model or recipe, or a value is invalid.
    """
    recipes = recipes_of(find_entry(model))
    if name not in recipes:
        raise UsageError(f"{model} has no recipe {name!r}; {did_you_mean(name, recipes)}")
    changes = {name: value for name, value in overrides.items() if value is not None}
    return Recipe(**{**recipes[name], **changes})


def recipes_of(entry: ModelEntry) -> dict[str, Mapping[str, Any]]:
    """A model's recipes by name; without a separate documented recipe, that is the default one."""
    return {DEFAULT: entry.recipe, DOCUMENTED: entry.recipe, **entry.recipes}


def find_entry(model: str) -> ModelEntry:
    """The entry of a model of the catalog or of a package; UsageError if there is none."""
    entry = lookup(model)
    if entry is None:
        raise UsageError(f"there is no model {quote(model)}; {did_you_mean(model, known_models())}")
    return entry
