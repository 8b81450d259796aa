"""What quantization changes: predictions, speed and size, and which changes are accepted."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from ptx.export.check.matrix import batch_sizes, sample_size, take_rows
from ptx.infer.artifact.accuracy import CHANGED, CHANGED_PER_DROP, AccuracyComparison
from ptx.infer.errors import AgreementError
from ptx.infer.predictor import Predictor
from ptx.infer.signature import Array

MIN_SPEEDUP = 1.1  # over the float32 file, at batch 1 or at the large batch
MAX_SIZE = 0.9  # of the float32 file's bytes, for a file that is accepted for its size
# Rows that are also run alone: at most MAX_SINGLE_ROWS, of at most SINGLE_ROW_VALUES numbers together,
# but at least MIN_SINGLE_ROWS.
MAX_SINGLE_ROWS, SINGLE_ROW_VALUES, MIN_SINGLE_ROWS = 256, 2**22, 32
BATCH = 7  # rows of the batches that single rows are compared with
MIN_ROUNDS = 9  # in each round both files are measured once
SECONDS = 0.5  # minimum time of the measurement of a batch size
BLOCK = 5e-3  # seconds of runs in a round, at least one run


@dataclass(frozen=True)
class LabelledDataset:
    """Rows with known labels, in batches of the model's inputs.

    Attributes:
        name: The name of the data set.
        count: The number of rows.
        batches: Yields (inputs, targets) from the first row on, each time it is called; targets are
            indices into the model's labels, int64 (batch,) or (batch, time).
    """

    name: str
    count: int
    batches: Callable[[], Iterator[tuple[dict[str, Array], Array]]]


@dataclass(frozen=True)
class Predictions:
    """Predictions and targets of some rows, flat: class indices int64, or float64 of a regression."""

    predicted: Array
    target: Array

    @property
    def accuracy(self) -> float:
        """The fraction of right predictions."""
        return float((self.predicted == self.target).mean())

    @property
    def majority_accuracy(self) -> float:
        """The accuracy if the most frequent label is always predicted."""
        return float(np.bincount(self.target).max() / self.target.size)

    @property
    def rmse(self) -> float:
        """The root mean squared error."""
        return float(np.sqrt(np.mean((self.predicted - self.target) ** 2)))


def predict(
    predictor: Predictor,
    dataset: LabelledDataset,
    on_outputs: Callable[[Mapping[str, Array]], None] | None = None,
) -> Predictions:
    """A predictor's predictions for all rows; `on_outputs` gets the outputs of each batch."""
    predicted, target = [], []
    for inputs, targets in dataset.batches():
        outputs = predictor.run(inputs)
        if on_outputs is not None:
            on_outputs(outputs)
        classes = predictor.classes(outputs)
        if classes is None:
            classes = outputs[predictor.signature.outputs[0].name].astype(np.float64)
        predicted.append(classes.reshape(-1))
        target.append(targets.reshape(-1))
    return Predictions(np.concatenate(predicted), np.concatenate(target))


def compare_predictions(
    before: Predictions,
    after: Predictions,
    *,
    data: str = "",
    max_drop: float = math.inf,
    regression: bool = False,
) -> AccuracyComparison:
    """Compare the predictions of two versions of a model for the same rows."""
    if regression:
        count = before.target.size
        return AccuracyComparison(data, count, before.rmse, after.rmse, regression=True)
    was_right, is_right = before.predicted == before.target, after.predicted == after.target
    return AccuracyComparison(
        data,
        predictions=was_right.size,
        before=before.accuracy,
        after=after.accuracy,
        changed=int((before.predicted != after.predicted).sum()),
        newly_wrong=int((was_right & ~is_right).sum()),
        newly_right=int((is_right & ~was_right).sum()),
        max_drop=max_drop,
    )


@dataclass(frozen=True)
class QualityReport:
    """How a file that computes in int8 compares with the float32 file.

    Attributes:
        single_rows: Rows that were run alone and within a batch.
        batch_variant_rows: The number of these whose outputs differ in any bit.
        speedup: By batch size, how many times as fast as the float32 file.
        size: Bytes of the graph; `float32_size`: of the float32 graph.
        for_size: Whether a file that is not faster is accepted for its size.
    """

    accuracy: AccuracyComparison
    single_rows: int
    batch_variant_rows: int
    speedup: dict[int, float]
    size: int
    float32_size: int
    for_size: bool

    @property
    def speed(self) -> str:
        """`2.05 times as fast at batch 1, 1.98 at 64`."""
        (first, single), (last, large) = self.speedup.items()
        return f"{single:.2f} times as fast at batch {first}, {large:.2f} at {last}"


