"""ptx export"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptx.cli import options

if TYPE_CHECKING:
    from ptx.cli.workspace import Workspace


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
@click.option("--output", type=click.Path(path_type=Path), help="The file to write.")
@click.option("--opset", type=int, help="Of ONNX, instead of the newest that CPU and CUDA run.")
@options.workspace
@options.common
def export(
    model: str,
    formats: str,
    checkpoint: Path | None,
    output: Path | None,
    opset: int | None,
    workspace: Path,
) -> None:
    """Export MODEL and prove that the file computes what PyTorch computes.

    MODEL is a name of the catalog or the path of a checkpoint. A file that disagrees with eager
    float64 by more than a few times what eager float32 does is an error, and is not written.
    """
    from ptx.cli.dataset import open_data
    from ptx.cli.progress import ProgressLine
    from ptx.cli.terminal import file_size, note, verdict
    from ptx.cli.workspace import Workspace
    from ptx.export import FORMATS, read_source
    from ptx.export import export as export_model
    from ptx.export.formats import find_format
    from ptx.infer.errors import UsageError, counted
    from ptx.models.catalog import CATALOG
    from ptx.trainers import sample_inputs

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
    space = Workspace(workspace)
    path = checkpoint or space.find(model, "checkpoint")
    named = model if model in CATALOG else None
    source = read_source(path, model=named)
    if not source.samples:
        # A bare state dict carries no real inputs: those of the bundled data stand in.
        bundled = open_data(source.card.model, "bundled", workspace)
        samples = sample_inputs(source.card, bundled)
        source = replace(source, samples={name: t.numpy() for name, t in samples.items()})
    if "torchscript" in names:
        note("TorchScript is deprecated by PyTorch; --format pt2 is its successor")
    for name in names:
        target = output or _target(space, source.card.model, name, path, named is not None)
        with ProgressLine(f"proving {name}", "runs") as progress:
            done = export_model(
                source,
                name,
                target,
                opset=opset if name == "onnx" else None,
                announce=partial(space.note_export, target, name),
                progress=progress.reach,
            )
        cases = counted(done.cases, "case")
        verdict(
            f"{done.path}: {file_size(done.size)}, agrees with eager float64 in {cases}:"
            f" largest error {done.error:.1e}, allowed {done.tolerance:.1e}"
        )
    verdict("", f"ptx compare {source.card.model}")


def _target(space: Workspace, model: str, kind: str, checkpoint: Path, named: bool) -> Path:
    """Beside the checkpoint where MODEL is a path, else in the workspace."""
    from ptx.cli.workspace import SUFFIXES
    from ptx.infer.files import make_folder

    if not named:
        return checkpoint.with_suffix(SUFFIXES[kind])
    target = space.artifact(model, kind)
    make_folder(target.parent)
    return target
