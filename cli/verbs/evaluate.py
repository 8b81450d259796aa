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
from ptx.infer.errors import AgreementError, pluralise


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
    from ptx.trainers.reached import against_record

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
    reached = (
        f"root mean squared error {found.error:.4g}"
        if found.accuracy is None
        else f"accuracy {report.percent(found.accuracy)}"
    )
    rows = pluralise(found.rows, "row")
    verdict(
        f"{card.model} on {took}: {reached} of {rows}; {told}",
        f"ptx report {card.model}" if holds else f"ptx compare {card.model}",
        holds=holds,
    )
    return 0 if holds else 1


def require_proved(predictor: infer.Predictor, dataset: trainers.Dataset) -> None:
    """Refuse to measure a file that is not what was proved: its figure would be another model's.

    Raises:
        AgreementError: the card or a golden sample does not hold, or the fit is not that of the data.
    """
    from ptx.infer.verification import failures

    card = predictor.card
    failed = failures(predictor, card)
    if failed:
        raise AgreementError(
            f"{card.model} on {predictor.backend.name} is not what was proved: {failed[0].name}:"
            f" {failed[0].detail}; export it again, `ptx verify` lists all"
        )
    fit = card.preprocessing.get("fit")
    if None not in (fit, dataset.fit) and fit != dataset.fit:
        raise AgreementError(
            f"{card.model} fits pictures as {fit!r}; those of {dataset.name} are fitted as"
            f" {dataset.fit!r}: export or train it again"
        )
