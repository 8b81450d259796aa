"""`ptx serve`: the application on uvicorn, in one process or several, with gRPC next to it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import ssl
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.supervisors import Multiprocess

from ptx.infer import PtxError, UsageError
from ptx.serve.asgi import build_app
from ptx.serve.http_protocol import HttpProtocol
from ptx.serve.metrics import Metrics
from ptx.serve.registry import ModelSource, Registry
from ptx.serve.service import Service
from ptx.serve.settings import ServerSettings, Settings
from ptx.serve.tracing import Tracing

_M_MMAP_THRESHOLD = -3  # of malloc.h
_PR_SET_PDEATHSIG = 1  # of sys/prctl.h
_START_SECONDS = 600  # for all workers to open their models
OnStarted = Callable[[int, int | None], None]  # gets the ports of HTTP and gRPC


def serve(
    sources: Sequence[ModelSource],
    settings: Settings,
    server: ServerSettings,
    on_started: OnStarted,
) -> None:
    """Serve models until SIGTERM or SIGINT, and finish the requests in progress.

    Args:
        sources: The models, each with a name of its own.
        settings: Limits of the application.
        server: Sockets and processes.
        on_started: Called once requests are accepted, with the ports of HTTP and gRPC.

    Raises:
        PtxError: a model cannot be served, or a port, certificate or option cannot be used.
    """
    _check_certificate(server)
    with ExitStack() as stack:
        sock = stack.enter_context(_bind(server.host, server.port, "--port"))
        port = sock.getsockname()[1]
        if (
            server.grpc_port is not None
        ):  # only a check: grpc binds the port itself, in each process
            with _bind(server.host, server.grpc_port, "--grpc-port") as probe:
                server = replace(server, grpc_port=probe.getsockname()[1])
        config = uvicorn_config(_Factory(tuple(sources), settings, server), server)
        # uvicorn raises the signal again at its end; ignore it, so that the process exits normally.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        started = partial(on_started, port, server.grpc_port)
        if server.workers == 1:
            _Server(config, started).run(sockets=[sock])
            return
        for source in sources:  # so that an error of a model is reported once, not by each worker
            Registry([source], settings, Metrics()).close()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(tempfile.TemporaryDirectory())
        _Supervisor(config, [sock], started).run()


def uvicorn_config(factory: Callable[[], Any], server: ServerSettings) -> uvicorn.Config:
    """The configuration of uvicorn for an application that `factory` makes in each process."""
    return uvicorn.Config(
        factory,
        factory=True,
        http=HttpProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        workers=server.workers,
        timeout_keep_alive=round(server.keep_alive),
        timeout_graceful_shutdown=round(server.grace),
        timeout_worker_healthcheck=30,
        ssl_certfile=server.certfile,
        ssl_keyfile=server.keyfile,
    )


def application(service: Service, server: ServerSettings, tracing: Tracing) -> Any:
    """The ASGI application of `ptx serve`, with traces; while it runs, gRPC is served too."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if service.settings.reload and server.workers == 1:
            _reload_on_sighup(service)
        if server.grpc_port is None:
            yield
        else:
            from ptx.serve.grpc.servicer import grpc_server

            async with grpc_server(service, server, tracing):
                yield
        service.registry.close()
        tracing.close()

    return tracing.wrap(build_app(service, lifespan))


@dataclass(frozen=True)
class _Factory:
    """Makes the application; picklable, since uvicorn starts workers with `spawn`."""

    sources: tuple[ModelSource, ...]
    settings: Settings
    server: ServerSettings

    def __call__(self) -> Any:
        _return_large_blocks()
        if self.server.workers > 1:
            _end_with_parent()
        # On SIGHUP the supervisor restarts the workers, one after the other.
        reload_others = partial(os.kill, os.getppid(), signal.SIGHUP)
        on_reload = reload_others if self.server.workers > 1 else lambda: None
        service = Service(self.sources, self.settings, on_reload)
        return application(service, self.server, Tracing())


def _return_large_blocks() -> None:
    """Make glibc return the memory of large bodies to the system.

    By default each freed block raises the threshold for this, up to 32 MiB: after 32 bodies of 60 MiB
    the process kept 660 MiB, with a fixed threshold 200 MiB.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**20)


def _end_with_parent() -> None:
    """Make Linux end this process if the supervisor is killed; else it would keep the port."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None) if os.name == "posix" else None
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _reload_on_sighup(service: Service) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread can handle signals
    loop = asyncio.get_running_loop()
    tasks = set[asyncio.Task[None]]()

    def reload() -> None:
        task = loop.create_task(service.registry.reload_all())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)


class _Server(uvicorn.Server):
    """uvicorn's server of one process; calls back once it accepts requests."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()


class _Supervisor(Multiprocess):
    """uvicorn's supervisor of several processes; calls back once all accept requests."""

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], on_started: Callable[[], None]
    ) -> None:
        super().__init__(config, sockets)
        self._on_started = on_started

    def init_processes(self) -> None:
        super().init_processes()
        if all(process.wait_until_ready(_START_SECONDS) for process in self.processes):
            self._on_started()
            return
        for process in self.processes:
            process.kill()
        raise PtxError(
            "a worker process exited before it was ready: start the server without --workers to see why",
            code="E-SERVE",
        )

    def terminate_all(self) -> None:
        # Stop accepting first: clients of a worker that ends reconnect at once, and the system would
        # accept their connections until the last process closes the socket.
        for sock in self.sockets:
            with suppress(OSError):  # raised by systems other than Linux
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        super().terminate_all()


def _bind(host: str, port: int, option: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise UsageError(
            f"cannot listen on port {port} of {host}: {error.strerror}; give another {option} or --host"
        ) from error
    return sock


def _check_certificate(server: ServerSettings) -> None:
    if server.certfile is None:
        if server.keyfile is not None:
            raise UsageError("--keyfile needs --certfile")
        return
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(server.certfile, server.keyfile)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"the certificate cannot be used: {error}") from error
