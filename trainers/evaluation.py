"""Evaluation of a predictor on the rows of a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptx.infer.errors import UsageError
from ptx.infer.prediction import Prediction
from ptx.infer.predictor import Predictor
from ptx.infer.preprocessing import Preprocessing
from ptx.infer.signature import Array
from ptx.infer.tasks import find_task
from ptx.trainers.batches import check_split, model_targets, read_samples
from ptx.trainers.data import Split

BATCH = 500  # rows of one model run


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a predictor on labelled rows.

    Attributes:
        accuracy: The fraction of right rows, or of right steps of a sequence; None for a regression.
        confusion: int64 (labels, labels): true label by row, predicted label by column.
        error: The root mean squared error of a regression.
        wrong: int64 (count,): the indices of rows with a wrong label; for a regression all rows,
            largest error first.
    """

    rows: int
    accuracy: float | None
    confusion: Array | None
    error: float | None
    wrong: Array

    @property
    def summary(self) -> str:
        """`accuracy 99.12 %`, or for a regression `root mean squared error 0.0123`."""
        if self.accuracy is None:
            return f"root mean squared error {self.error:.4g}"
        return f"accuracy {100 * self.accuracy:.2f} %"

    @property
    def only_label(self) -> int | None:
        """The index of the label that every row got, although the rows have several; else None."""
        if self.confusion is None or np.count_nonzero(self.confusion.sum(axis=1)) < 2:
            return None
        predicted = np.flatnonzero(self.confusion.sum(axis=0))
        return int(predicted[0]) if len(predicted) == 1 else None


@dataclass(frozen=True)
class LabelledPrediction:
    """The prediction for one row, with its true label.

    Attributes:
        value: The raw row: pixels, a text, numbers or indices of symbols.
        truth: The true label, word or number.
    """

    row: int
    value: Any
    truth: str
    prediction: Prediction


def model_inputs(
    split: Split, preprocessing: Preprocessing, names: tuple[str, ...] = ()
) -> Iterator[tuple[Array, dict[str, Array]]]:
    """Yield (row indices, input arrays) in batches, preprocessed as in prediction.

    Args:
        names: The labels of the data; the symbols of its sequences.
    """
    for start in range(0, len(split), BATCH):
        rows = np.arange(start, min(start + BATCH, len(split)))
        yield rows, preprocessing.collate(read_samples(split, preprocessing, rows, names))


def evaluate(
    predictor: Predictor,
    split: Split,
    *,
    names: tuple[str, ...] = (),
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Accuracy and confusion matrix, or the error of a regression, over all rows of a split.

    Args:
        names: The labels of the data, in the order of its class indices; they are compared with the
            model's labels by name. Without them the order is assumed to be that of the model.
        progress: Called with the number of rows of each finished batch.

    Raises:
        UsageError: the rows are not for this model, a name is not a label of the model, or its task has
            neither labels nor values.
        InputError: the model has no label for a class.
    """
    task = predictor.manifest.task
    if find_task(task).is_array:
        raise UsageError(
            f"the task {task!r} has no metric here: evaluate its arrays with Predictor.run"
        )
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
    errors = np.zeros(len(split))  # regression: squared errors, summed over the outputs of a row
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


def predict_rows(
    predictor: Predictor, split: Split, rows: Array, names: tuple[str, ...] = ()
) -> list[LabelledPrediction]:
    """The predictions for some rows, with their true labels; `names` as in `evaluate`."""
    ((_, raw),) = split.inputs.items()
    predictions = []
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        samples = read_samples(split, predictor.preprocessing, batch, names)
        for row, prediction in zip(
            batch.tolist(), predictor.predict_samples(samples, [None] * len(batch)), strict=True
        ):
            truth = _truth(split.targets[row], names or predictor.labels)
            predictions.append(LabelledPrediction(row, raw[row], truth, prediction))
    return predictions


def most_wrong(
    predictor: Predictor,
    split: Split,
    evaluation: Evaluation,
    count: int,
    names: tuple[str, ...] = (),
) -> list[LabelledPrediction]:
    """The wrong predictions with the highest scores; for a regression the largest errors."""
    if evaluation.error is not None:
        return predict_rows(predictor, split, evaluation.wrong[:count], names)
    predictions = predict_rows(predictor, split, evaluation.wrong, names)
    return sorted(predictions, key=lambda each: -(each.prediction.score or 0.0))[:count]


def _truth(target: Array, labels: tuple[str, ...]) -> str:
    if not labels:
        return f"{float(target.item()):.6g}"
    return "".join(labels[index] for index in np.atleast_1d(target).tolist())
