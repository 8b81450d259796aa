"""A model's report: its evaluation on the test rows and the comparison of its backends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptx.infer import Predictor, read_artifact
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.backends import preferred
from ptx.report.benchmark_file import CSV, read_speeds
from ptx.report.comparison import checkpoint_samples, compare, split_inputs
from ptx.report.page import EvaluatedRows, Report, Speeds

if TYPE_CHECKING:
    from ptx.export import TrainedModel
    from ptx.trainers import Dataset

SHOWN = 12  # tiles each of wrong predictions and of sample predictions

Progress = Callable[[int], None]


def report(
    model: TrainedModel,
    predictors: Sequence[Predictor],
    dataset: Dataset | None,
    *,
    evaluating: Progress | None = None,
    comparing: Progress | None = None,
) -> Report:
    """Evaluate the model on the test rows and compare its backends over them.

    Without a data set nothing is evaluated, and the backends are compared on the samples of the
    checkpoint, or else on random numbers.

    History, speeds and files are added with `add_files`:

        result = report(read_model("checkpoint.pt"), [load("convnet.onnx")], data)
        add_files(result, {"checkpoint": Path("checkpoint.pt")}).save(Path("report.html"))

    Args:
        evaluating: Called with the number of rows of each evaluated batch.
        comparing: Called with the number of rows of each batch that every backend has run.

    Raises:
        UsageError: the data set's rows are not for this model.
        ArtifactError: the model's own outputs are not finite.
    """
    from ptx.models import lookup

    order = preferred()
    priority = {name: index for index, name in enumerate(order)}
    predictor = min(predictors, key=lambda each: priority.get(each.backend.name, len(order)))
    inputs = checkpoint_samples(model) if dataset is None else split_inputs(dataset, predictor)
    tests = None if dataset is None else _evaluate(predictor, dataset, evaluating)
    comparison = compare(model, predictors, inputs, progress=comparing)
    entry = lookup(predictor.manifest.model)
    return Report(
        manifest=predictor.manifest,
        summary="" if entry is None else f"{entry.summary}; {entry.source}",
        backend=predictor.backend.name,
        history=(),
        tests=tests,
        comparison=comparison.comparison,
        compared_inputs=inputs.title,
        layers=list_layers(model.network),
    )


def _evaluate(predictor: Predictor, dataset: Dataset, evaluating: Progress | None) -> EvaluatedRows:
    from ptx.trainers import evaluate, most_wrong, predict_rows

    rows = dataset.test
    sample_rows = np.unique(np.linspace(0, len(rows) - 1, SHOWN).astype(np.int64))
    evaluation = evaluate(predictor, rows, names=dataset.labels, progress=evaluating)
    return EvaluatedRows(
        data=dataset.name,
        evaluation=evaluation,
        wrong=most_wrong(predictor, rows, evaluation, SHOWN, dataset.labels),
        samples=predict_rows(predictor, rows, sample_rows, dataset.labels),
    )


def list_layers(network: Any) -> list[tuple[str, str, int]]:
    """Name, kind and number of weights of each layer of a torch.nn.Module.

    The weights of the layers within a layer are not counted in it; a layer that has only such is left
    out.
    """
    layers = []
    for name, layer in network.named_modules():
        weights = sum(weight.numel() for weight in layer.parameters(recurse=False))
        if weights or (name and not list(layer.children())):
            layers.append((name or "-", type(layer).__name__, weights))
    return layers


def add_files(report: Report, files: Mapping[str, Path]) -> Report:
    """Add the training history of the checkpoint and the benchmark in the same folder.

    Args:
        files: The model's files, by format.

    Raises:
        ArtifactError: the checkpoint cannot be read.
    """
    from ptx.infer.backends.pytorch.device import mapping_load_errors
    from ptx.models import checkpoint as checkpoints

    history: Sequence[Mapping[str, float]] = ()
    if CHECKPOINT in files:
        artifact = read_artifact(files[CHECKPOINT])
        with mapping_load_errors(artifact):
            history = checkpoints.loads(artifact.data).history
    speeds, no_speeds = _find_speeds(next(iter(files.values())).parent / CSV)
    return replace(report, files=files, history=history, speeds=speeds, no_speeds=no_speeds)


def _find_speeds(path: Path) -> tuple[Speeds, str]:
    """The rows of benchmark.csv; if there are none, the reason for the page."""
    if not path.is_file():
        return [], "Not measured yet."
    try:
        return read_speeds(path.read_text("utf-8")), f"{path.name} has no rows."
    except (OSError, ValueError) as error:
        return [], f"{path.name} cannot be used: {error}."
