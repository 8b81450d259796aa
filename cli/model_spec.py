"""The options --spec, --labels, --mean, --std and --max-pixel."""

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
    from ptx.infer.external.spec import ModelSpec

_FLAGS = {"scale": "--max-pixel"}

F = TypeVar("F", bound=Callable[..., Any])


def override_options(command: F) -> F:
    """Add the options that override how a bare state dict was trained."""
    for option in (
        click.option(
            "--max-pixel",
            "scale",
            type=Number(MAX_PIXEL),
            help="Value of a white pixel in training, for a bare state dict: 1, or 255 if pixels were"
            " not scaled. --mean and --std are on this scale.",
        ),
        click.option(
            "--std",
            type=Numbers(STD),
            help="Standard deviation by which training divided each pixel or column, for a bare state"
            " dict.",
        ),
        click.option(
            "--mean",
            type=Numbers(MEAN),
            help="Mean that training subtracted from each pixel or column, for a bare state dict.",
        ),
        click.option(
            "--labels",
            metavar="LIST|FILE",
            help="Labels in the order of the outputs, for a bare state dict: separated by commas, or a"
            " file with one label per line.",
        ),
    ):
        command = option(command)
    return command


def read_spec_file(path: Path) -> ModelSpec:
    """Read the file of --spec.

    Raises:
        InputError: it cannot be read, or is not a valid model spec.
    """
    from ptx.infer.external.spec import read_spec

    return read_spec(path)


def read_overrides(spec_file: Path | None, **overrides: Any) -> ModelSpec | None:
    """The overrides for a bare state dict; None without any option.

    Raises:
        UsageError: an option is not valid.
        InputError: the model spec or the file of labels cannot be read.
    """
    if spec_file is None and not used_options(overrides):
        return None
    from ptx.infer.external.spec import ModelSpec

    spec = ModelSpec() if spec_file is None else read_spec_file(spec_file)
    labels = _labels(overrides["labels"])
    if labels and spec.labels:
        raise UsageError("labels are both in the --spec file and in --labels: remove one of them")
    return replace(
        spec,
        labels=labels or spec.labels,
        mean=overrides["mean"] or (),
        std=overrides["std"] or (),
        scale=overrides["scale"],
    )


def used_options(overrides: dict[str, Any]) -> list[str]:
    """The names of the options on the command line."""
    return [_FLAGS.get(name, f"--{name}") for name, value in overrides.items() if value is not None]


def _labels(text: str | None) -> tuple[str, ...]:
    """The labels in `text`, which is a list or the path of a file."""
    if text is None:
        return ()
    from ptx.infer.external.spec import ModelSpec

    labels: str | list[str] = text
    if "," in text and not Path(text).is_file():
        labels = [label.strip() for label in text.split(",")]
    return ModelSpec.from_data({"labels": labels}, origin="--labels").labels
