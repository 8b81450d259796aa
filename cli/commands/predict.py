"""ptx predict"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ptx import infer
from ptx.cli import options
from ptx.cli.local_prediction import TABLES, PredictOptions, predict_locally
from ptx.cli.model import resolve_model
from ptx.cli.on_ray import RayOptions, predict_on_ray
from ptx.cli.param_types import Number
from ptx.cli.workspace import Workspace
from ptx.infer.artifact.files import check_writable
from ptx.infer.errors import UsageError, quote
from ptx.infer.ranges import (
    BATCH_SIZE,
    BOX_THRESHOLD,
    PROCESSES,
    SHOWN_LABELS,
    WORKERS_CPUS,
    WORKERS_GPUS,
)

_ENDINGS = (".json", ".jsonl", *TABLES, ".txt", ".png")


def _parse_shard(ctx: click.Context, param: click.Parameter, text: str | None) -> Any:
    if text is None or ctx.resilient_parsing:
        return None
    from ptx.scale import Shard

    return Shard.parse(text)


@click.command(
    epilog="\b\nExamples:\n  ptx predict digit.png --backend ort-cpu\n"
    '  ptx predict Satoshi "O\'Brien" --model name-classifier --top 3',
)
@click.argument(
    "inputs", nargs=-1, required=True, metavar="INPUT...", shell_complete=options.complete_file
)
@click.option(
    "--model",
    default="convnet",
    show_default=True,
    shell_complete=options.complete_model,
    help="Name of a model in the catalog or the workspace, or the path of an artifact or checkpoint.",
)
@options.backend
@options.device
@options.precision
@options.trust
@options.spec_file
@click.option(
    "--top",
    type=Number(SHOWN_LABELS),
    default=1,
    show_default=True,
    help="Number of labels to show; JSON shows at least three.",
)
@click.option(
    "--batch-size",
    type=Number(BATCH_SIZE),
    default=256,
    show_default=True,
    help="Number of inputs in a batch.",
)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Predict every digit of an image, from left to right, each with its bounding box.",
)
@options.allow_nonfinite
@click.option(
    "--cosine",
    is_flag=True,
    help="Print the cosine similarity of the first input and each other one, for models with the task"
    " embedding.",
)
@click.option(
    "--threshold",
    type=Number(BOX_THRESHOLD),
    help="Lowest score of a box, for the task boxes; the model's own by default.",
)
@options.as_json
@click.option(
    "--shard",
    metavar="K/N",
    callback=_parse_shard,
    help="Predict only shard K of N, such as 3/16. The name of an input decides its shard.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Continue an interrupted run: skip the inputs that are already in --output.",
)
@options.output(
    "Write to this file. Its extension decides the format: .json and .jsonl for JSON Lines, .csv and"
    " .parquet for a table with the columns of the input, .txt for text, .png for a picture of each"
    " input and what the model received."
)
@click.option("--show", is_flag=True, help="Draw the .png picture and open it.")
@click.option(
    "--on", type=click.Choice(["ray"]), help="Predict on a Ray cluster; --output is then a folder."
)
@click.option(
    "--address",
    help="Address of the Ray cluster, such as auto. By default a cluster is started on this machine.",
)
@click.option("--column", help="Column of a table that contains the inputs, with --on ray.")
@click.option(
    "--prefix",
    help="Prefix for the names of the added columns, if the table already has columns of these names.",
)
@click.option(
    "--num-cpus",
    type=Number(WORKERS_CPUS),
    help="Number of CPUs for each Ray worker; 1 by default.",
)
@click.option(
    "--num-gpus",
    type=Number(WORKERS_GPUS),
    help="Number of GPUs for each Ray worker. With a fraction, workers share a GPU.",
)
@click.option(
    "--concurrency",
    type=Number(PROCESSES),
    help="Number of Ray workers; by default as many as the cluster can run.",
)
@options.workspace
@options.time_limit
@options.common
def predict(
    inputs: tuple[str, ...],
    model: str,
    backend: str,
    device: str,
    precision: str,
    trust: bool,
    spec_file: Path | None,
    workspace: Path,
    **values: Any,
) -> int:
    """Predict each INPUT: an image, a folder, a glob pattern, or - for standard input.

    If the model does not take images, an INPUT is a text, a number, or a .csv or .npy file, and each
    line of standard input is one INPUT. Write -- before a negative number.

    If an input cannot be used, an error is printed, the other inputs are predicted, and the exit code
    is 4.

    To use several machines, give each of them its own --shard and concatenate the outputs. With --on ray
    an INPUT can also be a Parquet, CSV or WebDataset tar file, local or at a URI such as s3://..., and
    --output is a folder. --resume continues an interrupted run.
    """
    ray = options.as_dataclass(RayOptions, values)
    request = options.as_dataclass(PredictOptions, values)
    _check(request, ray)
    space = Workspace(workspace)
    opening = infer.Options(device=device, precision=precision, trust=space.trust(trust))
    resolved = resolve_model(space, model, backend, spec_file=spec_file)
    if ray.on:
        return predict_on_ray(inputs, resolved, opening, request, ray)
    return predict_locally(inputs, resolved, opening, request, workspace, ray.prefix or "")


def _check(request: PredictOptions, ray: RayOptions) -> None:
    """Refuse options that exclude each other, and an output that cannot be written."""
    local = {
        "shard": request.shard,
        "show": request.show,
        "json": request.as_json,
        "all": request.every,
        "cosine": request.cosine,
        "threshold": request.threshold is not None,
        "allow-nonfinite": request.allow_nonfinite,
    }
    names_columns = request.ending in TABLES
    remote = {
        name: value
        for name, value in asdict(ray).items()
        if name != "on" and not (name == "prefix" and names_columns)
    }
    for name, value in (local if ray.on else remote).items():
        if value:
            needed = "cannot be used with --on ray: omit it" if ray.on else "needs --on ray"
            if name == "prefix":
                needed += ", or --output with .csv or .parquet"
            raise UsageError(f"--{name.replace('_', '-')} {needed}")
    if request.every and request.resume:
        raise UsageError("--all cannot be used with --resume: omit one of them")
    if request.cosine and (request.resume or request.every or request.ending in TABLES):
        raise UsageError("--cosine cannot be used with --resume, --all or a table: omit it")
    if request.resume and not ray.on and request.ending not in (".json", ".jsonl"):
        raise UsageError("--resume continues a file of JSON Lines: use --output FILE.jsonl")
    if request.output is not None and not ray.on:  # with it, a folder
        check_writable(request.output)
        if request.ending not in _ENDINGS:
            raise UsageError(
                f"--output {quote(request.output)}: expected a name that ends in"
                f" {', '.join(_ENDINGS[:-1])} or {_ENDINGS[-1]}"
            )
