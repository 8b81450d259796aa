"""ptx compare"""

from __future__ import annotations

import json
from pathlib import Path

import click

from ptx import infer, models, report
from ptx.cli import options
from ptx.cli.dataset import open_data
from ptx.cli.inputs import find_inputs
from ptx.cli.network import open_factory
from ptx.cli.opening import closing_all, open_backends
from ptx.cli.progress import Progress
from ptx.cli.terminal import columns, judged, note, verdict
from ptx.cli.time_limit import time_limit
from ptx.cli.workspace import Workspace, require_model
from ptx.infer.errors import counted


@click.command(
    epilog="\b\nExamples:\n  ptx compare convnet\n"
    "  ptx compare convnet digit.png --backends ort-cpu,eager",
    short_help="Do the backends agree? The table and the matrix.",
)
@click.argument("model", shell_complete=options.complete_name)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...", shell_complete=options.complete_file)
@options.backends
@options.device
@options.precision
@options.trust
@options.data
@options.network
@click.option("--output", type=click.Path(path_type=Path),
              help="Write the comparison to this file too: .csv, .json or .png.")  # fmt: skip
@options.workspace
@options.as_json
@time_limit
@options.common
def compare(
    model: str, inputs: tuple[str, ...], backends: str, device: str, precision: str, trust: bool,
    data: str | None, network: str | None, output: Path | None, workspace: Path, as_json: bool,
) -> int:  # fmt: skip
    """Run MODEL on every backend over its test set, or over the INPUTs, and compare with float64.

    A model of your own is compared over the INPUTs, or else over the samples in its checkpoint or
    random numbers; --network says what makes it, since a checkpoint never names code to run.
    """
    from ptx.export import read_model

    if output is not None:
        report.check_target(output)
    space = Workspace(workspace)
    own = space.is_name(model) and models.lookup(model) is None
    factory = None if network is None else open_factory(network)
    path = space.find(model if own else require_model(model), "checkpoint")
    trained = read_model(path, network=factory)
    asked = infer.Options(
        device=device, precision=precision, trust=space.trust(trust), network=factory
    )
    weights = trained.card.weights_sha256
    predictors = open_backends(space, model, weights, asked, backends=backends)
    if inputs:
        settings = predictors[0].card.preprocessing
        values = find_inputs(inputs, str(settings["kind"]), settings.get("names", ()))
        rows = report.value_rows(values, predictors[0])
    elif own and data is None:
        rows = report.carried_rows(trained)
        if rows.random:
            note("the inputs are random numbers: give INPUTs to compare over real ones")
    else:
        split = open_data(model, data, workspace, trained.card).test
        rows = report.split_rows(split, predictors[0])
    with closing_all(predictors), Progress("comparing", "inputs", rows.total) as progress:
        compared = report.compare(trained, predictors, rows, progress=progress.advance)
    return _print(model, compared, output, own=own, as_json=as_json)


def _print(
    model: str, compared: report.Agreement, output: Path | None, *, own: bool, as_json: bool
) -> int:
    found, holds = compared.found, compared.holds
    if not found.rows:
        note("no input could be compared")
        return 4
    if output is not None:
        compared.save(output)
        note(f"{output}: {counted(len(found.results), 'backend')}")
    if as_json:
        click.echo(json.dumps(compared.data()))
        return 0 if holds else 1
    click.echo(compared.table(judged, columns()))
    for line in compared.differences():
        click.echo(line)
    agree = f"{sum(r.holds for r in found.results)} of {len(found.results)} backends agree"
    following = f"ptx report {model}" if holds else f"ptx export {model} --format all"
    if own:
        following = f"ptx predict photo.jpg --model {model}" if holds else "export it again"
    verdict(f"{model}: {agree}", following, holds=holds)
    return 0 if holds else 1
