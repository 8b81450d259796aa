"""ptx report"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from ptx import export, infer
from ptx import report as reports
from ptx.cli import options
from ptx.cli.dataset import open_data
from ptx.cli.opening import closing_all, sort_backends
from ptx.cli.terminal import Progress, verdict
from ptx.cli.workspace import Workspace, require_model
from ptx.infer.artifact.files import check_writable
from ptx.infer.artifact.formats import CHECKPOINT


@click.command(
    epilog="\b\nExamples:\n  ptx report linear-model\n"
    "  ptx report convnet --data bundled --output convnet.html",
)
@click.argument("model", shell_complete=options.complete_name)
@options.device
@options.trust
@options.data
@options.output("Instead of report.html in the model's folder.")
@options.workspace
@options.time_limit
@options.common
def report(
    model: str, device: str, trust: bool, data: str | None, output: Path | None, workspace: Path
) -> None:
    """Write one HTML page on MODEL, a name of the catalog: training curves, confusion matrix, the most
    confidently wrong inputs, agreement and speed of the backends, provenance, sample predictions.

    The page is one file: it opens without a network and prints.
    """
    space = Workspace(workspace)
    checkpoint = space.find(require_model(model), CHECKPOINT)
    target = output or space.folder(model) / "report.html"
    check_writable(target)
    trained = export.read_model(checkpoint)
    asked = infer.Options(device=device, trust=space.trust(trust))
    predictors, left_out = sort_backends(space, model, trained.card.weights_sha256, asked)
    dataset = open_data(model, data, workspace, trained.card)
    total = len(dataset.test)
    with (
        closing_all(predictors),
        Progress("evaluating", "rows", total) as evaluating,
        Progress("comparing", "inputs", total) as comparing,
    ):
        found = reports.report(
            trained,
            predictors,
            dataset,
            evaluating=evaluating.advance,
            comparing=comparing.advance,
        )
    found = reports.add_files(found, space.files(model))
    size = replace(found, left_out=left_out).save(target)
    verdict(f"{target}: {reports.file_size(size)}", f"open {target} in a browser")
