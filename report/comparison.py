"""A comparison of the backends: over which rows, as a table, as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptx.infer import Array, InputError, NamedInput, Predictor
from ptx.infer.artifact.files import write_atomic
from ptx.infer.errors import pluralise
from ptx.report.comparison_file import comparison_data, find_writer
from ptx.report.text import table

if TYPE_CHECKING:
    from ptx.export import Comparison, TrainedModel
    from ptx.trainers import Dataset

RANDOM_ROWS, RANDOM_LENGTH = 8, 10  # of the inputs that stand in for real ones

Judge = Callable[[str, bool], str]


@dataclass(frozen=True)
class Rows:
    """What backends are compared over.

    Attributes:
        batches: Indices of the inputs, and their arrays.
        total: How many there are, where that is known before.
        names: Of the inputs read so far, where they have any.
        title: What inputs without a name are rows of.
        random: Whether the numbers are random for want of real ones.
    """

    batches: Iterable[tuple[Array, Mapping[str, Array]]]
    total: int | None = None
    names: list[str] = field(default_factory=list)
    title: str = "the test set"
    random: bool = False

    def name(self, index: int) -> str:
        """What an input is called in a message."""
        return self.names[index] if self.names else f"row {index} of {self.title}"


def value_rows(values: Iterable[Any], predictor: Predictor) -> Rows:
    """Values as `predict_many` takes them, one in a batch; InputError for one that cannot be used."""
    names: list[str] = []

    def batches() -> Iterator[tuple[Array, Mapping[str, Array]]]:
        for found in values:
            named = found if isinstance(found, NamedInput) else NamedInput(str(found), found)
            if isinstance(named.value, InputError):
                raise named.value
            sample = predictor.preprocessing.read(named.value)
            names.append(named.name)
            yield np.array([len(names) - 1]), predictor.preprocessing.collate([sample])

    return Rows(batches(), names=names)


def carried_rows(model: TrainedModel) -> Rows:
    """The real samples that the checkpoint carries, else random numbers, in one batch."""
    signature, samples = model.limited_manifest.signature, model.samples
    title = "the checkpoint's samples" if samples else "the random numbers"
    if not samples:
        sizes = signature.equal_sizes(RANDOM_LENGTH, batch=RANDOM_ROWS)
        samples = signature.example(sizes)
    spec = signature.inputs[0]
    count = samples[spec.name].shape[spec.batch_axis]
    batches = [(np.arange(count), samples)]
    return Rows(batches, total=count, title=title, random=not model.samples)


def split_rows(dataset: Dataset, predictor: Predictor) -> Rows:
    """All test rows of a data set, as prediction would prepare them."""
    from ptx.trainers import model_inputs

    return Rows(
        model_inputs(dataset.test, predictor.preprocessing, dataset.labels), total=len(dataset.test)
    )


@dataclass(frozen=True)
class ModelComparison:
    """What a comparison of one model's backends found."""

    model: str
    found: Comparison
    rows: Rows

    @property
    def passed(self) -> bool:
        """Whether every backend agrees with eager float64."""
        return self.found.passed

    def data(self) -> dict[str, object]:
        """As JSON."""
        return comparison_data(self.model, self.found)

    def table(self, judge: Judge = lambda word, passed: word, columns: int | None = None) -> str:
        """A row for each backend, and the matrix of the inputs with different labels.

        Args:
            judge: What colours the word `agrees` or `DIFFERS`.
            columns: Of the terminal, where a row must fit one.
        """
        found = self.found
        rows = [
            (
                r.backend,
                r.device,
                *r.errors,
                str(r.differ),
                judge("agrees" if r.passed else "DIFFERS", r.passed),
            )
            for r in found.results
        ]
        header = ("backend", "device", "largest error", "allowed", "labels differ", "")
        parts = [f"{pluralise(found.rows, 'input')}, against {found.reference}"]
        parts.append(table(header, rows, columns=columns))
        if found.labelled:
            parts += ["", "inputs with different labels, backend by backend"]
            names = [result.backend for result in found.results]
            matrix = [
                (name, *("-" if cell is None else str(cell) for cell in row))
                for name, row in zip(names, found.between, strict=True)
            ]
            parts.append(table(("", *names), matrix, columns=columns))
        return "\n".join(parts)

    def differences(self) -> Iterator[str]:
        """Of each backend that does not agree, why, or on which input first."""
        for result in self.found.results:
            if result.failure:
                yield f"{result.backend}: {result.failure}"
            elif result.first is not None:
                first = self.rows.name(result.first)
                yield (
                    f"{result.backend}: the first input that differs is {first};"
                    f" output {result.output!r} is off by {result.error:.1e},"
                    f" allowed are {result.tolerance:.1e}"
                )

    def save(self, path: Path) -> None:
        """Write the comparison in the form of the file's suffix; OutputError where that fails."""
        write_atomic(path, find_writer(path)(self.model, self.found))


def compare(
    model: TrainedModel,
    predictors: Sequence[Predictor],
    rows: Rows,
    *,
    progress: Callable[[int], None] | None = None,
) -> ModelComparison:
    """Run the predictors over the rows, against the model in eager float64.

        print(compare(read_model("checkpoint.pt"), [load("convnet.onnx")], rows).table())

    Raises:
        ArtifactError: the model's own answers are not finite.
    """
    from ptx.export import compare as compare_backends

    found = compare_backends(model.equivalence_check, predictors, rows.batches, progress=progress)
    return ModelComparison(model.manifest.model, found, rows)
