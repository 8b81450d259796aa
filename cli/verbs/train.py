"""ptx train"""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from click.core import ParameterSource

from ptx import report, trainers
from ptx.cli import options
from ptx.cli.dataset import open_data
from ptx.cli.progress import training_progress
from ptx.cli.terminal import note, verdict
from ptx.cli.workspace import Workspace, require_model
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.errors import pluralise


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
    model: str, recipe_name: str, epochs: int | None, batch_size: int | None, lr: float | None,
    seed: int, device: str, data: str | None, resume: bool, workspace: Path,
) -> int:  # fmt: skip
    """Train MODEL, a name that `ptx models` lists, and write its checkpoint after each epoch.

    Ctrl-C ends after the step at hand, with everything saved; --resume goes on from there.
    """
    require_model(model)
    recipe = trainers.find_recipe(model, recipe_name, epochs=epochs, batch_size=batch_size, lr=lr)
    dataset = open_data(model, data, workspace)
    space = Workspace(workspace)
    if not resume and (former := _describe_former(space.checkpoint(model))):
        note(former)
    result = trainers.train(
        model, dataset, recipe, folder=space.folder(model), seed=seed, device=device, resume=resume,
        progress=training_progress(),
    )  # fmt: skip
    if result.trained and result.interrupted is None:
        for path in (path for kind, path in space.files(model).items() if kind != CHECKPOINT):
            note(f"{path} still has the weights of the training before: export it again")
    _print_outcome(model, dataset.name, result)
    return 0 if result.interrupted is None else 128 + result.interrupted


def _print_outcome(model: str, data: str, result: trainers.TrainingResult) -> None:
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


def _describe_former(checkpoint: Path) -> str:
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
