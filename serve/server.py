"""A server from its start to its end: models are proved, sockets opened, what is begun is finished."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import ssl
from collections.abc import Sequence
from importlib.util import find_spec

from ptx.infer import UsageError
from ptx.serve.access import Access
from ptx.serve.counts.cells import Cells
from ptx.serve.counts.metrics import Metrics
from ptx.serve.model import Model
from ptx.serve.processes import BACKLOG, Ready
from ptx.serve.registry import Registry, Source, open_model
from ptx.serve.settings import Settings
from ptx.serve.tracing import Tracing
from ptx.serve.web.connection import Connection
from ptx.serve.web.routes import Site

# Objects between two searches for garbage: soon, so that its memory is still in the caches.
_ALLOCATED = 700
_LEAVING = 1.0  # seconds in which a client may still ask on an open connection, after SIGTERM


def run(
    sources: Sequence[Source], sock: socket.socket, settings: Settings, ready: Ready,
    place: tuple[Cells, int] | None = None,
) -> int:  # fmt: skip
    """Open the models, prove them, and answer on the socket until SIGTERM or SIGINT.

    Args:
        place: Where this process counts, where there are several.

    Returns:
        0, or 1 where something that was begun was not finished within the grace.
    """
    with sock:
        tls, access = _tls(settings), Access(settings.token_file)
        models = [open_model(source) for source in sources]

        async def main() -> int:
            metrics = Metrics([source.name for source in sources], *(place or ()))
            server = Server(sources, models, settings, access, metrics)
            return await server.run(sock, tls, ready)

        if find_spec("uvloop") is not None:
            import uvloop

            return uvloop.run(main())
        return asyncio.run(main())


class Server:
    """What runs on the event loop."""

    def __init__(
        self, sources: Sequence[Source], models: Sequence[Model], settings: Settings,
        access: Access, metrics: Metrics,
    ) -> None:  # fmt: skip
        self._settings, self._access, self._metrics = settings, access, metrics
        self._registry = Registry(sources, models, settings, self._metrics)
        self._tracing = Tracing()
        self._site = Site(self._registry, settings, self._metrics, access, self._tracing)
        self._stop, self._signals = asyncio.Event(), 0
        self._reloading: asyncio.Task[None] | None = None

    async def run(self, sock: socket.socket, tls: ssl.SSLContext | None, ready: Ready) -> int:
        """Listen until a signal comes, then finish what is begun."""
        loop, settings = asyncio.get_running_loop(), self._settings
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        if settings.reload:
            loop.add_signal_handler(signal.SIGHUP, self._on_reload)
        http = await loop.create_server(
            lambda: Connection(self._site), sock=sock, ssl=tls, backlog=BACKLOG
        )
        rpc = None
        if settings.grpc_port is not None:
            from ptx.serve.rpc.service import start

            rpc = await start(self._registry, settings, self._metrics, self._access, self._tracing)
        gc.freeze()  # what is here stays: no search for garbage looks at it again
        gc.set_threshold(_ALLOCATED)
        ready(sock.getsockname()[1], None if rpc is None else rpc.port)
        sweeping = loop.create_task(sweep(self._site))
        await self._stop.wait()
        if rpc is not None:
            stopping = loop.create_task(rpc.stop(settings.grace))
        finished = await self._drain(http)
        if rpc is not None:
            await stopping
        sweeping.cancel()
        self._registry.close()
        self._tracing.close()
        return 0 if finished else 1

    async def _drain(self, http: asyncio.Server) -> bool:
        """Whether all that was begun had its answer within the grace."""
        site, loop = self._site, asyncio.get_running_loop()
        end = loop.time() + self._settings.grace
        await asyncio.sleep(0)  # what the system has accepted for us comes in
        await asyncio.sleep(0)
        http.close()
        # Not before: who is told that its connection ends comes back at once, and must be turned away by
        # the system, not by a socket that takes it in and is closed.
        site.draining = True
        # A request may be on its way on a connection that is open: it is answered, and the connection
        # closed behind it.
        leaving = loop.time() + min(_LEAVING, self._settings.grace)
        while site.connections or not self._registry.idle:
            for connection in list(site.connections) if loop.time() > leaving else ():
                connection.leave()
            if loop.time() > end:
                return False
            await asyncio.sleep(0.01)
        return True

    def _on_stop(self) -> None:
        self._signals += 1
        if self._signals > 1:
            os._exit(1)
        self._stop.set()

    def _on_reload(self) -> None:
        self._reloading = asyncio.get_running_loop().create_task(self._registry.load_all())


async def sweep(site: Site) -> None:
    """Look at every connection now and then; a timer for each would cost more than its request."""
    settings, loop = site.settings, asyncio.get_running_loop()
    pause = min(1.0, settings.receive_timeout / 4, settings.idle_timeout / 4)
    while True:
        await asyncio.sleep(pause)
        now = loop.time()
        for connection in list(site.connections):
            connection.check(now)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.certfile is None:
        if settings.keyfile is not None:
            raise UsageError("--keyfile needs --certfile")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.certfile, settings.keyfile)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"the certificate cannot be used: {error}") from error
    return context
