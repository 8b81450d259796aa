"""Rows that are known, for files of fewer bits: what rounding cost on them, what int8 is tried on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ptx.export import KnownRows, TrainedModel, Trial
from ptx.infer import Predictor
from ptx.infer.errors import pluralise
from ptx.infer.preprocessing import Preprocessing, open_preprocessing
from ptx.infer.signature import Array
from ptx.trainers.batches import as_read, check_split, model_targets
from ptx.trainers.data import Dataset, Split
from ptx.trainers.evaluation import model_inputs

CALIBRATION = 512  # training rows: more change no range that matters
SEED = 0


@dataclass(frozen=True)
class RoundingCost:
    """The answers of a network as it was trained, and of a file of it, on the same rows."""

    answers: int  # one a row, or one a step of a sequence
    before: float  # the share that is right, or the error of a regression
    after: float
    changed: int = 0  # answers with another label
    newly_wrong: int = 0
    newly_right: int = 0
    labelled: bool = True

    def __str__(self) -> str:
        rows = pluralise(self.answers, "test answer")
        if not self.labelled:
            return f"root mean squared error {self.before:.6g} → {self.after:.6g} over {rows}"
        return (
            f"{100 * self.before:.2f} → {100 * self.after:.2f} % of {rows},"
            f" {pluralise(self.changed, 'label')} changed ({self.newly_wrong:,} newly wrong,"
            f" {self.newly_right:,} newly right)"
        )


def rounding_cost(trained: TrainedModel, predictor: Predictor, split: Split) -> RoundingCost:
    """Count the answers of `trained`, as it is, and of a predictor of the same model, on some rows.

    The targets are indices into the model's labels.
    """
    before, after, truth = [], [], []
    with Predictor(trained.card, lambda: _Eager(trained)) as own:
        rows = model_inputs(split, own.preprocessing)
        others = model_inputs(split, predictor.preprocessing)
        for (indices, inputs), (_, other) in zip(rows, others, strict=True):
            before.append(_answers(own, inputs))
            after.append(_answers(predictor, other))
            truth.append(split.targets[indices].reshape(before[-1].shape))
    first, second, right = map(np.concatenate, (before, after, truth))
    if not trained.card.labels:
        was, now = (float(np.sqrt(np.mean((answer - right) ** 2))) for answer in (first, second))
        return RoundingCost(len(right), was, now, labelled=False)
    held, holds = first == right, second == right
    return RoundingCost(
        right.size,
        float(held.mean()),
        float(holds.mean()),
        changed=int((first != second).sum()),
        newly_wrong=int((held & ~holds).sum()),
        newly_right=int((holds & ~held).sum()),
    )


class _Eager:
    """A network that has no file of its own."""

    name, device = "eager", "cpu"

    def __init__(self, trained: TrainedModel) -> None:
        self._reference = trained.proof.reference

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self._reference.eager(inputs)

    def close(self) -> None:
        pass


def _answers(predictor: Predictor, inputs: Mapping[str, Array]) -> Array:
    outputs = predictor.run(inputs)
    classes = predictor.classes(outputs)
    first = predictor.signature.outputs[0].name
    return outputs[first].astype(np.float64) if classes is None else classes


def make_trial(
    trained: TrainedModel, dataset: Dataset, *, max_drop: float, for_size: bool
) -> Trial:
    """Training rows to take ranges from, drawn with a fixed seed, and all test rows to count on.

    Raises:
        UsageError: the rows are not for the model, or a label is none of its own.
        InputError: there are none.
    """
    drawn = np.random.default_rng(SEED).permutation(len(dataset.train))[:CALIBRATION]
    calibration = _known(trained, dataset, dataset.train.take(np.sort(drawn)))
    test = _known(trained, dataset, dataset.test)
    return Trial(calibration, test, max_drop=max_drop, for_size=for_size)


def _known(trained: TrainedModel, dataset: Dataset, split: Split) -> KnownRows:
    card = trained.card
    preprocessing = open_preprocessing(card.preprocessing, card.signature)
    check_split(split, preprocessing, dataset.labels, name=dataset.name, model=card.model)
    targets = model_targets(split, dataset.labels, card.labels, card.model)
    read = as_read(split, preprocessing)
    return KnownRows(
        dataset.name, len(split), lambda: _batches(read, preprocessing, dataset.labels, targets)
    )


def _batches(
    split: Split, preprocessing: Preprocessing, names: tuple[str, ...], targets: Array
) -> Iterator[tuple[dict[str, Array], Array]]:
    for rows, inputs in model_inputs(split, preprocessing, names):
        yield inputs, targets[rows]
