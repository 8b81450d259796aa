"""ptx report"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from ptx import export, infer, models, trainers
from ptx import report as reports
from ptx.cli import options
from ptx.cli.external_onnx import read_trained, relevant_skips
from ptx.cli.model import closing_all
from ptx.cli.network import find_factory
from ptx.cli.terminal import ProgressBar, print_note, print_summary
from ptx.cli.workspace import Workspace
from ptx.infer.artifact.files import check_writable


@click.command(
    epilog="\b\nExamples:\n  ptx report linear-model\n"
    "  ptx report convnet --data bundled --output convnet.html",
)
@click.argument("model", shell_complete=options.complete_name)
@options.device
@options.trust
@options.data
@options.network
@options.spec_file
@options.output("File to write, instead of report.html in the model's folder.")
@options.workspace
@options.time_limit
@options.common
def report(
    model: str,
    device: str,
    trust: bool,
    data: str | None,
    network: str | None,
    spec_file: Path | None,
    output: Path | None,
    workspace: Path,
) -> None:
    """Write an HTML page about MODEL.

    It shows training curves, the confusion matrix, precision and recall of each class, the most
    confidently wrong inputs, agreement and speed of the backends, the error of each node of the ONNX
    file, layers, provenance and sample predictions. The page is one file that needs no network.

    A network of your own needs --network, and --data for everything that needs labels. MODEL can also
    be an ONNX file of any tool.
    """
    space = Workspace(workspace)
    factory = None if network is None else find_factory(network)
    is_name = space.is_name(model)
    target = output or (
        space.folder(model) / "report.html" if is_name else Path(f"{Path(model).stem}.report.html")
    )
    trained, find_artifact = read_trained(space, model, factory, spec_file)
    check_writable(target)
    opening = infer.Options(device=device, trust=space.trust(trust), network=factory)
    predictors, skipped = reports.open_backends(
        find_artifact, trained.manifest.weights_sha256, opening
    )
    dataset = _find_rows(space, model, data, trained)
    total = None if dataset is None else len(dataset.test)
    with (
        closing_all(predictors),
        ProgressBar("evaluating", "rows", total) as evaluating,
        ProgressBar("comparing", "inputs", total) as comparing,
    ):
        page = reports.report(
            trained,
            predictors,
            dataset,
            evaluating=evaluating.advance,
            comparing=comparing.advance,
        )
    files = space.files(model) if is_name else {"onnx": find_artifact("onnx").path}
    page = reports.add_files(page, files)
    if "onnx" in files and not isinstance(trained, export.ExternalOnnx):
        location = export.locate(trained, infer.read_artifact(files["onnx"]))
        page = replace(page, location=location)
    size = replace(page, skipped=list(relevant_skips(skipped, trained).items())).save(target)
    print_summary(f"{target}: {reports.file_size(size)}", f"open {target} in a browser")


def _find_rows(
    space: Workspace, model: str, data: str | None, trained: export.TrainedModel
) -> trainers.Dataset | None:
    """The data set of --data or of the training; None for a model that has neither."""
    has_data = models.lookup(model) is not None and not isinstance(trained, export.ExternalOnnx)
    if data is None and not has_data:
        print_note("without --data nothing is evaluated")
        return None
    return space.open_data(trained.manifest.model, data, trained.manifest)
