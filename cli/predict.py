"""ptx predict"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptx.cli import options

if TYPE_CHECKING:
    from ptx.infer import Failure, Prediction, Predictor


@click.command(
    epilog="\b\nExamples:\n  ptx predict digit.png --backend ort-cpu\n"
    '  ptx predict Satoshi "O\'Brien" --model name-classifier --top 3',
    short_help="Predict pictures, texts or numbers.",
)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--model", default="convnet", show_default=True,
              help="A name of the catalog, or the path of an artifact or checkpoint.")  # fmt: skip
@options.backend
@options.device
@options.trust
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True,
              help="How many labels to show; JSON shows at least three.")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(min=1), default=256, show_default=True)
@options.describe
@options.as_json
@click.option("--output", type=click.Path(path_type=Path),
              help="Write JSON Lines (.json, .jsonl) or text to this file.")  # fmt: skip
@options.workspace
@options.common
def predict(
    inputs: tuple[str, ...],
    model: str,
    backend: str,
    device: str,
    trust: bool,
    top: int,
    batch_size: int,
    describe: Path | None,
    as_json: bool,
    output: Path | None,
    workspace: Path,
) -> int:
    """Predict each INPUT: a picture, a folder, a glob, or - for standard input.

    For models that do not take pictures an INPUT is a text or a number, a .csv or a .npy file; lines on
    standard input are one INPUT each. A negative number goes behind --.

    Inputs that cannot be used have their line, the others are answered, and the exit code is 4.
    """
    from ptx.cli.inputs import find_inputs
    from ptx.infer.files import check_writable

    if output is not None:
        check_writable(output)
        as_json = as_json or output.suffix in (".json", ".jsonl")
    with open_model(model, backend, device, workspace, trust=trust, describe=describe) as predictor:
        kind = str(predictor.card.preprocessing["kind"])
        answers = predictor.predict_many(
            find_inputs(inputs, kind),
            batch_size=batch_size,
            top=max(top, 3) if as_json else top,
            on_error="yield",
        )
        lines = _Lines(as_json, top)
        if output is None:
            for line in lines.of(answers):
                click.echo(line)
        else:
            _write(output, lines.of(answers))
    if output is not None:
        click.echo(f"{output}: {lines.good} predictions, {lines.bad} inputs that cannot be used")
    return 4 if lines.bad else 0


def open_model(
    model: str,
    backend: str,
    device: str,
    workspace: Path,
    *,
    trust: bool,
    describe: Path | None = None,
) -> Predictor:
    """The predictor for a MODEL argument; says on stderr what `auto` took."""
    from ptx.cli.terminal import note
    from ptx.cli.workspace import Workspace
    from ptx.infer.artifact import read_artifact
    from ptx.infer.backends import Options
    from ptx.infer.errors import BackendError
    from ptx.infer.loading import load, open_predictor

    space = Workspace(workspace)
    trusted = space.trust(trust)
    if describe is not None:
        return load(space.find(model), backend=backend, device=device, describe=describe)
    if backend != "auto":
        kind = backend_kind(backend)
        return load(space.find(model, kind), backend=backend, device=device, trust=trusted)
    paths = list(space.files(model).values()) or [space.find(model)]
    for index, path in enumerate(paths):
        try:
            predictor = open_predictor(
                read_artifact(path), backend="auto", options=Options(device=device, trust=trusted)
            )
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
    return json.dumps(answer.to_data(), ensure_ascii=False, allow_nan=False)


def _text(prediction: Prediction, top: int) -> str:
    name = _printable(prediction.input)
    if prediction.value is not None:
        return f"{name}: {prediction.value:.6g}"
    ranking = ", ".join(f"{label} ({100 * score:.1f} %)" for label, score in prediction.top[:top])
    return f"{name}: {ranking}"


def _failure_text(failure: Failure) -> str:
    text = " ".join(str(failure.error).split())
    name = _printable(failure.input)
    prefix = "" if name in text or failure.input is None else f"{name}: "
    return f"ptx: error [{failure.error.code}] {prefix}{text}"


def _printable(name: str | None) -> str:
    from ptx.infer.errors import quoted

    return "-" if name is None else quoted(name)[1:-1]


def _write(path: Path, lines: Iterable[str]) -> None:
    from ptx.infer.files import write_atomic

    write_atomic(path, "".join(f"{line}\n" for line in lines).encode())
