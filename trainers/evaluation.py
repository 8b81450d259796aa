"""How well a predictor does on the rows of a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ptx.infer.predictor import Predictor
from ptx.infer.preprocessing import Preprocessing
from ptx.infer.preprocessing.columns import ColumnsPreprocessing
from ptx.infer.signature import Array
from ptx.trainers.data import Split
from ptx.trainers.feed import check_split

BATCH = 500  # rows that are run at once


@dataclass(frozen=True)
class Evaluation:
    """What a predictor answers on rows whose answers are known."""

    rows: int
    accuracy: float | None  # of rows, or of steps of a sequence; None for a regression
    confusion: Array | None  # int64 (labels, labels): true label by row, predicted by column
    error: float | None  # root of the mean squared error of a regression


def model_inputs(
    split: Split, preprocessing: Preprocessing
) -> Iterator[tuple[Array, dict[str, Array]]]:
    """(row indices, input arrays) in batches, as prediction would prepare them."""
    ((kind, raw),) = split.inputs.items()
    for start in range(0, len(split), BATCH):
        rows = np.arange(start, min(start + BATCH, len(split)))
        values = raw[rows]
        if isinstance(preprocessing, ColumnsPreprocessing):
            samples = list(preprocessing.standardise(values))
        elif kind == "text":
            samples = [preprocessing.read(value) for value in values.tolist()]
        else:
            samples = list(values)  # pixels or symbols: what `read` would give
        yield rows, preprocessing.collate(samples)


def evaluate(
    predictor: Predictor, split: Split, *, progress: Callable[[int], None] | None = None
) -> Evaluation:
    """Accuracy and confusion matrix, or the error of a regression, over all rows of a split.

    `progress` is told the rows of each batch that is done.

    Raises:
        UsageError: rows that are not for this model.
        InputError: a class that the model has no label for.
    """
    check_split(
        split,
        predictor.preprocessing,
        predictor.labels,
        name="the split",
        model=predictor.card.model,
    )
    labels = len(predictor.labels)
    confusion = np.zeros((labels, labels), np.int64)
    squares = 0.0
    output = predictor.signature.outputs[0]
    for rows, inputs in model_inputs(split, predictor.preprocessing):
        outputs = predictor.run(inputs)
        predicted, targets = predictor.classes(outputs), split.targets[rows]
        if predicted is None:
            difference = outputs[output.name].astype(np.float64) - targets
            squares += float((difference**2).sum())
        else:
            np.add.at(confusion, (targets.ravel(), predicted.ravel()), 1)
        if progress is not None:
            progress(len(rows))
    if not labels:
        return Evaluation(len(split), None, None, float(np.sqrt(squares / len(split))))
    return Evaluation(len(split), float(confusion.trace() / confusion.sum()), confusion, None)
