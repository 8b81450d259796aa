"""ptx train"""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ptx.cli import options

if TYPE_CHECKING:
    from ptx.trainers import TrainingResult
    from ptx.trainers.loop import Totals


@click.command(
    epilog="\b\nExamples:\n  ptx train convnet --data bundled --epochs 1\n"
    "  ptx train linear-model --epochs 200 --resume",
    short_help="Train a model and write its checkpoint.",
)
@click.argument("model", shell_complete=options.complete_name)
@click.option("--recipe", "recipe_name", default="default", show_default=True,
              help="One that `ptx models MODEL` lists; `documented` is the source's own.")  # fmt: skip
@click.option("--epochs", type=int, help="Instead of the recipe's.")
@click.option("--batch-size", type=int, help="Instead of the recipe's.")
@click.option("--lr", type=float, help="Learning rate, instead of the recipe's.")
@click.option("--seed", type=int, default=0, show_default=True)
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

    Ctrl-C ends after the step at hand, with everything saved; --resume goes on from there.
    """
    from ptx.cli.dataset import open_data
    from ptx.cli.terminal import note
    from ptx.cli.workspace import Workspace, require_model
    from ptx.trainers import find_recipe
    from ptx.trainers import train as train_model

    require_model(model)
    recipe = find_recipe(model, recipe_name, epochs=epochs, batch_size=batch_size, lr=lr)
    dataset = open_data(model, data, workspace)
    space = Workspace(workspace)
    folder = space.folder(model)
    if not resume and (former := _former(folder)):
        note(former)
    result = train_model(
        model,
        dataset,
        recipe,
        folder=folder,
        seed=seed,
        device=device,
        resume=resume,
        progress=_progress(),
    )
    if result.trained and result.interrupted is None:
        for path in (path for kind, path in space.files(model).items() if kind != "checkpoint"):
            note(f"{path} still has the weights of the training before: export it again")
    _print_outcome(model, dataset.name, result)
    return 0 if result.interrupted is None else 128 + result.interrupted


def _print_outcome(model: str, data: str, result: TrainingResult) -> None:
    from ptx.cli.terminal import percent, verdict
    from ptx.infer.errors import counted

    export = f"ptx export {model} --format onnx"
    if result.interrupted is not None:
        verdict(f"stopped after epoch {len(result.history)}: {result.checkpoint}",
                f"ptx train {model}{_options_given()} --resume")  # fmt: skip
        return
    if not result.trained:
        epochs = counted(len(result.history), "epoch")
        verdict(
            f"{model} has its {epochs} already, nothing was trained: {result.checkpoint}", export
        )
        return
    last = result.history[-1]
    reached = (
        f"test accuracy {percent(last['test_accuracy'])}"
        if "test_accuracy" in last
        else f"test loss {last['test_loss']:.4g}"
    )
    verdict(f"{model} trained on {data}: {reached}: {result.checkpoint}", export)


def _former(folder: Path) -> str:
    """What becomes of the checkpoint that is there; nothing where there is none."""
    from ptx.cli.terminal import percent
    from ptx.cli.workspace import CHECKPOINT
    from ptx.infer.errors import counted
    from ptx.trainers.session import PREVIOUS
    from ptx.trainers.training import former_training

    training = former_training(folder / CHECKPOINT)
    if training is None:
        return ""
    what = f" of {counted(training['epochs'], 'epoch')}" if "epochs" in training else ""
    accuracy = training.get("metrics", {}).get("test_accuracy")
    what += f", test accuracy {percent(accuracy)}," if accuracy is not None else ""
    place = ", in place of the one before it" if (folder / PREVIOUS).exists() else ""
    return f"the former checkpoint{what} is kept as {folder / PREVIOUS}{place}"


def _options_given() -> str:
    """The options of this run, as they must be given again; `verdict` adds the workspace."""
    context = click.get_current_context()
    return "".join(
        f" {option.opts[0]} {shlex.quote(str(context.params[option.name]))}"
        for option in context.command.params
        if isinstance(option, click.Option)
        and option.name in context.params
        and option.name not in ("resume", "workspace")
        and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    )


def _progress() -> _Lines | _Bar:
    return _Bar() if sys.stderr.isatty() else _Lines()


def _row_text(row: dict[str, float]) -> str:
    text = f"loss {row['train_loss']:.4f}, test loss {row['test_loss']:.4f}"
    if "test_accuracy" in row:
        text += f", test accuracy {100 * row['test_accuracy']:.2f} %"
    return f"{text}, {row['rows_per_second']:,.0f} rows/s"


class _Lines:
    """A line for each epoch, at most one a second; for a pipe or a log."""

    def __init__(self) -> None:
        self._epochs = 0
        self._said = 0.0

    def epoch_begins(self, epoch: int, epochs: int, rows: int, done: int) -> None:
        self._epochs = epochs

    def step_done(self, rows: int, totals: Totals) -> None: ...

    def epoch_ends(self, row: dict[str, float]) -> None:
        now = time.monotonic()
        if now - self._said >= 1.0 or row["epoch"] == self._epochs:
            self._said = now
            click.echo(f"epoch {row['epoch']:.0f}/{self._epochs}: {_row_text(row)}", err=True)


class _Bar:
    """A bar with loss, accuracy, rows a second and the time left; for a terminal."""

    # Fits into 80 columns with loss and accuracy behind it.
    FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {rate_noinv_fmt}, {remaining} left{postfix}"
    INTERVAL = 0.2  # seconds between two readings of the totals, each of which waits for the device

    def __init__(self) -> None:
        self._bar: Any = None
        self._read = 0.0

    def epoch_begins(self, epoch: int, epochs: int, rows: int, done: int) -> None:
        from tqdm import tqdm

        # A terminal that says it has no columns gets the fallback of shutil, where tqdm draws nothing.
        columns, lines = shutil.get_terminal_size()
        self._bar = tqdm(
            total=rows, initial=done, desc=f"epoch {epoch}/{epochs}", unit=" rows", leave=False,
            bar_format=self.FORMAT, ncols=min(columns - 1, 100), nrows=lines,
        )  # fmt: skip

    def step_done(self, rows: int, totals: Totals) -> None:
        now = time.monotonic()
        if now - self._read >= self.INTERVAL:
            self._read = now
            metrics = totals.metrics("train")
            shown = {"loss": f"{metrics['train_loss']:.4f}"}
            if "train_accuracy" in metrics:
                shown["accuracy"] = f"{100 * metrics['train_accuracy']:.1f}%"
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(rows - self._bar.n)

    def epoch_ends(self, row: dict[str, float]) -> None:
        description = self._bar.desc
        self._bar.close()
        click.echo(f"{description.removesuffix(': ')}: {_row_text(row)}", err=True)
