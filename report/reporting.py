"""From a model, its backends and its data to the report that shows how good they are."""

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
from ptx.report.comparison import compare, split_rows
from ptx.report.page import Report, Speeds

if TYPE_CHECKING:
    from ptx.export import TrainedModel
    from ptx.trainers import Dataset

SHOWN = 12  # wrong answers, and sample predictions

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

        found = report(read_model("checkpoint.pt"), [load("convnet.onnx")], data)
        add_files(found, {"checkpoint": Path("checkpoint.pt")}).save(Path("report.html"))

    Args:
        evaluating: Told the rows of each batch that is answered.
        comparing: Told the rows of each batch that all backends have answered.

    Raises:
        UsageError: rows that are not for this model.
        ArtifactError: the model's own answers are not finite.
    """
    from ptx.models import lookup
    from ptx.trainers import evaluate, most_wrong, predict_rows

    rows = dataset.test
    order = preferred()
    places = {name: place for place, name in enumerate(order)}
    predictor = min(predictors, key=lambda one: places.get(one.backend.name, len(order)))
    few = np.unique(np.linspace(0, len(rows) - 1, SHOWN).astype(np.int64))
    evaluation = evaluate(predictor, rows, names=dataset.labels, progress=evaluating)
    found = compare(model, predictors, split_rows(dataset, predictor), progress=comparing)
    entry = lookup(predictor.manifest.model)
    return Report(
        manifest=predictor.manifest,
        summary="" if entry is None else f"{entry.summary}; {entry.source}",
        data=dataset.name,
        backend=predictor.backend.name,
        history=(),
        evaluation=evaluation,
        wrong=most_wrong(predictor, rows, evaluation, SHOWN, dataset.labels),
        samples=predict_rows(predictor, rows, few, dataset.labels),
        comparison=found.found,
    )


def add_files(found: Report, files: Mapping[str, Path]) -> Report:
    """The report with a model's files, by kind: the checkpoint's history, the benchmark beside it.

    Raises:
        ArtifactError: the checkpoint cannot be read.
    """
    from ptx.infer.backends.pytorch.device import mapping_load_errors
    from ptx.models import checkpoint as checkpoints

    artifact = read_artifact(files[CHECKPOINT])
    with mapping_load_errors(artifact):
        history = checkpoints.loads(artifact.data).history
    speeds, unmeasured = _find_speeds(files[CHECKPOINT].parent / CSV)
    return replace(found, files=files, history=history, speeds=speeds, unmeasured=unmeasured)


def _find_speeds(path: Path) -> tuple[Speeds, str]:
    """The rows of a benchmark.csv, or what the page says where there are none."""
    if not path.is_file():
        return [], "Not measured yet."
    try:
        return read_speeds(path.read_text("utf-8")), f"{path.name} holds no rows."
    except (OSError, ValueError) as error:
        return [], f"{path.name} cannot be used: {error}."
