"""ptx predict"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptx.cli import options
from ptx.cli.time_limit import time_limit

if TYPE_CHECKING:
    from ptx.cli.preview import Preview
    from ptx.infer import Card, Failure, Prediction
    from ptx.infer.readers import Readers, Reading

_MANY = 128  # inputs; fewer are read sooner than a process is forked for them
_AHEAD = 12  # batches of small pictures that are read while the backend is opened; six are not full
_FIRST = 32  # inputs of the first two batches, where processes read them
_READERS = 2  # of small pictures: to read one takes as long as to compute and write its answer


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
    from ptx.cli.answers import AnswerLines, write_lines
    from ptx.cli.opening import open_model
    from ptx.infer.artifact.files import check_writable

    if output is not None:
        check_writable(output)
        as_json = as_json or output.suffix in (".json", ".jsonl")
    preview = _preview(output, workspace, show)
    target = None if preview is not None and preview.named else output
    lines = AnswerLines(as_json, top)
    with ExitStack() as stack:
        values = _Values(inputs, batch_size, preview, stack)
        predictor = open_model(
            model,
            backend,
            device,
            workspace,
            trust=trust,
            precision=precision,
            describe=describe,
            before=values.find,
        )
        stack.enter_context(predictor)
        ranked = max(top, 3 if as_json else 1, 1 if preview is None else preview.bars)
        answers = predictor.predict_many(
            values.found, batch_size=batch_size, top=ranked, on_error="yield"
        )
        if preview is not None:
            answers = preview.answers(answers, predictor)
        if sys.stderr.isatty() and (target is not None or not sys.stdout.isatty()):
            answers = _told(answers, inputs, str(predictor.card.preprocessing["kind"]))
        write_lines(target, lines.of(answers))
    if target is not None:
        click.echo(f"{target}: {lines.counted()}")
    if preview is not None:
        preview.finish()
    return 4 if lines.bad else 0


def _preview(output: Path | None, workspace: Path, show: bool) -> Preview | None:
    """The picture that --show or --output asks for."""
    if not show and (output is None or output.suffix.lower() != ".png"):
        return None
    from ptx.cli.preview import Preview

    return Preview(output, workspace, show)


class _Values:
    """What the INPUTs stand for, once the card says what the model takes."""

    def __init__(
        self, inputs: tuple[str, ...], batch_size: int, preview: Preview | None, stack: ExitStack
    ) -> None:
        self._inputs, self._batch_size = inputs, batch_size
        self._preview, self._stack = preview, stack
        self.found: Iterable[Any] | Reading = ()

    def find(self, card: Card) -> int | None:
        """Look for the values; the number of threads that is left to the backend, None for all.

        Many pictures are read by processes of their own, from now on: while the backend is opened.
        """
        from ptx.cli.inputs import find_inputs

        settings = card.preprocessing
        kind = str(settings["kind"])
        found = find_inputs(self._inputs, kind, settings.get("names", ()))
        first = list(islice(found, _MANY))
        self.found = chain(first, found)
        if self._preview is not None:
            self.found = self._preview.values(self.found)
        if len(first) < _MANY or (readers := _reader_processes(card, self._stack)) is None:
            return None
        from ptx.infer.readers import Reading

        self.found = Reading(readers, self.found, self._batch_size, first=_FIRST)
        # A small picture takes as long to read as to compute with: one processor does that. A
        # network for photographs takes longer, and all there are.
        return 1 if kind == "image" else None


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


def _reader_processes(card: Card, stack: ExitStack) -> Readers | None:
    """Processes for pictures, which take longer to read than to compute with; None for the rest."""
    from ptx.infer.preprocessing import open_preprocessing
    from ptx.infer.readers import can_fork, reader_processes

    kind = card.preprocessing["kind"]
    if kind not in ("image", "photo") or not can_fork():
        return None
    preprocessing = open_preprocessing(card.preprocessing, card.signature)
    if kind == "photo":
        return stack.enter_context(reader_processes(preprocessing))
    return stack.enter_context(reader_processes(preprocessing, ahead=_AHEAD, most=_READERS))
