"""ptx serve"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ptx import infer
from ptx.cli import options
from ptx.cli.model import open_model, resolve_model
from ptx.cli.param_types import Number, Port, Size
from ptx.cli.streams import echo
from ptx.cli.terminal import print_note
from ptx.cli.workspace import Workspace
from ptx.infer.backends import backend_names, supports
from ptx.infer.errors import BackendError, UsageError, install_hint
from ptx.infer.ranges import COUNT, DELAY, PORT, PROCESSES, SHARE, TIMEOUT, WAITING, Range

if TYPE_CHECKING:
    from ptx.serve import ModelSource, ServerSettings

F = TypeVar("F", bound=Callable[..., Any])

_EXTRAS = dict.fromkeys(
    ("httptools", "orjson", "prometheus_client", "python_multipart", "starlette", "uvicorn"),
    "serve",
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


@click.command(
    epilog="\b\nExamples:\n  ptx serve convnet name-classifier\n"
    "  ptx serve digits=runs/convnet/convnet.onnx --port 9000 --workers 2",
    short_help="Serve models over HTTP and gRPC.",
)
@click.argument(
    "models", nargs=-1, required=True, metavar="MODEL...", shell_complete=options.complete_model
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=Number(PORT),
    default=8000,
    show_default=True,
    help="Port for HTTP; 0 for any free port.",
)
@click.option(
    "--grpc-port",
    type=Port(PORT),
    default=None,
    metavar="PORT|off",
    help="Port for gRPC, which needs the extra `grpc`; off by default.",
)
@click.option(
    "--workers",
    type=Number(PROCESSES),
    default=1,
    show_default=True,
    help="Number of server processes.",
)
@_seconds("--keep-alive", 75.0, "Time after which an idle connection is closed.", WAITING)
@_seconds("--grace", 30.0, "Time for requests in progress to finish after SIGTERM.", WAITING)
@click.option("--certfile", type=_FILE, help="Certificate in PEM, for HTTPS instead of HTTP.")
@click.option("--keyfile", type=_FILE, help="Private key in PEM, if it is not in --certfile.")
@options.backend
@options.device
@options.threads
@options.trust
@options.spec_file
@_count("--max-batch", 1024, "Largest number of rows in a request.")
@click.option(
    "--max-delay",
    type=Number(DELAY),
    default=0.0,
    show_default=True,
    metavar="MS",
    help="Time in milliseconds that a batch waits for more requests.",
)
@_seconds("--max-wait", 1.0, "Time that a request may wait for its batch.", WAITING)
@_seconds("--timeout", 60.0, "Time limit for running a batch.")
@_size("--max-body", "64MiB", "Largest body of a request, compressed or not.")
@_size("--max-json", "8MiB", "Largest JSON part of that body.")
@_size("--max-memory", "1GiB", "Largest total size of the bodies of all requests in progress.")
@_count("--max-requests", 1024, "Largest number of requests in progress.")
@_seconds("--receive-timeout", 30.0, "Time for the body of a request to arrive.")
@click.option(
    "--reload",
    is_flag=True,
    help="Allow clients and SIGHUP to reload the models from their files.",
)
@click.option(
    "--page/--no-page",
    default=True,
    show_default=True,
    help="Serve an HTML page to try the models.",
)
@click.option("--access-log", is_flag=True, help="Log each request as a line of JSON on stderr.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="HOST",
    help="Host name in the requests that are accepted, such as *.example.org; repeat it for several. All"
    " are accepted by default.",
)
@click.option(
    "--token-file",
    type=_FILE,
    help="File of bearer tokens, one per line. A request without one of these tokens is refused.",
)
@click.option(
    "--shadow",
    "shadows",
    multiple=True,
    metavar="[NAME=]FILE",
    help="Another file of a model, which computes a share of its requests for comparison; repeat it for"
    " several models.",
)
@click.option(
    "--share",
    type=Number(SHARE),
    default=0.01,
    show_default=True,
    help="Share of the requests that the --shadow file also computes.",
)
@click.option(
    "--shadow-backend",
    metavar="NAME",
    default="auto",
    show_default=True,
    shell_complete=options.complete(lambda: ("auto", *backend_names())),
    help="Backend that runs the --shadow file.",
)
@click.option(
    "--keep-inputs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder in which to save the inputs with the largest --shadow errors, at most 20 per process.",
)
@options.workspace
@options.common
def serve(
    models: tuple[str, ...],
    backend: str,
    device: str,
    threads: int | None,
    trust: bool,
    spec_file: Path | None,
    workspace: Path,
    max_delay: float,
    token_file: Path | None,
    allowed_hosts: tuple[str, ...],
    shadows: tuple[str, ...],
    share: float,
    shadow_backend: str,
    keep_inputs: Path | None,
    **values: Any,
) -> int:
    """Serve each MODEL: the name of a model in the workspace, a file, or NAME=FILE.

    The protocol is the Open Inference Protocol (KServe v2), as in Triton. Requests that arrive while a
    batch runs form the next batch.

    With --shadow, another file computes a share of the requests after they were answered. /metrics
    reports its errors, the changed labels and its latency.

    SIGTERM or Ctrl-C stops the server after the requests in progress are answered.
    """
    space = Workspace(workspace)
    with _naming_extras():
        from ptx import serve as serve_package

        server = options.as_dataclass(serve_package.ServerSettings, values)
        settings = serve_package.Settings(
            max_delay=max_delay / 1e3,
            tokens=serve_package.read_tokens(token_file),
            allowed_hosts=allowed_hosts or ("*",),
            **values,
        )
        loading = infer.Options(
            device=device, threads=threads, trust=space.trust(trust), timeout=settings.timeout
        )
        if spec_file is not None and len(models) > 1:
            raise UsageError("--spec can be used with one model only: serve the others separately")
        sources = [
            find_source(space, model, backend, loading, server, spec_file) for model in models
        ]
        find_shadow = partial(
            find_source,
            space,
            backend=shadow_backend,
            loading=replace(loading, threads=1),
            server=server,
            spec_file=spec_file,
        )
        sources = _add_shadows(sources, shadows, find_shadow, share, keep_inputs)
        if (warning := serve_package.open_access_warning(settings, server)) is not None:
            print_note(warning)
        serve_package.serve(sources, settings, server, partial(_announce, server, sources))
        return 0


@contextmanager
def _naming_extras() -> Iterator[None]:
    """Name the extra of ptx that installs a missing library."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        raise BackendError(
            f"{package} is not installed: {install_hint(_EXTRAS[package])}"
        ) from error


