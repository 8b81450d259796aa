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
        max_batch: Maximum number of rows of a request; else 400.
        max_delay: How long the first request of a batch waits for more.
        max_wait: How long a request may wait for its run; else 503.
        timeout: Maximum time of a run; else 504.
        max_body: Maximum size of a body, compressed or not; else 413.
        max_json: Maximum size of the JSON in a body; else 413.
        max_memory: Maximum size of the bodies of all requests together; else 503.
        max_requests: Maximum number of requests in progress, without health checks; else 503.
        receive_timeout: Time in which the body of a request must arrive; else 408.
        allowed_hosts: Accepted values of the Host header, such as `*.example.org`; else 400.
        tokens: Accepted bearer tokens, else 401; empty: no token is needed.
        reload: Whether a client may reload a model from its file; else 403.
        page: Whether to serve a page at `/` to try the models.
        access_log: Whether to log each request as a line of JSON on stderr.
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
        certfile: PEM file with the certificate; if it is set, HTTP and gRPC use TLS.
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
        """Threads for the models of each worker; None: the only worker may use all CPUs."""
        return None if self.workers == 1 else max(1, available_cpus() // self.workers)


def read_tokens(path: Path | None) -> tuple[str, ...]:
    """Read the bearer tokens in a file, one per line.

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
    """A warning if other machines can use the server without a token; None if they cannot."""
    if server.host in ("127.0.0.1", "::1", "localhost") or settings.tokens:
        return None
    return (
        f"--host {server.host} without --token-file: anybody who can reach this machine may use the"
        " models and read the metrics"
    )
