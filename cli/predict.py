"""ptx predict"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptx.cli import options
from ptx.cli.time_limit import time_limit

if TYPE_CHECKING:
    from ptx.infer import Card, Failure, Prediction, Predictor
    from ptx.infer.readers import Readers

_MANY = 128  # inputs; fewer are read sooner than a process is forked for them
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


@click.command(
    epilog="\b\nExamples:\n  ptx predict digit.png --backend ort-cpu\n"
    '  ptx predict Satoshi "O\'Brien" --model name-classifier --top 3',
    short_help="Predict pictures, texts or numbers.",
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
@time_limit
@options.common
def predict(
    inputs: tuple[str, ...],
    model: str,
    backend: str,
    device: str,
    precision: str,
    trust: bool,
    top: int,
    batch_size: int,
    describe: Path | None,
    as_json: bool,
    output: Path | None,
    show: bool,
    workspace: Path,
) -> int:
    """Predict each INPUT: a picture, a folder, a glob, or - for standard input.

    For models that do not take pictures an INPUT is a text or a number, a .csv or a .npy file; lines on
    standard input are one INPUT each. A negative number goes behind --.

    Inputs that cannot be used have their line, the others are answered, and the exit code is 4.
    """
    from ptx.cli.inputs import find_inputs
    from ptx.infer.errors import counted
    from ptx.infer.files import check_writable

    if output is not None:
        check_writable(output)
        as_json = as_json or output.suffix in (".json", ".jsonl")
    preview, least = None, 1
    if show or (output is not None and output.suffix.lower() == ".png"):
        from ptx.cli.preview import BARS, Preview

        preview, least = Preview(output, workspace, show), BARS
        output = None if preview.named else output
    lines = _Lines(as_json, top)
    with ExitStack() as stack:
        values: Iterator[Any] = iter(())
        readers: Readers | None = None

        def find(card: Card) -> int | None:
            nonlocal values, readers
            kind = str(card.preprocessing["kind"])
            values, many = _several(find_inputs(inputs, kind, card.preprocessing.get("names", ())))
            if many:
                readers = _reader_processes(stack, card)
            # A small picture takes as long to read as to compute with: one processor does that. A
            # network for photographs takes longer, and all there are.
            return 1 if readers is not None and kind == "image" else None

        predictor = open_model(
            model,
            backend,
            device,
            workspace,
            trust=trust,
            precision=precision,
            describe=describe,
            before=find,
        )
        stack.enter_context(predictor)
        answers = predictor.predict_many(
            values if preview is None else preview.values(values),
            batch_size=batch_size,
            top=max(top, least, 3 if as_json else 1),
            on_error="yield",
            readers=readers,
        )
        if preview is not None:
            answers = preview.answers(answers, predictor)
        if sys.stderr.isatty() and (output is not None or not sys.stdout.isatty()):
            answers = _told(answers, inputs, str(predictor.card.preprocessing["kind"]))
        _write(output, lines.of(answers))
    if output is not None:
        bad = f"{counted(lines.bad, 'input')} that cannot be used"
        click.echo(f"{output}: {counted(lines.good, 'prediction')}, {bad}")
    if preview is not None:
        preview.finish()
    return 4 if lines.bad else 0


def _told(
    answers: Iterable[Prediction | Failure], inputs: tuple[str, ...], kind: str
) -> Iterator[Prediction | Failure]:
    """The answers, with a line on the terminal that says how far they are."""
    from ptx.cli.inputs import count_inputs
    from ptx.cli.progress import ProgressLine

    with ProgressLine("predicting", "inputs", lambda: count_inputs(inputs, kind)) as progress:
        for answer in answers:
            yield answer
            progress.advance()


def _several(values: Iterator[Any]) -> tuple[Iterator[Any], bool]:
    """The values, and whether they are so many that reading them is worth processes of its own."""
    first = list(islice(values, _MANY))
    return chain(first, values), len(first) == _MANY


def _reader_processes(stack: ExitStack, card: Card) -> Readers | None:
    """Processes for pictures, which take longer to read than to compute with; None for the rest."""
    from ptx.infer.preprocessing import open_preprocessing
    from ptx.infer.readers import can_fork, reader_processes

    if card.preprocessing["kind"] not in ("image", "photo") or not can_fork():
        return None
    preprocessing = open_preprocessing(card.preprocessing, card.signature)
    return stack.enter_context(reader_processes(preprocessing))


def open_model(
    model: str,
    backend: str,
    device: str,
    workspace: Path,
    *,
    trust: bool,
    precision: str = "float32",
    describe: Path | None = None,
    before: Callable[[Card], int | None] = lambda card: None,
) -> Predictor:
    """The predictor for a MODEL argument; says on stderr what `auto` took.

    `before`: called with the card once it is known, before any library is loaded that starts threads;
    it gives the number of threads that the backend is to take, or None.
    """
    from ptx.cli.terminal import note
    from ptx.cli.workspace import Workspace
    from ptx.infer.artifact import read_artifact
    from ptx.infer.backends import Options
    from ptx.infer.errors import BackendError
    from ptx.infer.loading import open_predictor

    space = Workspace(workspace)
    trusted = space.trust(trust)
    options = Options(device=device, trust=trusted, precision=precision)
    if describe is not None:
        from ptx.infer.description import read_description
        from ptx.infer.foreign import adopt

        description = read_description(describe)
        artifact = read_artifact(space.find(model))
        options = replace(options, threads=before(adopt(artifact, description).card))
        return open_predictor(artifact, backend=backend, options=options, description=description)
    if backend != "auto":
        artifact = read_artifact(space.find(model, backend_kind(backend)))
        options = replace(options, threads=before(artifact.require_card()))
        return open_predictor(artifact, backend=backend, options=options)
    paths = list(space.files(model).values()) or [space.find(model)]
    for index, path in enumerate(paths):
        artifact = read_artifact(path)
        if index == 0:
            options = replace(options, threads=before(artifact.require_card()))
        try:
            predictor = open_predictor(artifact, backend="auto", options=options)
        except BackendError:
            if index == len(paths) - 1:
                raise
            continue
        note(f"backend {predictor.backend.name} on {predictor.backend.device}, from {path}")
        return predictor
    raise AssertionError("there is at least one path")


def backend_kind(backend: str) -> str | None:
    """The kind of file that a backend reads; None for auto."""
    from ptx.infer.backends import find_backend

    return None if backend == "auto" else find_backend(backend).reads


class _Lines:
    """Answers as lines; what cannot be used goes to stderr unless JSON shows it."""

    def __init__(self, as_json: bool, top: int) -> None:
        self.as_json, self.top = as_json, top
        self.good = self.bad = 0

    def of(self, answers: Iterable[Prediction | Failure]) -> Iterator[str]:
        """A line for each answer."""
        from ptx.infer.prediction import Failure

        for answer in answers:
            failed = isinstance(answer, Failure)
            self.bad += failed
            self.good += not failed
            if isinstance(answer, Failure):
                if self.as_json:
                    yield _json(answer)
                else:
                    click.echo(_failure_text(answer), err=True)
            else:
                yield _json(answer) if self.as_json else _text(answer, self.top)


def _json(answer: Prediction | Failure) -> str:
    return _ENCODER.encode(answer.to_data())


def _text(prediction: Prediction, top: int) -> str:
    name = _printable(prediction.input)
    if prediction.value is not None:
        return f"{name}: {prediction.value:.6g}"
    ranking = ", ".join(f"{label} ({100 * score:.1f} %)" for label, score in prediction.top[:top])
    return f"{name}: {ranking}"


def _failure_text(failure: Failure) -> str:
    from ptx.infer.errors import quoted

    text = " ".join(str(failure.error).split())
    name = quoted(failure.input or "")[1:-1]
    prefix = "" if name in text else f"{name}: "
    return f"ptx: error [{failure.error.code}] {prefix}{text}"


def _printable(name: str | None) -> str:
    from ptx.infer.errors import escaped

    return "-" if name is None else escaped(name)


def _write(path: Path | None, lines: Iterable[str]) -> None:
    """The lines into a file, whole or not at all, or to stdout."""
    if path is None:
        for line in lines:
            sys.stdout.write(f"{line}\n")  # unlike `click.echo` it flushes a terminal's lines alone
        return
    from ptx.infer.files import atomic_writer

    with atomic_writer(path) as write:
        for line in lines:
            write(f"{line}\n".encode())
