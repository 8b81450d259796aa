"""Makes a report: evaluates a model on test rows and compares its backends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ptx.infer import Predictor, read_artifact
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.backends import preferred
from ptx.report.benchmark_file import CSV, read_speeds
from ptx.report.comparison import compare, split_inputs
from ptx.report.page import Report, Speeds

if TYPE_CHECKING:
    from ptx.export import TrainedModel
    from ptx.trainers import Dataset

SHOWN = 12  # tiles each of wrong predictions and of sample predictions

Progress = Callable[[int], None]


def report(
    model: TrainedModel,
    predictors: Sequence[Predictor],
    dataset: Dataset,
    *,
    evaluating: Progress | None = None,
    comparing: Progress | None = None,
) -> Report:
    """Evaluate the model on the test rows and compare its backends over them.

    History, speeds and files are added with `add_files`:

        made = report(read_model("checkpoint.pt"), [load("convnet.onnx")], data)
        add_files(made, {"checkpoint": Path("checkpoint.pt")}).save(Path("report.html"))

    Args:
        evaluating: Called with the number of rows of each evaluated batch.
        comparing: Called with the number of rows of each batch that every backend has run.

    Raises:
        UsageError: the data set's rows do not suit the model.
        ArtifactError: the model's own outputs are not finite.
    """
    from ptx.models import lookup
    from ptx.trainers import evaluate, most_wrong, predict_rows

    rows = dataset.test
    order = preferred()
    priority = {name: index for index, name in enumerate(order)}
    predictor = min(predictors, key=lambda one: priority.get(one.backend.name, len(order)))
    sample_rows = np.unique(np.linspace(0, len(rows) - 1, SHOWN).astype(np.int64))
    evaluation = evaluate(predictor, rows, names=dataset.labels, progress=evaluating)
    compared = compare(model, predictors, split_inputs(dataset, predictor), progress=comparing)
    entry = lookup(predictor.manifest.model)
    return Report(
        manifest=predictor.manifest,
        summary="" if entry is None else f"{entry.summary}; {entry.source}",
        data=dataset.name,
        backend=predictor.backend.name,
        history=(),
        evaluation=evaluation,
        wrong=most_wrong(predictor, rows, evaluation, SHOWN, dataset.labels),
        samples=predict_rows(predictor, rows, sample_rows, dataset.labels),
        comparison=compared.comparison,
    )


def add_files(report: Report, files: Mapping[str, Path]) -> Report:
    """Add the training history of the checkpoint and the benchmark in the same folder.

    Args:
        files: The model's files, by format.

    Raises:
        ArtifactError: the checkpoint cannot be read.
    """
    from ptx.infer.backends.pytorch.device import mapping_load_errors
    from ptx.models import checkpoint as checkpoints

    artifact = read_artifact(files[CHECKPOINT])
    with mapping_load_errors(artifact):
        history = checkpoints.loads(artifact.data).history
    speeds, no_speeds = _find_speeds(files[CHECKPOINT].parent / CSV)
    return replace(report, files=files, history=history, speeds=speeds, no_speeds=no_speeds)


def _find_speeds(path: Path) -> tuple[Speeds, str]:
    """The rows of benchmark.csv; if there are none, the reason for the page."""
    if not path.is_file():
        return [], "Not measured yet."
    try:
        return read_speeds(path.read_text("utf-8")), f"{path.name} has no rows."
    except (OSError, ValueError) as error:
        return [], f"{path.name} cannot be used: {error}."
