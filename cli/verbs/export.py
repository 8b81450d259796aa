"""ptx export"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptx.cli import options
from ptx.cli.statement import statement_options

if TYPE_CHECKING:
    from ptx.cli.workspace import Workspace
    from ptx.export import Exported, Statement, TrainedModel
    from ptx.trainers.data import Split

ASSUMED = "assumed"  # key of a card's `training`, as in ptx.export.statement
HINTS = {  # how to state what is assumed
    "preprocessing": "; else state --mean and --std, --scale 255, or --describe",
    "labels": "; else state --labels",
}


@click.command(
    epilog="\b\nExamples:\n  ptx export convnet --format onnx\n"
    "  ptx export linear-model --checkpoint model.pth --format all",
    short_help="Export a checkpoint and prove that both agree.",
)
@click.argument("model", shell_complete=options.complete_model)
@click.option("--format", "formats", default="onnx", show_default=True,
              shell_complete=options.complete_from(("onnx", "torchscript", "pt2", "all")),
              help="onnx, torchscript, pt2 or all.")  # fmt: skip
@click.option("--checkpoint", type=click.Path(path_type=Path),
              help="A checkpoint or a bare state dict, instead of the workspace's.")  # fmt: skip
@options.describe
@statement_options
@click.option("--data", metavar="SOURCE", shell_complete=options.complete_data,
              help="Count the right answers on its test rows, as ptx evaluate does; by default, of a"
              " bare state dict, on the rows that ptx carries.")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path), help="The file to write.")
@click.option("--opset", type=int, help="Of ONNX, instead of the newest that CPU and CUDA run.")
@options.workspace
@options.common
def export(
    model: str,
    formats: str,
    checkpoint: Path | None,
    describe: Path | None,
    labels: str | None,
    mean: str | None,
    std: str | None,
    scale: float | None,
    data: str | None,
    output: Path | None,
    opset: int | None,
    workspace: Path,
) -> None:
    """Export MODEL and prove that the file computes what PyTorch computes.

    MODEL is a name of the catalog, the path of a checkpoint, or module:function, which makes a network
    of your own; --describe then says what it takes and gives. A file that disagrees with eager float64
    by more than a few times what eager float32 does is an error, and is not written.

    A bare state dict, as torch.save(network.state_dict(), FILE) writes it, does not say how its network
    was trained: what is assumed is named, and stated otherwise by --labels, --mean, --std, --scale or
    --describe. Its answers on real rows are counted: of --data, or of the bundled data.
    """
    from ptx.cli.network import is_reference
    from ptx.cli.real_rows import find_rows
    from ptx.cli.statement import read_statement, refuse_statement
    from ptx.cli.terminal import note, verdict
    from ptx.cli.workspace import Workspace

    names = _formats(formats, output, opset)
    space = Workspace(workspace)
    own = is_reference(model)
    stated = {"labels": labels, "mean": mean, "std": std, "scale": scale}
    if own:
        refuse_statement(**stated)
        source, beside = _own_source(space, model, checkpoint, describe), None
    else:
        statement = read_statement(describe, **stated)
        source, beside = _source(space, model, checkpoint, statement)
    _tell(source)
    rows = find_rows(source, data, workspace)
    source = rows.source
    if "torchscript" in names:
        note("TorchScript is deprecated by PyTorch; --format pt2 is its successor")
    for name in names:
        target = output or _target(space, source.card.model, name, beside)
        done = _export_one(source, name, target, opset if name == "onnx" else None, space)
        _print_done(done, rows.split)
    if own and output is None:
        source.save(space.checkpoint(source.card.model))
        verdict("", f"ptx compare {source.card.model} --network {model}")
    elif ASSUMED in source.card.training:
        verdict("", f"ptx inspect {done.path}")
    elif not own:
        verdict("", f"ptx compare {source.card.model}")


def _tell(source: TrainedModel) -> None:
    """Say how a bare state dict was read, and what is assumed of its network."""
    from ptx.cli.terminal import note
    from ptx.infer.errors import escaped

    for text in source.notes:
        note(escaped(text))
    for topic, text in source.card.training.get(ASSUMED, {}).items():
        note(f"assumed {topic}: {escaped(text)}{HINTS.get(topic, '')}")


def _formats(formats: str, output: Path | None, opset: int | None) -> list[str]:
    """The formats asked for, once --output and --opset are known to fit them."""
    from ptx.export import FORMATS
    from ptx.export.formats import find_format
    from ptx.infer.errors import UsageError

    if formats != "all":
        find_format(formats)
    names = list(FORMATS) if formats == "all" else [formats]
    if output is not None and len(names) > 1:
        raise UsageError("--output names one file; give one --format")
    others = {form.suffix: name for name, form in FORMATS.items() if name != names[0]}
    if output is not None and output.suffix in others:
        raise UsageError(
            f"--output ends in {output.suffix}, and the format is {formats}: give --format"
            f" {others[output.suffix]} or another name"
        )
    if opset is not None and "onnx" not in names:
        raise UsageError(f"--opset is a matter of ONNX; the format is {formats}")
    return names


def _source(
    space: Workspace, model: str, checkpoint: Path | None, stated: Statement | None
) -> tuple[TrainedModel, Path | None]:
    """The source, and the checkpoint that the files are to stand beside where MODEL is a path."""
    from ptx.export import read_model

    path = checkpoint or space.find(model, "checkpoint")
    named = space.is_name(model)
    source = read_model(path, model=model if named else None, stated=stated)
    return source, None if named else path


def _own_source(
    space: Workspace, reference: str, checkpoint: Path | None, describe: Path | None
) -> TrainedModel:
    """The network that module:function makes, with the weights of the checkpoint where one is given."""
    from ptx.cli.network import open_factory
    from ptx.export.trained_model import kebab, make_model
    from ptx.infer.artifact.artifact import KINDS, read_artifact
    from ptx.infer.described.description import read_description
    from ptx.infer.errors import UsageError

    if describe is None:
        raise UsageError(f"{reference} needs --describe FILE with its inputs, outputs and the rest")
    description = read_description(describe)
    if description.name is None:
        description = replace(description, name=kebab(re.split("[:.]", reference)[-1]))
    space.require_free(str(description.name))
    weights = None if checkpoint is None else read_artifact(checkpoint)
    if weights is not None and weights.kind != "checkpoint":
        raise UsageError(
            f"--checkpoint {weights.name} is {KINDS[weights.kind]}; expected a state dict"
        )
    return make_model(open_factory(reference)(), description, weights=weights)


def _export_one(
    source: TrainedModel, name: str, target: Path, opset: int | None, space: Workspace
) -> Exported:
    from ptx.cli.progress import ProgressLine
    from ptx.export import export as export_model

    with ProgressLine(f"proving {name}", "runs") as progress:
        progress.say(f"converting {source.card.model} to {name}")
        return export_model(
            source,
            name,
            target,
            opset=opset,
            announce=partial(space.note_export, target, name),
            progress=progress.reach,
        )


def _print_done(done: Exported, split: Split | None) -> None:
    from ptx.cli.real_rows import answered_right
    from ptx.cli.terminal import file_size, verdict
    from ptx.infer.errors import counted

    right = "" if split is None else f"; {answered_right(done, split)}"
    verdict(
        f"{done.path}: {file_size(done.size)}, agrees with {done.reference} in"
        f" {counted(done.cases, 'case')}: largest error {done.error:.1e}, allowed"
        f" {done.tolerance:.1e}{right}"
    )


def _target(space: Workspace, model: str, kind: str, beside: Path | None) -> Path:
    """Beside the checkpoint where MODEL is a path, else in the workspace."""
    from ptx.cli.workspace import SUFFIXES
    from ptx.infer.artifact.files import make_folder

    if beside is not None:
        return beside.with_suffix(SUFFIXES[kind])
    target = space.artifact(model, kind)
    make_folder(target.parent)
    return target
