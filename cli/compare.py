"""ptx compare"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptx.cli import options

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
@click.argument("model")
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option("--backends", default="all", show_default=True,
              help="all that are available here, or names with commas between them.")  # fmt: skip
@options.device
@options.trust
@options.data
@options.network
@options.workspace
@options.as_json
@options.common
def compare(
    model: str,
    inputs: tuple[str, ...],
    backends: str,
    device: str,
    trust: bool,
    data: str | None,
    network: str | None,
    workspace: Path,
    as_json: bool,
) -> int:
    """Run MODEL on every backend over its test set, or over the INPUTs, and compare with float64.

    A model of your own is compared over the INPUTs, or else over the samples in its checkpoint or
    random numbers; --network says what makes it, since a checkpoint never names code to run.
    """
    from ptx.cli.network import open_factory
    from ptx.cli.terminal import note
    from ptx.cli.workspace import Workspace, require_model
    from ptx.export import compare as compare_backends
    from ptx.export import read_source
    from ptx.models import lookup

    space = Workspace(workspace)
    own = space.is_name(model) and lookup(model) is None
    factory = None if network is None else open_factory(network)
    path = space.find(model if own else require_model(model), "checkpoint")
    source = read_source(path, network=factory)
    predictors = _open(
        space, model, backends, device, space.trust(trust), source.card.weights_sha256, factory
    )
    names: list[str] = []
    if inputs:
        batches = _given(inputs, predictors[0], names)
    elif own and data is None:
        batches = _carried(source)
    else:
        batches = _test_rows(model, data, workspace, predictors[0])
    found = compare_backends(source.yardstick, predictors, batches)
    for predictor in predictors:
        predictor.close()
    if not found.rows:
        note("no input could be compared")
        return 4
    if as_json:
        click.echo(json.dumps(_data(model, found)))
    else:
        _print(model, found, names, own=own)
    return 0 if found.holds else 1


def _open(
    space: Workspace,
    model: str,
    backends: str,
    device: str,
    trust: Trust,
    weights: str,
    network: Factory | None,
) -> list[Predictor]:
    """The backends asked for; of `all` those that are available, and why the others are not."""
    from ptx.cli.terminal import note
    from ptx.infer.backends import BACKENDS, find_backend
    from ptx.infer.errors import ArtifactError, BackendError
    from ptx.infer.loading import load

    names = list(BACKENDS) if backends == "all" else [name.strip() for name in backends.split(",")]
    opened = []
    for name in names:
        own_device = device if not name.startswith("ort-") else "auto"
        try:
            path = space.find(model, find_backend(name).reads)
            predictor = load(path, backend=name, device=own_device, trust=trust, network=network)
        except BackendError as error:
            if backends != "all":
                raise
            note(f"{name} is left out: {error}")
            continue
        except ArtifactError as error:
            if backends != "all" or error.code != "E-NO-ARTIFACT":
                raise
            note(f"{name} is left out: {error}")
            continue
        if predictor.card.weights_sha256 != weights:
            raise ArtifactError(
                f"{path} was exported from other weights than the checkpoint's: export it again",
                code="E-STALE",
            )
        opened.append(predictor)
    return opened


def _test_rows(
    model: str, data: str | None, workspace: Path, predictor: Predictor
) -> Iterator[tuple[Array, Mapping[str, Array]]]:
    from ptx.cli.dataset import open_data
    from ptx.trainers.evaluation import model_inputs

    dataset = open_data(model, data, workspace, predictor.card)
    return model_inputs(dataset.test, predictor.preprocessing)


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

    kind = str(predictor.card.preprocessing["kind"])
    for found in find_inputs(inputs, kind):
        named = found if isinstance(found, Named) else Named(str(found), found)
        if isinstance(named.value, InputError):
            raise named.value
        sample = predictor.preprocessing.read(named.value)
        names.append(named.name)
        yield np.array([len(names) - 1]), predictor.preprocessing.collate([sample])


def _print(model: str, found: Comparison, names: list[str], *, own: bool) -> None:
    from ptx.cli.terminal import table, verdict

    rows = [
        (r.backend, r.device, "-" if r.failure else f"{r.error:.1e}", f"{found.tolerance:.1e}",
         str(r.differ), "agrees" if r.holds else "DIFFERS")
        for r in found.results
    ]  # fmt: skip
    click.echo(f"{found.rows:,} inputs, against eager float64")
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
    following = f"ptx export {model} --format all"
    if found.holds:
        following = f"ptx predict {'photo.jpg' if own else 'digit.png'} --model {model}"
    elif own:
        following = "export it again"
    verdict(f"{model}: {agree} of {len(found.results)} backends agree", following)


def _data(model: str, found: Comparison) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "model": model,
        "rows": found.rows,
        "tolerance": found.tolerance,
        "holds": found.holds,
        "backends": [asdict(result) for result in found.results],
        "differ": found.between,
    }
