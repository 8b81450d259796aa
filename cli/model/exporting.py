"""The formats of an export, and where its files stand."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import ptx.export as exporting
from ptx.cli.model.workspace import Workspace
from ptx.cli.output.progress import Progress
from ptx.infer.artifact.files import make_folder
from ptx.infer.artifact.formats import FORMATS
from ptx.infer.errors import UsageError


def choose_formats(formats: str, output: Path | None, opset: int | None) -> list[str]:
    """The formats asked for, once --output and --opset are known to fit them."""
    from ptx.export.formats import find_format

    if formats != "all":
        find_format(formats)
    names = list(exporting.FORMATS) if formats == "all" else [formats]
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


def export_one(
    trained: exporting.TrainedModel, name: str, target: Path, opset: int | None, space: Workspace
) -> exporting.Exported:
    """Convert, prove and write one file, with a bar."""
    with Progress(f"proving {name}", "runs") as progress:
        progress.say(f"converting {trained.card.model} to {name}")
        return exporting.export(
            trained, name, target, opset=opset,
            announce=partial(space.note_export, target, name), progress=progress.reach,
        )  # fmt: skip


def place_file(space: Workspace, model: str, kind: str, beside: Path | None) -> Path:
    """Beside the checkpoint where MODEL is a path, else in the workspace."""
    if beside is not None:
        return beside.with_suffix(FORMATS[kind].suffix)
    target = space.artifact(model, kind)
    make_folder(target.parent)
    return target
