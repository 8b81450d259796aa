"""ptx diff"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click

from ptx import export, infer, report
from ptx.cli import options
from ptx.cli.external_onnx import read_trained
from ptx.cli.model_spec import read_spec_file
from ptx.cli.network import find_factory
from ptx.cli.streams import echo
from ptx.cli.terminal import print_note, print_summary, table
from ptx.cli.workspace import Workspace
from ptx.infer.artifact.artifact import require_trust
from ptx.infer.artifact.files import check_writable
from ptx.infer.errors import UsageError


@click.command(
    epilog="\b\nExamples:\n  ptx diff convnet\n"
    "  ptx diff convnet --backend ort-cpu --output diff.png",
)
@click.argument("model", shell_complete=options.complete_name)
@click.option(
    "--backend",
    metavar="NAME",
    default="ort-cpu",
    show_default=True,
    shell_complete=options.complete(lambda: infer.BACKENDS),
    help="Backend that runs the exported file.",
)
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path),
    help="Exported file of MODEL, instead of the one in the workspace. If MODEL is an ONNX file: another"
    " ONNX file to compare with it, node by node.",
)
@click.option(
    "--reproduce",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a script that reproduces the disagreement without ptx.",
)
@options.trust
@options.network
@options.spec_file
@options.output("Draw the errors along the graph into this file: .png or .svg.")
@options.workspace
@options.as_json
@options.common
def diff(
    model: str,
    backend: str,
    file: Path | None,
    reproduce: Path | None,
    trust: bool,
    network: str | None,
    spec_file: Path | None,
    output: Path | None,
    workspace: Path,
    as_json: bool,
) -> int:
    """Find the first node of MODEL's exported file whose own error is too large.

    Each node runs by itself on values from eager float64, so that it does not inherit the errors of
    other nodes. The layers of an int8 file are ordered by the error that quantization causes. If the
    workspace has no exported file, because the export failed, MODEL is converted in memory. The exit
    code is 1 if the file disagrees.

    MODEL can also be an ONNX file of any tool. The reference is then its graph in float64.
    """
    from ptx.infer.backends import find_backend

    if output is not None:
        report.check_chart_path(output)
    if reproduce is not None:
        check_writable(reproduce)
    space = Workspace(workspace)
    factory = None if network is None else find_factory(network)
    trained, find_artifact = read_trained(space, model, factory, spec_file)
    if reproduce is not None and isinstance(trained, export.ExternalOnnx):
        raise UsageError("--reproduce needs the network, and MODEL is only an ONNX file: omit it")
    artifact = None
    try:
        if file is None:
            artifact = find_artifact(find_backend(backend).artifact_format)
        else:
            artifact = _read_other(file, trained, spec_file)
        require_trust(artifact, space.trust(trust))
    except infer.ArtifactError as error:
        external = isinstance(trained, export.ExternalOnnx)
        if file is not None or external or error.code != "E-NO-ARTIFACT":
            raise
        print_note("there is no exported file: the network is converted in memory")
    location = export.locate(trained, artifact, backend=backend, progress=print_note)
    if output is not None:
        report.save_error_chart(location, output)
    if as_json:
        echo(json.dumps(location.to_data()))
    else:
        _print_location(location)
    if reproduce is not None:
        print_summary(f"{reproduce}: {export.reproduce(trained, location, reproduce)}")
    return 1 if location.disagrees else 0


def _read_other(file: Path, trained: export.TrainedModel, spec_file: Path | None) -> infer.Artifact:
    """The file of --file; one of another tool with the manifest that its graph gives."""
    artifact = infer.read_artifact(file)
    if artifact.manifest is None and isinstance(trained, export.ExternalOnnx):
        model_spec = None if spec_file is None else read_spec_file(spec_file)
        return export.read_external(artifact, model_spec).to_artifact(file)
    return artifact


def _print_location(location: export.Location) -> None:
    """The ten worst steps, how the outputs change without fusions, and the node."""
    echo(f"{location.backend} and {location.reference} at {location.case}")
    if location.quantized:
        costs = [
            (step.node, step.origin.module, step.origin.operator, f"{step.local.cost:.2%}")
            for step in location.worst()
        ]
        echo(table(("node", "module", "operator", "cost (relative RMS error)"), costs))
        print_summary(location.summary)
        return
    rows = [
        (step.node, step.origin.module, step.origin.operator, *_error(step), step.origin.source)
        for step in location.worst()
    ]
    header = ("node", "module", "operator", "error", "tolerance", "error/tolerance", "source")
    echo(table(header, rows))
    runs = ", ".join(f"{title} {_number(share)}" for title, share in location.runs.items())
    echo(f"error of the outputs in units of the tolerance: {runs}")
    print_summary(location.summary, passes=not location.disagrees)


def _error(step: Any) -> tuple[str, str, str]:
    """Error, tolerance and their ratio; or why there are none."""
    local = step.local
    if local.problem:
        return local.problem[:40], "-", "-"
    return f"{local.error:.1e}", f"{local.tolerance:.1e}", _number(local.share)


def _number(share: float) -> str:
    return f"{share:.3g}" if math.isfinite(share) else "infinite"
