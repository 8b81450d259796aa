"""What `ptx export` is asked for and starts from, where its files stand, and what it says of them."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

import ptx.export as exporting
from ptx import infer, report
from ptx.cli import options
from ptx.cli.dataset import RealRows
from ptx.cli.model_spec import given_options, read_describe, read_stated, stated_options
from ptx.cli.network import find_factory, is_reference
from ptx.cli.param_types import Number
from ptx.cli.terminal import Progress, print_note, verdict
from ptx.cli.workspace import Workspace
from ptx.infer.artifact.files import make_folder
from ptx.infer.artifact.formats import CHECKPOINT, FORMATS
from ptx.infer.errors import UsageError, escape_controls, pluralise
from ptx.infer.ranges import OPSETS

TRITON = "triton"
_HEEDED = {"model", "formats", "output", "device", "workspace", "debug"}

_NAMES = (*(kind for kind in FORMATS if kind != CHECKPOINT), "all", TRITON)
asked = options.group(
    click.option(
        "--format",
        "formats",
        default=_NAMES[0],
        show_default=True,
        shell_complete=options.complete(lambda: _NAMES),
        help=options.one_of(_NAMES),
    ),
    click.option(
        "--checkpoint",
        type=click.Path(path_type=Path),
        help="A checkpoint or a bare state dict, instead of the workspace's.",
    ),
    options.describe,
    stated_options,
    click.option(
        "--data",
        metavar="SOURCE",
        shell_complete=options.complete_data,
        help="Count the right answers on its test rows, as ptx evaluate does; by default, of a"
        " bare state dict, on the rows that ptx carries.",
    ),
    options.output("The file to write; of --format triton the folder."),
    click.option(
        "--device",
        type=click.Choice(["cpu", "cuda"]),
        help=f"Of --format {TRITON}: what Triton runs the model on; cpu by default.",
    ),
    click.option(
        "--opset", type=Number(OPSETS), help="Of ONNX, instead of the newest that CPU and CUDA run."
    ),
)
ASSUMED = "assumed"  # key of a card's `training`, as in ptx.export.documented
HINTS = {  # how to state what is assumed
    "preprocessing": "; else state --mean and --std, --scale 255, or --describe",
    "labels": "; else state --labels",
}


def choose_formats(formats: str, output: Path | None, opset: int | None) -> list[str]:
    """The formats asked for, once --output and --opset are known to fit them."""
    from ptx.export.formats import find_format

    if formats != "all":
        find_format(formats)
    every = [name for name, form in exporting.FORMATS.items() if not form.by_name]
    names = every if formats == "all" else [formats]
    if output is not None and len(names) > 1:
        raise UsageError("--output names one file; give one --format")
    others = {FORMATS[name].suffix: name for name in exporting.FORMATS if name != names[0]}
    if output is not None and output.suffix in others:
        raise UsageError(
            f"--output ends in {output.suffix}, and the format is {formats}: give --format"
            f" {others[output.suffix]} or another name"
        )
    if opset is not None and not any(exporting.FORMATS[name].takes_opset for name in names):
        raise UsageError(f"--opset is a matter of ONNX; the format is {formats}")
    return names


def read_trained(
    space: Workspace,
    model: str,
    checkpoint: Path | None,
    describe: Path | None,
    names: list[str],
    **stated: Any,
) -> tuple[exporting.TrainedModel, Path | None]:
    """The network of MODEL; and its path where MODEL is one, since the files stand beside it.

    `names`: of the formats, which a network of one's own must fit into.
    """
    if is_reference(model):
        if given := given_options(stated):
            raise UsageError(
                f"{', '.join(given)}: of a network of your own --describe says this, under labels and"
                " preprocessing"
            )
        return _make_own(space, model, checkpoint, describe, names), None
    said = read_stated(describe, **stated)
    path = checkpoint or space.find(model, CHECKPOINT)
    named = space.is_name(model)
    trained = exporting.read_model(path, model=model if named else None, stated=said)
    return trained, None if named else path


def _make_own(
    space: Workspace,
    reference: str,
    checkpoint: Path | None,
    describe: Path | None,
    names: list[str],
) -> exporting.TrainedModel:
    """The network that module:function makes, with the weights of the checkpoint where one is given."""
    from ptx.export.formats import check_size
    from ptx.export.trained_model import kebab, make_model

    if describe is None:
        raise UsageError(f"{reference} needs --describe FILE with its inputs, outputs and the rest")
    description = read_describe(describe)
    if description.name is None:
        description = replace(description, name=kebab(re.split("[:.]", reference)[-1]))
    space.require_free(str(description.name))
    weights = None if checkpoint is None else infer.read_artifact(checkpoint)
    if weights is not None and not weights.is_checkpoint:
        raise UsageError(
            f"--checkpoint {weights.name} is {weights.format.noun}; expected a state dict"
        )
    network = find_factory(reference)()
    for name in names:
        check_size(network, name)
    return make_model(network, description, weights=weights)


def say_before(trained: exporting.TrainedModel, names: list[str]) -> None:
    """Say how a bare state dict was read, what is assumed of its network, and of a format what ages."""
    for text in trained.notes:
        print_note(escape_controls(text))
    for topic, text in trained.card.training.get(ASSUMED, {}).items():
        print_note(f"assumed {topic}: {escape_controls(text)}{HINTS.get(topic, '')}")
    for name in names:
        if warning := exporting.FORMATS[name].warning:
            print_note(warning)


def say_limits(trained: exporting.TrainedModel) -> None:
    """Say the sizes of axes that every file will take alone, where nobody has stated them."""
    if not trained.card.signature.limits:
        with quiet_exporters():
            limited = trained.limited_card.signature
        for title, text in report.signature_facts(limited):
            if title == "axis":
                print_note(f"limits of {text}; other sizes are refused")


def place_file(
    space: Workspace, card: infer.Card, kind: str, beside: Path | None, form: str
) -> Path:
    """Beside the checkpoint where MODEL is a path, else in the workspace; `form`: `.int8`."""
    if beside is not None:
        return beside.with_suffix(form + FORMATS[kind].suffix)
    target = space.artifact(card.model, kind, form)
    make_folder(target.parent)
    return target


@contextmanager
def quiet_exporters() -> Iterator[None]:
    """Keep off standard error what PyTorch's exporters log and print: an error has it in its line.

    With --debug it is shown. For a command alone: it holds for all threads of the process.
    """
    if "--debug" in sys.argv:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def export_one(
    rows: RealRows, name: str, target: Path, opset: int | None, space: Workspace
) -> None:
    """Convert, prove and write one file, with a bar; its line says its size, its proof, its answers."""
    with Progress(f"proving {name}", "runs") as progress, quiet_exporters():
        progress.say(f"converting {rows.trained.card.model} to {name}")
        done = exporting.export(
            rows.trained,
            name,
            target,
            opset=opset if exporting.FORMATS[name].takes_opset else None,
            announce=partial(space.note_export, target, name),
            progress=progress.reach,
        )
    cases, size = pluralise(done.cases, "case"), report.file_size(done.size)
    reference = done.reference
    if rows.trained.card.weights:
        size = f"{size} instead of {report.file_size(done.size + done.saved)}"
        reference = f"{reference} of the rounded network"
    verdict(
        f"{done.path}: {size}, agrees with {reference} in {cases}: largest error {done.error:.1e},"
        f" allowed {done.tolerance:.1e}{rows.count_right(done)}"
    )
    if done.choice is not None:
        verdict(f"runtime of the page: {done.choice.runtime}: {done.choice.reason}")
        if done.choice.warning:
            print_note(done.choice.warning)


def suggest_next(model: str, card: infer.Card, last: Path, output: Path | None) -> str:
    """What to try once MODEL is exported, the `last` file of it written."""
    if is_reference(model):
        return "" if output else f"ptx compare {card.model} --network {model}"
    return f"ptx inspect {last}" if ASSUMED in card.training else f"ptx compare {card.model}"


def wants_repository(formats: str, device: str | None) -> bool:
    """Whether the format is a repository; UsageError where --device is given for another."""
    if device is not None and formats != TRITON:
        raise UsageError(f"--device is a matter of --format {TRITON}; the format is {formats}")
    return formats == TRITON


def export_repository(
    model: str, output: Path | None, device: str | None, space: Workspace
) -> None:
    """Write the repository, say what was written and how a server is started on it."""
    from ptx.serve.triton import write_repository

    context = click.get_current_context()
    for name in context.params.keys() - _HEEDED:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"--format {TRITON} takes the ONNX file as it is: leave out --{name}")
    if output is None:
        raise UsageError(f"--format {TRITON} needs --output FOLDER, the repository")
    artifact = infer.read_artifact(space.find(model, "onnx"))
    for folder in write_repository(artifact, output, device=device or "cpu"):
        verdict(str(folder))
    verdict("", f"tritonserver --model-repository {output.absolute()}")
