"""The answers of `ptx predict`: as lines of text or JSON, and as a picture."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptx import infer, scale
from ptx.cli.output.terminal import note
from ptx.infer.artifact.files import atomic_writer
from ptx.infer.errors import UsageError, escape_controls, pluralise, quote

if TYPE_CHECKING:
    from ptx import report
    from ptx.scale import Continued


_DOUBTFUL = "the answer is doubtful: what is shown may be none of the labels, or another one"


class AnswerLines:
    """Answers as lines; what cannot be used goes to stderr unless JSON shows it."""

    def __init__(self, as_json: bool, top: int, former: Continued | None = None) -> None:
        self.as_json, self.top = as_json, top
        self.good, self.bad = (0, 0) if former is None else (former.good, former.bad)

    def summary(self) -> str:
        """`12 predictions, 0 inputs that cannot be used`."""
        bad = pluralise(self.bad, "input")
        return f"{pluralise(self.good, 'prediction')}, {bad} that cannot be used"

    def of(self, answers: Iterable[infer.Prediction | infer.Failure]) -> Iterator[str]:
        """A line for each answer."""
        for answer in answers:
            failed = isinstance(answer, infer.Failure)
            self.bad += failed
            self.good += not failed
            if isinstance(answer, infer.Failure):
                if self.as_json:
                    yield answer.to_json()
                else:
                    click.echo(_failure_text(answer), err=True)
                continue
            if answer.doubtful:
                note(f"{_name(answer)}: {_DOUBTFUL}")
            yield answer.to_json() if self.as_json else _text(answer, self.top)


def open_former(output: Path | None, card: infer.Card, stack: ExitStack) -> Continued:
    """The output that --resume goes on with, until the stack is closed."""
    if output is None or output.suffix not in (".json", ".jsonl"):
        raise UsageError("--resume goes on with JSON Lines: give --output FILE.jsonl")
    return stack.enter_context(scale.continued(output, card.model))


def write_lines(path: Path | None, lines: Iterable[str], former: Continued | None = None) -> None:
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
            write(f"{line}\n".encode())


def _text(prediction: infer.Prediction, top: int) -> str:
    name = _name(prediction)
    if prediction.value is not None:
        return f"{name}: {prediction.text}"
    ranking = ", ".join(f"{label} ({100 * score:.1f} %)" for label, score in prediction.top[:top])
    return f"{name}: {ranking}"


def _name(prediction: infer.Prediction) -> str:
    name = _printable(prediction.input)
    if prediction.box is None:
        return name
    left, upper, right, bottom = (f"{share:.0%}" for share in prediction.box)
    return f"{name} ({left} {upper} {right} {bottom})"


def _failure_text(failure: infer.Failure) -> str:
    text = " ".join(str(failure.error).split())
    name = quote(failure.input or "")[1:-1]
    prefix = "" if name in text else f"{name}: "
    return f"ptx: error [{failure.error.code}] {prefix}{text}"


def _printable(name: str | None) -> str:
    return "-" if name is None else escape_controls(name)


def make_preview(
    output: Path | None, workspace: Path, *, show: bool
) -> tuple[report.Preview | None, Path | None]:
    """The picture that --show or --output asks for, and the file that is left for the answers."""
    named = output is not None and output.suffix.lower() == ".png"
    if not show and not named:
        return None, output
    from ptx import report

    path = output if output is not None and named else workspace / "preview.png"
    return report.Preview(path), None if named else output


def finish_preview(preview: report.Preview, *, show: bool) -> None:
    """Write the picture, and open it where that was asked for."""
    note(preview.save())
    if show and has_display():
        click.launch(str(preview.path))
    elif show:
        note(f"there is no display here: open {preview.path}")


def has_display() -> bool:
    """Whether a picture can be shown here."""
    if sys.platform.startswith(("win", "darwin")):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
