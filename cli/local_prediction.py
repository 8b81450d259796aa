"""Prediction on this machine: find the inputs, predict them and write the results."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptx import infer
from ptx.cli.inputs import count_inputs, find_inputs
from ptx.cli.model import ResolvedModel, open_model
from ptx.cli.predictions import PredictionLines, summary
from ptx.cli.streams import echo, writes_unicode
from ptx.cli.terminal import ProgressBar, print_note
from ptx.infer.artifact.files import atomic_writer, write_atomic
from ptx.infer.errors import UsageError

if TYPE_CHECKING:
    from ptx import report, scale
    from ptx.infer.preprocessing import Preprocessing

TABLES = (".csv", ".parquet")


@dataclass(frozen=True)
class PredictOptions:
    """Options that decide which results `ptx predict` writes, and where."""

    top: int
    batch_size: int
    every: bool
    allow_nonfinite: bool
    as_json: bool
    shard: scale.Shard | None
    resume: bool
    output: Path | None
    show: bool
    cosine: bool
    threshold: float | None

    @property
    def shows_json(self) -> bool:
        """Whether JSON is written, because of --json or of the name of the output."""
        return self.as_json or self.ending in (".json", ".jsonl")

    @property
    def ending(self) -> str:
        """The suffix of --output in lower case; empty without --output."""
        return "" if self.output is None else self.output.suffix.lower()


def predict_locally(
    inputs: tuple[str, ...],
    resolved: ResolvedModel,
    opening: infer.Options,
    request: PredictOptions,
    workspace: Path,
    prefix: str,
) -> int:
    """Predict the inputs on this machine and write the results; returns the exit code."""
    from ptx.infer.prefetch import PLANNED_INPUTS, Prefetcher, plan_prefetch
    from ptx.infer.preprocessing import open_preprocessing

    preprocessing = open_preprocessing(resolved.manifest.preprocessing, resolved.manifest.signature)
    preview, target = _make_preview(request.output, workspace, show=request.show)
    with ExitStack() as stack:
        previous = _open_previous(request, resolved.manifest.model, stack)
        remaining = find_inputs(inputs, preprocessing)
        head = list(islice(remaining, PLANNED_INPUTS))
        plan = None if request.every else plan_prefetch(preprocessing, head, request.batch_size)
        # The workers are forked before anything starts a thread, as opening a backend does.
        pool = None if plan is None else stack.enter_context(plan.start_workers(preprocessing))
        values: Iterable[Any] = chain(head, remaining)
        if request.shard is not None or previous is not None:
            from ptx import scale

            values = scale.select_inputs(values, request.shard, previous)
        if preview is not None and not request.every:
            values = preview.watch_inputs(values)
        cells: deque[Mapping[str, str] | None] | None = None
        if target is not None and request.ending in TABLES and not request.every:
            cells = deque()
            values = _watch_cells(values, cells)
        if plan is not None and pool is not None:
            values = Prefetcher(pool, values, plan.chunk_size, first=plan.first_chunk)
            opening = replace(opening, threads=plan.backend_threads)
        predictor = stack.enter_context(
            open_model(
                resolved,
                opening,
                allow_nonfinite=request.allow_nonfinite,
                threshold=request.threshold,
            )
        )
        results = _results(predictor, values, preview, request)
        if sys.stderr.isatty() and (target is not None or not sys.stdout.isatty()):
            is_complete = request.shard is None and previous is None
            results = _with_progress(results, inputs if is_complete else (), preprocessing)
        lines = PredictionLines(
            request.shows_json,
            request.top,
            cosine=request.cosine,
            succeeded=0 if previous is None else previous.succeeded,
            failed=0 if previous is None else previous.failed,
            ensure_ascii=target is None and not writes_unicode(),
        )
        if target is not None and request.ending in TABLES:
            _write_table(target, lines.watch(results), cells, preprocessing, prefix)
        else:
            _write_lines(target, lines.format(results), previous)
    if request.cosine and lines.succeeded < 2 and not lines.failed:
        raise UsageError("--cosine compares the first input with others: it needs two or more")
    if target is not None:
        echo(f"{target}: {summary(lines.succeeded, lines.failed)}")
    if preview is not None:
        _finish_preview(preview, show=request.show)
    return 4 if lines.failed else 0


def _open_previous(
    request: PredictOptions, model: str, stack: ExitStack
) -> scale.ResumableOutput | None:
    """The output that --resume continues; it is open until the stack is closed."""
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
    """The results, with a progress bar whose total is the number of `inputs`, if there are any."""
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
            sys.stdout.write(f"{line}\n")  # `click.echo` would flush each line, even into a pipe
    else:
        with atomic_writer(path) as write:
            for line in lines:
                # File names may have bytes that are not UTF-8; JSON has the same escapes for them.
                write(f"{line}\n".encode(errors="backslashreplace"))


def _watch_cells(values: Iterable[Any], cells: deque[Mapping[str, str] | None]) -> Iterator[Any]:
    """The values; as each is consumed, the cells of its table row are appended to `cells`."""
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
    """The preview that --show or --output requests, and the file for the results, if any."""
    is_picture = output is not None and output.suffix.lower() == ".png"
    if not show and not is_picture:
        return None, output
    from ptx import report

    path = output if output is not None and is_picture else workspace / "preview.png"
    return report.Preview(path), None if is_picture else output


def _finish_preview(preview: report.Preview, *, show: bool) -> None:
    """Write the picture, and open it with --show."""
    print_note(preview.save())
    if show and _has_display():
        click.launch(str(preview.path))
    elif show:
        print_note(f"there is no display here: open {preview.path}")


def _has_display() -> bool:
    if sys.platform.startswith(("win", "darwin")):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
