"""The rows of a data set that a file in int8 is made and tried with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ptx.export import KnownRows, TrainedModel, Trial
from ptx.infer.preprocessing import Preprocessing, open_preprocessing
from ptx.infer.signature import Array
from ptx.trainers.batches import as_read, check_split, model_targets
from ptx.trainers.data import Dataset, Split
from ptx.trainers.evaluation import model_inputs

CALIBRATION = 512  # training rows: more change no range that matters
SEED = 0


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
