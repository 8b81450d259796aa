"""The answers of `ptx predict`: from the inputs to lines of text or JSON, and to a picture."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptx import infer
from ptx.cli.inputs import find_values, read_ahead, with_progress
from ptx.cli.opening import open_model
from ptx.cli.streams import echo, echo_error, writes_unicode
from ptx.cli.terminal import note
from ptx.infer.artifact.files import atomic_writer
from ptx.infer.errors import UsageError, escape_controls, pluralise, quote

if TYPE_CHECKING:
    from ptx import report
    from ptx.cli.opening import Found
    from ptx.cli.wanted import Wanted
    from ptx.scale import Continued


_DOUBTFUL = "the answer is doubtful: what is shown may be none of the labels, or another one"


def answer_inputs(
    inputs: tuple[str, ...], found: Found, asked: infer.Options, wanted: Wanted, workspace: Path
) -> int:
    """Answer each of the INPUTs and write the answers; the exit code."""
    preview, target = _make_preview(wanted.output, workspace, show=wanted.show)
    with ExitStack() as stack:
        former = _open_former(wanted.output, found.card, stack) if wanted.resume else None
        lines = AnswerLines(
            wanted.shows_json,
            wanted.top,
            former,
            ensure_ascii=target is None and not writes_unicode(),
        )
        values, window = find_values(inputs, found.card)
        if wanted.shard is not None or former is not None:
            from ptx import scale

            values = scale.choose(values, wanted.shard, former)
        if preview and not wanted.every:
            values = preview.values(values)
        if window and not wanted.every:
            values, threads = read_ahead(values, found.card, window, wanted.batch_size, stack)
            asked = replace(asked, threads=threads)
        predictor = stack.enter_context(
            open_model(found, asked, allow_nonfinite=wanted.allow_nonfinite)
        )
        answers = _answer(predictor, values, preview, wanted)
        if sys.stderr.isatty() and (target is not None or not sys.stdout.isatty()):
            whole = wanted.shard is None and former is None
            answers = with_progress(answers, inputs if whole else (), found.card)
        _write_lines(target, lines.of(answers), former)
    if target is not None:
        echo(f"{target}: {lines.summary()}")
    if preview:
        _finish_preview(preview, show=wanted.show)
    return 4 if lines.bad else 0


def _answer(
    predictor: infer.Predictor,
    values: Iterable[Any],
    preview: report.Preview | None,
    wanted: Wanted,
) -> Iterator[infer.Prediction | infer.Failure]:
    top = max(wanted.top, 3 if wanted.shows_json else 1, preview.bars if preview else 1)
    if wanted.every:
        return _answer_figures(predictor, values, top, preview)
    answers = predictor.predict_many(
        values, batch_size=wanted.batch_size, top=top, on_error="yield"
    )
    return preview.answers(answers, predictor) if preview else answers


def _answer_figures(
    predictor: infer.Predictor, values: Iterable[Any], top: int, preview: report.Preview | None
) -> Iterator[infer.Prediction | infer.Failure]:
    """An answer for every figure that is found, or a failure for the picture; drawn as they come."""
    for value in values:
        for answer in _figures_of(predictor, value, top):
            if preview is not None:
                preview.draw(value, answer, predictor)
            yield answer


def _figures_of(
    predictor: infer.Predictor, value: Any, top: int
) -> list[infer.Prediction] | list[infer.Failure]:
    try:
        return predictor.predict_figures(value, top=top)
    except infer.InputError as error:
        return [infer.Failure(error, value.name if isinstance(value, infer.Named) else str(value))]


class AnswerLines:
    """Answers as lines; what cannot be used goes to stderr unless JSON shows it."""

    def __init__(
        self,
        as_json: bool,
        top: int,
        former: Continued | None = None,
        *,
        ensure_ascii: bool = False,
    ) -> None:
        self.as_json, self.top, self.ensure_ascii = as_json, top, ensure_ascii
        self.good, self.bad = (0, 0) if former is None else (former.good, former.bad)

    def summary(self) -> str:
        """`12 predictions, 0 inputs that cannot be used`."""
        bad = pluralise(self.bad, "input")
        return f"{pluralise(self.good, 'prediction')}, {bad} that cannot be used"

    def of(self, answers: Iterable[infer.Prediction | infer.Failure]) -> Iterator[str]:
        """A line for each answer."""
        told: tuple[str | None, Any] | None = None  # once for all figures of a picture
        for answer in answers:
            failed = isinstance(answer, infer.Failure)
            self.bad += failed
            self.good += not failed
            if isinstance(answer, infer.Failure):
                if self.as_json:
                    yield answer.to_json(ensure_ascii=self.ensure_ascii)
                else:
                    echo_error(_failure_text(answer))
                continue
            if answer.low_confidence:
                note(f"{_name(answer)}: {_DOUBTFUL}")
            if answer.others and (answer.input, answer.others) != told:
                told = answer.input, answer.others
                note(f"{_name(answer)}: {_left_out(answer)}")
            if self.as_json:
                yield answer.to_json(ensure_ascii=self.ensure_ascii)
            else:
                yield _text(answer, self.top)


def _open_former(output: Path | None, card: infer.Card, stack: ExitStack) -> Continued:
    """The output that --resume goes on with, until the stack is closed."""
    if output is None or output.suffix not in (".json", ".jsonl"):
        raise UsageError("--resume goes on with JSON Lines: give --output FILE.jsonl")
    from ptx import scale

    return stack.enter_context(scale.continued(output, card.model))


def _write_lines(path: Path | None, lines: Iterable[str], former: Continued | None = None) -> None:
    """The lines into a file, whole or not at all, or to stdout; behind those of a `former` run."""
    if former is not None:
        former.append(lines)
        return
    if path is None:
        for line in lines:
            sys.stdout.write(f"{line}\n")  # unlike `click.echo` it flushes a terminal's lines alone
        return
    with atomic_writer(path) as write:
        for line in lines:
            # A file name may have bytes that are not UTF-8; JSON has the same escapes for them.
            write(f"{line}\n".encode(errors="backslashreplace"))


def _left_out(answer: infer.Prediction) -> str:
    """What `--all` says of things beside the figures: how many, and where."""
    places = ", ".join(
        f"{box[0]:.0%} from the left and {box[1]:.0%} from the top" for box in answer.others
    )
    return f"{pluralise(len(answer.others), 'smaller thing')} left out, {places}"


def _text(prediction: infer.Prediction, top: int) -> str:
    name = _name(prediction)
    if prediction.value is not None:
        return f"{name}: {prediction.text}"
    ranking = ", ".join(f"{label} ({100 * score:.1f} %)" for label, score in prediction.top[:top])
    return f"{name}: {ranking}"


def _name(prediction: infer.Prediction) -> str:
    name = "-" if prediction.input is None else prediction.input
    if not name.isprintable():
        name = escape_controls(name)
    if prediction.box is None:
        return name
    left, upper, right, bottom = (f"{share:.0%}" for share in prediction.box)
    return f"{name} ({left} {upper} {right} {bottom})"


def _failure_text(failure: infer.Failure) -> str:
    text = " ".join(str(failure.error).split())
    name = quote(failure.input or "")[1:-1]
    prefix = "" if name in text else f"{name}: "
    return f"ptx: error [{failure.error.code}] {prefix}{text}"


def _make_preview(
    output: Path | None, workspace: Path, *, show: bool
) -> tuple[report.Preview | None, Path | None]:
    """The picture that --show or --output asks for, and the file that is left for the answers."""
    named = output is not None and output.suffix.lower() == ".png"
    if not show and not named:
        return None, output
    from ptx import report

    path = output if output is not None and named else workspace / "preview.png"
    return report.Preview(path), None if named else output


def _finish_preview(preview: report.Preview, *, show: bool) -> None:
    """Write the picture, and open it where that was asked for."""
    note(preview.save())
    if show and _has_display():
        click.launch(str(preview.path))
    elif show:
        note(f"there is no display here: open {preview.path}")


def _has_display() -> bool:
    """Whether a picture can be shown here."""
    if sys.platform.startswith(("win", "darwin")):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
