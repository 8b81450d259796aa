"""ptx predict"""

from __future__ import annotations

from pathlib import Path

import click

from ptx import infer
from ptx.cli import options, wanted
from ptx.cli.opening import find_model
from ptx.cli.predictions import answer_inputs
from ptx.cli.workspace import Workspace


@click.command(
    epilog="\b\nExamples:\n  ptx predict digit.png --backend ort-cpu\n"
    '  ptx predict Satoshi "O\'Brien" --model name-classifier --top 3',
)
@click.argument(
    "inputs", nargs=-1, required=True, metavar="INPUT...", shell_complete=options.complete_file
)
@click.option("--model", default="convnet", show_default=True,
              shell_complete=options.complete_model,
              help="A name of the catalog or of a model's folder in the workspace, or the path of an"
              " artifact or checkpoint.")  # fmt: skip
@options.backend
@options.device
@options.precision
@options.trust
@options.describe
@wanted.answers
@wanted.cluster
@options.workspace
@options.time_limit
@options.common
@options.fold(wanted.check, answers=wanted.Wanted, cluster=wanted.Cluster)
def predict(
    inputs: tuple[str, ...], model: str, backend: str, device: str, precision: str, trust: bool,
    describe: Path | None, workspace: Path, answers: wanted.Wanted, cluster: wanted.Cluster,
) -> int:  # fmt: skip
    """Predict each INPUT: a picture, a folder, a glob, or - for standard input.

    For models that do not take pictures an INPUT is a text or a number, a .csv or a .npy file; lines on
    standard input are one INPUT each. A negative number goes behind --.

    Inputs that cannot be used have their line, the others are answered, and the exit code is 4.

    Many machines: each takes a --shard, and the outputs put together are that of one run. With --on ray
    an INPUT may also be a Parquet, CSV or WebDataset tar file, here or at a URI such as s3://..., and
    --output is a folder. --resume continues an interrupted run.
    """
    space = Workspace(workspace)
    asked = infer.Options(device=device, precision=precision, trust=space.trust(trust))
    found = find_model(space, model, backend, describe=describe)
    if cluster.on:
        from ptx.cli.on_ray import predict_on_ray

        return predict_on_ray(inputs, found, asked, answers, cluster)
    return answer_inputs(inputs, found, asked, answers, workspace)
