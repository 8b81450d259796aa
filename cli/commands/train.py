"""ptx train"""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ptx import report, trainers
from ptx.cli import options
from ptx.cli.param_types import Number
from ptx.cli.streams import echo_error
from ptx.cli.terminal import INTERVAL, open_bar, print_note, print_summary
from ptx.cli.workspace import Workspace, require_model
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.errors import pluralise
from ptx.infer.ranges import BATCH_SIZE, EPOCHS, LEARNING_RATE, SEED

if TYPE_CHECKING:
    from ptx.trainers.loop import RunningMetrics


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
    help="Name of a recipe that `ptx models MODEL` lists. `documented` is the recipe of the model's"
    " source.",
)
@click.option(
    "--epochs", type=Number(EPOCHS), help="Number of epochs. The recipe decides by default."
)
@click.option(
    "--batch-size",
    type=Number(BATCH_SIZE),
    help="Number of rows in a batch. The recipe decides by default.",
)
@click.option(
    "--lr", type=Number(LEARNING_RATE), help="Learning rate. The recipe decides by default."
)
@click.option(
    "--seed",
    type=Number(SEED),
    default=0,
    show_default=True,
    help="Seed for the initial weights and the order of the rows.",
)
@options.device
@options.data
@click.option("--resume", is_flag=True, help="Continue from the checkpoint in the workspace.")
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
    """Train MODEL and write a checkpoint after each epoch. `ptx models` lists the models.

    Ctrl-C stops after the current step and saves a checkpoint; --resume continues from it. Under
    torchrun, several processes share each batch: torchrun --nproc-per-node 2 -m ptx.cli train ...
    """
    require_model(model)
    first = trainers.rank() == 0
    recipe = trainers.find_recipe(model, recipe_name, epochs=epochs, batch_size=batch_size, lr=lr)
    space = Workspace(workspace)
    dataset = space.open_data(model, data)
    if first and not resume:
        _note_previous(space.checkpoint(model))
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
        _print_result(model, dataset.name, result, space)
    return 0 if result.interrupted is None else 128 + result.interrupted


class EpochProgress:
    """A line for each epoch, at most one per second, and on a terminal a progress bar during it."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._title, self._last = "", False
        self._printed = 0.0
        self._refreshed = 0.0  # when the metrics were last read; reading waits for the device

    def epoch_begins(self, epoch: int, epochs: int, rows: int, done: int) -> None:
        self._title, self._last = f"epoch {epoch}/{epochs}", epoch == epochs
        if sys.stderr.isatty():
            self._bar = open_bar(self._title, "rows", rows, initial=done)

    def step_done(self, rows: int, metrics: RunningMetrics) -> None:
        now = time.monotonic()
        if self._bar is not None and now - self._refreshed >= INTERVAL:
            self._refreshed = now
            summary = metrics.summary("train")
            text = {"loss": f"{summary['train_loss']:.4f}"}
            if "train_accuracy" in summary:
                text["accuracy"] = f"{100 * summary['train_accuracy']:.1f}%"
            self._bar.set_postfix(text, refresh=False)
            self._bar.update(rows - self._bar.n)

    def epoch_ends(self, row: dict[str, float]) -> None:
        now = time.monotonic()
        if self._bar is not None:
            self._bar.close()
        if self._bar is not None or now - self._printed >= 1.0 or self._last:
            self._printed = now
            echo_error(f"{self._title}: {_epoch_text(row)}")


def _epoch_text(row: dict[str, float]) -> str:
    text = f"loss {row['train_loss']:.4f}, test loss {row['test_loss']:.4f}"
    if "test_accuracy" in row:
        text += f", test accuracy {report.percent(row['test_accuracy'])}"
    return f"{text}, {row['rows_per_second']:,.0f} rows/s"


def _print_result(model: str, data: str, result: trainers.TrainingResult, space: Workspace) -> None:
    """Print which exported files are outdated now, and the last line of a training."""
    if result.trained and result.interrupted is None:
        for path in (path for kind, path in space.files(model).items() if kind != CHECKPOINT):
            print_note(f"{path} has the weights of the previous training: export it again")
    export, epochs = f"ptx export {model} --format onnx", len(result.history)
    if result.interrupted is not None:
        resume = f"ptx train {model}{_repeat_options()} --resume"
        print_summary(f"stopped after epoch {epochs}: {result.checkpoint}", resume)
    elif not result.trained:
        reason = (
            f"{model} already has all of its {pluralise(epochs, 'epoch')}, so nothing was trained"
        )
        print_summary(f"{reason}: {result.checkpoint}", export)
    else:
        last = result.history[-1]
        result_text = (
            f"test accuracy {report.percent(last['test_accuracy'])}"
            if "test_accuracy" in last
            else f"test loss {last['test_loss']:.4g}"
        )
        print_summary(f"{model} trained on {data}: {result_text}: {result.checkpoint}", export)


def _note_previous(checkpoint: Path) -> None:
    """Print where the checkpoint that this training replaces is kept."""
    previous = trainers.previous_training(checkpoint)
    if previous is None:
        return
    description = f" of {pluralise(previous['epochs'], 'epoch')}" if "epochs" in previous else ""
    accuracy = previous.get("metrics", {}).get("test_accuracy")
    description += f", test accuracy {report.percent(accuracy)}," if accuracy is not None else ""
    backup = checkpoint.parent / trainers.PREVIOUS
    replaces = ", replacing the one before it" if backup.exists() else ""
    print_note(f"the previous checkpoint{description} is kept as {backup}{replaces}")


def _repeat_options() -> str:
    """The options of this run, for the command that resumes it; `print_summary` adds the workspace."""
    context = click.get_current_context()
    return "".join(
        f" {option.opts[0]} {shlex.quote(str(context.params[option.name]))}"
        for option in context.command.params
        if isinstance(option, click.Option)
        and option.name in context.params
        and option.name not in ("resume", "workspace")
        and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    )
