"""How a server is run: where it listens, and what it lets a client take of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ptx.infer.backends.threads import usable_processors

MIB = 2**20


@dataclass(frozen=True)
class Settings:
    """Times are in seconds, sizes in bytes; each limit has an answer of its own.

    Attributes:
        port: 0: any that is free.
        grpc_port: None: no gRPC.
        workers: Processes.
        max_batch: Rows of one run, and so of one request: 400.
        max_delay: That the first of a batch waits for others.
        max_wait: That a request may have to wait for its run: 503.
        timeout: Of a run: 504.
        max_body: Of a request, packed or not: 413.
        max_json: Of it: 413.
        max_memory: Of all bodies at once: 503.
        max_connections: 503.
        receive_timeout: For a request to arrive, and for its answer to be taken: 408.
        idle_timeout: Of a connection without a request: closed.
        grace: For what is begun, after SIGTERM.
        reload: Whether a client may have a model's file read again.
        token_file: A bearer token a line.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = None
    workers: int = 1
    max_batch: int = 1024
    max_delay: float = 0.0
    max_wait: float = 1.0
    timeout: float = 60.0
    max_body: int = 64 * MIB
    max_json: int = 8 * MIB
    max_memory: int = 1024 * MIB
    max_connections: int = 1024
    receive_timeout: float = 30.0
    idle_timeout: float = 75.0
    grace: float = 30.0
    reload: bool = False
    page: bool = True
    access_log: bool = False
    token_file: Path | None = None
    certfile: Path | None = None
    keyfile: Path | None = None

    @property
    def threads(self) -> int | None:
        """Threads for each worker's models: its part of the processors; None: one has them all."""
        return None if self.workers == 1 else max(1, usable_processors() // self.workers)
