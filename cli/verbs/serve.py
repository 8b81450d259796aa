"""ptx serve"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ptx import infer
from ptx.cli import options
from ptx.cli.model.opening import find_model, open_model
from ptx.cli.model.workspace import Workspace
from ptx.cli.output.terminal import note
from ptx.cli.values.number import Number
from ptx.infer.errors import BackendError, UsageError, installing
from ptx.infer.ranges import COUNT, DELAY, PORT, PROCESSES, THREADS, TIMEOUT, WAITING, Range

if TYPE_CHECKING:
    from ptx.serve import Settings, Source

F = TypeVar("F", bound=Callable[..., Any])

_NEEDED = dict.fromkeys(("httptools", "orjson", "prometheus_client"), "serve")
_NEEDED |= dict.fromkeys(("grpc", "grpc_health", "grpc_reflection", "google"), "grpc")
_UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Size(click.ParamType[int]):
    """Bytes: `65536`, `64MiB`."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        digits = value.rstrip("KMGiB")
        unit = value[len(digits) :]
        if not digits.isdigit() or unit not in _UNITS or int(digits) < 1:
            self.fail(f"{value!r} is no size; expected bytes, or a number with KiB, MiB or GiB")
        return int(digits) * _UNITS[unit]


class Port(Number):
    """A port, 0 for any that is free; `off` for none."""

    name = "port"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return None if value in (None, "off") else super().convert(value, param, ctx)


def _seconds(name: str, default: float, text: str, within: Range = TIMEOUT) -> Callable[[F], F]:
    return click.option(name, type=Number(within), default=default, show_default=True, metavar="SECONDS",
                        help=text)  # fmt: skip


def _size(name: str, default: str, text: str) -> Callable[[F], F]:
    return click.option(name, type=Size(), default=default, show_default=True, help=text)


def _count(name: str, default: int, text: str) -> Callable[[F], F]:
    return click.option(name, type=Number(COUNT), default=default, show_default=True, help=text)


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    epilog="\b\nExamples:\n  ptx serve convnet name-classifier\n"
    "  ptx serve digits=runs/convnet/convnet.onnx --port 9000 --workers 2",
    short_help="Answer over HTTP and gRPC, as a service.",
)
@click.argument(
    "models", nargs=-1, required=True, metavar="MODEL...", shell_complete=options.complete_model
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=Number(PORT), default=8000, show_default=True,
              help="Of HTTP; 0 takes any that is free.")  # fmt: skip
@click.option("--grpc-port", type=Port(PORT), default=None, metavar="PORT|off",
              help="Of gRPC, which needs ptx[grpc]; off by default.")  # fmt: skip
@options.backend
@options.device
@click.option("--threads", type=Number(THREADS), default=None, help="Of ONNX Runtime.")
@options.trust
@click.option("--workers", type=Number(PROCESSES), default=1, show_default=True,
              help="Processes on the one port.")  # fmt: skip
@_count("--max-batch", 1024, "Rows of one request, and of one run.")
@click.option("--max-delay", type=Number(DELAY), default=0.0, show_default=True,
              metavar="MS", help="Milliseconds that a batch waits for more rows.")  # fmt: skip
@_seconds("--max-wait", 1.0, "That a request may wait for its run, before it is refused.", WAITING)
@_seconds("--timeout", 60.0, "Of a run.")
@_size("--max-body", "64MiB", "Of a request, packed or not.")
@_size("--max-json", "8MiB", "Of its JSON.")
@_size("--max-memory", "1GiB", "Of all requests at once.")
@_count("--max-connections", 1024, "At once.")
@_seconds("--receive-timeout", 30.0, "For a request to arrive, and for its answer to be taken.")
@_seconds("--idle-timeout", 75.0, "Of a connection that asks nothing.", WAITING)
@_seconds("--grace", 30.0, "For what is begun, after SIGTERM.", WAITING)
@click.option("--reload", is_flag=True,
              help="Let clients and SIGHUP have the models' files read again.")  # fmt: skip
@click.option("--page/--no-page", default=True, show_default=True, help="A page to try at /.")
@click.option("--access-log", is_flag=True, help="A line of JSON on stderr for each request.")
@click.option("--token-file", type=_FILE, help="Bearer tokens, one a line; others are refused.")
@click.option("--certfile", type=_FILE, help="A certificate in PEM: HTTPS instead of HTTP.")
@click.option("--keyfile", type=_FILE, help="Its key, where it is not in the same file.")
@options.workspace
@options.common
def serve(
    models: tuple[str, ...], backend: str, device: str, threads: int | None, trust: bool,
    workspace: Path, max_delay: float, **limits: Any,
) -> int:  # fmt: skip
    """Serve each MODEL: a name of the workspace, a file, or NAME=FILE.

    The protocol is the Open Inference Protocol (KServe v2), as Triton speaks it. A request that comes
    while a run is on its way waits for its end, and all that wait go in together.

    The server ends with SIGTERM or Ctrl-C, when what it has begun is answered.
    """
    try:
        from ptx import serve as server

        settings = server.Settings(max_delay=max_delay / 1e3, **limits)
        asked = infer.Options(
            device=device, threads=threads, trust=Workspace(workspace).trust(trust)
        )
        sources = [
            _source(Workspace(workspace), model, backend, asked, settings) for model in models
        ]
        if (warning := server.warn_open(settings)) is not None:
            note(warning)
        return server.serve(sources, settings, lambda *ports: _announce(settings, sources, *ports))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _NEEDED:
            raise
        raise BackendError(f"{package} is not installed: {installing(_NEEDED[package])}") from error


def _source(
    space: Workspace, model: str, backend: str, asked: infer.Options, settings: Settings
) -> Source:
    """What reads a MODEL argument, now and at each reload."""
    from dataclasses import replace

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
        return open_model(found, replace(asked, timeout=settings.timeout if heeded else None))

    return Source(name, open_file)


def _announce(settings: Settings, sources: list[Source], port: int, grpc_port: int | None) -> None:
    scheme = "http" if settings.certfile is None else "https"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    grpc = "" if grpc_port is None else f", gRPC at {host}:{grpc_port}"
    names = ", ".join(source.name for source in sources)
    click.echo(f"serving {names} at {scheme}://{host}:{port}{grpc}; Ctrl-C ends it")
    sys.stdout.flush()
