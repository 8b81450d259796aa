"""ptx export"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ptx.cli import options
from ptx.cli.model import exporting, forms
from ptx.cli.model.description import stated_options
from ptx.cli.model.network import is_reference
from ptx.cli.model.repository import TRITON, device_option, export_repository, wants_repository
from ptx.cli.model.workspace import Workspace
from ptx.cli.output.terminal import verdict
from ptx.cli.values.dataset import find_rows
from ptx.cli.values.number import Number
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.artifact.formats import FORMATS as FILE_FORMATS
from ptx.infer.ranges import OPSETS

FORMATS = tuple(kind for kind in FILE_FORMATS if kind != CHECKPOINT)


@click.command(
    epilog="\b\nExamples:\n  ptx export convnet --format onnx\n"
    "  ptx export linear-model --checkpoint model.pth --format all",
)
@click.argument("model", shell_complete=options.complete_model)
@click.option("--format", "formats", default=FORMATS[0], show_default=True,
              shell_complete=options.complete(lambda: (*FORMATS, "all", TRITON)),
              help=options.one_of((*FORMATS, "all", TRITON)))  # fmt: skip
@click.option("--checkpoint", type=click.Path(path_type=Path),
              help="A checkpoint or a bare state dict, instead of the workspace's.")  # fmt: skip
@options.describe
@stated_options
@click.option("--data", metavar="SOURCE", shell_complete=options.complete_data,
              help="Count the right answers on its test rows, as ptx evaluate does; by default, of a"
              " bare state dict, on the rows that ptx carries.")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path),
              help="The file to write; of --format triton the folder.")  # fmt: skip
@device_option
@click.option(
    "--opset", type=Number(OPSETS), help="Of ONNX, instead of the newest that CPU and CUDA run."
)
@forms.weights_option
@forms.inputs_option
@options.workspace
@options.common
def export(
    model: str, formats: str, checkpoint: Path | None, describe: Path | None, data: str | None,
    output: Path | None, device: str | None, opset: int | None, weights: str, inputs: str,
    workspace: Path, **stated: Any,
) -> None:  # fmt: skip
    """Export MODEL and prove that the file computes what PyTorch computes.

    MODEL is a name of the catalog, the path of a checkpoint, or module:function, which makes a network
    of your own; --describe then says what it takes and gives. A file that disagrees with eager float64
    by more than a few times what eager float32 does is an error, and is not written.

    A bare state dict, as torch.save(network.state_dict(), FILE) writes it, does not say how its network
    was trained: what is assumed is named, and stated otherwise by --labels, --mean, --std, --scale or
    --describe. Its answers on real rows are counted: of --data, or of the bundled data.

    --format triton writes a model repository for Triton, of the ONNX file that was exported before.
    """
    if wants_repository(formats, device):
        export_repository(model, output, device, Workspace(workspace))
        return
    names = exporting.choose_formats(formats, output, opset)
    forms.check_form(names, weights)
    space = Workspace(workspace)
    trained, beside = exporting.read_trained(space, model, checkpoint, describe, names, **stated)
    exporting.say_before(trained, names)
    rows = find_rows(trained, data, workspace)
    made, form = forms.take_form(rows, weights, inputs), forms.name_form(weights, inputs)
    for name in names:
        target = output or exporting.place_file(space, trained.card.model, name, beside, form)
        exporting.export_one(made, name, target, opset, space)
        if made.trained.card.weights:
            forms.say_cost(rows, target, data, workspace)
    if is_reference(model) and output is None:
        rows.trained.save(space.checkpoint(trained.card.model))
    following = exporting.suggest_next(model, trained.card, target, output)
    verdict("", f"ptx verify {target}" if form else following)
