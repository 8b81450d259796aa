"""Compare backends: all outputs of each over the same inputs, against eager float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ptx.export.check.equivalence import EquivalenceCheck
from ptx.export.check.reference import FLOAT64, Expected
from ptx.export.check.tolerance import (
    ErrorStats,
    compute_tolerance,
    distance,
    largest_by_row,
    relative_error,
    worst_column,
)
from ptx.infer.errors import AgreementError, PtxError
from ptx.infer.predictor import Predictor
from ptx.infer.replay import wrong_integers
from ptx.infer.signature import Array


@dataclass
class BackendResult:
    """One backend's row of the table.

    Attributes:
        error: The absolute error that is largest relative to its tolerance.
        tolerance: The tolerance of `error`.
        output: The output with `error`.
        differ: Predictions with another label than the reference's.
        first: Index of the first input with another label or an error beyond its tolerance.
        failure: Why it gave no outputs.
    """

    backend: str
    device: str
    error: float = 0.0
    tolerance: float = 0.0
    output: str = ""
    differ: int = 0
    first: int | None = None
    failure: str = ""
    passed: bool = True

    @property
    def errors(self) -> tuple[str, str]:
        """Error and tolerance as text; dashes if the backend failed."""
        if self.failure:
            return "-", "-"
        return f"{self.error:.1e}", f"{self.tolerance:.1e}"


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        tolerance: The largest tolerance of any column of any output.
        between: Inputs on which two backends give different labels, by pair.
        reference: The name of the reference.
    """

    rows: int
    tolerance: float
    results: list[BackendResult]
    between: list[list[int | None]]
    reference: str = FLOAT64

    @property
    def passed(self) -> bool:
        """Whether every backend is within the tolerance and gives the same labels.

        False if nothing was compared.
        """
        return bool(self.rows and self.results) and all(result.passed for result in self.results)

    @property
    def labelled(self) -> bool:
        """Whether the task has labels, which `between` compares."""
        return any(cell is not None for row in self.between for cell in row)


@dataclass
class _Results:
    """The results of one backend, a list entry for each batch."""

    indices: list[Array] = field(default_factory=list)  # of the inputs
    # By output, the largest absolute errors of each input: (rows, columns)
    errors: dict[str, list[Array]] = field(default_factory=dict)
    wrong: list[Array] = field(default_factory=list)  # whether the label differs
    labels: list[Array] = field(default_factory=list)  # class indices; none for a regression


