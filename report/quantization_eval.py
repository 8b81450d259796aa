"""Labelled rows for quantized files: calibration, and how predictions change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ptx.export import (
    LabelledDataset,
    QuantizationConfig,
    TrainedModel,
    compare_predictions,
    predict,
)
from ptx.infer import Predictor
from ptx.infer.artifact.accuracy import AccuracyComparison
from ptx.infer.preprocessing import Preprocessing, open_preprocessing
from ptx.infer.signature import Array
from ptx.trainers.batches import apply_inference_preprocessing, check_split, model_targets
from ptx.trainers.data import Dataset, Split
from ptx.trainers.evaluation import model_inputs

CALIBRATION_ROWS = 512  # training rows; more do not change the ranges noticeably
SEED = 0


def weight_quantization_cost(
    trained: TrainedModel, predictor: Predictor, split: Split
) -> AccuracyComparison:
    """Compare the predictions of `trained` with those of a file with quantized weights.

    The targets are indices into the model's labels.
    """
    with Predictor(trained.manifest, lambda: _Eager(trained)) as eager:
        before, after = (
            predict(each, _labelled("", split, each.preprocessing, split.targets))
            for each in (eager, predictor)
        )
    return compare_predictions(before, after, regression=not trained.manifest.labels)


class _Eager:
    """A backend that runs the network itself, without a file."""

    name, device = "eager", "cpu"

    def __init__(self, trained: TrainedModel) -> None:
        self._reference = trained.equivalence_check.reference

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self._reference.eager(inputs)

    def close(self) -> None:
        pass


def quantization_config(
    trained: TrainedModel, dataset: Dataset, *, max_drop: float, for_size: bool
) -> QuantizationConfig:
    """Training rows for calibration, drawn with a fixed seed, and all test rows to measure accuracy.

    Raises:
        UsageError: the rows are not for this model, or have other labels.
        InputError: the data set has no rows.
    """
    sampled = np.random.default_rng(SEED).permutation(len(dataset.train))[:CALIBRATION_ROWS]
    calibration, test = (
        _read_split(trained, dataset, split)
        for split in (dataset.train.take(np.sort(sampled)), dataset.test)
    )
    return QuantizationConfig(calibration, test, max_drop=max_drop, for_size=for_size)


def _read_split(trained: TrainedModel, dataset: Dataset, split: Split) -> LabelledDataset:
    manifest = trained.manifest
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    check_split(split, preprocessing, dataset.labels, name=dataset.name, model=manifest.model)
    targets = model_targets(split, dataset.labels, manifest.labels, manifest.model)
    split = apply_inference_preprocessing(split, preprocessing)
    return _labelled(dataset.name, split, preprocessing, targets, dataset.labels)


def _labelled(
    name: str,
    split: Split,
    preprocessing: Preprocessing,
    targets: Array,
    labels: tuple[str, ...] = (),
) -> LabelledDataset:
    def batches() -> Iterator[tuple[dict[str, Array], Array]]:
        for rows, inputs in model_inputs(split, preprocessing, labels):
            yield inputs, targets[rows]

    return LabelledDataset(name, len(split), batches)
