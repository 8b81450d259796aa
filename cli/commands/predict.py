"""ptx predict"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptx import infer
from ptx.cli import options
from ptx.cli.inputs import count_inputs, find_inputs
from ptx.cli.model import ResolvedModel, open_model, resolve_model
from ptx.cli.param_types import Number
from ptx.cli.predictions import PredictionLines, summary
from ptx.cli.streams import echo, writes_unicode
from ptx.cli.terminal import ProgressBar, print_note
from ptx.cli.workspace import Workspace
from ptx.infer.artifact.files import atomic_writer, check_writable, write_atomic
from ptx.infer.errors import UsageError, quote
from ptx.infer.ranges import BATCH_SIZE, PROCESSES, SHOWN_LABELS, WORKERS_CPUS, WORKERS_GPUS

_TABLES = (".csv", ".parquet")
_ENDINGS = (".json", ".jsonl", *_TABLES, ".txt", ".png")

if TYPE_CHECKING:
    from ptx import report, scale
    from ptx.infer.preprocessing import Preprocessing


@dataclass(frozen=True)
class PredictOptions:
    """What is shown of the predictions, and where they go."""

    top: int
    batch_size: int
    every: bool
    allow_nonfinite: bool
    as_json: bool
    shard: scale.Shard | None
    resume: bool
    output: Path | None
    show: bool

    @property
    def shows_json(self) -> bool:
        """By the option or by the file's name."""
        return self.as_json or self.ending in (".json", ".jsonl")

    @property
    def ending(self) -> str:
        """Of the output's name; empty without an output."""
        return "" if self.output is None else self.output.suffix.lower()


