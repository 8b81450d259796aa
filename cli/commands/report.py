"""ptx report"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from ptx import export, infer
from ptx import report as reports
from ptx.cli import options
from ptx.cli.model import closing_all
from ptx.cli.terminal import ProgressBar, print_summary
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
@options.output("File to write, instead of report.html in the model's folder.")
@options.workspace
@options.time_limit
@options.common
def report(
    model: str, device: str, trust: bool, data: str | None, output: Path | None, workspace: Path
) -> None:
    """Write an HTML page about MODEL, the name of a catalog model.

    It shows training curves, the confusion matrix, the most confidently wrong inputs, agreement and
    speed of the backends, the error of each node of the ONNX file, provenance and sample predictions.
    The page is one file that needs no network.
    """
    space = Workspace(workspace)
    checkpoint = space.find(require_model(model), CHECKPOINT)
    target = output or space.folder(model) / "report.html"
    check_writable(target)
    trained = export.read_model(checkpoint)
    opening = infer.Options(device=device, trust=space.trust(trust))
    predictors, skipped = reports.open_backends(
        partial(space.read, model), trained.manifest.weights_sha256, opening
    )
    dataset = space.open_data(model, data, trained.manifest)
    total = len(dataset.test)
    with (
        closing_all(predictors),
        ProgressBar("evaluating", "rows", total) as evaluating,
        ProgressBar("comparing", "inputs", total) as comparing,
    ):
        found = reports.report(
            trained,
            predictors,
            dataset,
            evaluating=evaluating.advance,
            comparing=comparing.advance,
        )
    files = space.files(model)
    found = reports.add_files(found, files)
    if "onnx" in files:
        location = export.locate(trained, infer.read_artifact(files["onnx"]))
        found = replace(found, location=location)
    size = replace(found, skipped=list(skipped.items())).save(target)
    print_summary(f"{target}: {reports.file_size(size)}", f"open {target} in a browser")
