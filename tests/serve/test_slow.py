"""Clients that are slow, silent, gone or too many: cases 97 to 104 of CONTRIBUTING.md."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from .conftest import POST, Hold, Serve, Served, binary, read_answer, request, until


def test_97_an_idle_connection_is_closed_after_keep_alive(serve: Serve) -> None:
    served = serve(server={"keep_alive": 1})
    with served.connect() as sock:
        sock.sendall(POST)
        assert read_answer(sock).status == 200
        assert sock.recv(10) == b""
    served.good()


def test_97_a_connection_that_sends_nothing_stays_open(serve: Serve) -> None:
    """What uvicorn does; a reverse proxy closes it, see test_nginx.py."""
    served = serve(server={"keep_alive": 1})
    with served.connect() as sock:
        sock.settimeout(2.5)
        with pytest.raises(TimeoutError):
            sock.recv(10)
        sock.settimeout(20)
        sock.sendall(POST)
        assert read_answer(sock).status == 200


@pytest.mark.parametrize("sent", [0, 1000], ids=["nothing", "a part"])
def test_99_a_body_that_does_not_arrive_in_time_is_refused(serve: Serve, sent: int) -> None:
    served = serve(receive_timeout=0.3)
    head, _, body = POST.partition(b"\r\n\r\n")
    with served.connect() as sock:
        sock.sendall(head + b"\r\n\r\n" + body[:sent])
        answer = read_answer(sock)
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert sock.recv(10) == b""
    served.good()


def test_100_a_client_that_reads_nothing_costs_bounded_memory(serve: Serve) -> None:
    served = serve()
    big = request(
        "POST", "/v2/models/convnet/infer", *binary(np.zeros((400, 1, 28, 28), np.float32))
    )
    with served.connect() as sock:
        sock.settimeout(1)
        sent = 0
        try:
            while sent < 400:
                sock.sendall(big)
                sent += 1
        except (TimeoutError, ConnectionError):
            pass
        assert sent < 400
        assert served.service.memory.used < 20 * len(big)
    assert until(lambda: served.connections == 0)
    served.good()


def test_101_more_requests_than_allowed_are_refused_and_liveness_is_answered(hold: Hold) -> None:
    free = threading.Event()
    served = hold(lambda _: free.wait(20), max_requests=4, max_wait=30.0)
    held = [served.connect() for _ in range(4)]
    for sock in held:
        sock.sendall(POST)
    # One of them runs, or several that arrived together.
    assert until(lambda: served.waiting + len(served.batcher._running) == 4)
    refused = served.send(POST)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert served.ask("GET", "/v2/health/live").status == 200
    free.set()
    assert [read_answer(sock).status for sock in held] == [200] * 4
    for sock in held:
        sock.close()
    served.good()


def test_102_all_bodies_together_are_limited(serve: Serve) -> None:
    served = serve(max_body=2**20, max_memory=2 * 2**20)
    part = request("POST", "/v2/models/convnet/infer", bytes(2**20))[: 900 * 2**10]
    held = [served.connect() for _ in range(4)]
    for sock in held:
        sock.sendall(part)
    statuses = list[int | None]()
    for sock in held:
        sock.settimeout(1)
        try:
            statuses.append(read_answer(sock).status)
        except TimeoutError:
            statuses.append(None)
    assert statuses.count(503) >= 1
    assert 0 < served.service.memory.used <= 2 * 2**20
    for sock in held:
        sock.close()
    assert until(lambda: served.service.memory.used == 0)
    served.good()


def test_103_pipelined_requests_are_answered_in_their_order(served: Served) -> None:
    ids = [str(number) for number in range(60)]
    parts = [
        request("GET", ("/v2", "/v2/health/live")[int(one) % 2], headers={"X-Request-ID": one})
        for one in ids
    ]
    with served.connect() as sock:
        sock.sendall(b"".join(parts))
        stream, found = sock.makefile("rb"), []
        for _ in ids:
            assert stream.readline().startswith(b"HTTP/1.1 200")
            headers = dict(
                line.split(b": ") for line in iter(lambda: stream.readline().strip(), b"")
            )
            stream.read(int(headers[b"content-length"]))
            found.append(headers[b"x-request-id"].decode())
    assert found == ids


def test_104_the_request_of_a_client_that_has_gone_is_not_run(hold: Hold) -> None:
    free, rows = threading.Event(), list[int]()

    def before(inputs: Any) -> None:
        rows.append(len(inputs["image"]))
        free.wait(20)

    served = hold(before, max_wait=30.0)
    first, second = served.connect(), served.connect()
    first.sendall(POST)
    assert until(lambda: rows == [1])
    second.sendall(POST)
    assert until(lambda: served.waiting == 1)
    (job,) = next(iter(served.batcher._queues.values()))
    second.close()
    assert until(job.result.cancelled)
    free.set()
    assert read_answer(first).status == 200
    first.close()
    assert until(lambda: served.batcher.idle)
    assert rows == [1]
    served.good()
