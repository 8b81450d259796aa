"""A lone client that asks at once is read without the loop; nobody else waits, and no answer changes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.serve import Settings
from ptx.serve.web import connection, polling, routes
from ptx.serve.web.polling import read_soon

from ..conftest import Serve, Served, binary, read_answer, request

ROWS = np.linspace(0, 1, 20 * 784, dtype=np.float32).reshape(20, 1, 1, 28, 28)


def ask(rows: Any) -> bytes:
    return request("POST", "/v2/models/convnet/infer", *binary(rows))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends, the second of which does not block."""
    one, other = socket.socketpair()
    other.setblocking(False)
    with one, other:
        yield one, other


@pytest.fixture
def patient(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A server that polls for so long that what a client sends next is read by it."""
    served = serve()
    served.site.patient = True
    monkeypatch.setattr(polling, "_PATIENCE", 0.5)
    return served


@pytest.fixture
def polled(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What polling has brought."""
    read: list[bytes] = []

    def note(file: int) -> bytes:
        read.append(read_soon(file))
        return read[-1]

    monkeypatch.setattr(connection, "read_soon", note)
    return read


def test_what_comes_is_read_and_nothing_else(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    assert read_soon(other.fileno()) == b""
    one.sendall(b"123")
    assert read_soon(other.fileno()) == b"123"
    one.close()
    assert read_soon(other.fileno()) == b""


def test_a_broken_connection_brings_nothing() -> None:
    assert read_soon(-1) == b""


def test_a_lone_client_has_the_same_answers(patient: Served, polled: list[bytes]) -> None:
    expected = [patient.send(ask(rows)).tensor for rows in ROWS]
    assert not any(polled)  # each of these asked once on its connection
    with patient.connect() as sock:
        for rows, scores in zip(ROWS, expected, strict=True):
            sock.sendall(ask(rows))
            assert np.array_equal(read_answer(sock).tensor, scores)
    assert polled.count(ask(ROWS[1])) == 1
    assert sum(map(bool, polled)) > 15


def test_a_request_that_comes_in_halves_is_one(patient: Served, polled: list[bytes]) -> None:
    whole = ask(ROWS[1])
    with patient.connect() as sock:
        sock.sendall(ask(ROWS[0]))
        read_answer(sock)
        sock.sendall(whole[:100])
        while whole[:100] not in polled:
            pass
        sock.sendall(whole[100:])
        assert read_answer(sock).status == 200
    patient.good()


def test_a_client_that_leaves_is_seen_to_leave(patient: Served, polled: list[bytes]) -> None:
    with patient.connect() as sock:
        sock.sendall(ask(ROWS[0]))
        read_answer(sock)
    patient.good()
    assert b"" in polled


def test_one_that_asks_without_end_leaves_room_for_another(patient: Served) -> None:
    with patient.connect() as sock:
        sock.sendall(ask(ROWS[0]))
        read_answer(sock)  # and the server polls
        with patient.connect() as other:
            other.sendall(ask(ROWS[1]))
            for _ in range(20):
                sock.sendall(ask(ROWS[0]))
                read_answer(sock)
            assert read_answer(other).status == 200


def test_beside_another_nothing_is_polled(patient: Served, polled: list[bytes]) -> None:
    with patient.connect() as other:
        other.sendall(ask(ROWS[0])[:9])
        with patient.connect() as sock:
            for _ in range(5):
                sock.sendall(ask(ROWS[0]))
                read_answer(sock)
    assert polled == []


@pytest.mark.parametrize(
    ("settings", "processors", "expected"),
    [
        ({}, 2, True), ({}, 1, False), ({"workers": 2}, 2, False), ({"grpc_port": 0}, 2, False),
        ({"certfile": Path("c"), "keyfile": Path("k")}, 2, False),
    ],
)  # fmt: skip
def test_it_polls_where_nobody_else_needs_the_processor(
    monkeypatch: pytest.MonkeyPatch, served: Served,
    settings: dict[str, Any], processors: int, expected: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(routes, "usable_processors", lambda: processors)
    site = served.site
    made = routes.Site(site.registry, Settings(**settings), site.metrics, site.access, site.tracing)
    assert made.patient is expected
