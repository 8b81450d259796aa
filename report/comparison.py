"""Comparison of the backends of a model: the inputs, and the result as a table or a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptx.infer import Array, InputError, NamedInput, Predictor
from ptx.infer.artifact.files import write_atomic
from ptx.infer.checks import check_inputs
from ptx.infer.errors import pluralise
from ptx.infer.signature import BATCH, Signature
from ptx.report.comparison_file import comparison_data, find_writer
from ptx.report.text import table

if TYPE_CHECKING:
    from ptx.export import Comparison, TrainedModel
    from ptx.trainers import Dataset

RANDOM_ROWS, RANDOM_LENGTH = 8, 10  # random inputs: batch size, and size of other dynamic axes

Styler = Callable[[str, bool], str]
"""Colours a word by whether a check passed."""


@dataclass(frozen=True)
class ComparisonInputs:
    """The inputs on which backends are compared.

    Attributes:
        batches: Indices of the inputs, and their arrays.
        total: Number of inputs; None if unknown.
        names: Names of the inputs read so far; empty if inputs have no names.
        title: For messages: the collection that inputs without a name belong to.
        random: Whether the inputs are random numbers because no real ones are available.
    """

    batches: Iterable[tuple[Array, Mapping[str, Array]]]
    total: int | None = None
    names: list[str] = field(default_factory=list)
    title: str = "the test set"
    random: bool = False

    def name(self, index: int) -> str:
        """The name of an input in messages."""
        return self.names[index] if self.names else f"row {index} of {self.title}"


def value_inputs(values: Iterable[Any], predictor: Predictor) -> ComparisonInputs:
    """Raw values as for `predict_many`, each a batch of one.

    Iterating over the batches raises InputError for a value that cannot be read.
    """
    names: list[str] = []

    def batches() -> Iterator[tuple[Array, Mapping[str, Array]]]:
        for value in values:
            named = value if isinstance(value, NamedInput) else NamedInput(str(value), value)
            if isinstance(named.value, InputError):
                raise named.value
            sample = predictor.preprocessing.transform(named.value)
            names.append(named.name)
            yield np.array([len(names) - 1]), predictor.preprocessing.collate([sample])

    return ComparisonInputs(batches(), names=names)


def array_inputs(arrays: Mapping[str, Array], signature: Signature, title: str) -> ComparisonInputs:
    """Arrays for the model itself, in one batch; `title`: where they are from.

    Raises:
        InputError: they do not match the signature.
    """
    checked, sizes = check_inputs(signature, arrays)
    rows = sizes[BATCH]
    return ComparisonInputs([(np.arange(rows), checked)], total=rows, title=title)


def checkpoint_samples(model: TrainedModel) -> ComparisonInputs:
    """The samples stored in the checkpoint, or else random numbers, in one batch."""
    signature, samples = model.limited_manifest.signature, model.samples
    title = "the checkpoint's samples" if samples else "the random numbers"
    if not samples:
        sizes = signature.equal_sizes(RANDOM_LENGTH, batch=RANDOM_ROWS)
        samples = signature.example(sizes)
    spec = signature.inputs[0]
    count = samples[spec.name].shape[spec.batch_axis]
    batches = [(np.arange(count), samples)]
    return ComparisonInputs(batches, total=count, title=title, random=not model.samples)


def split_inputs(dataset: Dataset, predictor: Predictor) -> ComparisonInputs:
    """All test rows of a data set, preprocessed as for prediction."""
    from ptx.trainers import model_inputs

    batches = model_inputs(dataset.test, predictor.preprocessing, dataset.labels)
    return ComparisonInputs(batches, total=len(dataset.test))


@dataclass(frozen=True)
class ModelComparison:
    """The result of comparing the backends of one model."""

    model: str
    comparison: Comparison
    inputs: ComparisonInputs

    @property
    def passed(self) -> bool:
        """Whether every backend agrees with eager float64."""
        return self.comparison.passed

    def data(self) -> dict[str, object]:
        """As JSON."""
        return comparison_data(self.model, self.comparison)

    def table(self, style: Styler = lambda word, passed: word, columns: int | None = None) -> str:
        """A row for each backend, and the number of different labels for each pair of backends.

        Args:
            style: Colours the word `agrees` or `DIFFERS`.
            columns: Width of the terminal. None means no limit.
        """
        comparison = self.comparison
        rows = [
            (
                result.backend,
                result.device,
                *result.errors,
                str(result.differ),
                style("agrees" if result.passed else "DIFFERS", result.passed),
            )
            for result in comparison.results
        ]
        header = ("backend", "device", "largest error", "allowed", "labels differ", "")
        parts = [f"{pluralise(comparison.rows, 'input')}, against {comparison.reference}"]
        parts.append(table(header, rows, columns=columns))
        if comparison.labelled:
            parts += ["", "inputs with different labels, backend by backend"]
            names = [result.backend for result in comparison.results]
            matrix = [
                (name, *("-" if cell is None else str(cell) for cell in row))
                for name, row in zip(names, comparison.between, strict=True)
            ]
            parts.append(table(("", *names), matrix, columns=columns))
        return "\n".join(parts)

    def differences(self) -> Iterator[str]:
        """For each backend that differs, the reason or the first input on which it does."""
        for result in self.comparison.results:
            if result.failure:
                yield f"{result.backend}: {result.failure}"
            elif result.first is not None:
                first = self.inputs.name(result.first)
                yield (
                    f"{result.backend}: the first input that differs is {first};"
                    f" output {result.output!r} is off by {result.error:.1e},"
                    f" allowed are {result.tolerance:.1e}"
                )

    def save(self, path: Path) -> None:
        """Write the comparison as CSV, JSON or PNG, by the file's suffix.

        Raises:
            OutputError: the file cannot be written.
        """
        write_atomic(path, find_writer(path)(self.model, self.comparison))


def compare(
    model: TrainedModel,
    predictors: Sequence[Predictor],
    inputs: ComparisonInputs,
    *,
    progress: Callable[[int], None] | None = None,
) -> ModelComparison:
    """Run the predictors on the inputs and compare them with the model in eager float64.

        print(compare(read_model("checkpoint.pt"), [load("convnet.onnx")], inputs).table())

    Raises:
        ArtifactError: the model's own outputs are not finite.
    """
    from ptx.export import compare as compare_backends

    comparison = compare_backends(
        model.equivalence_check, predictors, inputs.batches, progress=progress
    )
    return ModelComparison(model.manifest.model, comparison, inputs)
