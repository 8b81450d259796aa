"""What `ptx train` shows: how far it is, and what came of it."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ptx import report, trainers
from ptx.cli.streams import echo_error
from ptx.cli.terminal import INTERVAL, open_bar, print_note, verdict
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.errors import pluralise

if TYPE_CHECKING:
    from ptx.cli.workspace import Workspace
    from ptx.trainers.loop import Totals


class EpochProgress:
    """A line for each epoch, at most one a second; on a terminal a bar before each of them.

    The bar has loss, accuracy, rows a second and the time left.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._title, self._last = "", False
        self._said = 0.0
        self._read = 0.0  # when the totals were read last: to read them waits for the device

    def epoch_begins(self, epoch: int, epochs: int, rows: int, done: int) -> None:
        self._title, self._last = f"epoch {epoch}/{epochs}", epoch == epochs
        if sys.stderr.isatty():
            self._bar = open_bar(self._title, "rows", rows, initial=done)

    def step_done(self, rows: int, totals: Totals) -> None:
        now = time.monotonic()
        if self._bar is not None and now - self._read >= INTERVAL:
            self._read = now
            metrics = totals.metrics("train")
            shown = {"loss": f"{metrics['train_loss']:.4f}"}
            if "train_accuracy" in metrics:
                shown["accuracy"] = f"{100 * metrics['train_accuracy']:.1f}%"
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(rows - self._bar.n)

    def epoch_ends(self, row: dict[str, float]) -> None:
        now = time.monotonic()
        if self._bar is not None:
            self._bar.close()
        if self._bar is not None or now - self._said >= 1.0 or self._last:
            self._said = now
            echo_error(f"{self._title}: {_row_text(row)}")


def _row_text(row: dict[str, float]) -> str:
    said = f"loss {row['train_loss']:.4f}, test loss {row['test_loss']:.4f}"
    if "test_accuracy" in row:
        said += f", test accuracy {report.percent(row['test_accuracy'])}"
    return f"{said}, {row['rows_per_second']:,.0f} rows/s"


def print_outcome(model: str, data: str, result: trainers.TrainingResult, space: Workspace) -> None:
    """What is stale now, and the line that a training ends with."""
    if result.trained and result.interrupted is None:
        for path in (path for kind, path in space.files(model).items() if kind != CHECKPOINT):
            print_note(f"{path} still has the weights of the training before: export it again")
    export, epochs = f"ptx export {model} --format onnx", len(result.history)
    if result.interrupted is not None:
        resume = f"ptx train {model}{_repeat_options()} --resume"
        verdict(f"stopped after epoch {epochs}: {result.checkpoint}", resume)
    elif not result.trained:
        done = f"{model} has its {pluralise(epochs, 'epoch')} already, nothing was trained"
        verdict(f"{done}: {result.checkpoint}", export)
    else:
        last = result.history[-1]
        reached = (
            f"test accuracy {report.percent(last['test_accuracy'])}"
            if "test_accuracy" in last
            else f"test loss {last['test_loss']:.4g}"
        )
        verdict(f"{model} trained on {data}: {reached}: {result.checkpoint}", export)


def describe_former(checkpoint: Path) -> str:
    """What becomes of the checkpoint that is there; nothing where there is none."""
    training = trainers.former_training(checkpoint)
    if training is None:
        return ""
    what = f" of {pluralise(training['epochs'], 'epoch')}" if "epochs" in training else ""
    accuracy = training.get("metrics", {}).get("test_accuracy")
    what += f", test accuracy {report.percent(accuracy)}," if accuracy is not None else ""
    kept = checkpoint.parent / trainers.PREVIOUS
    place = ", in place of the one before it" if kept.exists() else ""
    return f"the former checkpoint{what} is kept as {kept}{place}"


def _repeat_options() -> str:
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
