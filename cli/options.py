"""Options that several verbs share, each with one meaning everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ptx.cli.output.terminal import note
from ptx.infer.backends import BACKENDS, DEVICES, current_name

if TYPE_CHECKING:
    from ptx.scale import Shard

F = TypeVar("F", bound=Callable[..., Any])

DATA = ("bundled", "mnist", "fashion-mnist")


def complete_model(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of the catalog, and files."""
    return [*complete_file(ctx, param, incomplete), *complete_name(ctx, param, incomplete)]


def complete_name(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of the catalog."""
    from ptx.models import CATALOG

    return _complete_names(CATALOG, incomplete)


def complete_file(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """What the shell finds itself."""
    return [CompletionItem(incomplete, type="file")]


def complete_data(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The data sets that are meant most often, and files."""
    return [*complete_file(ctx, param, incomplete), *_complete_names(DATA, incomplete)]


def complete_from(names: Iterable[str], *, several: bool = False) -> Callable[..., Any]:
    """Completion from a list; `several`: behind commas too."""

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        before = incomplete[: incomplete.rfind(",") + 1] if several else ""
        return _complete_names([f"{before}{name}" for name in names], incomplete)

    return complete


complete_backends = complete_from(("all", *BACKENDS), several=True)


def current_backend(ctx: click.Context, param: click.Parameter, name: str) -> str:
    """The name of today for a backend that was renamed, and a word about it."""
    if name in BACKENDS or ctx.resilient_parsing:  # a completion, which imports nothing heavy
        return name

    if (today := current_name(name)) == name:
        return name
    note(f"backend {name!r} is called {today!r} now")
    return today


def current_backends(ctx: click.Context, param: click.Parameter, names: str) -> str:
    """The same for names with commas between them; `all` as it is."""
    if names == "all":
        return names
    return ",".join(current_backend(ctx, param, name.strip()) for name in names.split(","))


def parse_shard(text: str) -> Shard:
    """What --shard means."""
    from ptx import scale

    return scale.Shard.parse(text)


def one_of(names: Iterable[str]) -> str:
    """The names as a sentence of help: `auto, cpu or mps.`"""
    *names, last = names
    return f"{', '.join(names)} or {last}."


def _complete_names(names: Iterable[str], start: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(start)]


workspace = click.option(
    "--workspace",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="PTX_WORKSPACE",
    default=Path("runs"),
    show_default=True,
    help="The folder of checkpoints and artifacts; also PTX_WORKSPACE.",
)
backends = click.option(
    "--backends", default="all", show_default=True, callback=current_backends,
    shell_complete=complete_backends,
    help="all that are available here, or names with commas between them.",
)  # fmt: skip
backend = click.option(
    "--backend", default="auto", show_default=True, callback=current_backend,
    help=one_of(("auto", *BACKENDS)),
    shell_complete=complete_from(("auto", *BACKENDS)),
)  # fmt: skip
device = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="auto, cpu, cuda, cuda:1 or mps.",
    shell_complete=complete_from(DEVICES),
)
data = click.option(
    "--data", metavar="SOURCE", default=None, shell_complete=complete_data,
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
    " task, inputs, outputs, preprocessing, labels.",
)  # fmt: skip
precision = click.option(
    "--precision", type=click.Choice(["float32", "tf32"]), default="float32", show_default=True,
    help="tf32 lets CUDA round the factors of products to 10 bits: faster, and less exact.",
)  # fmt: skip
network = click.option(
    "--network", metavar="MODULE:FUNCTION", default=None,
    help="What makes the network, where MODEL is not of the catalog.",
)  # fmt: skip
shard = click.option(
    "--shard", metavar="K/N", callback=lambda ctx, param, text: text and parse_shard(text),
    help="Take the K-th of N shares of the inputs, told by their names: such as 3/16.",
)  # fmt: skip
resume = click.option(
    "--resume", is_flag=True,
    help="Write --output FILE.jsonl as answers come, and skip what it answers already.",
)  # fmt: skip
_cluster = (
    click.option("--on", type=click.Choice(["ray"]), help="Predict on a cluster, into a folder."),
    click.option("--address", help="Of the Ray cluster, such as auto; else one of this machine."),
    click.option("--column", help="Of tables: the one that is predicted."),
    click.option("--num-cpus", type=click.FloatRange(min=0, min_open=True),
                 help="Processors of a worker; 1 by default."),
    click.option("--num-gpus", type=click.FloatRange(min=0), help="GPUs of a worker, or a part of one."),
    click.option("--concurrency", type=click.IntRange(min=1),
                 help="Workers; by default as many as the cluster holds."),
)  # fmt: skip
as_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")


def cluster(command: F) -> F:
    """Add what says where a cluster is, and what each worker takes of it."""
    for option in reversed(_cluster):
        command = option(command)
    return command


def common(command: F) -> F:
    """Add what every verb has."""
    debug = click.option(
        "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
    )
    return debug(command)
