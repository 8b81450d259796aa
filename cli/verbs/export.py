"""ptx export"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptx.cli import options

if TYPE_CHECKING:
    from ptx.cli.workspace import Workspace
    from ptx.export import TrainedModel


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
@click.option("--output", type=click.Path(path_type=Path), help="The file to write.")
@click.option("--opset", type=int, help="Of ONNX, instead of the newest that CPU and CUDA run.")
@options.workspace
@options.common
def export(
    model: str,
    formats: str,
    checkpoint: Path | None,
    describe: Path | None,
    output: Path | None,
    opset: int | None,
    workspace: Path,
) -> None:
    """Export MODEL and prove that the file computes what PyTorch computes.

    MODEL is a name of the catalog, the path of a checkpoint, or module:function, which makes a network
    of your own; --describe then says what it takes and gives. A file that disagrees with eager float64
    by more than a few times what eager float32 does is an error, and is not written.
    """
    from ptx.cli.network import is_reference
    from ptx.cli.terminal import note, verdict
    from ptx.cli.workspace import Workspace
    from ptx.infer.errors import UsageError

    names = _formats(formats, output, opset)
    space = Workspace(workspace)
    own = is_reference(model)
    if describe is not None and not own:
        raise UsageError(
            f"--describe is for a network of your own; expected module:function, got {model!r}"
        )
    if own:
        source, beside = _own_source(space, model, checkpoint, describe), None
    else:
        source, beside = _source(space, model, checkpoint, workspace)
    if "torchscript" in names:
        note("TorchScript is deprecated by PyTorch; --format pt2 is its successor")
    for name in names:
        target = output or _target(space, source.card.model, name, beside)
        _export_one(source, name, target, opset if name == "onnx" else None, space)
    if own and output is None:
        source.save(space.checkpoint(source.card.model))
        verdict("", f"ptx compare {source.card.model} --network {model}")
    elif not own:
        verdict("", f"ptx compare {source.card.model}")


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
    space: Workspace, model: str, checkpoint: Path | None, workspace: Path
) -> tuple[TrainedModel, Path | None]:
    """The source, and the checkpoint that the files are to stand beside where MODEL is a path."""
    from ptx.cli.dataset import open_data
    from ptx.export import read_model
    from ptx.trainers import sample_inputs

    path = checkpoint or space.find(model, "checkpoint")
    named = space.is_name(model)
    source = read_model(path, model=model if named else None)
    if not source.samples:
        # A bare state dict carries no real inputs: those of the bundled data stand in.
        bundled = open_data(source.card.model, "bundled", workspace)
        samples = sample_inputs(source.card, bundled)
        source = replace(source, samples={name: t.numpy() for name, t in samples.items()})
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
) -> None:
    from ptx.cli.progress import ProgressLine
    from ptx.cli.terminal import file_size, verdict
    from ptx.export import export as export_model
    from ptx.infer.errors import counted

    with ProgressLine(f"proving {name}", "runs") as progress:
        progress.say(f"converting {source.card.model} to {name}")
        done = export_model(
            source,
            name,
            target,
            opset=opset,
            announce=partial(space.note_export, target, name),
            progress=progress.reach,
        )
    verdict(
        f"{done.path}: {file_size(done.size)}, agrees with {done.reference} in"
        f" {counted(done.cases, 'case')}: largest error {done.error:.1e}, allowed {done.tolerance:.1e}"
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