def _accuracy(report: QualityReport) -> str:
    accuracy = report.accuracy
    if accuracy.drop <= accuracy.max_drop:
        return ""
    return f"accuracy falls by {accuracy.drop:.2f} points; allowed are {accuracy.max_drop:g}: {accuracy}"


def _labels(report: QualityReport) -> str:
    accuracy = report.accuracy
    if accuracy.changed <= accuracy.max_changed:
        return ""
    return (
        f"{accuracy.changed:,} of {accuracy.predictions:,} labels change; allowed are"
        f" {accuracy.max_changed:,} ({CHANGED_PER_DROP:g} times the {accuracy.max_drop:g} points of"
        f" accuracy that may be lost, and {CHANGED:g} %)"
    )


def _batch(report: QualityReport) -> str:
    if not report.batch_variant_rows:
        return ""
    return (
        f"{report.batch_variant_rows:,} of {report.single_rows:,} rows have different output bits alone"
        " and within a batch"
    )


def _benefit(report: QualityReport) -> str:
    if report.for_size:
        if report.size <= MAX_SIZE * report.float32_size:
            return ""
        return (
            f"the graph has {report.size:,} bytes instead of {report.float32_size:,}: it is not smaller,"
            " and --quantize-weights int8 would be"
        )
    if max(report.speedup.values()) >= MIN_SPEEDUP:
        return ""
    return (
        f"it is {report.speed} here; expected at least {MIN_SPEEDUP:g} at one of them:"
        " --quantize-weights int8 is as small and as fast as float32, --for-size accepts the file as it"
        " is"
    )


CRITERIA: dict[str, Callable[[QualityReport], str]] = {
    "accuracy": _accuracy,
    "labels": _labels,
    "batch": _batch,
    "benefit": _benefit,
}
"""The acceptance criteria of an int8 file. Each returns why it rejects the file, or an empty text."""


def enforce(model: str, report: QualityReport) -> None:
    """Reject a file that does not meet all acceptance criteria.

    Raises:
        AgreementError: E-INT8: a criterion is not met; the message lists all that are not.
    """
    reasons = [reason for criterion in CRITERIA.values() if (reason := criterion(report))]
    if reasons:
        raise AgreementError(
            f"{model} is not written in int8: {'; and '.join(reasons)}", code="E-INT8"
        )


def count_batch_variant_rows(predictor: Predictor, dataset: LabelledDataset) -> tuple[int, int]:
    """(rows that were run alone and within a batch, those of them whose outputs differ in any bit)."""
    inputs, targets = next(dataset.batches())
    signature = predictor.signature
    limit = SINGLE_ROW_VALUES // sample_size(signature)
    rows = min(max(MIN_SINGLE_ROWS, min(MAX_SINGLE_ROWS, limit)), len(targets))
    differ = 0
    for start in range(0, rows, BATCH):
        batch = range(start, min(start + BATCH, rows))
        together = predictor.backend.run(take_rows(signature.inputs, inputs, batch))
        for position, row in enumerate(batch):
            alone = predictor.backend.run(take_rows(signature.inputs, inputs, [row]))
            differ += any(
                np.take(together[spec.name], [position], spec.batch_axis).tobytes()
                != alone[spec.name].tobytes()
                for spec in signature.outputs
            )
    return rows, differ


def measure_speedup(
    quantized: Predictor, float32: Predictor, inputs: Mapping[str, Array]
) -> dict[int, float]:
    """By batch size, how many times as fast `quantized` is as `float32`, with one thread each.

    The batch sizes are 1 and the largest of the test matrix: 64, or 7 for large images. The two take
    turns, so that a change of clock speed affects both, and the thread's CPU time is measured, not the
    wall clock: the result must not depend on what else the machine does.
    """
    speedup, specs = {}, quantized.signature.inputs
    available = np.arange(inputs[specs[0].name].shape[specs[0].batch_axis])
    for batch in (1, batch_sizes(quantized.signature)[-1]):
        rows = take_rows(specs, inputs, np.resize(available, batch))
        runs = [partial(each.backend.run, rows) for each in (quantized, float32)]
        counts = [_runs_per_block(run) for run in runs]
        timings: list[list[float]] = [[], []]
        end = time.perf_counter() + SECONDS
        while len(timings[0]) < MIN_ROUNDS or time.perf_counter() < end:
            for run, count, seconds in zip(runs, counts, timings, strict=True):
                seconds.append(_time(run, count))
        speedup[batch] = statistics.median(timings[1]) / statistics.median(timings[0])
    return speedup


def _runs_per_block(run: Callable[[], object]) -> int:
    run()
    return max(1, round(BLOCK / min(_time(run, 1) for _ in range(3))))


def _time(run: Callable[[], object], count: int) -> float:
    started = time.thread_time()
    for _ in range(count):
        run()
    return (time.thread_time() - started) / count
