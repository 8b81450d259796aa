"""ptx predict"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptx import infer
from ptx.cli import options
from ptx.cli.model.opening import find_model, open_model
from ptx.cli.model.workspace import Workspace
from ptx.cli.output.answers import (
    AnswerLines,
    finish_preview,
    make_preview,
    open_former,
    write_lines,
)
from ptx.cli.values.figures import answer_figures
from ptx.cli.values.inputs import find_values, read_ahead, with_progress
from ptx.cli.values.number import Number
from ptx.infer.artifact.files import check_writable
from ptx.infer.ranges import BATCH_SIZE, SHOWN_LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ptx.report import Preview
    from ptx.scale import Continued, Shard


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
@click.option("--top", type=Number(SHOWN_LABELS), default=1, show_default=True,
              help="How many labels to show; JSON shows at least three.")  # fmt: skip
@click.option("--batch-size", type=Number(BATCH_SIZE), default=256, show_default=True)
@click.option("--all", "every", is_flag=True,
              help="Answer each digit of a picture, left to right, with its box.")  # fmt: skip
@options.describe
@click.option("--allow-nonfinite", is_flag=True,
              help="Take infinities and NaN in inputs and outputs, as a mask of -inf is.")  # fmt: skip
@options.as_json
@options.shard
@options.resume
@click.option("--output", type=click.Path(path_type=Path),
              help="Write to this file: .json and .jsonl get JSON Lines, .png a picture of the inputs as"
              " they were given and as the model saw them, others text.")  # fmt: skip
@click.option("--show", is_flag=True, help="Draw that picture and open it.")
@options.cluster
@options.workspace
@options.time_limit
@options.common
def predict(
    inputs: tuple[str, ...], model: str, backend: str, device: str, precision: str, trust: bool,
    top: int, batch_size: int, every: bool, describe: Path | None, allow_nonfinite: bool,
    as_json: bool, shard: Shard | None, resume: bool, output: Path | None, show: bool, workspace: Path,
    **cluster: Any,
) -> int:  # fmt: skip
    """Predict each INPUT: a picture, a folder, a glob, or - for standard input.

    For models that do not take pictures an INPUT is a text or a number, a .csv or a .npy file; lines on
    standard input are one INPUT each. A negative number goes behind --.

    Inputs that cannot be used have their line, the others are answered, and the exit code is 4.

    Many machines: each takes a --shard, and the outputs put together are that of one run. An output that
    was written with --resume is gone on with by the same command. With --on ray an INPUT may also be
    Parquet, CSV or a WebDataset tar file, here or at a URI such as s3://…, and --output is a folder.
    """
    space = Workspace(workspace)
    asked = infer.Options(device=device, precision=precision, trust=space.trust(trust))
    own = {"shard": shard, "resume": resume, "show": show, "json": as_json, "all": every}
    if options.check_cluster(cluster, **own, allow_nonfinite=allow_nonfinite):
        from ptx.cli.model.on_ray import predict_on_ray

        found = find_model(space, model, backend, describe=describe)
        return predict_on_ray(inputs, found, asked, output, (max(top, 3), batch_size), cluster)
    if every and resume:
        raise infer.UsageError("--all is not for --resume: leave it out")
    if output is not None:
        check_writable(output)
        as_json = as_json or output.suffix in (".json", ".jsonl")
    preview, target = make_preview(output, workspace, show=show)
    with ExitStack() as stack:
        found = find_model(space, model, backend, describe=describe)
        former = open_former(output, found.card, stack) if resume else None
        lines = AnswerLines(as_json, top, former)
        values, window = find_values(inputs, found.card)
        values = _choose(values, shard, former)
        threads = None
        if preview and not every:
            values = preview.values(values)
        if window and not every:
            values, threads = read_ahead(values, found.card, window, batch_size, stack)
        asked = replace(asked, threads=threads)
        predictor = stack.enter_context(open_model(found, asked, allow_nonfinite=allow_nonfinite))
        ranked = max(top, 3 if as_json else 1, preview.bars if preview else 1)
        answers = _answer(predictor, values, preview, every, batch_size, ranked)
        if sys.stderr.isatty() and (target is not None or not sys.stdout.isatty()):
            whole = shard is None and former is None
            answers = with_progress(answers, inputs if whole else (), found.card)
        write_lines(target, lines.of(answers), former)
    if target is not None:
        click.echo(f"{target}: {lines.summary()}")
    if preview:
        finish_preview(preview, show=show)
    return 4 if lines.bad else 0


def _choose(values: Iterable[Any], shard: Shard | None, former: Continued | None) -> Iterable[Any]:
    """Those of the shard that are not answered yet."""
    if shard is None and former is None:
        return values
    from ptx import scale

    return scale.choose(values, shard, former)


def _answer(
    predictor: infer.Predictor, values: Iterable[Any], preview: Preview | None, every: bool,
    batch_size: int, top: int,
) -> Iterator[infer.Prediction | infer.Failure]:  # fmt: skip
    if every:
        return answer_figures(predictor, values, top, preview)
    answers = predictor.predict_many(values, batch_size=batch_size, top=top, on_error="yield")
    return preview.answers(answers, predictor) if preview else answers
