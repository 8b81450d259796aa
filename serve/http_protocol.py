"""uvicorn's HTTP/1.1 protocol with some corrections."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ptx.serve.middleware import BODY_RECEIVED

_MAX_HEADER = 256 * 2**10  # bytes of a request's headers; the event loop reads this much at once
_LINGER = 0.5  # seconds for which idle connections stay open after SIGTERM
_FRAMING = (b"content-length", b"transfer-encoding")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Transport:
    """A transport that sends the head of a response together with the beginning of its body.

    uvloop passes each write to the system immediately, so uvicorn's two writes would be two packets.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._in_body = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._head is not None:
            self._transport.write(self._head + data)
            self._head = None
        elif self._in_body or data == _CONTINUE:
            self._transport.write(data)
        else:
            self._head, self._in_body = data, True

    def end_response(self) -> None:
        """Send the head if there was no body; the next write is the head of another response."""
        if self._head is not None:
            self._transport.write(self._head)
            self._head = None
        self._in_body = False

    def close(self) -> None:
        self.end_response()
        self._transport.close()


class HttpProtocol(HttpToolsProtocol):
    """A connection. The differences from uvicorn 0.54:

    - `Upgrade` is ignored, as RFC 9110, 7.8 allows; uvicorn loses the body of such a request, which curl
      (`--http2`) and Java's HttpClient send.
    - Trailers are not added to the headers (RFC 9110, 6.5.1).
    - The size of the headers is limited.
    - At shutdown an idle connection stays open for a moment; uvicorn closes it immediately, and loses a
      request that is being sent. Later responses have `Connection: close`.
    - A response is sent as one packet if it is small: see `_Transport`.
    """

    _header_size = 0
    _resuming = False  # whether the headers of an upgrade are parsed again

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self.transport = cast("asyncio.Transport", _Transport(self.transport))

    def on_response_complete(self) -> None:
        cast("_Transport", self.transport).end_response()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("the request is not valid HTTP/1.1")
        if self.scope is not None and "method" not in self.scope:  # within the headers
            self._header_size += len(data)
            if self._header_size > _MAX_HEADER:
                self._refuse(431, f"the headers have more than {_MAX_HEADER} bytes")

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Continue with the body, which the parser treats as data of another protocol."""
        self.parser = httptools.HttpRequestParser(self)
        lines = [b"POST / HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.scope["headers"] if name in _FRAMING]
        self._resuming = True
        self.parser.feed_data(b"\r\n".join((*lines, b"", b"")))
        self._resuming = False
        if rest:
            self.data_received(rest)

    def on_message_begin(self) -> None:
        if not self._resuming:
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._resuming:
            super().on_url(url)

    def on_headers_complete(self) -> None:
        if self._resuming:
            return
        self._header_size = 0
        super().on_headers_complete()
        self.headers = []  # the parser adds trailers to this list
        if self.app_state.get("draining"):
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            self.scope[BODY_RECEIVED] = True  # type: ignore[literal-required]
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def _refuse(self, status: int, message: str) -> None:
        if self.transport.is_closing():
            return
        body = orjson.dumps({"error": message})
        fields = {
            **dict(self.server_state.default_headers),
            b"content-type": b"application/json",
            b"content-length": b"%d" % len(body),
            b"connection": b"close",
        }
        lines = [name + b": " + value + b"\r\n" for name, value in fields.items()]
        self.transport.write(b"".join((STATUS_LINE[status], *lines, b"\r\n", body)))
        self.transport.close()

    def shutdown(self) -> None:
        self.app_state["draining"] = True  # shared by all connections, and by the application
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(_LINGER, super().shutdown)
        else:
            super().shutdown()
