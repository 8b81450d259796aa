"""ptx predict"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import click

from ptx import infer
from ptx.cli import options
from ptx.cli.model.opening import find_model, open_model
from ptx.cli.model.workspace import Workspace
from ptx.cli.output.answers import AnswerLines, finish_preview, make_preview, write_lines
from ptx.cli.values.inputs import find_values, read_ahead, with_progress
from ptx.infer.artifact.files import check_writable


@click.command(
    epilog="\b\nExamples:\n  ptx predict digit.png --backend ort-cpu\n"
    '  ptx predict Satoshi "O\'Brien" --model name-classifier --top 3',
)
@click.argument(
    "inputs", nargs=-1, required=True, metavar="INPUT...", shell_complete=options.complete_file
)
@click.option("--model", default="convnet", show_default=True,
              shell_complete=options.complete_model,
              help="A name of the catalog, or the path of an artifact or checkpoint.")  # fmt: skip
@options.backend
@options.device
@options.precision
@options.trust
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True,
              help="How many labels to show; JSON shows at least three.")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(min=1), default=256, show_default=True)
@options.describe
@options.as_json
@click.option("--output", type=click.Path(path_type=Path),
              help="Write to this file: .json and .jsonl get JSON Lines, .png a picture of the inputs as"
              " they were given and as the model saw them, others text.")  # fmt: skip
@click.option("--show", is_flag=True, help="Draw that picture and open it.")
@options.workspace
@options.time_limit
@options.common
def predict(
    inputs: tuple[str, ...], model: str, backend: str, device: str, precision: str, trust: bool,
    top: int, batch_size: int, describe: Path | None, as_json: bool, output: Path | None, show: bool,
    workspace: Path,
) -> int:  # fmt: skip
    """Predict each INPUT: a picture, a folder, a glob, or - for standard input.

    For models that do not take pictures an INPUT is a text or a number, a .csv or a .npy file; lines on
    standard input are one INPUT each. A negative number goes behind --.

    Inputs that cannot be used have their line, the others are answered, and the exit code is 4.
    """
    if output is not None:
        check_writable(output)
        as_json = as_json or output.suffix in (".json", ".jsonl")
    preview, target = make_preview(output, workspace, show=show)
    space, lines = Workspace(workspace), AnswerLines(as_json, top)
    with ExitStack() as stack:
        found = find_model(space, model, backend, describe=describe)
        values, window = find_values(inputs, found.card)
        threads = None
        if preview:
            values = preview.values(values)
        if window:
            values, threads = read_ahead(values, found.card, window, batch_size, stack)
        asked = infer.Options(
            device=device, threads=threads, precision=precision, trust=space.trust(trust)
        )
        predictor = stack.enter_context(open_model(found, asked))
        ranked = max(top, 3 if as_json else 1, preview.bars if preview else 1)
        answers = predictor.predict_many(
            values, batch_size=batch_size, top=ranked, on_error="yield"
        )
        if preview:
            answers = preview.answers(answers, predictor)
        if sys.stderr.isatty() and (target is not None or not sys.stdout.isatty()):
            answers = with_progress(answers, inputs, found.card)
        write_lines(target, lines.of(answers))
    if target is not None:
        click.echo(f"{target}: {lines.summary()}")
    if preview:
        finish_preview(preview, show=show)
    return 4 if lines.bad else 0