def compare(
    check: EquivalenceCheck,
    predictors: Iterable[Predictor],
    batches: Iterable[tuple[Array, Mapping[str, Array]]],
    *,
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Run every predictor over all batches, each (row indices, input arrays).

    The tolerances are those of an export over these inputs. Labels come from the first output; a
    regression has none.

    Raises:
        ArtifactError: the outputs of eager PyTorch are not finite.
    """
    opened = list(predictors)
    summaries = [BackendResult(p.backend.name, p.backend.device) for p in opened]
    results = [_Results() for _ in opened]
    stats: dict[str, ErrorStats] = {}
    rounding: dict[str, Array] = {}
    rows = 0
    for indices, inputs in batches:
        expected = check.reference.expect(inputs)
        for spec in check.signature.outputs:
            batch = ErrorStats.collect(spec, expected.exact[spec.name], expected.errors)
            before = stats.get(spec.name, batch)
            stats[spec.name] = ErrorStats.merge([before, batch])
        for name, effect in check.rounding_on(inputs, expected.exact, stats).items():
            rounding[name] = np.maximum(rounding.get(name, 0.0), effect)
        for predictor, summary, result in zip(opened, summaries, results, strict=True):
            if not summary.failure:
                summary.failure = _run(predictor, result, indices, inputs, expected)
        rows += len(indices)
        if progress is not None:
            progress(len(indices))
    tolerances = {
        spec.name: compute_tolerance(
            stats[spec.name],
            stats[spec.name],
            check.precision(spec),
            rounding=rounding[spec.name],
        )
        for spec in check.signature.outputs
        if spec.name in stats
    }
    for summary, result in zip(summaries, results, strict=True):
        _summarize(summary, result, tolerances)
    largest = max((float(columns.max()) for columns in tolerances.values()), default=0.0)
    return Comparison(rows, largest, summaries, _between(summaries, results), check.name)


def _run(
    predictor: Predictor,
    result: _Results,
    indices: Array,
    inputs: Mapping[str, Array],
    expected: Expected,
) -> str:
    """Add the results of one batch; returns why there are none, or an empty text."""
    try:
        outputs = predictor.run(inputs)
    except PtxError as error:
        return str(error)
    result.indices.append(indices)
    for spec in predictor.signature.outputs:
        got, exact = outputs[spec.name], expected.exact[spec.name]
        errors = distance(got, exact)
        if not spec.is_float:  # an integer that rounding decides is no error
            errors = errors * wrong_integers(got, exact, expected.ties.get(spec.name))
        errors = largest_by_row(spec, errors)
        result.errors.setdefault(spec.name, []).append(errors.astype(np.float32))
    wrong, labels = wrong_labels(predictor, outputs, expected), predictor.classes(outputs)
    if wrong is None or labels is None:
        result.wrong.append(np.zeros(len(indices), np.bool_))
    else:
        result.labels.append(labels.reshape(len(labels), -1))
        result.wrong.append(wrong)
    return ""


def wrong_labels(
    predictor: Predictor, outputs: Mapping[str, Array], expected: Expected
) -> Array | None:
    """Which rows have another label than the reference; None if the task has no labels.

    If the network in its own precision disagrees with the reference, both labels are accepted.
    """
    got = predictor.classes(outputs)
    exact, eager = predictor.classes(expected.exact), predictor.classes(expected.eager)
    if got is None or exact is None or eager is None:
        return None
    wrong: Array = ((got != exact) & (got != eager)).reshape(len(got), -1).any(axis=1)
    return wrong


def _summarize(summary: BackendResult, result: _Results, tolerances: Mapping[str, Array]) -> None:
    if result.indices:
        wrong = np.concatenate(result.wrong)
        summary.differ = int(wrong.sum())
        differs = wrong.copy()
        worst = 0.0
        for name, batches in result.errors.items():
            errors, columns = np.concatenate(batches), tolerances[name].reshape(-1)
            differs |= ~(errors <= columns).all(axis=1)
            largest = errors.max(axis=0)
            place = worst_column(largest, columns)
            error, tolerance = float(largest[place]), float(columns[place])
            if not summary.output or relative_error(error, tolerance) > worst:
                worst = relative_error(error, tolerance)
                summary.error, summary.tolerance, summary.output = error, tolerance, name
        if differs.any():
            summary.first = int(np.concatenate(result.indices)[np.argmax(differs)])
    summary.passed = not summary.failure and summary.first is None


def _between(summaries: list[BackendResult], results: list[_Results]) -> list[list[int | None]]:
    matrix: list[list[int | None]] = []
    for first, mine in zip(summaries, results, strict=True):
        row: list[int | None] = []
        for second, others in zip(summaries, results, strict=True):
            if first.failure or second.failure or not mine.labels:
                row.append(None)
                continue
            pairs = zip(mine.labels, others.labels, strict=True)
            row.append(sum(int((a != b).any(axis=1).sum()) for a, b in pairs))
        matrix.append(row)
    return matrix


def count_equal_labels(predictor: Predictor, check: EquivalenceCheck) -> int:
    """The number of real samples, all with the network's labels; 0 if the task has no labels.

    Raises:
        AgreementError: a label differs.
    """
    outputs = predictor.run(check.samples)
    wrong = wrong_labels(predictor, outputs, check.reference.expect(check.samples))
    if wrong is None:
        return 0
    differ = int(wrong.sum())
    if differ:
        raise AgreementError(
            f"{predictor.backend.name} gives another label on {differ} of {len(wrong)} real samples"
        )
    return len(wrong)
