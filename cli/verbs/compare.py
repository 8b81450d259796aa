"""ptx compare"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptx.cli import options
from ptx.cli.time_limit import time_limit

if TYPE_CHECKING:
    from ptx.export import Comparison, TrainedModel
    from ptx.infer import Predictor
    from ptx.infer.signature import Array

RANDOM_ROWS, RANDOM_LENGTH = 8, 10  # of the inputs that stand in for real ones


@click.command(
    epilog="\b\nExamples:\n  ptx compare convnet\n"
    "  ptx compare convnet digit.png --backends ort-cpu,eager",
    short_help="Do the backends agree? The table and the matrix.",
)
@click.argument("model", shell_complete=options.complete_name)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...", shell_complete=options.complete_file)
@click.option("--backends", default="all", show_default=True, callback=options.current_backends,
              shell_complete=options.complete_backends,
              help="all that are available here, or names with commas between them.")  # fmt: skip
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
    from ptx.cli.comparison_file import check_target, comparison_data, save_comparison
    from ptx.cli.network import open_factory
    from ptx.cli.opening import open_backends
    from ptx.cli.terminal import note
    from ptx.cli.workspace import Workspace, require_model
    from ptx.export import read_model
    from ptx.infer.backends import Options
    from ptx.models import lookup

    if output is not None:
        check_target(output)
    space = Workspace(workspace)
    own = space.is_name(model) and lookup(model) is None
    factory = None if network is None else open_factory(network)
    path = space.find(model if own else require_model(model), "checkpoint")
    source = read_model(path, network=factory)
    asked = Options(device=device, precision=precision, trust=space.trust(trust), network=factory)
    predictors, left_out = open_backends(
        space, model, source.card.weights_sha256, asked, backends=backends
    )
    for name, reason in left_out:
        note(f"{name} is left out: {reason}")
    if inputs:
        rows = _given(inputs, predictors[0])
    elif own and data is None:
        rows = _carried(source)
    else:
        rows = _test_set(model, data, workspace, source, predictors[0])
    found = _compare(source, predictors, rows)
    if not found.rows:
        note("no input could be compared")
        return 4
    if output is not None:
        save_comparison(output, model, found)
    if as_json:
        click.echo(json.dumps(comparison_data(model, found)))
    else:
        _print_tables(found)
        _print_first(found, rows)
        _print_verdict(model, found, own=own)
    return 0 if found.holds else 1


@dataclass
class _Rows:
    """What the backends are compared over."""

    batches: Iterator[tuple[Array, Mapping[str, Array]]]  # indices of the inputs, and their arrays
    total: int | None = None  # how many there are, where that is known before
    names: list[str] = field(default_factory=list)  # of the inputs read so far, where they have any
    title: str = "the test set"  # what inputs without a name are rows of

    def name(self, index: int) -> str:
        """What an input is called in a message."""
        return self.names[index] if self.names else f"row {index} of {self.title}"


def _given(inputs: tuple[str, ...], predictor: Predictor) -> _Rows:
    """The INPUTs, one in a batch."""
    names: list[str] = []
    return _Rows(_given_batches(inputs, predictor, names), names=names)


def _given_batches(
    inputs: tuple[str, ...], predictor: Predictor, names: list[str]
) -> Iterator[tuple[Array, Mapping[str, Array]]]:
    import numpy as np

    from ptx.cli.inputs import find_inputs
    from ptx.infer.errors import InputError
    from ptx.infer.prediction import Named

    settings = predictor.card.preprocessing
    for found in find_inputs(inputs, str(settings["kind"]), settings.get("names", ())):
        named = found if isinstance(found, Named) else Named(str(found), found)
        if isinstance(named.value, InputError):
            raise named.value
        sample = predictor.preprocessing.read(named.value)
        names.append(named.name)
        yield np.array([len(names) - 1]), predictor.preprocessing.collate([sample])


def _carried(source: TrainedModel) -> _Rows:
    """The real samples that the checkpoint carries, else random inputs, in one batch."""
    import numpy as np

    from ptx.cli.terminal import note

    signature, samples, title = source.card.signature, source.samples, "the checkpoint's samples"
    if not samples:
        sizes = dict.fromkeys(signature.dynamic_axes, RANDOM_LENGTH) | {"batch": RANDOM_ROWS}
        samples = signature.example(sizes)
        title = "the random numbers"
        note("the inputs are random numbers: give INPUTs to compare over real ones")
    spec = signature.inputs[0]
    count = samples[spec.name].shape[spec.batch_axis]
    return _Rows(iter([(np.arange(count), samples)]), total=count, title=title)


def _test_set(
    model: str, data: str | None, workspace: Path, source: TrainedModel, predictor: Predictor
) -> _Rows:
    from ptx.cli.dataset import open_data
    from ptx.trainers.evaluation import model_inputs

    split = open_data(model, data, workspace, source.card).test
    return _Rows(model_inputs(split, predictor.preprocessing), total=len(split))


def _compare(source: TrainedModel, predictors: list[Predictor], rows: _Rows) -> Comparison:
    from ptx.cli.progress import ProgressLine
    from ptx.export import compare as compare_backends

    with ExitStack() as stack:
        for predictor in predictors:
            stack.enter_context(predictor)
        progress = stack.enter_context(ProgressLine("comparing", "inputs", rows.total))
        return compare_backends(
            source.reference, predictors, rows.batches, progress=progress.advance
        )


def _print_tables(found: Comparison) -> None:
    """A row for each backend, and the matrix of the inputs with different labels."""
    from ptx.cli.terminal import judged, table
    from ptx.infer.errors import counted

    rows = [
        (r.backend, r.device, "-" if r.failure else f"{r.error:.1e}",
         "-" if r.failure else f"{r.tolerance:.1e}",
         str(r.differ), judged("agrees" if r.holds else "DIFFERS", r.holds))
        for r in found.results
    ]  # fmt: skip
    click.echo(f"{counted(found.rows, 'input')}, against {found.reference}")
    click.echo(table(("backend", "device", "largest error", "allowed", "labels differ", ""), rows))
    if any(cell is not None for row in found.between for cell in row):
        click.echo("\ninputs with different labels, backend by backend")
        header = ("", *(r.backend for r in found.results))
        matrix = [
            (r.backend, *("-" if cell is None else str(cell) for cell in row))
            for r, row in zip(found.results, found.between, strict=True)
        ]
        click.echo(table(header, matrix))


def _print_first(found: Comparison, rows: _Rows) -> None:
    """Of each backend that does not agree, why, or on which input first."""
    for result in found.results:
        if result.failure:
            click.echo(f"{result.backend}: {result.failure}")
        elif result.first is not None:
            first = rows.name(result.first)
            click.echo(
                f"{result.backend}: the first input that differs is {first}; output {result.output!r} is"
                f" off by {result.error:.1e}, allowed are {result.tolerance:.1e}"
            )


def _print_verdict(model: str, found: Comparison, *, own: bool) -> None:
    from ptx.cli.terminal import verdict

    agree = sum(result.holds for result in found.results)
    following = f"ptx report {model}" if found.holds else f"ptx export {model} --format all"
    if own:
        following = f"ptx predict photo.jpg --model {model}" if found.holds else "export it again"
    verdict(
        f"{model}: {agree} of {len(found.results)} backends agree", following, holds=found.holds
    )
