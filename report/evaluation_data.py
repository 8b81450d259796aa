"""The labelled rows on which an exported file is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ptx import models
from ptx.export import TrainedModel, VerifiedExport
from ptx.export.catalog_manifest import ASSUMED
from ptx.export.formats import find_exporter
from ptx.infer import Manifest, load
from ptx.infer.backends import find_backend
from ptx.infer.errors import UsageError, pluralise
from ptx.trainers import (
    DATASETS,
    Dataset,
    Evaluation,
    Split,
    evaluate,
    has_data,
    is_local,
    labelled_test_rows,
    open_model_data,
    raw_examples,
    sample_inputs,
)
from ptx.trainers.model_data import SELECTED

SUSPICIOUS_ACCURACY = 0.5  # below it, the preprocessing is probably wrong

Notify = Callable[[str], None]


@dataclass(frozen=True)
class EvaluationData:
    """A model to export, and the rows on which its file is evaluated."""

    trained: TrainedModel  # with samples from the rows, for the equivalence check
    split: Split | None = None  # test rows; None if no data has the model's labels

    def accuracy_text(self, exported: VerifiedExport) -> str:
        """The file's accuracy or error on the rows, with a hint if it is poor; empty without rows."""
        if self.split is None:
            return ""
        backend = find_exporter(exported.format).backend
        device = "cpu" if len(find_backend(backend).devices) > 1 else "auto"
        with load(exported.path, backend=backend, device=device, trust=True) as predictor:
            evaluation = evaluate(predictor, self.split)
        if evaluation.accuracy is None:
            return f"{evaluation.summary} on {pluralise(evaluation.rows, 'test row')}"
        text = f"{100 * evaluation.accuracy:.1f} % accuracy on {pluralise(evaluation.rows, 'test row')}"
        if is_suspicious(evaluation):
            text += ": does the preprocessing match the training?"
        return text


def find_evaluation_data(
    trained: TrainedModel, source: str | None, *, cache: Path, notify: Notify | None = None
) -> EvaluationData:
    """The rows of `source`; else, if the training of the model is unknown, those that decided on its
    labels and preprocessing, or the bundled ones.

    Raises:
        UsageError: the data does not suit the model, or has other labels.
        InputError: the data cannot be used.
    """
    manifest = trained.manifest
    if source is None:
        entry = models.lookup(manifest.model)
        if ASSUMED not in manifest.training or entry is None or not has_data(entry):
            return EvaluationData(trained)
        # The bundled rows only suit the preprocessing of the catalog.
        if manifest.preprocessing["kind"] != entry.preprocessing["kind"]:
            return EvaluationData(trained)
    selected = manifest.training.get(SELECTED, {}).get("data")
    name = source or (selected if selected in DATASETS else "bundled")
    dataset = open_model_data(manifest.model, name, cache=cache, manifest=manifest, notify=notify)
    split = labelled_test_rows(manifest, dataset)
    if split is None and source is not None:
        raise UsageError(
            f"--data {dataset.name} has the labels {', '.join(dataset.labels) or 'none'}; the model has"
            f" {', '.join(manifest.labels) or 'none'}"
        )
    if not trained.samples:
        samples = sample_inputs(manifest, dataset)
        trained = replace(
            trained,
            samples={name: tensor.numpy() for name, tensor in samples.items()},
            examples=tuple(raw_examples(manifest, dataset)),
        )
    return EvaluationData(trained, split)


def open_training_data(
    manifest: Manifest, source: str | None, *, cache: Path, notify: Notify | None = None
) -> Dataset | None:
    """The data set of `source`, else that of the training; None if the latter is not on this machine."""
    name = source or str(manifest.training.get("data", {}).get("name", ""))
    if source is None and not (name in DATASETS and is_local(name, cache)):
        return None
    return open_model_data(manifest.model, name, cache=cache, manifest=manifest, notify=notify)


def is_suspicious(evaluation: Evaluation) -> bool:
    """Whether the accuracy is below one half, or no better than always the most frequent label."""
    if evaluation.accuracy is None or evaluation.confusion is None:
        return False
    baseline = evaluation.confusion.sum(axis=1).max() / evaluation.confusion.sum()
    return bool(
        evaluation.accuracy < SUSPICIOUS_ACCURACY
        or (len(evaluation.confusion) > 1 and evaluation.accuracy <= baseline)
    )
