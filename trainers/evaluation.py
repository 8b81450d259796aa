"""How well a predictor does on the rows of a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptx.infer.prediction import Prediction
from ptx.infer.predictor import Predictor
from ptx.infer.preprocessing import Preprocessing
from ptx.infer.signature import Array
from ptx.trainers.batches import check_split, model_targets, raw_samples
from ptx.trainers.data import Split

BATCH = 500  # rows that are run at once


@dataclass(frozen=True)
class Evaluation:
    """What a predictor answers on rows whose answers are known.

    Attributes:
        accuracy: Of rows, or of steps of a sequence; None for a regression.
        confusion: Int64 (labels, labels): true label by row, predicted by column.
        error: Root of the mean squared error of a regression.
        wrong: Int64: the rows with a wrong label; of a regression all, the largest error first.
    """

    rows: int
    accuracy: float | None
    confusion: Array | None
    error: float | None
    wrong: Array

    @property
    def figure(self) -> str:
        """`accuracy 99.12 %`, or `root mean squared error 0.0123` of a regression."""
        if self.accuracy is None:
            return f"root mean squared error {self.error:.4g}"
        return f"accuracy {100 * self.accuracy:.2f} %"


@dataclass(frozen=True)
class Answered:
    """One row, what is right for it and what the model says.

    Attributes:
        value: As the split holds it: pixels, a text, numbers or indices of symbols.
        truth: The right label, word or number.
    """

    row: int
    value: Any
    truth: str
    prediction: Prediction


def model_inputs(
    split: Split, preprocessing: Preprocessing, names: tuple[str, ...] = ()
) -> Iterator[tuple[Array, dict[str, Array]]]:
    """(row indices, input arrays) in batches, as prediction would prepare them from raw inputs.

    Args:
        names: The data's own labels; the symbols of its sequences.
    """
    for start in range(0, len(split), BATCH):
        rows = np.arange(start, min(start + BATCH, len(split)))
        yield rows, preprocessing.collate(raw_samples(split, preprocessing, rows, names))


def evaluate(
    predictor: Predictor,
    split: Split,
    *,
    names: tuple[str, ...] = (),
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Accuracy and confusion matrix, or the error of a regression, over all rows of a split.

    Each row goes through the whole predictor, from its raw form where it has one. `names`: the data's
    own labels, in the order of its class indices; a class is right where the model's label has its
    name, wherever that stands. Without them the data's order is the model's. `progress` is told the
    rows of each batch that is done.

    Raises:
        UsageError: rows that are not for this model, or a name that is none of its labels.
        InputError: a class that the model has no label for.
    """
    check_split(
        split,
        predictor.preprocessing,
        (names or predictor.labels) if predictor.labels else (),
        name="the split",
        model=predictor.manifest.model,
    )
    truth = model_targets(split, names, predictor.labels, predictor.manifest.model)
    labels = len(predictor.labels)
    confusion = np.zeros((labels, labels), np.int64)
    errors = np.zeros(len(split))  # of a regression: squared, summed over a row's outputs
    wrong = np.zeros(len(split), np.bool_)
    output = predictor.signature.outputs[0]
    for rows, inputs in model_inputs(split, predictor.preprocessing, names):
        outputs = predictor.run(inputs)
        predicted, targets = predictor.classes(outputs), truth[rows]
        if predicted is None:
            difference = outputs[output.name].astype(np.float64) - targets
            errors[rows] = (difference**2).reshape(len(rows), -1).sum(axis=1)
        else:
            wrong[rows] = (predicted != targets).reshape(len(rows), -1).any(axis=1)
            np.add.at(confusion, (targets.ravel(), predicted.ravel()), 1)
        if progress is not None:
            progress(len(rows))
    if not labels:
        largest = np.argsort(-errors, kind="stable")
        return Evaluation(len(split), None, None, float(np.sqrt(errors.mean())), largest)
    accuracy = float(confusion.trace() / confusion.sum())
    return Evaluation(len(split), accuracy, confusion, None, np.flatnonzero(wrong))


def answer_rows(
    predictor: Predictor, split: Split, rows: Array, names: tuple[str, ...] = ()
) -> list[Answered]:
    """The predictions for some rows, with what is right for them; `names`: as of `evaluate`."""
    ((_, raw),) = split.inputs.items()
    answers = []
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        samples = raw_samples(split, predictor.preprocessing, part, names)
        for row, prediction in zip(
            part.tolist(), predictor.predict_samples(samples, [None] * len(part)), strict=True
        ):
            truth = _truth(split.targets[row], names or predictor.labels)
            answers.append(Answered(row, raw[row], truth, prediction))
    return answers


def most_wrong(
    predictor: Predictor,
    split: Split,
    evaluation: Evaluation,
    count: int,
    names: tuple[str, ...] = (),
) -> list[Answered]:
    """The wrong answers that the model is most sure of; of a regression the largest errors."""
    if evaluation.error is not None:
        return answer_rows(predictor, split, evaluation.wrong[:count], names)
    answers = answer_rows(predictor, split, evaluation.wrong, names)
    return sorted(answers, key=lambda answer: -(answer.prediction.score or 0.0))[:count]


def _truth(target: Array, labels: tuple[str, ...]) -> str:
    if not labels:
        return f"{float(target.item()):.6g}"
    return "".join(labels[index] for index in np.atleast_1d(target).tolist())
