"""uvicorn's HTTP/1.1 with some gaps closed."""

from __future__ import annotations

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

_MAX_HEADER = 256 * 2**10  # bytes of a request's headers; the event loop reads as much at once
_LINGER = 0.5  # seconds in which an idle connection may still bring a request, after SIGTERM
_FRAMING = (b"content-length", b"transfer-encoding")


class HttpProtocol(HttpToolsProtocol):
    """A connection. Other than in uvicorn 0.54:

    - `Upgrade` is ignored, as RFC 9110, 7.8 allows; uvicorn loses the body of such a request, which curl
      (`--http2`) and Java's HttpClient send.
    - Trailers are not added to the headers (RFC 9110, 6.5.1).
    - The size of the headers is limited.
    - At shutdown an idle connection stays open for a moment; uvicorn closes it at once, and drops a
      request that is on its way. Later responses say `Connection: close`.
    """

    _header_size = 0
    _resuming = False  # the headers of an upgrade are parsed again

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
        """Go on with the body; the parser takes what follows the headers for another protocol."""
        self.parser = httptools.HttpRequestParser(self)
        lines = [b"POST / HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers if name in _FRAMING]
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

    def on_header(self, name: bytes, value: bytes) -> None:
        if "method" not in self.scope:  # which is set at the end of the headers
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._resuming:
            return
        self._header_size = 0
        super().on_headers_complete()
        if self.app_state.get("draining"):
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
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
