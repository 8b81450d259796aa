"""A request over HTTP and the way to answer it, between a connection and what the addresses do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Protocol

import orjson

from ptx.serve.refusals import RefusalError
from ptx.serve.settings import Settings

JSON = "application/json"
_SAFE = "X-Content-Type-Options: nosniff\r\nCache-Control: no-store"


@lru_cache(256)  # the answers to a client are mostly of the same size
def begin_answer(
    status: int, content_type: str, headers: tuple[str, ...], keep: bool, size: int
) -> bytes:
    """The lines that an answer begins with, without the empty one behind them; `size`: of its body."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Type: {content_type}", _SAFE,
        *headers, *([] if keep else ["Connection: close"]), f"Content-Length: {size}\r\n",
    ]  # fmt: skip
    return "\r\n".join(lines).encode("latin-1")


class Sender(Protocol):
    """A connection, as its requests see it."""

    @property
    def is_only(self) -> bool:
        """Whether there is no other."""

    def send(
        self, exchange: Exchange, status: int, body: bytes, content_type: str,
        headers: Iterable[str],
    ) -> None:  # fmt: skip
        """Write the answer."""


class Site(Protocol):
    """What the connections of a server share."""

    settings: Settings
    connections: set[Any]
    memory: int  # bytes of bodies that are held
    draining: bool
    patient: bool  # whether a socket may be polled for the next request of the only client

    def handle(self, exchange: Exchange) -> None:
        """Answer, now or later."""

    def note(self, exchange: Exchange, status: int, sent: int) -> None:
        """An answer was given."""


class Exchange:
    """A request, and the way to answer it once."""

    __slots__ = ("arrived", "body", "connection", "gone", "headers", "keep", "method", "model",
                 "target")  # fmt: skip

    def __init__(
        self, connection: Sender, method: str, target: bytes, headers: dict[bytes, bytes],
        body: bytes, keep: bool,
    ) -> None:  # fmt: skip
        self.connection, self.method, self.target = connection, method, target
        self.headers, self.body, self.keep = headers, body, keep
        self.arrived = time.perf_counter()
        self.model = ""  # that was asked, for the statistics
        self.gone: Callable[[], None] | None = (
            None  # called where the client leaves before its answer
        )

    def answer(
        self, status: int, body: bytes = b"", content_type: str = JSON, headers: Iterable[str] = ()
    ) -> None:
        """Send the answer."""
        self.connection.send(self, status, body, content_type, headers)

    def refuse(self, error: RefusalError) -> None:
        """Send why there is none."""
        headers = [] if error.retry is None else [f"Retry-After: {error.retry}"]
        if error.status == 401:
            headers.append("WWW-Authenticate: Bearer")
        self.answer(error.status, orjson.dumps({"error": error.message}), JSON, headers)
