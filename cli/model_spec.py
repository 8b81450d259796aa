"""What --describe, --labels, --mean, --std and --max-pixel say about a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ptx.cli.param_types import Number, Numbers
from ptx.infer.errors import UsageError
from ptx.infer.ranges import MAX_PIXEL, MEAN, STD

if TYPE_CHECKING:
    from ptx.infer.described.description import Description

_FLAGS = {"scale": "--max-pixel"}

F = TypeVar("F", bound=Callable[..., Any])


def stated_options(command: F) -> F:
    """Add the options that say how a bare state dict was trained."""
    for option in (
        click.option(
            "--max-pixel",
            "scale",
            type=Number(MAX_PIXEL),
            help="Value of a white pixel in the training of a bare state dict: 1, or 255 if pixels were"
            " used as they are. --mean and --std are on this scale.",
        ),
        click.option(
            "--std",
            type=Numbers(STD),
            help="Divisor of each pixel or column in that training, after the mean was subtracted.",
        ),
        click.option(
            "--mean",
            type=Numbers(MEAN),
            help="Number that was subtracted from each pixel or column in the training of a bare state"
            " dict.",
        ),
        click.option(
            "--labels",
            metavar="LIST|FILE",
            help="Labels of a bare state dict in the order of the outputs, separated by commas, or a"
            " file with one label per line.",
        ),
    ):
        command = option(command)
    return command


def read_describe(path: Path) -> Description:
    """The file of --describe.

    Raises:
        InputError: it cannot be read, or something in it is not as it must be.
    """
    from ptx.infer.described.description import read_description

    return read_description(path)


def read_stated(describe: Path | None, **stated: Any) -> Description | None:
    """What the options say of a bare state dict; None where they say nothing.

    Raises:
        UsageError: an option is not as it must be.
        InputError: the description or the file of labels cannot be read.
    """
    if describe is None and not given_options(stated):
        return None
    from ptx.infer.described.description import Description

    said = Description() if describe is None else read_describe(describe)
    labels = _labels(stated["labels"])
    if labels and said.labels:
        raise UsageError("the labels are both in the file of --describe and in --labels: give one")
    return replace(
        said,
        labels=labels or said.labels,
        mean=stated["mean"] or (),
        std=stated["std"] or (),
        scale=stated["scale"],
    )


def given_options(stated: dict[str, Any]) -> list[str]:
    """The options that were given."""
    return [_FLAGS.get(name, f"--{name}") for name, value in stated.items() if value is not None]


def _labels(text: str | None) -> tuple[str, ...]:
    """The labels in a list, or in a file of that name."""
    if text is None:
        return ()
    from ptx.infer.described.description import Description

    labels: str | list[str] = text
    if "," in text and not Path(text).is_file():
        labels = [label.strip() for label in text.split(",")]
    return Description.from_data({"labels": labels}, origin="--labels").labels
