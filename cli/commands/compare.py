"""ptx compare"""

from __future__ import annotations

from pathlib import Path

import click

from ptx import export, infer, report
from ptx.cli import comparison, options
from ptx.cli.network import find_factory
from ptx.cli.opening import closing_all, open_backends
from ptx.cli.terminal import Progress
from ptx.cli.workspace import Workspace


@click.command(
    epilog="\b\nExamples:\n  ptx compare convnet\n"
    "  ptx compare convnet digit.png --backends ort-cpu,eager",
)
@click.argument("model", shell_complete=options.complete_name)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...", shell_complete=options.complete_file)
@options.backends
@options.device
@options.precision
@options.trust
@options.data
@options.network
@options.output("Write the comparison to this file too: .csv, .json or .png.")
@options.workspace
@options.as_json
@options.time_limit
@options.common
def compare(
    model: str,
    inputs: tuple[str, ...],
    backends: str,
    device: str,
    precision: str,
    trust: bool,
    data: str | None,
    network: str | None,
    output: Path | None,
    workspace: Path,
    as_json: bool,
) -> int:
    """Run MODEL on every backend over its test set, or over the INPUTs, and compare with float64.

    A model of your own is compared over the INPUTs, or else over the samples in its checkpoint or
    random numbers; --network says what makes it, since a checkpoint never names code to run.
    """
    if output is not None:
        report.check_target(output)
    space = Workspace(workspace)
    factory = None if network is None else find_factory(network)
    trained = export.read_model(space.find_checkpoint(model), network=factory)
    asked = infer.Options(
        device=device, precision=precision, trust=space.trust(trust), network=factory
    )
    predictors = open_backends(space, model, trained.card.weights_sha256, asked, backends=backends)
    if problems := comparison.find_problems(space, trained, predictors):
        return comparison.print_problems(model, problems, as_json=as_json)
    rows, dataset = comparison.find_compared_rows(inputs, data, workspace, trained, predictors[0])
    with closing_all(predictors):
        with Progress("comparing", "inputs", rows.total) as progress:
            compared = report.compare(trained, predictors, rows, progress=progress.advance)
        told, holds = comparison.reach_record(compared, predictors[0], dataset, space)
    if output is not None:
        comparison.save_comparison(compared, output)
    return comparison.print_comparison(compared, told, holds=holds, as_json=as_json)
