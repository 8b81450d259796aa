"""How a server is run: where it listens, and what it lets a client take of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MIB = 2**20


@dataclass(frozen=True)
class Settings:
    """Times are in seconds, sizes in bytes; each limit has an answer of its own."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: any that is free
    grpc_port: int | None = None  # None: no gRPC
    workers: int = 1  # processes
    max_batch: int = 1024  # rows of one run, and so of one request: 400
    max_delay: float = 0.0  # that the first of a batch waits for others
    max_wait: float = 1.0  # that a request may have to wait for its run: 503
    timeout: float = 60.0  # of a run: 504
    max_body: int = 64 * MIB  # of a request, packed or not: 413
    max_json: int = 8 * MIB  # of it: 413
    max_memory: int = 1024 * MIB  # of all bodies at once: 503
    max_connections: int = 1024  # 503
    receive_timeout: float = 30.0  # for a request to arrive, and for its answer to be taken: 408
    idle_timeout: float = 75.0  # of a connection without a request: closed
    grace: float = 30.0  # for what is begun, after SIGTERM
    reload: bool = False  # whether a client may have a model's file read again
    page: bool = True
    access_log: bool = False
    token_file: Path | None = None  # a bearer token a line
    certfile: Path | None = None
    keyfile: Path | None = None
