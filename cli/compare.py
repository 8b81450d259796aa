"""ptx compare"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptx.cli import options
from ptx.cli.time_limit import time_limit

if TYPE_CHECKING:
    from ptx.cli.workspace import Workspace
    from ptx.export import Comparison, Source
    from ptx.infer import Predictor
    from ptx.infer.backends import Factory
    from ptx.infer.signature import Array
    from ptx.infer.trust import Trust

RANDOM_ROWS, RANDOM_LENGTH = 8, 10  # of the inputs that stand in for real ones


@click.command(
    epilog="\b\nExamples:\n  ptx compare convnet\n"
    "  ptx compare convnet digit.png --backends ort-cpu,eager",
    short_help="Do the backends agree? The table and the matrix.",
)
@click.argument("model", shell_complete=options.complete_name)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...", shell_complete=options.complete_file)
@click.option("--backends", default="all", show_default=True,
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
    from ptx.cli.comparison_file import comparison_data, find_writer
    from ptx.cli.dataset import open_data
    from ptx.cli.network import open_factory
    from ptx.cli.progress import ProgressLine
    from ptx.cli.terminal import note
    from ptx.cli.workspace import Workspace, require_model
    from ptx.export import compare as compare_backends
    from ptx.export import read_source
    from ptx.infer.errors import counted
    from ptx.infer.files import check_writable, write_atomic
    from ptx.models import lookup
    from ptx.trainers.evaluation import model_inputs

    writer = None
    if output is not None:
        writer = find_writer(output)
        check_writable(output)
    space = Workspace(workspace)
    own = space.is_name(model) and lookup(model) is None
    factory = None if network is None else open_factory(network)
    path = space.find(model if own else require_model(model), "checkpoint")
    source = read_source(path, network=factory)
    left_out: list[tuple[str, str]] = []
    predictors = open_backends(
        space,
        model,
        backends,
        device,
        space.trust(trust),
        source.card.weights_sha256,
        left_out=left_out,
        network=factory,
        precision=precision,
    )
    for name, reason in left_out:
        note(f"{name} is left out: {reason}")
    names: list[str] = []
    total = None
    if inputs:
        batches = _given(inputs, predictors[0], names)
    elif own and data is None:
        batches = _carried(source)
    else:
        split = open_data(model, data, workspace, source.card).test
        total = len(split)
        batches = model_inputs(split, predictors[0].preprocessing)
    with ProgressLine("comparing", "inputs", total) as progress:
        found = compare_backends(source.yardstick, predictors, batches, progress=progress.advance)
    for predictor in predictors:
        predictor.close()
    if not found.rows:
        note("no input could be compared")
        return 4
    if output is not None and writer is not None:
        write_atomic(output, writer(model, found))
        note(f"{output}: {counted(len(found.results), 'backend')}")
    if as_json:
        click.echo(json.dumps(comparison_data(model, found)))
    else:
        _print(model, found, names, own=own)
    return 0 if found.holds else 1


def open_backends(
    space: Workspace,
    model: str,
    backends: str,
    device: str,
    trust: Trust,
    weights: str,
    *,
    left_out: list[tuple[str, str]],
    network: Factory | None = None,
    precision: str = "float32",
) -> list[Predictor]:
    """The backends asked for; of `all` those that are available, with the reasons of the others."""
    from ptx.infer.backends import BACKENDS, find_backend
    from ptx.infer.errors import ArtifactError, BackendError
    from ptx.infer.loading import load

    names = list(BACKENDS) if backends == "all" else [name.strip() for name in backends.split(",")]
    opened = []
    for name in names:
        own_device = device if not name.startswith("ort-") else "auto"
        try:
            path = space.find(model, find_backend(name).reads)
            predictor = load(
                path,
                backend=name,
                device=own_device,
                trust=trust,
                network=network,
                precision=precision,
            )
        except BackendError as error:
            if backends != "all":
                raise
            left_out.append((name, error.reason))
            continue
        except ArtifactError as error:
            if backends != "all" or error.code != "E-NO-ARTIFACT":
                raise
            left_out.append((name, str(error)))
            continue
        if predictor.card.weights_sha256 != weights:
            raise ArtifactError(
                f"{path} was exported from other weights than the checkpoint's: export it again",
                code="E-STALE",
            )
        opened.append(predictor)
    return opened


def _carried(source: Source) -> Iterator[tuple[Array, Mapping[str, Array]]]:
    """The real samples that the checkpoint carries, else random inputs, in one batch."""
    import numpy as np

    from ptx.cli.terminal import note

    signature, samples = source.card.signature, source.samples
    if not samples:
        sizes = dict.fromkeys(signature.dynamic_axes, RANDOM_LENGTH) | {"batch": RANDOM_ROWS}
        samples = signature.example(sizes)
        note("the inputs are random numbers: give INPUTs to compare over real ones")
    spec = signature.inputs[0]
    yield np.arange(samples[spec.name].shape[spec.batch_axis]), samples


def _given(
    inputs: tuple[str, ...], predictor: Predictor, names: list[str]
) -> Iterator[tuple[Array, Mapping[str, Array]]]:
    import numpy as np

    from ptx.cli.inputs import find_inputs
    from ptx.infer.errors import InputError
    from ptx.infer.prediction import Named

    preprocessing = predictor.card.preprocessing
    names_of_columns = preprocessing.get("names", ())
    for found in find_inputs(inputs, str(preprocessing["kind"]), names_of_columns):
        named = found if isinstance(found, Named) else Named(str(found), found)
        if isinstance(named.value, InputError):
            raise named.value
        sample = predictor.preprocessing.read(named.value)
        names.append(named.name)
        yield np.array([len(names) - 1]), predictor.preprocessing.collate([sample])


def _print(model: str, found: Comparison, names: list[str], *, own: bool) -> None:
    from ptx.cli.terminal import judged, table, verdict
    from ptx.infer.errors import counted

    rows = [
        (r.backend, r.device, "-" if r.failure else f"{r.error:.1e}", f"{found.tolerance:.1e}",
         str(r.differ), judged("agrees" if r.holds else "DIFFERS", r.holds))
        for r in found.results
    ]  # fmt: skip
    click.echo(f"{counted(found.rows, 'input')}, against eager float64")
    click.echo(table(("backend", "device", "largest error", "allowed", "labels differ", ""), rows))
    if any(cell is not None for row in found.between for cell in row):
        click.echo("\ninputs with different labels, backend by backend")
        header = ("", *(r.backend for r in found.results))
        matrix = [
            (r.backend, *("-" if cell is None else str(cell) for cell in row))
            for r, row in zip(found.results, found.between, strict=True)
        ]
        click.echo(table(header, matrix))
    for result in found.results:
        if result.failure:
            click.echo(f"{result.backend}: {result.failure}")
        elif result.first is not None:
            first = names[result.first] if names else f"row {result.first} of the test set"
            click.echo(f"{result.backend}: the first input that differs is {first}")
    agree = sum(result.holds for result in found.results)
    following = f"ptx report {model}" if found.holds else f"ptx export {model} --format all"
    if own:
        following = f"ptx predict photo.jpg --model {model}" if found.holds else "export it again"
    verdict(
        f"{model}: {agree} of {len(found.results)} backends agree", following, holds=found.holds
    )