@dataclass(frozen=True)
class RayOptions:
    """Where the Ray cluster is, and what each of its workers takes."""

    on: str | None
    address: str | None
    column: str | None
    prefix: str | None
    num_cpus: float | None
    num_gpus: float | None
    concurrency: int | None


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
    help="The name of a catalog model or of a model folder in the workspace, or the path of"
    " an artifact or checkpoint.",
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
    help="Number of inputs to compute at once.",
)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Predict every digit of an image, from left to right, each with its box.",
)
@click.option(
    "--allow-nonfinite",
    is_flag=True,
    help="Accept infinities and NaN in inputs and outputs, as in a mask of -inf.",
)
@options.as_json
@click.option(
    "--shard",
    metavar="K/N",
    callback=_parse_shard,
    help="Predict only the K-th of N shares of the inputs, such as 3/16. Their names decide"
    " which share they are in.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Continue an interrupted run: skip the inputs that are in --output already.",
)
@options.output(
    "Write to this file. The ending decides the format: .json and .jsonl for JSON Lines, .csv and"
    " .parquet for a table with the columns of the input, .txt for text, .png for a picture of the"
    " inputs next to what the model received."
)
@click.option("--show", is_flag=True, help="Draw that picture and open it.")
@click.option("--on", type=click.Choice(["ray"]), help="Predict on a cluster, into a folder.")
@click.option(
    "--address",
    help="Address of the Ray cluster, such as auto. Without it a cluster is"
    " started on this machine.",
)
@click.option("--column", help="Name of the column that is predicted, for tables on Ray.")
@click.option(
    "--prefix",
    help="Prefix for the names of the added columns, for tables that have columns"
    " of the same names.",
)
@click.option(
    "--num-cpus",
    type=Number(WORKERS_CPUS),
    help="Number of CPUs for each Ray worker; 1 by default.",
)
@click.option(
    "--num-gpus",
    type=Number(WORKERS_GPUS),
    help="Number of GPUs for each Ray worker; a fraction shares one.",
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

    For models that do not take images an INPUT is a text, a number, or a .csv or .npy file; each line of
    standard input is one INPUT. Write -- before a negative number.

    An input that cannot be used gets an error line, the others are predicted, and the exit code is 4.

    To use several machines, give each of them a --shard and concatenate the outputs. With --on ray an
    INPUT can also be a Parquet, CSV or WebDataset tar file, local or at a URI such as s3://..., and
    --output is a folder. --resume continues an interrupted run.
    """
    ray = options.as_dataclass(RayOptions, values)
    request = options.as_dataclass(PredictOptions, values)
    _check(request, ray)
    space = Workspace(workspace)
    opening = infer.Options(device=device, precision=precision, trust=space.trust(trust))
    resolved = resolve_model(space, model, backend, spec_file=spec_file)
    if ray.on:
        from ptx.cli.on_ray import predict_on_ray

        return predict_on_ray(inputs, resolved, opening, request, ray)
    return _predict(inputs, resolved, opening, request, workspace, ray.prefix or "")


def _check(request: PredictOptions, ray: RayOptions) -> None:
    """Refuse options that exclude each other, and an output that cannot be written."""
    local = {
        "shard": request.shard,
        "show": request.show,
        "json": request.as_json,
        "all": request.every,
        "allow-nonfinite": request.allow_nonfinite,
    }
    names_columns = request.ending in _TABLES
    remote = {
        name: value
        for name, value in asdict(ray).items()
        if name != "on" and not (name == "prefix" and names_columns)
    }
    for name, value in (local if ray.on else remote).items():
        if value:
            needed = "cannot be used with --on ray: leave it out" if ray.on else "needs --on ray"
            if name == "prefix":
                needed += ", or --output with .csv or .parquet"
            raise UsageError(f"--{name.replace('_', '-')} {needed}")
    if request.every and request.resume:
        raise UsageError("--all cannot be used with --resume: leave one of them out")
    if request.resume and not ray.on and request.ending not in (".json", ".jsonl"):
        raise UsageError("--resume continues a file of JSON Lines: give --output FILE.jsonl")
    if request.output is not None and not ray.on:  # with it, a folder
        check_writable(request.output)
        if request.ending not in _ENDINGS:
            raise UsageError(
                f"--output {quote(request.output)}: expected a name that ends in"
                f" {', '.join(_ENDINGS[:-1])} or {_ENDINGS[-1]}"
            )


def _predict(
    inputs: tuple[str, ...],
    resolved: ResolvedModel,
    opening: infer.Options,
    request: PredictOptions,
    workspace: Path,
    prefix: str,
) -> int:
    """Predict the inputs on this machine and write the lines; the exit code."""
    from ptx.infer.prefetch import PLANNED_INPUTS, Prefetcher, plan_prefetch
    from ptx.infer.preprocessing import open_preprocessing

    preprocessing = open_preprocessing(resolved.manifest.preprocessing, resolved.manifest.signature)
    preview, target = _make_preview(request.output, workspace, show=request.show)
    with ExitStack() as stack:
        previous = _open_previous(request, resolved.manifest.model, stack)
        found = find_inputs(inputs, preprocessing)
        head = list(islice(found, PLANNED_INPUTS))
        plan = None if request.every else plan_prefetch(preprocessing, head, request.batch_size)
        # The workers are forked before anything starts a thread, as opening a backend does.
        pool = None if plan is None else stack.enter_context(plan.start_workers(preprocessing))
        values: Iterable[Any] = chain(head, found)
        if request.shard is not None or previous is not None:
            from ptx import scale

            values = scale.select_inputs(values, request.shard, previous)
        if preview is not None and not request.every:
            values = preview.watch_inputs(values)
        cells: deque[Mapping[str, str] | None] | None = None
        if target is not None and request.ending in _TABLES and not request.every:
            cells = deque()
            values = _watch_cells(values, cells)
        if plan is not None and pool is not None:
            values = Prefetcher(pool, values, plan.chunk_size, first=plan.first_chunk)
            opening = replace(opening, threads=plan.backend_threads)
        predictor = stack.enter_context(
            open_model(resolved, opening, allow_nonfinite=request.allow_nonfinite)
        )
        results = _results(predictor, values, preview, request)
        if sys.stderr.isatty() and (target is not None or not sys.stdout.isatty()):
            entire = request.shard is None and previous is None
            results = _with_progress(results, inputs if entire else (), preprocessing)
        lines = PredictionLines(
            request.shows_json,
            request.top,
            succeeded=0 if previous is None else previous.succeeded,
            failed=0 if previous is None else previous.failed,
            ensure_ascii=target is None and not writes_unicode(),
        )
        if target is not None and request.ending in _TABLES:
            _write_table(target, lines.watch(results), cells, preprocessing, prefix)
        else:
            _write_lines(target, lines.format(results), previous)
    if target is not None:
        echo(f"{target}: {summary(lines.succeeded, lines.failed)}")
    if preview is not None:
        _finish_preview(preview, show=request.show)
    return 4 if lines.failed else 0


def _open_previous(
    request: PredictOptions, model: str, stack: ExitStack
) -> scale.ResumableOutput | None:
    """The output that --resume continues, until the stack is closed."""
    if not request.resume or request.output is None:
        return None
    from ptx import scale

    return stack.enter_context(scale.open_resumable(request.output, model))


def _results(
    predictor: infer.Predictor,
    values: Iterable[Any],
    preview: report.Preview | None,
    request: PredictOptions,
) -> Iterator[infer.Prediction | infer.Failure]:
    top = max(request.top, 3 if request.shows_json else 1, preview.bars if preview else 1)
    if request.every:
        return _results_of_digits(predictor, values, top, preview)
    results = predictor.predict_many(
        values, batch_size=request.batch_size, top=top, on_error="yield"
    )
    return results if preview is None else preview.watch_predictions(results, predictor)


def _results_of_digits(
    predictor: infer.Predictor, values: Iterable[Any], top: int, preview: report.Preview | None
) -> Iterator[infer.Prediction | infer.Failure]:
    """A prediction for each digit that is found, or a failure for the image."""
    from ptx.infer.prediction import split_name

    for value in values:
        results: Sequence[infer.Prediction | infer.Failure]
        try:
            results = predictor.predict_digits(value, top=top)
        except infer.InputError as error:
            results = [infer.Failure(error, split_name(value)[0])]
        for result in results:
            if preview is not None:
                preview.draw(value, result, predictor)
            yield result


def _with_progress(
    results: Iterable[infer.Prediction | infer.Failure],
    inputs: tuple[str, ...],
    preprocessing: Preprocessing,
) -> Iterator[infer.Prediction | infer.Failure]:
    """The results, with a progress bar; it counts the `inputs`, or has no end if there are none."""
    total = (lambda: count_inputs(inputs, preprocessing)) if inputs else None
    with ProgressBar("predicting", "inputs", total) as progress:
        for result in results:
            yield result
            progress.advance()


def _write_lines(
    path: Path | None, lines: Iterable[str], previous: scale.ResumableOutput | None
) -> None:
    """Write the lines to the previous output, to a file that is complete or absent, or to stdout."""
    if previous is not None:
        previous.append(lines)
    elif path is None:
        for line in lines:
            sys.stdout.write(f"{line}\n")  # unlike `click.echo` it flushes only a terminal's lines
    else:
        with atomic_writer(path) as write:
            for line in lines:
                # File names may have bytes that are not UTF-8; JSON has the same escapes for them.
                write(f"{line}\n".encode(errors="backslashreplace"))


def _watch_cells(values: Iterable[Any], cells: deque[Mapping[str, str] | None]) -> Iterator[Any]:
    """The values; the cells of their rows are appended as they are taken."""
    for value in values:
        cells.append(value.cells if isinstance(value, infer.NamedInput) else None)
        yield value


def _write_table(
    path: Path,
    results: Iterable[infer.Prediction | infer.Failure],
    cells: deque[Mapping[str, str] | None] | None,
    preprocessing: Preprocessing,
    prefix: str,
) -> None:
    """Write a CSV or Parquet file that is complete or absent; without `cells` rows have boxes."""
    from ptx.infer.tables.predictions import PredictionTable

    table = PredictionTable(boxes=cells is None, numbers=preprocessing.feature_names, prefix=prefix)
    rows = ((result, None if cells is None else cells.popleft()) for result in results)
    if path.suffix.lower() == ".parquet":
        write_atomic(path, table.parquet(rows))
        return
    with atomic_writer(path) as write:
        for line in table.csv_lines(rows):
            write(f"{line}\n".encode(errors="backslashreplace"))


def _make_preview(
    output: Path | None, workspace: Path, *, show: bool
) -> tuple[report.Preview | None, Path | None]:
    """The picture that --show or --output asks for, and the file that is left for the lines."""
    named = output is not None and output.suffix.lower() == ".png"
    if not show and not named:
        return None, output
    from ptx import report

    path = output if output is not None and named else workspace / "preview.png"
    return report.Preview(path), None if named else output


def _finish_preview(preview: report.Preview, *, show: bool) -> None:
    """Write the picture, and open it if --show asks for that."""
    print_note(preview.save())
    if show and _has_display():
        click.launch(str(preview.path))
    elif show:
        print_note(f"there is no display here: open {preview.path}")


def _has_display() -> bool:
    if sys.platform.startswith(("win", "darwin")):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
