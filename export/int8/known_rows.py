"""Rows whose right answers are known: those that ranges are taken from, and those that are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ptx.infer.predictor import Predictor
from ptx.infer.signature import Array

Batch = tuple[dict[str, Array], Array]


@dataclass(frozen=True)
class KnownRows:
    """Rows of a data set in batches of the model's inputs.

    Attributes:
        name: Of the data set.
        count: Of rows.
        batches: Gives (inputs, targets) from the first row on, each time it is called; targets are
            indices into the model's labels, int64 (batch,) or (batch, time).
    """

    name: str
    count: int
    batches: Callable[[], Iterator[Batch]]


@dataclass(frozen=True)
class Answers:
    """The answers to some rows, one by one: class indices, int64 (answers,)."""

    given: Array
    right: Array

    @property
    def accuracy(self) -> float:
        """The share that is right."""
        return float((self.given == self.right).mean())

    @property
    def most_frequent(self) -> float:
        """The share that is right where the most frequent label is always given."""
        return float(np.bincount(self.right).max() / self.right.size)


def answer(
    predictor: Predictor, rows: KnownRows, see: Callable[[Mapping[str, Array]], None] | None = None
) -> Answers:
    """A predictor's answers to all rows; `see` is shown the outputs of each batch."""
    given, right = [], []
    for inputs, targets in rows.batches():
        outputs = predictor.run(inputs)
        if see is not None:
            see(outputs)
        classes = predictor.classes(outputs)
        assert classes is not None, "the task has labels: it was checked"
        given.append(classes.reshape(-1))
        right.append(targets.reshape(-1))
    return Answers(np.concatenate(given), np.concatenate(right))
