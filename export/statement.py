"""What a bare state dict does not say about its network, and what a person states of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ptx.infer.artifact.card import Card
from ptx.infer.described.description import Description
from ptx.infer.errors import UsageError, nearest, quote
from ptx.infer.preprocessing import Preprocessing, open_preprocessing
from ptx.infer.ranges import MEAN, STD, WHITE
from ptx.infer.signature import Signature
from ptx.infer.tasks import TASKS
from ptx.models import Entry, known_models, lookup

DESCRIBED = ("preprocessing", "labels")  # what is open; the rest is the catalog's
ASSUMED = "assumed"  # key of a card's `training`: what was taken for granted, by topic


@dataclass(frozen=True)
class Statement:
    """How the network of a bare state dict was trained; what is left out is taken from the catalog."""

    description: Description = field(
        default_factory=Description
    )  # its `preprocessing` and `labels`
    labels: tuple[str, ...] = ()  # in the order of the outputs
    mean: tuple[float, ...] = ()  # of pixels on `scale`, one or one a channel; or one a column
    std: tuple[float, ...] = ()
    scale: float | None = None  # the number of a white pixel: 1, or 255 for pixels as they are

    def card(self, model: str) -> Card:
        """The card of the catalog's `model` with what is stated, and a note of what is assumed.

        Raises:
            UsageError: there is no such model, or something is stated that it has not.
            InputError: E-DESCRIPTION: what is stated does not fit the model.
        """
        entry = lookup(model)
        if entry is None:
            raise UsageError(f"there is no model {quote(model)}; {nearest(model, known_models())}")
        self._check_numbers()
        labels = self._labels(entry, model)
        config, signature_data = entry.sized(
            len(labels if TASKS[entry.task].any_labels else entry.labels)
        )
        signature = Signature.from_data(signature_data)
        self._check_rest(entry, model, signature)
        said = replace(
            self.description,
            name=model,
            task=entry.task,
            preprocessing=self._preprocessing(entry, model, signature),
            labels=labels,
        )
        card = said.card(signature, name=model)
        return replace(card, config=config, training={ASSUMED: self._list_assumed(card)})

    def _check_numbers(self) -> None:
        for name, within in (("mean", MEAN), ("std", STD)):
            for number in getattr(self, name):
                within.check(name, number)
        if self.scale is not None:
            WHITE.check("scale", self.scale)

    def _labels(self, entry: Entry, model: str) -> tuple[str, ...]:
        if self.labels and self.description.labels:
            raise UsageError("the labels are stated twice, in the description and beside it")
        stated = self.labels or self.description.labels
        if stated and not entry.labels:
            raise UsageError(f"{model} gives a number: it has no labels")
        return stated or entry.labels

    def _check_rest(self, entry: Entry, model: str, signature: Signature) -> None:
        """Name, task, inputs and outputs may be said again, and not otherwise."""
        catalog: dict[str, Any] = {
            "name": model,
            "task": entry.task,
            "inputs": signature.inputs,
            "outputs": signature.outputs,
        }
        for key, value in catalog.items():
            if key in self.description.given and getattr(self.description, key) != value:
                raise UsageError(
                    f"{self.description.origin}: {key} is not that of the catalog's {model}; of a"
                    f" bare state dict {' and '.join(DESCRIBED)} may be stated"
                )

    def _preprocessing(self, entry: Entry, model: str, signature: Signature) -> dict[str, Any]:
        described = "preprocessing" in self.description.given
        preprocessing = dict(self.description.preprocessing if described else entry.preprocessing)
        if not self._normalises:
            return preprocessing
        if described:
            raise UsageError("mean, std or scale is stated beside a description's preprocessing")
        if len(self.mean) != len(self.std):
            raise UsageError("mean and std belong together; expected both, or neither")
        opened = open_preprocessing(preprocessing, signature)
        return {**preprocessing, **self._normalisation(opened, model)}

    @property
    def _normalises(self) -> bool:
        return bool(self.mean or self.std) or self.scale is not None

    def _normalisation(self, opened: Preprocessing, model: str) -> dict[str, Any]:
        """The settings mean and std, which a card holds for pixels on a scale of 1."""
        pictures = opened.pictures
        if pictures is None and (not opened.columns or self.scale is not None):
            what, taken = "mean, std and scale", opened.noun
            if opened.columns:
                what, taken = "scale", "columns"
            raise UsageError(f"{what} is said of pixels; {model} takes {taken}")
        scale = 1.0 if self.scale is None else self.scale
        channels = (pictures and pictures.channels) or 1
        mean = [number / scale for number in self.mean or [0.0] * channels]
        std = [number / scale for number in self.std or [1.0] * channels]
        if pictures is not None and pictures.channels is None and len(mean) == 1:
            return {"mean": mean[0], "std": std[0]}
        return {"mean": mean, "std": std}

    def _list_assumed(self, card: Card) -> dict[str, str]:
        """What nobody stated, by topic, in words."""
        assumed = {}
        if not self._normalises and "preprocessing" not in self.description.given:
            assumed["preprocessing"] = _describe_settings(card)
        if card.labels and not (self.labels or self.description.labels):
            assumed["labels"] = f"{', '.join(card.labels)}, in this order"
        return assumed


def _describe_settings(card: Card) -> str:
    """`pixels scaled to [0, 1], less 0.1307, divided by 0.3081`."""
    settings = dict(card.preprocessing)
    opened = open_preprocessing(settings, card.signature)
    kind, mean, std = (settings.pop(key, None) for key in ("kind", "mean", "std"))
    normalised = "" if mean is None else f", less {mean}, divided by {std}"
    if opened.pictures is not None:
        return f"pixels scaled to [0, 1]{normalised}"
    if opened.columns:
        return f"columns as they are{normalised}"
    return f"{kind}: {', '.join(f'{key} {value}' for key, value in settings.items())}"


def as_typed(card: Card, network: Any) -> Card:
    """The card of a network that computes what the documented one does, where ptx's own form differs."""
    words = ", ".join(
        f"{key.replace('_', ' ')}: {value}" for key, value in network.AS_TYPED.items()
    )
    assumed = {**card.training[ASSUMED], "network": f"as the lecture types it ({words})"}
    return replace(
        card,
        config={**card.config, **network.AS_TYPED},
        training={**card.training, ASSUMED: assumed},
    )
