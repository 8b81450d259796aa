"""ptx export"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ptx.cli import exporting, forms, options
from ptx.cli.dataset import find_rows
from ptx.cli.network import is_reference
from ptx.cli.terminal import verdict
from ptx.cli.workspace import Workspace


@click.command(
    epilog="\b\nExamples:\n  ptx export convnet --format onnx\n"
    "  ptx export linear-model --checkpoint model.pth --format all",
)
@click.argument("model", shell_complete=options.complete_model)
@exporting.asked
@forms.asked
@options.workspace
@options.common
def export(
    model: str,
    formats: str,
    checkpoint: Path | None,
    describe: Path | None,
    data: str | None,
    output: Path | None,
    device: str | None,
    opset: int | None,
    workspace: Path,
    **stated: Any,
) -> None:
    """Export MODEL and prove that the file computes what PyTorch computes.

    MODEL is a name of the catalog, the path of a checkpoint, or module:function, which makes a network
    of your own; --describe then says what it takes and gives. A file that disagrees with eager float64
    by more than a few times what eager float32 does is an error, and is not written.

    A bare state dict, as torch.save(network.state_dict(), FILE) writes it, does not say how its network
    was trained: what is assumed is named, and stated by --labels, --mean, --std, --scale or --describe.
    Its answers on real rows are counted: of --data, or of the bundled data.

    --format triton writes a model repository for Triton, of the ONNX file that was exported before.
    """
    form = options.as_dataclass(forms.Form, stated)
    if exporting.wants_repository(formats, device):
        exporting.export_repository(model, output, device, Workspace(workspace))
        return
    names = exporting.choose_formats(formats, output, opset)
    form.check(names)
    space = Workspace(workspace)
    trained, beside = exporting.read_trained(space, model, checkpoint, describe, names, **stated)
    exporting.say_before(trained, names)
    made = form.take(rows := find_rows(trained, data, workspace))
    exporting.say_limits(made.trained)
    for name in names:
        target = output or exporting.place_file(space, trained.card, name, beside, form.suffix)
        if form.in_int8:
            forms.export_int8(made.trained, form, target, opset=opset, data=data, space=space)
        else:
            exporting.export_one(made, name, target, opset, space)
        forms.say_cost(form, rows, target, data, workspace)
    if is_reference(model) and output is None:
        rows.trained.save(space.checkpoint(trained.card.model))
    following = exporting.suggest_next(model, trained.card, target, output)
    verdict("", form.following(target) or following)
