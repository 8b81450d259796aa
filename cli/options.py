"""Options that several commands share, with the same meaning and help in each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from click.shell_completion import CompletionItem

from ptx.cli.param_types import Number
from ptx.cli.time_limit import time_limit as time_limit
from ptx.infer.backends import DEVICES, backend_names
from ptx.infer.errors import UsageError, quote
from ptx.infer.ranges import THREADS

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")

DATA = ("bundled", "mnist", "fashion-mnist")


def complete(
    names: Callable[[], Iterable[str]] = tuple, *, files: bool = False, several: bool = False
) -> Callable[..., list[CompletionItem]]:
    """A completion function for an option or argument.

    Args:
        names: Returns the names to complete.
        files: Whether the shell also completes paths.
        several: Whether the value is a list of names, separated by commas.
    """

    def items(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before = incomplete[: incomplete.rfind(",") + 1] if several else ""
        candidates = (f"{before}{name}" for name in names())
        shell = [CompletionItem(incomplete, type="file")] if files else []
        return [
            *shell,
            *(CompletionItem(name) for name in candidates if name.startswith(incomplete)),
        ]

    return items


def _catalog() -> Iterable[str]:
    from ptx.models import CATALOG

    return CATALOG


class ListingOption(click.Option):
    """An option that takes names, which are looked up only for its help and its completion.

    Args:
        names: Lists them.
        several: As in `complete`.
    """

    def __init__(
        self, *args: Any, names: Callable[[], Iterable[str]], several: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, shell_complete=complete(names, several=several), **kwargs)
        self._names, self._text = names, self.help

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        self.help = f"{self._text} Names: {', '.join(self._names())}."
        return super().get_help_record(ctx)


complete_file = complete(files=True)
complete_name = complete(_catalog)
complete_model = complete(_catalog, files=True)
complete_data = complete(lambda: DATA, files=True)


def _parse_backends(
    ctx: click.Context, param: click.Parameter, text: str
) -> tuple[str, ...] | None:
    """Split a list of backend names; None for `all`."""
    if text == "all":
        return None
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if names.count(name) > 1 and not ctx.resilient_parsing:
            raise UsageError(f"--backends lists {quote(name)} twice: remove one")
    return names


workspace = click.option(
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="PTX_WORKSPACE",
    default=Path("runs"),
    show_default=True,
    show_envvar=True,
    help="Folder of checkpoints and artifacts.",
)
backends = click.option(
    "--backends",
    metavar="NAMES",
    default="all",
    show_default=True,
    callback=_parse_backends,
    cls=ListingOption,
    names=lambda: ("all", *backend_names()),
    several=True,
    help="Backends, separated by commas, or all that are available here.",
)
backend = click.option(
    "--backend",
    metavar="NAME",
    default="auto",
    show_default=True,
    cls=ListingOption,
    names=lambda: ("auto", *backend_names()),
    help="Backend that runs the model.",
)
device = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="Device to run on: auto, cpu, cuda, cuda:1 or mps.",
    shell_complete=complete(lambda: DEVICES),
)
data = click.option(
    "--data",
    metavar="SOURCE",
    default=None,
    shell_complete=complete_data,
    help="Data set: bundled, mnist, fashion-mnist, a folder with one subfolder per class, or a CSV file."
    " The default is the data set of the model's source if it is in PTX_DATA or in the workspace, else"
    " bundled.",
)
trust = click.option(
    "--trust",
    is_flag=True,
    help="Allow a TorchScript or .pt2 file to run code even if this workspace did not export it.",
)
spec_file = click.option(
    "--spec",
    "spec_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML or JSON file that describes a network of your own, or an ONNX file that ptx did not"
    " export: its name, task, inputs, outputs, preprocessing and labels.",
)
threads = click.option(
    "--threads",
    type=Number(THREADS),
    help="Number of threads for ONNX Runtime and OpenVINO. The runtime decides by default.",
)
precision = click.option(
    "--precision",
    type=click.Choice(["float32", "tf32"]),
    default="float32",
    show_default=True,
    help="Precision of matrix products on CUDA. tf32 is faster and less exact: it rounds the factors to"
    " 10 bits.",
)
network = click.option(
    "--network",
    metavar="MODULE:FUNCTION",
    default=None,
    help="Function that returns the network, for a model that is not in the catalog.",
)
allow_nonfinite = click.option(
    "--allow-nonfinite",
    is_flag=True,
    help="Accept infinities and NaN in inputs and outputs, such as -inf in a mask.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def output(text: str) -> Callable[[F], F]:
    """The option --output with a help text of its own."""
    return click.option("--output", type=click.Path(path_type=Path), help=text)


def common(command: F) -> F:
    """Add the options that every command has."""
    debug = click.option(
        "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
    )
    return debug(command)


def as_dataclass(record: type[R], values: dict[str, Any]) -> R:
    """Move the options that are fields of `record` out of `values` into an instance of it."""
    return record(**{field.name: values.pop(field.name) for field in fields(cast("Any", record))})