def find_source(
    space: Workspace,
    model: str,
    backend: str,
    loading: infer.Options,
    server: ServerSettings,
    spec_file: Path | None = None,
) -> ModelSource:
    """The source of a MODEL argument, which is opened at the start and at each reload."""
    from ptx.serve import ModelSource

    name, equals, file = model.partition("=")
    if not equals:
        name, file = (model if space.is_name(model) else Path(model).stem), model
    if not name or not file:
        raise UsageError(f"{model!r} is not a model; expected a name, a file or NAME=FILE")
    threads = loading.threads or server.threads_per_worker
    return ModelSource(
        name, partial(_open, space, file, backend, replace(loading, threads=threads), spec_file)
    )


def _add_shadows(
    sources: Sequence[ModelSource],
    shadows: Sequence[str],
    find: Callable[[str], ModelSource],
    share: float,
    keep: Path | None,
) -> list[ModelSource]:
    """The sources with their shadows from --shadow."""
    from ptx.serve import ShadowSource

    by_name: dict[str, ShadowSource] = {}
    for argument in shadows:
        name, equals, _ = argument.partition("=")
        if not equals:
            if len(sources) > 1:
                raise UsageError(
                    f"--shadow {argument}: expected NAME=FILE, because several models are served"
                )
            name = sources[0].name
            argument = f"{name}={argument}"
        if name not in {source.name for source in sources}:
            served = ", ".join(source.name for source in sources)
            raise UsageError(f"--shadow {argument}: {name!r} is not served; expected {served}")
        by_name[name] = ShadowSource(find(argument).open, share, keep)
    return [replace(source, shadow=by_name.get(source.name)) for source in sources]


def _open(
    space: Workspace, file: str, backend: str, loading: infer.Options, spec_file: Path | None
) -> infer.Predictor:
    model = resolve_model(space, file, backend, spec_file=spec_file, raw=True)
    timeout = loading.timeout if supports("timeout", backend, model.artifact.kind) else None
    return open_model(model, replace(loading, timeout=timeout))


def _announce(
    server: ServerSettings, sources: list[ModelSource], port: int, grpc_port: int | None
) -> None:
    """Print what is served, and where."""
    scheme = "http" if server.certfile is None else "https"
    host = f"[{server.host}]" if ":" in server.host else server.host
    grpc = "" if grpc_port is None else f", gRPC at {host}:{grpc_port}"
    names = ", ".join(source.name for source in sources)
    echo(f"serving {names} at {scheme}://{host}:{port}{grpc}; Ctrl-C stops it")
    sys.stdout.flush()
