"""ptx evaluate"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ptx.cli import options
from ptx.cli.time_limit import time_limit


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
    model: str,
    backend: str,
    device: str,
    precision: str,
    trust: bool,
    data: str | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Accuracy and confusion matrix of MODEL on the test rows of its data."""
    from ptx.cli.confusion import confusion_text
    from ptx.cli.dataset import open_data
    from ptx.cli.opening import open_model
    from ptx.cli.progress import ProgressLine
    from ptx.cli.terminal import percent, verdict
    from ptx.infer.errors import counted
    from ptx.trainers import evaluate as evaluate_model

    with open_model(
        model, backend, device, workspace, trust=trust, precision=precision
    ) as predictor:
        card = predictor.card
        dataset = open_data(card.model, data, workspace, card)
        with ProgressLine("evaluating", "rows", len(dataset.test)) as progress:
            found = evaluate_model(predictor, dataset.test, progress=progress.advance)
        took = predictor.backend.name
    if as_json:
        matrix = None if found.confusion is None else found.confusion.tolist()
        record = {"model": card.model, "backend": took, "data": dataset.name, "rows": found.rows,
                  "accuracy": found.accuracy, "rmse": found.error, "labels": list(card.labels),
                  "confusion": matrix}  # fmt: skip
        click.echo(json.dumps(record, ensure_ascii=False))
        return
    if found.confusion is not None:
        click.echo(confusion_text(card.labels, found.confusion.tolist()))
    reached = (
        f"root mean squared error {found.error:.4g}"
        if found.accuracy is None
        else f"accuracy {percent(found.accuracy)}"
    )
    verdict(
        f"{card.model} on {took}: {reached} of {counted(found.rows, 'row')}",
        f"ptx report {card.model}",
    )
