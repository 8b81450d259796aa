"""ptx evaluate"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ptx import infer, report, trainers
from ptx.cli import options
from ptx.cli.dataset import open_data
from ptx.cli.opening import find_model, open_model
from ptx.cli.progress import Progress
from ptx.cli.terminal import verdict
from ptx.cli.time_limit import time_limit
from ptx.cli.workspace import Workspace
from ptx.infer.errors import counted


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
) -> None:  # fmt: skip
    """Accuracy and confusion matrix of MODEL on the test rows of its data."""
    space = Workspace(workspace)
    asked = infer.Options(device=device, precision=precision, trust=space.trust(trust))
    with open_model(find_model(space, model, backend), asked) as predictor:
        card, took = predictor.card, predictor.backend.name
        dataset = open_data(card.model, data, workspace, card)
        with Progress("evaluating", "rows", len(dataset.test)) as progress:
            found = trainers.evaluate(predictor, dataset.test, progress=progress.advance)
    if as_json:
        matrix = None if found.confusion is None else found.confusion.tolist()
        record = {"model": card.model, "backend": took, "data": dataset.name, "rows": found.rows,
                  "accuracy": found.accuracy, "rmse": found.error, "labels": list(card.labels),
                  "confusion": matrix}  # fmt: skip
        click.echo(json.dumps(record, ensure_ascii=False))
        return
    if found.confusion is not None:
        click.echo(report.confusion_text(card.labels, found.confusion.tolist()))
    reached = (
        f"root mean squared error {found.error:.4g}"
        if found.accuracy is None
        else f"accuracy {report.percent(found.accuracy)}"
    )
    rows = counted(found.rows, "row")
    verdict(f"{card.model} on {took}: {reached} of {rows}", f"ptx report {card.model}")
