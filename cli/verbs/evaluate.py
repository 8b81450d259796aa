"""ptx evaluate"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ptx import infer, report, trainers
from ptx.cli import options
from ptx.cli.model.opening import find_model, open_model
from ptx.cli.model.workspace import Workspace
from ptx.cli.output.progress import Progress
from ptx.cli.output.terminal import verdict
from ptx.cli.time_limit import time_limit
from ptx.cli.values.dataset import open_data
from ptx.infer.errors import pluralise


@click.command(
    epilog="\b\nExamples:\n  ptx evaluate convnet\n"
    "  ptx evaluate convnet --backend ort-cpu --data bundled",
    short_help="Accuracy and confusion matrix on the test set.",
)
@click.argument("model", shell_complete=options.complete_model)
@options.backend
@options.device
@options.precision
@options.trust
@options.data
@options.workspace
@options.as_json
@time_limit
@options.common
def evaluate(
    model: str, backend: str, device: str, precision: str, trust: bool, data: str | None,
    workspace: Path, as_json: bool,
) -> int:  # fmt: skip
    """Accuracy and confusion matrix of MODEL on the test rows of its data.

    The rows go through the whole predictor, and labels are held against the data's by name. A file that
    is not what was proved, or reaches less than the training did on the same rows, is an error.
    """
    from ptx.trainers.reached import against_record, require_proved

    space = Workspace(workspace)
    asked = infer.Options(device=device, precision=precision, trust=space.trust(trust))
    with open_model(find_model(space, model, backend), asked) as predictor:
        card, took = predictor.card, predictor.backend.name
        dataset = open_data(card.model, data, workspace, card)
        require_proved(predictor, dataset)
        with Progress("evaluating", "rows", len(dataset.test)) as progress:
            found = trainers.evaluate(
                predictor, dataset.test, names=dataset.labels, progress=progress.advance
            )
    holds, told = against_record(card, found, dataset)
    if as_json:
        matrix = None if found.confusion is None else found.confusion.tolist()
        record = {"model": card.model, "backend": took, "data": dataset.name, "rows": found.rows,
                  "accuracy": found.accuracy, "rmse": found.error, "labels": list(card.labels),
                  "confusion": matrix, "holds": holds, "record": told}  # fmt: skip
        click.echo(json.dumps(record, ensure_ascii=False))
        return 0 if holds else 1
    if found.confusion is not None:
        click.echo(report.confusion_text(card.labels, found.confusion.tolist()))
    rows = pluralise(found.rows, "row")
    verdict(
        f"{card.model} on {took}: {found.figure} of {rows}; {told}",
        f"ptx report {card.model}" if holds else f"ptx compare {card.model}",
        holds=holds,
    )
    return 0 if holds else 1
