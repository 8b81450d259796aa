"""ptx compare"""

from __future__ import annotations

from pathlib import Path

import click

from ptx import infer, models, report
from ptx.cli import options
from ptx.cli.comparison_cards import card_problems, reached_problem
from ptx.cli.model.network import open_factory
from ptx.cli.model.opening import closing_all, open_backends
from ptx.cli.model.workspace import Workspace, require_model
from ptx.cli.output.comparison import print_comparison, print_problems
from ptx.cli.output.progress import Progress
from ptx.cli.output.terminal import note
from ptx.cli.time_limit import time_limit
from ptx.cli.values.compared_rows import find_compared_rows
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.errors import pluralise


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
    path = space.find(model if own else require_model(model), CHECKPOINT)
    trained = read_model(path, network=factory)
    asked = infer.Options(
        device=device, precision=precision, trust=space.trust(trust), network=factory
    )
    weights = trained.card.weights_sha256
    predictors = open_backends(space, model, weights, asked, backends=backends)
    if problems := card_problems(space, model, trained, predictors):
        return print_problems(model, problems, as_json=as_json)
    rows, dataset = find_compared_rows(model, inputs, data, workspace, trained, predictors[0])
    with closing_all(predictors):
        with Progress("comparing", "inputs", rows.total) as progress:
            compared = report.compare(trained, predictors, rows, progress=progress.advance)
        reached = ("", True)
        if dataset is not None and compared.holds:
            # One backend is evaluated: the others agree with it, label by label, or have failed.
            reached = reached_problem(predictors[0], dataset)
    if output is not None and compared.found.rows:
        compared.save(output)
        note(f"{output}: {pluralise(len(compared.found.results), 'backend')}")
    return print_comparison(model, compared, reached, own=own, as_json=as_json)
