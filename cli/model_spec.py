"""What --describe, --labels, --mean, --std and --scale say about a model."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ptx.cli import options
from ptx.cli.param_types import Number, Numbers
from ptx.cli.terminal import print_note
from ptx.infer.errors import UsageError
from ptx.infer.ranges import MEAN, STD, WHITE

if TYPE_CHECKING:
    from ptx.infer.described.description import Description

stated_options = options.group(
    click.option(
        "--labels",
        metavar="LIST|FILE",
        help="Of a bare state dict: labels in the order of the outputs, with commas between"
        " them, or a file with one a line.",
    ),
    click.option(
        "--mean",
        type=Numbers(MEAN),
        help="Of a bare state dict: what was taken off each pixel (or column) in training.",
    ),
    click.option("--std", type=Numbers(STD), help="And what the rest was divided by."),
    click.option(
        "--scale",
        type=Number(WHITE),
        metavar="WHITE",
        help="Of a bare state dict: the number of a white pixel in training: 1, or 255 for"
        " pixels as they are. --mean and --std are on this scale.",
    ),
)


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
        print_note(str(warning.message))
    return description


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
        raise UsageError("the labels are stated twice, in the description and beside it")
    return replace(
        said,
        labels=labels or said.labels,
        mean=stated["mean"] or (),
        std=stated["std"] or (),
        scale=stated["scale"],
    )


def given_options(stated: dict[str, Any]) -> list[str]:
    """Those that were given, as they are typed."""
    return [f"--{name}" for name, value in stated.items() if value is not None]


def _labels(text: str | None) -> tuple[str, ...]:
    """The labels in a list, or in a file of that name."""
    if text is None:
        return ()
    from ptx.infer.described.description import Description

    labels: str | list[str] = text
    if "," in text and not Path(text).is_file():
        labels = [label.strip() for label in text.split(",")]
    return Description.from_data({"labels": labels}, origin="--labels").labels
