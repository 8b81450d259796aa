"""What is remembered of a client's last request changes nothing but the time that the next one takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptx.serve import Settings
from ptx.serve.web import connection
from ptx.serve.web.connection import Connection

FIRST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nX-Request-ID: 1\r\n\r\n"
OTHER = FIRST.replace(b"/a", b"/b")
PACKED = b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n0\r\n\r\n"
CLOSING = FIRST.replace(b"Host: x", b"Host: x\r\nConnection: close")
WAITING = FIRST.replace(b"Host: x", b"Host: x\r\nExpect: 100-continue")
EMPTY = b"GET /d HTTP/1.1\r\nHost: x\r\n\r\n"
PIECES = [
    FIRST + b"1234", FIRST + b"\r\n\r\n", FIRST + b"POST", OTHER + b"5678", EMPTY, PACKED, FIRST[:9],
    FIRST[9:] + b"1234", FIRST, b"1234", FIRST + b"12", b"34", FIRST + b"1234" + FIRST, b"\r\n",
    b"\r\n\r\n" + FIRST + b"1234", FIRST + b"1234\r\n", 2 * (FIRST + b"1234"), WAITING + b"1234",
    CLOSING + b"1234", b"G", EMPTY[1:], EMPTY.replace(b"1.1", b"1.0"), b"garbage",
]  # fmt: skip


class _Transport:
    """Takes what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def get_extra_info(self, name: str) -> Any:
        return name == "sslcontext"  # or bytes would go around this transport

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: False


class _Site:
    """Answers each request at once with what it has said."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.memory, self.draining, self.patient = settings, 0, False, False
        self.connections: set[Any] = set()
        self.seen: list[Any] = []

    def handle(self, exchange: Any) -> None:
        said = exchange.method, exchange.target, exchange.headers, exchange.body, exchange.keep
        self.seen.append(said)
        exchange.answer(200, repr(said).encode())

    def note(self, *_: Any) -> None:
        return


def talk(pieces: list[bytes], **settings: Any) -> tuple[list[Any], list[bytes], int]:
    """What a server sees in the pieces, what it writes, and the bytes of bodies that it still counts."""
    site, transport = _Site(Settings(**settings)), _Transport()
    one = Connection(site)
    one.connection_made(transport)  # type: ignore[arg-type]
    for piece in pieces:
        one.data_received(piece)
    return site.seen, transport.written, site.memory


def without_memory(pieces: list[bytes], **settings: Any) -> tuple[list[Any], list[bytes], int]:
    """The same by the parser alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "learn", lambda *_: None)
        return talk(pieces, **settings)


@pytest.mark.parametrize("piece", PIECES)
def test_what_is_remembered_changes_no_answer(piece: bytes) -> None:
    for pieces in ([piece, piece], [FIRST + b"1234", piece, FIRST + b"1234", piece, piece]):
        assert talk(pieces) == without_memory(pieces)


def test_the_end_of_a_request_is_no_request() -> None:
    pieces = [FIRST[:9], *(FIRST[9:] + b"1234",) * 2]
    assert talk(pieces) == without_memory(pieces)


@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_nor_in_any_order(pieces: list[bytes]) -> None:
    assert talk(pieces) == without_memory(pieces)


@given(st.lists(st.sampled_from(PIECES), max_size=4), st.data())
def test_nor_wherever_the_pieces_end(pieces: list[bytes], data: st.DataObject) -> None:
    joined = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(joined)), max_size=6)))
    cut = [joined[start:end] for start, end in zip([0, *cuts], [*cuts, len(joined)], strict=True)]
    parts = [piece for piece in cut if piece]
    assert talk(parts) == without_memory(parts)


def test_a_request_that_comes_again_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    begin = Connection.on_url

    def on_url(self: Connection, url: bytes) -> None:
        parsed.append(url)
        begin(self, url)

    monkeypatch.setattr(Connection, "on_url", on_url)
    seen, *_ = talk([FIRST + b"1234", FIRST + b"5678", OTHER + b"1234", EMPTY, EMPTY])
    assert [said[1:4:2] for said in seen] == [
        (b"/a", b"1234"), (b"/a", b"5678"), (b"/b", b"1234"), (b"/d", b""), (b"/d", b""),
    ]  # fmt: skip
    assert parsed == [b"/a", b"/b", b"/d"]


def test_it_is_refused_where_the_bodies_of_all_take_too_much() -> None:
    site = _Site(Settings(max_memory=10))
    one = Connection(site)
    one.connection_made(_Transport())  # type: ignore[arg-type]
    one.data_received(FIRST + b"1234")
    site.memory = 8
    one.data_received(FIRST + b"1234")
    assert len(site.seen) == 1
