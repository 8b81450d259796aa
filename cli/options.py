"""Options that several verbs share, each with one meaning everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

workspace = click.option(
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="PTX_WORKSPACE",
    default=Path("runs"),
    show_default=True,
    help="The folder of checkpoints and artifacts; also PTX_WORKSPACE.",
)
backend = click.option(
    "--backend", default="auto", show_default=True,
    help="auto, eager, torchscript, exported, ort-cpu or ort-cuda.",
)  # fmt: skip
device = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps."
)
data = click.option(
    "--data", metavar="SOURCE", default=None,
    help="bundled, mnist, fashion-mnist, a folder of class folders, or a CSV file. By default the"
    " model's documented data where it is found (under PTX_DATA or in the workspace), else bundled.",
)  # fmt: skip
trust = click.option(
    "--trust", is_flag=True,
    help="Run a TorchScript or .pt2 file that this workspace did not export. Such a file is a program.",
)  # fmt: skip
describe = click.option(
    "--describe", "--signature", "describe", type=click.Path(path_type=Path), metavar="FILE",
    help="What ptx cannot know of a model of your own or an ONNX file of others, in TOML or JSON: name,"
    " task, inputs, outputs, preprocess, labels.",
)  # fmt: skip
network = click.option(
    "--network", metavar="MODULE:FUNCTION", default=None,
    help="What makes the network, where MODEL is not of the catalog.",
)  # fmt: skip
as_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")


def common(command: F) -> F:
    """Add what every verb has."""
    debug = click.option(
        "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
    )
    return debug(command)
