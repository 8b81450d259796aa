"""ptx evaluate"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ptx import infer, report, trainers
from ptx.cli import options
from ptx.cli.model import open_model, resolve_model
from ptx.cli.streams import echo, writes_unicode
from ptx.cli.terminal import ProgressBar, print_note, print_summary
from ptx.cli.workspace import Workspace
from ptx.infer.errors import pluralise, quote


@click.command(
    epilog="\b\nExamples:\n  ptx evaluate convnet\n"
    "  ptx evaluate convnet --backend ort-cpu --data bundled",
)
@click.argument("model", shell_complete=options.complete_model)
@options.backend
@options.device
@options.precision
@options.trust
@options.spec_file
@options.data
@options.workspace
@options.as_json
@options.time_limit
@options.common
def evaluate(
    model: str,
    backend: str,
    device: str,
    precision: str,
    trust: bool,
    spec_file: Path | None,
    data: str | None,
    workspace: Path,
    as_json: bool,
) -> int:
    """Print the accuracy and the confusion matrix of MODEL on the test rows of its data.

    The rows pass through the complete predictor, and its labels are compared with those of the data by
    name. The exit code is 1 if the file fails its own checks, or if its metrics are worse than they were
    in training on the same rows. An ONNX file that ptx did not export needs --spec and --data.
    """
    from ptx.trainers.recorded_metrics import require_verified

    space = Workspace(workspace)
    opening = infer.Options(device=device, precision=precision, trust=space.trust(trust))
    resolved = resolve_model(space, model, backend, spec_file=spec_file)
    with open_model(resolved, opening) as predictor:
        dataset = space.open_data(predictor.manifest.model, data, predictor.manifest)
        if resolved.model_spec is None:  # else there is nothing to verify
            require_verified(predictor, dataset)
        evaluation, passes, record = evaluate_test_rows(predictor, dataset)
        if as_json:
            _print_json(predictor, dataset.name, evaluation, passes, record)
        else:
            next_command = f"ptx {'report' if passes else 'compare'} {predictor.manifest.model}"
            external = resolved.model_spec is not None
            _print_text(predictor, evaluation, passes, record, "" if external else next_command)
    return 0 if passes else 1


def evaluate_test_rows(
    predictor: infer.Predictor, dataset: trainers.Dataset
) -> tuple[trainers.Evaluation, bool, str]:
    """The evaluation, whether it is no worse than the training's, and a line about that."""
    from ptx.trainers.recorded_metrics import check_accuracy_regression

    with ProgressBar("evaluating", "rows", len(dataset.test)) as progress:
        evaluation = trainers.evaluate(
            predictor, dataset.test, names=dataset.labels, progress=progress.advance
        )
    return evaluation, *check_accuracy_regression(predictor.manifest, evaluation, dataset)


def _print_json(
    predictor: infer.Predictor,
    data: str,
    evaluation: trainers.Evaluation,
    passes: bool,
    record: str,
) -> None:
    line = {
        "model": predictor.manifest.model,
        "backend": predictor.backend.name,
        "data": data,
        "rows": evaluation.rows,
        "accuracy": evaluation.accuracy,
        "rmse": evaluation.error,
        "labels": list(predictor.manifest.labels),
        "confusion": None if evaluation.confusion is None else evaluation.confusion.tolist(),
        "passes": passes,
        "record": record,
    }
    echo(json.dumps(line, ensure_ascii=not writes_unicode()))


def _print_text(
    predictor: infer.Predictor,
    evaluation: trainers.Evaluation,
    passes: bool,
    record: str,
    next_command: str,
) -> None:
    model = predictor.manifest.model
    if evaluation.confusion is not None:
        echo(report.confusion_text(predictor.manifest.labels, evaluation.confusion.tolist()))
    if evaluation.only_label is not None:
        label = predictor.manifest.labels[evaluation.only_label]
        print_note(f"every row is predicted as {quote(label)}: the labels are not distinguished")
    rows = pluralise(evaluation.rows, "row")
    print_summary(
        f"{model} on {predictor.backend.name}: {evaluation.summary} of {rows}; {record}",
        next_command,
        passes=passes,
    )
