"""What `ptx predict` is asked for beside its model: how answers look, where they go, what cluster."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptx.cli import options
from ptx.cli.param_types import Number
from ptx.infer.artifact.files import check_writable
from ptx.infer.errors import UsageError
from ptx.infer.ranges import BATCH_SIZE, PROCESSES, SHOWN_LABELS, WORKERS_CPUS, WORKERS_GPUS

if TYPE_CHECKING:
    from ptx.scale import Shard


@dataclass(frozen=True)
class Wanted:
    """Of the answers."""

    top: int
    batch_size: int
    every: bool
    allow_nonfinite: bool
    as_json: bool
    shard: Shard | None
    resume: bool
    output: Path | None
    show: bool

    @property
    def shows_json(self) -> bool:
        """By the option or by the file's name."""
        named = self.output is not None and self.output.suffix in (".json", ".jsonl")
        return self.as_json or named


@dataclass(frozen=True)
class Cluster:
    """Where a cluster is, and what each worker takes of it."""

    on: str | None
    address: str | None
    column: str | None
    prefix: str | None
    num_cpus: float | None
    num_gpus: float | None
    concurrency: int | None


def parse_shard(text: str) -> Shard:
    """What --shard means."""
    from ptx import scale

    return scale.Shard.parse(text)


answers = options.group(
    click.option("--top", type=Number(SHOWN_LABELS), default=1, show_default=True,
                 help="How many labels to show; JSON shows at least three."),
    click.option("--batch-size", type=Number(BATCH_SIZE), default=256, show_default=True),
    click.option("--all", "every", is_flag=True,
                 help="Answer each digit of a picture, left to right, with its box."),
    click.option("--allow-nonfinite", is_flag=True,
                 help="Take infinities and NaN in inputs and outputs, as a mask of -inf is."),
    options.as_json,
    click.option("--shard", metavar="K/N", callback=lambda ctx, param, text: text and parse_shard(text),
                 help="Take the K-th of N shares of the inputs, told by their names: such as 3/16."),
    click.option("--resume", is_flag=True,
                 help="Continue an interrupted run: skip the inputs that --output has already."),
    options.output("Write to this file: .json and .jsonl get JSON Lines, .png a picture of the inputs as"
                   " they were given and as the model saw them, others text."),
    click.option("--show", is_flag=True, help="Draw that picture and open it."),
)  # fmt: skip
cluster = options.group(
    click.option("--on", type=click.Choice(["ray"]), help="Predict on a cluster, into a folder."),
    click.option("--address", help="Of the Ray cluster, such as auto; else one of this machine."),
    click.option("--column", help="Of tables: the one that is predicted."),
    click.option("--prefix", help="Before the names of the added columns, if a table has such names."),
    click.option("--num-cpus", type=Number(WORKERS_CPUS),
                 help="Processors of a worker; 1 by default."),
    click.option("--num-gpus", type=Number(WORKERS_GPUS), help="GPUs of a worker, or a part of one."),
    click.option("--concurrency", type=Number(PROCESSES),
                 help="Workers; by default as many as the cluster holds."),
)  # fmt: skip


def check(answers: Wanted, cluster: Cluster) -> None:
    """Refuse what does not go together, before anything is read.

    Raises:
        UsageError: options that exclude each other.
        OutputError: the file of --output cannot be written.
    """
    alone = {"shard": answers.shard, "show": answers.show, "json": answers.as_json, "all": answers.every,
             "allow-nonfinite": answers.allow_nonfinite}  # fmt: skip
    together = {key: value for key, value in asdict(cluster).items() if key != "on"}
    for name, value in (alone if cluster.on else together).items():
        if value:
            where = "is not for --on ray" if cluster.on else "is for --on ray"
            raise UsageError(f"--{name.replace('_', '-')} {where}: leave it out")
    if answers.every and answers.resume:
        raise UsageError("--all is not for --resume: leave it out")
    if answers.output is not None and not cluster.on:  # which writes into a folder
        check_writable(answers.output)
