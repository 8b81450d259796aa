"""One connection of HTTP/1.1: requests in, answers out in their order, and every limit of it."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, cast

import httptools

from ptx.serve.refusals import RefusalError, bad
from ptx.serve.web.exchange import Exchange, Site, begin_answer
from ptx.serve.web.polling import read_soon
from ptx.serve.web.repeating import Known, learn

_HEADER_BYTES, _HEADERS, _URL_BYTES = 32 * 2**10, 100, 8 * 2**10
_CHUNKS, _CHUNK_BYTES = 1024, 16  # more chunks than these are larger than that on the average
_AHEAD = 8  # requests that a client may send before the first is answered
_LEAST_RATE = 64 * 2**10  # bytes a second of a body that may take longer than the limit
_LINGER = 2.0  # seconds in which a client can read why its request was refused
_WRITTEN = 256 * 2**10  # bytes of answers that wait for a client, above which no other is made
_KEPT = {
    name.encode() for name in (
        "accept-encoding", "authorization", "content-encoding", "expect", "traceparent",
        "tracestate", "inference-header-content-length", "x-request-id",
    )
}  # fmt: skip
_IN_A_ROW = 16  # requests of a lone client that are read before another can connect
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


class Connection(asyncio.Protocol):
    """Follows one client. Requests are handled one after the other."""

    def __init__(self, site: Site) -> None:
        self._site, self._settings = site, site.settings
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._file = -1  # of the socket, where bytes go into it as they are
        self._queue: deque[Exchange] = deque()
        self._active: Exchange | None = None
        self._refused: RefusalError | None = None  # of what came last; nothing behind it is read
        self._advancing = self._paused = self._lingering = self._stuck = False
        self._deadline = 0.0  # of the present state: idle, stuck or lingering
        self._begun: float | None = None  # when the first byte of a request came
        self._between = True  # whether the parser has begun with no request
        self._known: Known | None = None  # the last request; it came whole, nothing behind it
        self._fresh()

    def _fresh(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._size = self._header_size = self._header_count = self._chunk_count = 0
        self._line_bytes = 0
        self._in_headers = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(_WRITTEN)
        if transport.get_extra_info("sslcontext") is None:
            self._file = transport.get_extra_info("socket").fileno()
        self._deadline = time.monotonic() + self._settings.idle_timeout
        self._site.connections.add(self)
        if len(self._site.connections) > self._settings.max_connections:
            self._refused = RefusalError(503, "there are too many connections", retry=1)
            self._advance()

    def connection_lost(self, error: Exception | None) -> None:
        self._site.connections.discard(self)
        self._site.memory -= self._size + sum(len(item.body) for item in self._queue)
        self._size = 0
        self._queue.clear()
        if self._active is not None:
            self._site.memory -= len(self._active.body)
            if self._active.gone is not None:
                self._active.gone()
            self._active = None

    def data_received(self, data: bytes) -> None:
        self._receive(data)
        for _ in range(_IN_A_ROW):
            if not self._may_poll() or not (data := read_soon(self._file)):
                return
            self._receive(data)

    def _may_poll(self) -> bool:
        """Whether this client alone can ask next, having been answered."""
        idle = self._active is None and not self._stuck and not self._transport.is_closing()
        return idle and self._known is not None and self._site.patient and self.is_only

    def _receive(self, data: bytes) -> None:
        if self._refused is not None:
            return
        known, whole = self._known, self._between
        if known is not None and self._has_room(len(data)) and known.fits(data):
            exchange = known.again(self, data)
            self._site.memory += len(exchange.body)
            self._queue.append(exchange)
            self._advance()
            return
        if self._begun is None:
            self._begun = time.monotonic()
        if self._in_headers:
            self._header_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refused = self._refused or bad("no other protocol is spoken here")
        except httptools.HttpParserError as error:
            self._refused = self._refused or bad(f"this is no request of HTTP/1.1: {error}")
        if self._in_headers and self._header_size > _HEADER_BYTES:
            self._refused = self._refused or RefusalError(431, "the header is too large")
        self._known = None
        if whole and len(self._queue) == 1 and self._refused is None:
            self._known = learn(data, self._queue[0])
        self._advance()

    def _has_room(self, size: int) -> bool:
        return self._site.memory + size <= self._settings.max_memory

    def on_message_begin(self) -> None:
        self._between = False

    def eof_received(self) -> bool:
        if self._active is None and self._begun is not None and self._refused is None:
            self._refused = bad("the request ends early")
            self._advance()
            return True
        return False

    def pause_writing(self) -> None:
        self._stuck, self._deadline = True, time.monotonic() + self._settings.receive_timeout

    def resume_writing(self) -> None:
        self._stuck, self._deadline = False, time.monotonic() + self._settings.idle_timeout
        self._advance()

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > _URL_BYTES:
            self._refused = RefusalError(414, "the address is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        self._line_bytes += len(name) + len(value)
        if self._header_count > _HEADERS or self._line_bytes > _HEADER_BYTES:
            self._refused = RefusalError(431, "the header has too many lines or bytes")
        lower = name.lower()
        if lower in _KEPT:
            before = self._headers.get(lower)
            self._headers[lower] = value if before is None else b"%b, %b" % (before, value)
        elif lower == b"content-length" and int(value) > self._settings.max_body:
            self._refused = self._too_large()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self._refused = bad(f"HTTP/{version} is not spoken here")
        elif self._parser.should_upgrade():
            self._refused = bad("no other protocol is spoken here")
        elif self._refused is None and self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_chunk_header(self) -> None:
        self._chunk_count += 1
        if self._chunk_count > _CHUNKS and self._size < _CHUNK_BYTES * self._chunk_count:
            self._refused = bad("the body comes in too many small chunks")

    def on_body(self, data: bytes) -> None:
        if self._refused is not None:
            return
        self._size += len(data)
        self._site.memory += len(data)
        self._chunks.append(data)
        if self._size > self._settings.max_body:
            self._refused = self._too_large()
        elif self._site.memory > self._settings.max_memory:
            self._refused = RefusalError(503, "too many bodies are being received at once", retry=1)

    def on_message_complete(self) -> None:
        self._between = True
        if self._refused is not None:
            return
        method = self._parser.get_method().decode("latin-1")
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        keep = self._parser.should_keep_alive()
        # Its bytes count in the site's memory until it is answered.
        self._queue.append(Exchange(self, method, self._url, self._headers, body, keep))
        self._fresh()
        self._begun = None

    @property
    def is_only(self) -> bool:
        """Whether there is no other, whose request might come in the same turn of the loop."""
        return len(self._site.connections) == 1

    def _advance(self) -> None:
        """Begin what can be begun."""
        if self._advancing:
            return
        self._advancing = True
        while self._queue and self._active is None and not self._stuck:
            self._active = self._queue.popleft()
            self._site.handle(self._active)
        self._advancing = False
        if self._refused and not self._lingering and self._active is None and not self._queue:
            self._refuse(self._refused)
        elif len(self._queue) >= _AHEAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        elif self._paused and len(self._queue) < _AHEAD:
            self._paused = False
            self._transport.resume_reading()

    def _refuse(self, error: RefusalError) -> None:
        """Say why no request is read any more, and let the client read it before all is closed."""
        self._site.memory -= self._size
        self._size = 0
        self._chunks.clear()
        self._active = Exchange(self, "-", self._url, {}, b"", False)
        self._lingering = True
        self._active.refuse(error)

    def send(
        self,
        exchange: Exchange,
        status: int,
        body: bytes,
        content_type: str,
        headers: Iterable[str],
    ) -> None:
        """Write an answer, and begin with the next request."""
        if exchange is not self._active:
            return  # the client has gone
        self._site.memory -= len(exchange.body)
        keep = exchange.keep and not self._site.draining
        head = begin_answer(status, content_type, tuple(headers), keep, len(body))
        given = exchange.headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            head += b"X-Request-ID: %b\r\n" % given
        head += b"\r\n"
        self._write(head if exchange.method == "HEAD" else head + body)
        self._active = None
        now = time.monotonic()
        if not self._stuck:
            self._deadline = now + self._settings.idle_timeout
        self._site.note(exchange, status, len(body))
        if self._lingering:
            self._deadline = now + _LINGER
            if self._transport.can_write_eof():
                self._transport.write_eof()
        elif not keep:
            self._transport.close()
        else:
            self._advance()

    def _write(self, data: bytes) -> None:
        """Send at once what the system takes; uvloop would begin with it at the end of its turn."""
        transport = self._transport
        if self._file >= 0 and not transport.is_closing() and not transport.get_write_buffer_size():
            try:
                sent = os.write(self._file, data)
            except OSError:  # it takes none now, or the client has gone: the transport sees to it
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        transport.write(data)

    def check(self, now: float) -> None:
        """Close what takes too long; called every now and then."""
        if self._lingering or self._stuck:
            if now > self._deadline:
                self._transport.abort()
        elif self._begun is not None and self._refused is None:
            allowed = self._settings.receive_timeout + self._size / _LEAST_RATE
            if now > self._begun + allowed:
                self._refused = RefusalError(408, "the request did not arrive in time")
                self._advance()
        elif self._active is None and now > self._deadline:
            self._transport.close()

    def leave(self) -> None:
        """Close a connection on which nothing has been asked; at the end of the server."""
        if self._active is None and not self._queue and self._begun is None:
            self._transport.close()

    def _too_large(self) -> RefusalError:
        return RefusalError(
            413, f"the body has more than {self._settings.max_body} bytes (--max-body)"
        )
