"""ptx export"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

import ptx.export as exporting
from ptx import report, trainers
from ptx.cli import options
from ptx.cli.network import is_reference
from ptx.cli.progress import Progress
from ptx.cli.real_rows import count_right, find_rows
from ptx.cli.statement import read_statement, refuse_statement, statement_options
from ptx.cli.terminal import note, verdict
from ptx.cli.trained import make_own, read_trained
from ptx.cli.workspace import Workspace
from ptx.infer.artifact.files import make_folder
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.artifact.formats import FORMATS as FILE_FORMATS
from ptx.infer.errors import UsageError, escape_controls, pluralise

FORMATS = tuple(kind for kind in FILE_FORMATS if kind != CHECKPOINT)
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
@click.option("--format", "formats", default=FORMATS[0], show_default=True,
              shell_complete=options.complete_from((*FORMATS, "all")),
              help=options.one_of((*FORMATS, "all")))  # fmt: skip
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
    model: str, formats: str, checkpoint: Path | None, describe: Path | None, data: str | None,
    output: Path | None, opset: int | None, workspace: Path, **stated: Any,
) -> None:  # fmt: skip
    """Export MODEL and prove that the file computes what PyTorch computes.

    MODEL is a name of the catalog, the path of a checkpoint, or module:function, which makes a network
    of your own; --describe then says what it takes and gives. A file that disagrees with eager float64
    by more than a few times what eager float32 does is an error, and is not written.

    A bare state dict, as torch.save(network.state_dict(), FILE) writes it, does not say how its network
    was trained: what is assumed is named, and stated otherwise by --labels, --mean, --std, --scale or
    --describe. Its answers on real rows are counted: of --data, or of the bundled data.
    """
    names = _formats(formats, output, opset)
    space, own = Workspace(workspace), is_reference(model)
    beside: Path | None = None
    if own:
        refuse_statement(**stated)
        trained = make_own(space, model, checkpoint, describe)
    else:
        statement = read_statement(describe, **stated)
        trained, beside = read_trained(space, model, checkpoint, statement)
    _say_assumed(trained)
    rows = find_rows(trained, data, workspace)
    trained = rows.trained
    for name in names:
        if warning := exporting.FORMATS[name].warning:
            note(warning)
    for name in names:
        target = output or _target(space, trained.card.model, name, beside)
        heeded = opset if exporting.FORMATS[name].takes_opset else None
        done = _export_one(trained, name, target, heeded, space)
        _print_done(done, rows.split)
    if own and output is None:
        trained.save(space.checkpoint(trained.card.model))
        verdict("", f"ptx compare {trained.card.model} --network {model}")
    elif ASSUMED in trained.card.training:
        verdict("", f"ptx inspect {done.path}")
    elif not own:
        verdict("", f"ptx compare {trained.card.model}")


def _say_assumed(trained: exporting.TrainedModel) -> None:
    """Say how a bare state dict was read, and what is assumed of its network."""
    for text in trained.notes:
        note(escape_controls(text))
    for topic, text in trained.card.training.get(ASSUMED, {}).items():
        note(f"assumed {topic}: {escape_controls(text)}{HINTS.get(topic, '')}")


def _formats(formats: str, output: Path | None, opset: int | None) -> list[str]:
    """The formats asked for, once --output and --opset are known to fit them."""
    from ptx.export.formats import find_format

    if formats != "all":
        find_format(formats)
    names = list(exporting.FORMATS) if formats == "all" else [formats]
    if output is not None and len(names) > 1:
        raise UsageError("--output names one file; give one --format")
    others = {FILE_FORMATS[name].suffix: name for name in exporting.FORMATS if name != names[0]}
    if output is not None and output.suffix in others:
        raise UsageError(
            f"--output ends in {output.suffix}, and the format is {formats}: give --format"
            f" {others[output.suffix]} or another name"
        )
    if opset is not None and not any(exporting.FORMATS[name].takes_opset for name in names):
        raise UsageError(f"--opset is a matter of ONNX; the format is {formats}")
    return names


def _export_one(
    trained: exporting.TrainedModel, name: str, target: Path, opset: int | None, space: Workspace
) -> exporting.Exported:
    with Progress(f"proving {name}", "runs") as progress:
        progress.say(f"converting {trained.card.model} to {name}")
        return exporting.export(
            trained, name, target, opset=opset,
            announce=partial(space.note_export, target, name), progress=progress.reach,
        )  # fmt: skip


def _print_done(done: exporting.Exported, split: trainers.Split | None) -> None:
    right = "" if split is None else f"; {count_right(done, split)}"
    cases, size = pluralise(done.cases, "case"), report.file_size(done.size)
    verdict(
        f"{done.path}: {size}, agrees with {done.reference} in {cases}: largest error {done.error:.1e},"
        f" allowed {done.tolerance:.1e}{right}"
    )


def _target(space: Workspace, model: str, kind: str, beside: Path | None) -> Path:
    """Beside the checkpoint where MODEL is a path, else in the workspace."""
    if beside is not None:
        return beside.with_suffix(FILE_FORMATS[kind].suffix)
    target = space.artifact(model, kind)
    make_folder(target.parent)
    return target
