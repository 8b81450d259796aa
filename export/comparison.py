"""Do the backends agree? Every backend over the same inputs, against eager float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ptx.export.agreement import FACTOR, ROUNDING, Yardstick, largest_error
from ptx.infer.errors import PtxError
from ptx.infer.predictor import Predictor
from ptx.infer.signature import Array


@dataclass
class BackendResult:
    """One backend's row of the table."""

    backend: str
    device: str
    error: float = 0.0  # largest absolute difference from eager float64
    differ: int = 0  # answers with another label than eager float64's
    first: int | None = None  # index of the first input that differs
    failure: str = ""  # why it gave no answer
    holds: bool = True


@dataclass(frozen=True)
class Comparison:
    """What a comparison found."""

    rows: int
    tolerance: float  # FACTOR times eager float32's own largest error
    results: list[BackendResult]
    between: list[list[int | None]]  # inputs on which two backends give different labels, by pair

    @property
    def holds(self) -> bool:
        """Whether every backend answers, within the tolerance and with the same labels."""
        return all(result.holds for result in self.results)


def compare(
    yardstick: Yardstick,
    predictors: Iterable[Predictor],
    batches: Iterable[tuple[Array, Mapping[str, Array]]],
    *,
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Run every predictor over all batches, each (row indices, input arrays).

    The first output decides; a regression has no labels, so only its errors count.
    """
    opened = list(predictors)
    results = [BackendResult(p.backend.name, p.backend.device) for p in opened]
    answers: list[list[Array]] = [[] for _ in opened]
    output = yardstick.signature.outputs[0].name
    own_error = magnitude = 0.0
    rows = 0
    for indices, inputs in batches:
        exact = yardstick.exact(inputs)
        own_error = max(own_error, largest_error(yardstick.eager(inputs)[output], exact[output]))
        magnitude = max(magnitude, float(np.abs(exact[output]).max(initial=0.0)))
        for predictor, result, labels in zip(opened, results, answers, strict=True):
            _answer(predictor, result, labels, indices, inputs, exact)
        rows += len(indices)
        if progress is not None:
            progress(len(indices))
    tolerance = FACTOR * max(own_error, ROUNDING * magnitude)
    for result in results:
        result.holds = not result.failure and not result.differ and result.error <= tolerance
    return Comparison(rows, tolerance, results, _between(results, answers))


def _answer(
    predictor: Predictor,
    result: BackendResult,
    labels: list[Array],
    indices: Array,
    inputs: Mapping[str, Array],
    exact: Mapping[str, Array],
) -> None:
    if result.failure:
        return
    try:
        outputs = predictor.run(inputs)
    except PtxError as error:
        result.failure = str(error)
        return
    output = predictor.signature.outputs[0].name
    result.error = max(result.error, largest_error(outputs[output], exact[output]))
    expected, got = predictor.classes(exact), predictor.classes(outputs)
    if expected is None or got is None:
        return
    labels.append(got.reshape(len(got), -1))
    wrong = (got != expected).reshape(len(got), -1).any(axis=1)
    if wrong.any():
        result.differ += int(wrong.sum())
        if result.first is None:
            result.first = int(indices[np.argmax(wrong)])


def _between(results: list[BackendResult], answers: list[list[Array]]) -> list[list[int | None]]:
    matrix: list[list[int | None]] = []
    for first, mine in zip(results, answers, strict=True):
        row: list[int | None] = []
        for second, others in zip(results, answers, strict=True):
            if first.failure or second.failure or not mine:
                row.append(None)
                continue
            pairs = zip(mine, others, strict=True)
            row.append(sum(int((a != b).any(axis=1).sum()) for a, b in pairs))
        matrix.append(row)
    return matrix
