"""What `ptx serve` is asked for, what it opens, and what it says once it serves."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ptx import infer
from ptx.cli import options
from ptx.cli.model.opening import find_model, open_model
from ptx.cli.model.workspace import Workspace
from ptx.cli.output.streams import echo
from ptx.cli.values.number import Number, Port, Size
from ptx.infer.errors import BackendError, UsageError, installing
from ptx.infer.ranges import COUNT, DELAY, PORT, PROCESSES, TIMEOUT, WAITING, Range

if TYPE_CHECKING:
    from ptx.serve import Settings, Source

F = TypeVar("F", bound=Callable[..., Any])

_NEEDED = dict.fromkeys(("httptools", "orjson"), "serve")
_NEEDED |= dict.fromkeys(("grpc", "grpc_health", "grpc_reflection", "google"), "grpc")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _seconds(name: str, default: float, text: str, within: Range = TIMEOUT) -> Callable[[F], F]:
    return click.option(name, type=Number(within), default=default, show_default=True, metavar="SECONDS",
                        help=text)  # fmt: skip


def _size(name: str, default: str, text: str) -> Callable[[F], F]:
    return click.option(name, type=Size(), default=default, show_default=True, help=text)


def _count(name: str, default: int, text: str) -> Callable[[F], F]:
    return click.option(name, type=Number(COUNT), default=default, show_default=True, help=text)


place = options.group(
    click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on."),
    click.option("--port", type=Number(PORT), default=8000, show_default=True,
                 help="Of HTTP; 0 takes any that is free."),
    click.option("--grpc-port", type=Port(PORT), default=None, metavar="PORT|off",
                 help="Of gRPC, which needs ptx[grpc]; off by default."),
)  # fmt: skip
limits = options.group(
    click.option("--workers", type=Number(PROCESSES), default=1, show_default=True,
                 help="Processes on the one port."),
    _count("--max-batch", 1024, "Rows of one request, and of one run."),
    click.option("--max-delay", type=Number(DELAY), default=0.0, show_default=True, metavar="MS",
                 help="Milliseconds that a batch waits for more rows."),
    _seconds("--max-wait", 1.0, "That a request may wait for its run, before it is refused.", WAITING),
    _seconds("--timeout", 60.0, "Of a run."),
    _size("--max-body", "64MiB", "Of a request, packed or not."),
    _size("--max-json", "8MiB", "Of its JSON."),
    _size("--max-memory", "1GiB", "Of all requests at once."),
    _count("--max-connections", 1024, "At once."),
    _seconds("--receive-timeout", 30.0, "For a request to arrive, and for its answer to be taken."),
    _seconds("--idle-timeout", 75.0, "Of a connection that asks nothing.", WAITING),
    _seconds("--grace", 30.0, "For what is begun, after SIGTERM.", WAITING),
    click.option("--reload", is_flag=True,
                 help="Let clients and SIGHUP have the models' files read again."),
    click.option("--page/--no-page", default=True, show_default=True, help="A page to try at /."),
    click.option("--access-log", is_flag=True, help="A line of JSON on stderr for each request."),
    click.option("--token-file", type=_FILE, help="Bearer tokens, one a line; others are refused."),
    click.option("--certfile", type=_FILE, help="A certificate in PEM: HTTPS instead of HTTP."),
    click.option("--keyfile", type=_FILE, help="Its key, where it is not in the same file."),
)  # fmt: skip


@contextmanager
def naming_extras() -> Iterator[None]:
    """Say of a library that is not installed which extra of ptx brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _NEEDED:
            raise
        raise BackendError(f"{package} is not installed: {installing(_NEEDED[package])}") from error


def find_source(
    space: Workspace, model: str, backend: str, asked: infer.Options, settings: Settings
) -> Source:
    """What reads a MODEL argument, now and at each reload."""
    from ptx.serve import Source

    name, equals, file = model.partition("=")
    if not equals:
        name, file = (model if space.is_name(model) else Path(model).stem), model
    if not name or not file:
        raise UsageError(f"{model!r} is no model; expected a name, a file or NAME=FILE")

    def open_file() -> infer.Predictor:
        found = find_model(space, file, backend)
        heeded = any(
            entry.reads == found.artifact.kind and "timeout" in entry.heeds
            for entry in infer.BACKENDS.values()
        )
        timeout = settings.timeout if heeded else None
        return open_model(
            found, replace(asked, timeout=timeout, threads=asked.threads or settings.threads)
        )

    return Source(name, open_file)


def announce(settings: Settings, sources: list[Source], port: int, grpc_port: int | None) -> None:
    """Say where what is served."""
    scheme = "http" if settings.certfile is None else "https"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    grpc = "" if grpc_port is None else f", gRPC at {host}:{grpc_port}"
    names = ", ".join(source.name for source in sources)
    echo(f"serving {names} at {scheme}://{host}:{port}{grpc}; Ctrl-C ends it")
    sys.stdout.flush()
