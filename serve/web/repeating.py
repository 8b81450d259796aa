"""A client sends the same header with each request: what was read of it once is not parsed again."""

from __future__ import annotations

from typing import NamedTuple

from ptx.serve.web.exchange import Exchange, Sender

_END = b"\r\n\r\n"


class Known(NamedTuple):
    """A request that came whole and alone, in one piece.

    Attributes:
        head: All in front of its body, byte for byte.
        size: Of all of it.
    """

    head: bytes
    size: int
    method: str
    target: bytes
    headers: dict[bytes, bytes]

    def fits(self, data: bytes) -> bool:
        """Whether a piece, in front of which the parser has begun with nothing, is such a request."""
        return len(data) == self.size and data.startswith(self.head)

    def again(self, connection: Sender, data: bytes) -> Exchange:
        """The request in a piece that fits."""
        body = data[len(self.head) :]
        return Exchange(connection, self.method, self.target, self.headers, body, True)


def learn(data: bytes, found: Exchange) -> Known | None:
    """What the parser found in `data`, and nothing but this: None where it may not be remembered.

    A body that is packed in chunks, or anything around the request, makes `data` longer than the two.
    """
    size = data.find(_END) + len(_END)
    if not found.keep or size + len(found.body) != len(data) or b"expect" in found.headers:
        return None
    return Known(data[:size], len(data), found.method, found.target, found.headers)
