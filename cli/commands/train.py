"""ptx train"""

from __future__ import annotations

from pathlib import Path

import click

from ptx import trainers
from ptx.cli import options
from ptx.cli.dataset import open_data
from ptx.cli.param_types import Number
from ptx.cli.terminal import print_note
from ptx.cli.training import EpochProgress, describe_former, print_outcome
from ptx.cli.workspace import Workspace, require_model
from ptx.infer.ranges import BATCH_SIZE, EPOCHS, LEARNING_RATE, SEED


@click.command(
    epilog="\b\nExamples:\n  ptx train convnet --data bundled --epochs 1\n"
    "  ptx train linear-model --epochs 200 --resume",
)
@click.argument("model", shell_complete=options.complete_name)
@click.option(
    "--recipe",
    "recipe_name",
    default="default",
    show_default=True,
    help="One that `ptx models MODEL` lists; `documented` is the source's own.",
)
@click.option("--epochs", type=Number(EPOCHS), help="Instead of the recipe's.")
@click.option("--batch-size", type=Number(BATCH_SIZE), help="Instead of the recipe's.")
@click.option("--lr", type=Number(LEARNING_RATE), help="Learning rate, instead of the recipe's.")
@click.option("--seed", type=Number(SEED), default=0, show_default=True)
@options.device
@options.data
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in the workspace.")
@options.workspace
@options.common
def train(
    model: str,
    recipe_name: str,
    epochs: int | None,
    batch_size: int | None,
    lr: float | None,
    seed: int,
    device: str,
    data: str | None,
    resume: bool,
    workspace: Path,
) -> int:
    """Train MODEL, a name that `ptx models` lists, and write its checkpoint after each epoch.

    Ctrl-C ends after the current step, with everything saved; --resume continues from there.
    Several processes share each batch under torchrun: torchrun --nproc-per-node 2 -m ptx.cli train ...
    """
    require_model(model)
    first = trainers.rank() == 0
    recipe = trainers.find_recipe(model, recipe_name, epochs=epochs, batch_size=batch_size, lr=lr)
    dataset = open_data(model, data, workspace)
    space = Workspace(workspace)
    if first and not resume and (former := describe_former(space.checkpoint(model))):
        print_note(former)
    result = trainers.train(
        model,
        dataset,
        recipe,
        folder=space.folder(model),
        seed=seed,
        device=device,
        resume=resume,
        progress=EpochProgress() if first else None,
    )
    if first:
        print_outcome(model, dataset.name, result, space)
    return 0 if result.interrupted is None else 128 + result.interrupted
