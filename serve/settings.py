"""How a server runs: limits of the application, and the sockets and processes of `ptx serve`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ptx.infer import UsageError
from ptx.infer.backends.threads import available_cpus

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Limits of the application. Times are in seconds, sizes in bytes.

    Attributes:
        max_batch: Rows of one request; more is a 400.
        max_delay: How long the first request of a batch waits for more.
        max_wait: How long a request may wait for its run; 503.
        timeout: Of a run; 504.
        max_body: Of a request, compressed or not; 413.
        max_json: Of the JSON in it; 413.
        max_memory: Of the bodies of all requests together; 503.
        max_requests: In progress at the same time, health checks not counted; 503.
        receive_timeout: For the body of a request to arrive; 408.
        allowed_hosts: Values of the Host header that are accepted, `*.example.org` among them; 400.
        tokens: Bearer tokens that are accepted; none: no token is needed. 401.
        reload: Whether a client may have a model's file read again; else 403.
        page: Whether there is a page at `/` to try the models.
        access_log: Whether each request is logged as a line of JSON on stderr.
    """

    max_batch: int = 1024
    max_delay: float = 0.0
    max_wait: float = 1.0
    timeout: float = 60.0
    max_body: int = 64 * MIB
    max_json: int = 8 * MIB
    max_memory: int = 1024 * MIB
    max_requests: int = 1024
    receive_timeout: float = 30.0
    allowed_hosts: tuple[str, ...] = ("*",)
    tokens: tuple[str, ...] = ()
    reload: bool = False
    page: bool = True
    access_log: bool = False


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Sockets and processes of `ptx serve`.

    Attributes:
        port: 0: any free port.
        grpc_port: None: no gRPC; 0: any free port.
        workers: Number of processes.
        keep_alive: Seconds after which an idle connection is closed.
        grace: Seconds for requests in progress to finish after SIGTERM.
        certfile: PEM file with the certificate; with it HTTP and gRPC use TLS.
        keyfile: PEM file with the private key, if it is not in `certfile`.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = None
    workers: int = 1
    keep_alive: float = 75.0
    grace: float = 30.0
    certfile: Path | None = None
    keyfile: Path | None = None

    @property
    def threads_per_worker(self) -> int | None:
        """Threads for the models of each of several workers; None: one may use all processors."""
        return None if self.workers == 1 else max(1, available_cpus() // self.workers)


def read_tokens(path: Path | None) -> tuple[str, ...]:
    """The bearer tokens in a file, one a line.

    Raises:
        UsageError: the file cannot be read, or has no token.
    """
    if path is None:
        return ()
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the token file: {error}") from error
    tokens = tuple(line.strip() for line in lines if line.strip())
    if not tokens:
        raise UsageError("the token file is empty; expected one token per line")
    return tokens


def open_access_warning(settings: Settings, server: ServerSettings) -> str | None:
    """The warning if others can reach the server and need no token; None if they cannot."""
    if server.host in ("127.0.0.1", "::1", "localhost") or settings.tokens:
        return None
    return (
        f"--host {server.host} without --token-file: anybody who can reach this machine may use the"
        " models and read the metrics"
    )
