"""Options of `ptx serve`, and what it opens."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ptx import infer
from ptx.cli import options
from ptx.cli.opening import open_model, resolve_model
from ptx.cli.param_types import Number, Port, Size
from ptx.cli.streams import echo
from ptx.cli.workspace import Workspace
from ptx.infer.errors import BackendError, UsageError, installing
from ptx.infer.ranges import COUNT, DELAY, PORT, PROCESSES, TIMEOUT, WAITING, Range

if TYPE_CHECKING:
    from ptx.serve import ModelSource, ServerSettings

F = TypeVar("F", bound=Callable[..., Any])

_EXTRAS = dict.fromkeys(
    ("httptools", "orjson", "prometheus_client", "starlette", "uvicorn"), "serve"
)
_EXTRAS |= dict.fromkeys(("grpc", "grpc_health", "grpc_reflection", "google"), "grpc")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _seconds(name: str, default: float, text: str, within: Range = TIMEOUT) -> Callable[[F], F]:
    return click.option(
        name, type=Number(within), default=default, show_default=True, metavar="SECONDS", help=text
    )


def _size(name: str, default: str, text: str) -> Callable[[F], F]:
    return click.option(name, type=Size(), default=default, show_default=True, help=text)


def _count(name: str, default: int, text: str) -> Callable[[F], F]:
    return click.option(name, type=Number(COUNT), default=default, show_default=True, help=text)


server_options = options.group(
    click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
    click.option(
        "--port",
        type=Number(PORT),
        default=8000,
        show_default=True,
        help="Port of HTTP; 0 takes any free one.",
    ),
    click.option(
        "--grpc-port",
        type=Port(PORT),
        default=None,
        metavar="PORT|off",
        help="Port of gRPC, which needs the extra `grpc`; off by default.",
    ),
    click.option(
        "--workers",
        type=Number(PROCESSES),
        default=1,
        show_default=True,
        help="Number of processes.",
    ),
    _seconds("--keep-alive", 75.0, "Time after which an idle connection is closed.", WAITING),
    _seconds("--grace", 30.0, "Time for requests in progress after SIGTERM.", WAITING),
    click.option("--certfile", type=_FILE, help="Certificate in PEM: HTTPS instead of HTTP."),
    click.option("--keyfile", type=_FILE, help="Its private key, if it is not in the same file."),
)
limit_options = options.group(
    _count("--max-batch", 1024, "Rows of one request."),
    click.option(
        "--max-delay",
        type=Number(DELAY),
        default=0.0,
        show_default=True,
        metavar="MS",
        help="Milliseconds that a batch waits for more requests.",
    ),
    _seconds("--max-wait", 1.0, "Time that a request may wait for its run.", WAITING),
    _seconds("--timeout", 60.0, "Time limit of a run."),
    _size("--max-body", "64MiB", "Size of a request's body, compressed or not."),
    _size("--max-json", "8MiB", "Size of the JSON in it."),
    _size("--max-memory", "1GiB", "Size of the bodies of all requests together."),
    _count("--max-requests", 1024, "Requests in progress at the same time."),
    _seconds("--receive-timeout", 30.0, "Time for the body of a request to arrive."),
    click.option(
        "--reload", is_flag=True, help="Let clients and SIGHUP have the models' files read again."
    ),
    click.option(
        "--page/--no-page", default=True, show_default=True, help="A page to try the models."
    ),
    click.option("--access-log", is_flag=True, help="A line of JSON on stderr for each request."),
    click.option(
        "--allowed-host",
        "allowed_hosts",
        multiple=True,
        metavar="HOST",
        help="Host names that requests may be for, as *.example.org; any by default.",
    ),
    click.option("--token-file", type=_FILE, help="Bearer tokens, one a line; others are refused."),
)


@contextmanager
def naming_extras() -> Iterator[None]:
    """Add to the error for a missing library which extra of ptx installs it."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        raise BackendError(f"{package} is not installed: {installing(_EXTRAS[package])}") from error


def find_source(
    space: Workspace, model: str, backend: str, settings: infer.Options, server: ServerSettings
) -> ModelSource:
    """What opens a MODEL argument, at the start and at each reload."""
    from ptx.serve import ModelSource

    name, equals, file = model.partition("=")
    if not equals:
        name, file = (model if space.is_name(model) else Path(model).stem), model
    if not name or not file:
        raise UsageError(f"{model!r} is not a model; expected a name, a file or NAME=FILE")
    threads = settings.threads or server.threads_per_worker
    open_file = partial(_open, space, file, backend, replace(settings, threads=threads))
    return ModelSource(name, open_file)


def _open(space: Workspace, file: str, backend: str, settings: infer.Options) -> infer.Predictor:
    model = resolve_model(space, file, backend)
    supported = any(
        entry.reads == model.artifact.kind and "timeout" in entry.heeds
        for entry in infer.BACKENDS.values()
    )
    return open_model(model, settings if supported else replace(settings, timeout=None))


def announce(
    server: ServerSettings, sources: list[ModelSource], port: int, grpc_port: int | None
) -> None:
    """Print what is served, and where."""
    scheme = "http" if server.certfile is None else "https"
    host = f"[{server.host}]" if ":" in server.host else server.host
    grpc = "" if grpc_port is None else f", gRPC at {host}:{grpc_port}"
    names = ", ".join(source.name for source in sources)
    echo(f"serving {names} at {scheme}://{host}:{port}{grpc}; Ctrl-C ends it")
    sys.stdout.flush()
