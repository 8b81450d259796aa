"""Do the backends agree? Every backend over the same inputs, all its outputs against eager float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ptx.export.proof import Proof
from ptx.export.reference import FLOAT64, Expected
from ptx.export.tolerance import (
    Seen,
    allowed_errors,
    distance,
    largest_by_row,
    merge,
    nearest_column,
    see,
    share_of,
)
from ptx.infer.errors import AgreementError, PtxError
from ptx.infer.predictor import Predictor
from ptx.infer.replay import wrong_integers
from ptx.infer.signature import Array


@dataclass
class BackendResult:
    """One backend's row of the table.

    Attributes:
        error: The absolute difference from the reference nearest to what is allowed.
        tolerance: What is allowed there.
        output: The output that it stands in.
        differ: Answers with another label than the reference's.
        first: Index of the first input that differs, in label or by too much.
        failure: Why it gave no answer.
    """

    backend: str
    device: str
    error: float = 0.0
    tolerance: float = 0.0
    output: str = ""
    differ: int = 0
    first: int | None = None
    failure: str = ""
    holds: bool = True

    @property
    def errors(self) -> tuple[str, str]:
        """Error and tolerance as text; dashes where it gave no answer."""
        if self.failure:
            return "-", "-"
        return f"{self.error:.1e}", f"{self.tolerance:.1e}"


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        tolerance: The largest that is allowed in any column of any output.
        between: Inputs on which two backends give different labels, by pair.
        reference: Or what stands in for it.
    """

    rows: int
    tolerance: float
    results: list[BackendResult]
    between: list[list[int | None]]
    reference: str = FLOAT64

    @property
    def holds(self) -> bool:
        """Whether every backend answers, within the tolerance and with the same labels.

        Not where nothing was compared.
        """
        return bool(self.rows and self.results) and all(result.holds for result in self.results)

    @property
    def labelled(self) -> bool:
        """Whether the task has labels, which `between` compares."""
        return any(cell is not None for row in self.between for cell in row)


@dataclass
class _Answers:
    """What one backend answered, a list entry for each batch."""

    indices: list[Array] = field(default_factory=list)  # of the inputs
    # By output, the largest absolute differences of each input: (rows, columns)
    errors: dict[str, list[Array]] = field(default_factory=dict)
    wrong: list[Array] = field(default_factory=list)  # whether the label is another one
    labels: list[Array] = field(default_factory=list)  # class indices; none for a regression


def compare(
    proof: Proof,
    predictors: Iterable[Predictor],
    batches: Iterable[tuple[Array, Mapping[str, Array]]],
    *,
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Run every predictor over all batches, each (row indices, input arrays).

    Every output is held to what the export allows over these inputs; the labels are those of the first,
    which a regression has none of.

    Raises:
        ArtifactError: eager's own answers are not finite.
    """
    opened = list(predictors)
    results = [BackendResult(p.backend.name, p.backend.device) for p in opened]
    answers = [_Answers() for _ in opened]
    seen: dict[str, list[Seen]] = {}
    rows = 0
    for indices, inputs in batches:
        expected = proof.reference.expect(inputs)
        for spec in proof.signature.outputs:
            parts = seen.setdefault(spec.name, [])
            found = see(spec, expected.exact[spec.name], expected.errors)
            parts[:] = [merge([*parts, found])]
        for predictor, result, answer in zip(opened, results, answers, strict=True):
            if not result.failure:
                result.failure = _run(predictor, answer, indices, inputs, expected)
        rows += len(indices)
        if progress is not None:
            progress(len(indices))
    allowed = {
        spec.name: allowed_errors(seen[spec.name][0], seen[spec.name][0], proof.precision(spec))
        for spec in proof.signature.outputs
        if spec.name in seen
    }
    for result, answer in zip(results, answers, strict=True):
        _judge(result, answer, allowed)
    largest = max((float(columns.max()) for columns in allowed.values()), default=0.0)
    return Comparison(rows, largest, results, _between(results, answers), proof.name)


def _run(
    predictor: Predictor,
    answer: _Answers,
    indices: Array,
    inputs: Mapping[str, Array],
    expected: Expected,
) -> str:
    """Note one batch's answers; returns why there are none, or nothing."""
    try:
        outputs = predictor.run(inputs)
    except PtxError as error:
        return str(error)
    answer.indices.append(indices)
    for spec in predictor.signature.outputs:
        got, exact = outputs[spec.name], expected.exact[spec.name]
        errors = distance(got, exact)
        if not spec.is_float:  # the difference where there may be none, and nothing elsewhere
            errors = errors * wrong_integers(got, exact, expected.level.get(spec.name))
        errors = largest_by_row(spec, errors)
        answer.errors.setdefault(spec.name, []).append(errors.astype(np.float32))
    wrong, labels = wrong_labels(predictor, outputs, expected), predictor.classes(outputs)
    if wrong is None or labels is None:
        answer.wrong.append(np.zeros(len(indices), np.bool_))
    else:
        answer.labels.append(labels.reshape(len(labels), -1))
        answer.wrong.append(wrong)
    return ""


def wrong_labels(
    predictor: Predictor, outputs: Mapping[str, Array], expected: Expected
) -> Array | None:
    """Which rows have another label than the reference; None where the task has no labels.

    Where the network itself, in its own precision, says otherwise than the reference, either is right.
    """
    got = predictor.classes(outputs)
    exact, eager = predictor.classes(expected.exact), predictor.classes(expected.eager)
    if got is None or exact is None or eager is None:
        return None
    wrong: Array = ((got != exact) & (got != eager)).reshape(len(got), -1).any(axis=1)
    return wrong


def _judge(result: BackendResult, answer: _Answers, allowed: Mapping[str, Array]) -> None:
    if answer.indices:
        wrong = np.concatenate(answer.wrong)
        result.differ = int(wrong.sum())
        differs = wrong.copy()
        nearest = 0.0
        for name, batches in answer.errors.items():
            errors, columns = np.concatenate(batches), allowed[name].reshape(-1)
            differs |= ~(errors <= columns).all(axis=1)
            largest = errors.max(axis=0)
            place = nearest_column(largest, columns)
            error, tolerance = float(largest[place]), float(columns[place])
            if not result.output or share_of(error, tolerance) > nearest:
                nearest = share_of(error, tolerance)
                result.error, result.tolerance, result.output = error, tolerance, name
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


def same_labels(predictor: Predictor, proof: Proof) -> int:
    """The number of real samples, all with the network's labels; 0 where the task has none.

    Raises:
        AgreementError: a label is another.
    """
    outputs = predictor.run(proof.samples)
    wrong = wrong_labels(predictor, outputs, proof.reference.expect(proof.samples))
    if wrong is None:
        return 0
    differ = int(wrong.sum())
    if differ:
        raise AgreementError(
            f"{predictor.backend.name} gives another label on {differ} of {len(wrong)} real samples"
        )
    return len(wrong)
