"""One process or several on one port: the system shares out the connections, who dies is replaced."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from types import FrameType
from typing import NoReturn

from ptx.infer import PtxError, UsageError
from ptx.serve.counts.cells import Cells, Layout
from ptx.serve.refusals import LOG
from ptx.serve.registry import Source
from ptx.serve.settings import Settings

BACKLOG = 1024
_SOONEST = 1.0  # seconds that a worker must have lived for the next to be started at once
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SIGNAL_OF_PARENT = 1  # PR_SET_PDEATHSIG
_LOCAL = ("127.0.0.1", "::1", "localhost")

Ready = Callable[[int, int | None], None]  # is told the ports of HTTP and gRPC


def serve(sources: Sequence[Source], settings: Settings, ready: Ready) -> int:
    """Serve models until SIGTERM or SIGINT.

    Args:
        sources: The models, each with a name of its own.
        settings: Where to listen, and the limits.
        ready: Called once requests are taken, with the ports of HTTP and gRPC.

    Returns:
        0, or 1 where something that was begun was not finished within the grace.

    Raises:
        PtxError: a model cannot be opened or does not hold, or an option cannot be heeded.
    """
    if len({source.name for source in sources}) < len(sources):
        raise UsageError("two models have the same name: give one as NAME=FILE")
    if settings.workers > 1:
        return _supervise(sources, settings, ready)
    from ptx.serve.server import run

    return run(sources, bind(settings), settings, ready)


def warn_open(settings: Settings) -> str | None:
    """What it means to listen for others without asking who they are; None where nobody else can."""
    if settings.host in _LOCAL or settings.token_file is not None:
        return None
    return (
        f"--host {settings.host} without --token-file: everybody who reaches this machine may use the"
        " models and read the metrics"
    )


def bind(settings: Settings) -> socket.socket:
    """The socket of HTTP; several processes may bind the same port where there are workers.

    Raises:
        UsageError: the address is taken, or none of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if settings.workers > 1:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((settings.host, settings.port))
    except OSError as error:
        sock.close()
        raise UsageError(
            f"port {settings.port} of {settings.host} cannot be taken: {error.strerror}; give another"
            " --port or --host"
        ) from error
    return sock


def _supervise(sources: Sequence[Source], settings: Settings, ready: Ready) -> int:
    if not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT"):
        raise UsageError("--workers needs a system with fork and SO_REUSEPORT: leave it out")
    if settings.grpc_port == 0:
        raise UsageError("--workers need to know the port of gRPC: give one as --grpc-port")
    with ExitStack() as stack:
        sockets = [stack.enter_context(bind(settings))]
        settings = replace(settings, port=sockets[0].getsockname()[1])
        sockets += [stack.enter_context(bind(settings)) for _ in range(settings.workers - 1)]
        for sock in sockets:
            sock.listen(BACKLOG)
        return _Supervisor(sources, sockets, settings, ready).run()


class _Supervisor:
    """Starts workers, and does nothing else: it loads no model and answers nobody.

    It holds the sockets: connections that no worker has taken yet wait for the one that replaces it.
    """

    def __init__(
        self, sources: Sequence[Source], sockets: Sequence[socket.socket], settings: Settings,
        ready: Ready,
    ) -> None:  # fmt: skip
        self._sources, self._sockets = sources, sockets
        self._settings, self._ready = settings, ready
        self._workers: dict[int, tuple[float, socket.socket]] = {}  # process → its start and socket
        self._stopping = 0
        # What each worker counts; who takes the place of one goes on in its cells.
        names = [source.name for source in sources]
        self._cells = Cells(Layout(names).size, len(sockets))

    def run(self) -> int:
        """Until a signal ends all of them; the largest exit code."""
        for number in _SIGNALS if self._settings.reload else _SIGNALS[:2]:
            signal.signal(number, self._forward)
        self._await(self._start(self._sockets[0]))
        for sock in self._sockets[1:]:
            os.close(self._start(sock))
        self._ready(self._settings.port, self._settings.grpc_port)
        worst = 0
        while self._workers:
            pid, status = os.waitpid(-1, 0)
            started, sock = self._workers.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if self._stopping:
                # A worker that the signal itself ends has not served yet: nothing is lost.
                worst = max(worst, 0 if code == -signal.SIGTERM else abs(code))
                continue
            LOG.error("worker %d has ended with %d: another takes its place", pid, code)
            if time.monotonic() - started < _SOONEST:
                time.sleep(_SOONEST)
            if not self._stopping:
                os.close(self._start(sock))
        return min(worst, 1)

    def _start(self, sock: socket.socket) -> int:
        """Fork a worker; the end of a pipe on which it says that it is ready, or why it is not."""
        reading, writing = os.pipe()
        # A signal that comes to a child before its first instruction would be forgotten by Python, and
        # one that comes to the supervisor now would be passed on to all but this child.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if not pid:
            os.close(reading)
            self._work(sock, writing)
        os.close(writing)
        self._workers[pid] = time.monotonic(), sock
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        return reading

    def _work(self, sock: socket.socket, writing: int) -> NoReturn:
        code = 1
        try:
            ctypes.CDLL(None).prctl(_SIGNAL_OF_PARENT, signal.SIGTERM)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            for other in self._sockets:
                if other is not sock:
                    other.close()
            from ptx.serve.server import run  # what counts is imported behind the fork

            place = self._cells, self._sockets.index(sock)
            code = run(
                self._sources, sock, self._settings, lambda *_: _say(writing, "ready"), place
            )
        except PtxError as error:
            LOG.error("a worker cannot start: %s", error)
            _say(writing, json.dumps([error.message, error.code, error.exit_code]))
        except BaseException as error:
            LOG.error("a worker fails", exc_info=error)
        finally:
            os._exit(code)

    def _await(self, reading: int) -> None:
        """Wait for the first worker: what stops it would stop all."""
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.readline().decode().strip()
        if said == "ready":
            return
        (pid,) = self._workers
        _, status = os.waitpid(pid, 0)
        if not said:
            told = f"the first worker has ended with {os.waitstatus_to_exitcode(status)}"
            raise PtxError(told, code="E-SERVE")
        message, code, exit_code = json.loads(said)
        error = PtxError(message, code=code)
        error.exit_code = exit_code
        raise error

    def _forward(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGHUP:
            self._stopping += 1
            for sock in self._sockets:
                sock.close()  # else clients would go on to be taken in, by nobody
            number = signal.SIGTERM if self._stopping == 1 else signal.SIGKILL
        for pid in list(self._workers):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue  # it has just ended


def _say(pipe: int, line: str) -> None:
    with suppress(BrokenPipeError):  # the supervisor listens to the first worker alone
        os.write(pipe, f"{line}\n".encode())
