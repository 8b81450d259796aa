"""What --describe, --labels, --mean, --std and --scale state about a bare state dict."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptx.cli.output.terminal import note
from ptx.cli.values.number import Number, Numbers
from ptx.infer.errors import UsageError
from ptx.infer.ranges import MEAN, STD, WHITE

if TYPE_CHECKING:
    from ptx.export import Statement
    from ptx.infer.described.description import Description

OPTIONS = ("labels", "mean", "std", "scale")  # beside --describe

_DECORATORS = (
    click.option("--labels", metavar="LIST|FILE",
                 help="Of a bare state dict: labels in the order of the outputs, with commas between"
                 " them, or a file with one a line."),
    click.option("--mean", type=Numbers(MEAN),
                 help="Of a bare state dict: what was taken off each pixel (or column) in training."),
    click.option("--std", type=Numbers(STD), help="And what the rest was divided by."),
    click.option("--scale", type=Number(WHITE), metavar="WHITE",
                 help="Of a bare state dict: the number of a white pixel in training: 1, or 255 for"
                 " pixels as they are. --mean and --std are on this scale."),
)  # fmt: skip


def statement_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that stand beside --describe."""
    for option in reversed(_DECORATORS):
        command = option(command)
    return command


def read_describe(path: Path) -> Description:
    """The file of --describe; a key of a former name is noted on stderr.

    Raises:
        InputError: it cannot be read, or something in it is not as it must be.
    """
    from ptx.infer.described.description import read_description

    with warnings.catch_warnings(record=True) as former:
        warnings.simplefilter("always", FutureWarning)
        description = read_description(path)
    for warning in former:
        note(str(warning.message))
    return description


def read_statement(describe: Path | None, **options: Any) -> Statement | None:
    """What the options (OPTIONS) state; None where they state nothing.

    Raises:
        UsageError: an option is not as it must be.
        InputError: the description or the file of labels cannot be read.
    """
    if describe is None and not _name_given_options(options):
        return None
    from ptx.export import Statement
    from ptx.infer.described.description import Description

    return Statement(
        description=Description() if describe is None else read_describe(describe),
        labels=_labels(options["labels"]),
        mean=options["mean"] or (),
        std=options["std"] or (),
        scale=options["scale"],
    )


def refuse_statement(**options: Any) -> None:
    """UsageError where something is stated beside the description of a network of one's own."""
    if given := _name_given_options(options):
        raise UsageError(
            f"{', '.join(given)}: of a network of your own --describe says this, under labels and"
            " preprocessing"
        )


def _name_given_options(options: dict[str, Any]) -> list[str]:
    return [f"--{name}" for name in OPTIONS if options[name] is not None]


def _labels(text: str | None) -> tuple[str, ...]:
    """The labels in a list, or in a file of that name."""
    if text is None:
        return ()
    from ptx.infer.described.description import Description

    labels: str | list[str] = text
    if "," in text and not Path(text).is_file():
        labels = [label.strip() for label in text.split(",")]
    return Description.from_data({"labels": labels}, origin="--labels").labels
