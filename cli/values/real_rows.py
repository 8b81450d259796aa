"""Real rows for an export: samples for its proof, and how many of them the file answers right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ptx import export, infer, models, trainers
from ptx.cli.values.dataset import has_data, open_data
from ptx.infer.errors import UsageError, pluralise

QUESTION = "is the preprocessing that of the training?"
HALF = 0.5


@dataclass(frozen=True)
class RealRows:
    """The rows of a data set that a model can be tried on."""

    trained: export.TrainedModel  # the model, with samples of them for its proof
    split: (
        trainers.Split | None
    )  # the test rows; None where no labels of the model are known for them


def find_rows(trained: export.TrainedModel, data: str | None, workspace: Path) -> RealRows:
    """The rows of --data; without it those that ptx carries, for a bare state dict.

    Raises:
        UsageError: --data that is not for the model, or has other labels.
        InputError: the data cannot be used.
    """
    from ptx.export.statement import ASSUMED

    card = trained.card
    if data is None:
        entry = models.lookup(card.model)
        if ASSUMED not in card.training or entry is None or not has_data(entry):
            return RealRows(trained, None)
        # Nothing that ptx carries is of another kind.
        if card.preprocessing["kind"] != entry.preprocessing["kind"]:
            return RealRows(trained, None)
    dataset = open_data(card.model, data or "bundled", workspace, card)
    split = _find_test_rows(card, dataset)
    if split is None and data is not None:
        raise UsageError(
            f"--data {dataset.name} has the labels {', '.join(dataset.labels) or 'none'}; the model has"
            f" {', '.join(card.labels) or 'none'}"
        )
    return RealRows(_with_samples(trained, dataset), split)


def _with_samples(trained: export.TrainedModel, dataset: trainers.Dataset) -> export.TrainedModel:
    if trained.samples:
        return trained
    samples = trainers.sample_inputs(trained.card, dataset)
    arrays = {name: tensor.numpy() for name, tensor in samples.items()}
    return replace(
        trained, samples=arrays, examples=tuple(trainers.raw_examples(trained.card, dataset))
    )


def _find_test_rows(card: infer.Card, dataset: trainers.Dataset) -> trainers.Split | None:
    """The test rows, their targets by the model's labels; None where it lacks one of theirs."""
    import numpy as np

    if bool(card.labels) != bool(dataset.labels) or not set(dataset.labels) <= set(card.labels):
        return None
    if not card.labels:
        return dataset.test
    index = np.array([card.labels.index(label) for label in dataset.labels], np.int64)
    return replace(dataset.test, targets=index[dataset.test.targets])


def count_right(done: export.Exported, split: trainers.Split) -> str:
    """How the file does on the rows, for the export's line; with a question where that is little."""
    backend = export.FORMATS[done.format].backend
    device = "cpu" if len(infer.BACKENDS[backend].devices) > 1 else "auto"
    with infer.load(done.path, backend=backend, device=device, trust=True) as predictor:
        found = trainers.evaluate(predictor, split)
    if found.accuracy is None:
        return f"{found.figure} on {pluralise(found.rows, 'test row')}"
    text = f"{100 * found.accuracy:.1f} % of {pluralise(found.rows, 'test row')} right"
    return f"{text}: {QUESTION}" if is_suspicious(found) else text


def is_suspicious(found: trainers.Evaluation) -> bool:
    """Fewer than half are right, or no more than if the most frequent label were always given."""
    if found.accuracy is None or found.confusion is None:
        return False
    guess = found.confusion.sum(axis=1).max() / found.confusion.sum()
    return bool(found.accuracy < HALF or (len(found.confusion) > 1 and found.accuracy <= guess))
