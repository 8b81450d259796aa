"""Do the backends agree? Every backend over the same inputs, against eager float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ptx.export.reference import FACTOR, ROUNDING, Reference, largest_error
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
    first: int | None = None  # index of the first input that differs, in label or by too much
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
        """Whether every backend answers, within the tolerance and with the same labels.

        Not where nothing was compared.
        """
        return bool(self.rows and self.results) and all(result.holds for result in self.results)


@dataclass
class _Answers:
    """What one backend answered, a list entry for each batch."""

    indices: list[Array] = field(default_factory=list)  # of the inputs
    errors: list[Array] = field(default_factory=list)  # largest absolute difference of each input
    wrong: list[Array] = field(default_factory=list)  # whether the label is another one
    labels: list[Array] = field(default_factory=list)  # class indices; none for a regression


def compare(
    reference: Reference,
    predictors: Iterable[Predictor],
    batches: Iterable[tuple[Array, Mapping[str, Array]]],
    *,
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Run every predictor over all batches, each (row indices, input arrays).

    The first output decides; a regression has no labels, so only its errors count.

    Raises:
        ArtifactError: eager's own answers are not finite.
    """
    opened = list(predictors)
    results = [BackendResult(p.backend.name, p.backend.device) for p in opened]
    answers = [_Answers() for _ in opened]
    output = reference.signature.outputs[0].name
    own_error = magnitude = 0.0
    rows = 0
    for indices, inputs in batches:
        exact = reference.exact(inputs)
        own_error = max(own_error, largest_error(reference.eager(inputs)[output], exact[output]))
        magnitude = max(magnitude, float(np.abs(exact[output]).max(initial=0.0)))
        for predictor, result, answer in zip(opened, results, answers, strict=True):
            if not result.failure:
                result.failure = _run(predictor, answer, indices, inputs, exact)
        rows += len(indices)
        if progress is not None:
            progress(len(indices))
    tolerance = FACTOR * max(own_error, ROUNDING * magnitude)
    for result, answer in zip(results, answers, strict=True):
        _judge(result, answer, tolerance)
    return Comparison(rows, tolerance, results, _between(results, answers))


def _run(
    predictor: Predictor,
    answer: _Answers,
    indices: Array,
    inputs: Mapping[str, Array],
    exact: Mapping[str, Array],
) -> str:
    """Note one batch's answers; returns why there are none, or nothing."""
    try:
        outputs = predictor.run(inputs)
    except PtxError as error:
        return str(error)
    spec = predictor.signature.outputs[0]
    difference = np.abs(outputs[spec.name].astype(np.float64) - exact[spec.name])
    others = tuple(axis for axis in range(difference.ndim) if axis != spec.batch_axis)
    answer.indices.append(indices)
    answer.errors.append(difference.max(axis=others))
    expected, got = predictor.classes(exact), predictor.classes(outputs)
    if expected is None or got is None:
        answer.wrong.append(np.zeros(len(indices), np.bool_))
    else:
        answer.labels.append(got.reshape(len(got), -1))
        answer.wrong.append((got != expected).reshape(len(got), -1).any(axis=1))
    return ""


def _judge(result: BackendResult, answer: _Answers, tolerance: float) -> None:
    if answer.indices:
        errors, wrong = np.concatenate(answer.errors), np.concatenate(answer.wrong)
        differs = wrong | ~(errors <= tolerance)
        result.error, result.differ = float(errors.max(initial=0.0)), int(wrong.sum())
        if differs.any():
            result.first = int(np.concatenate(answer.indices)[np.argmax(differs)])
    result.holds = not result.failure and result.first is None


def _between(results: list[BackendResult], answers: list[_Answers]) -> list[list[int | None]]:
    matrix: list[list[int | None]] = []
    for first, mine in zip(results, answers, strict=True):
        row: list[int | None] = []
        for second, others in zip(results, answers, strict=True):
            if first.failure or second.failure or not mine.labels:
                row.append(None)
                continue
            pairs = zip(mine.labels, others.labels, strict=True)
            row.append(sum(int((a != b).any(axis=1).sum()) for a, b in pairs))
        matrix.append(row)
    return matrix
