"""Clients that are slow, silent, gone or too many: cases 97 to 104 of the table."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ptx.serve import Source

from .conftest import Acting, Serve, binary, read_answer, request

BODY, HEADER = binary(np.zeros((1, 1, 28, 28), np.float32))
POST = request("POST", "/v2/models/convnet/infer", BODY, HEADER)


def until(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def test_97_a_silent_connection_is_closed(serve: Serve) -> None:
    served = serve(idle_timeout=0.4)
    with served.connect() as sock:
        assert sock.recv(10) == b""
    served.good()


@pytest.mark.parametrize("sent", [POST[:30], POST[:-100]], ids=["98 header", "99 body"])
def test_what_comes_a_byte_at_a_time_is_refused(serve: Serve, sent: bytes) -> None:
    served = serve(receive_timeout=0.6)
    with served.connect() as sock:
        sock.sendall(sent)
        sock.settimeout(0.1)
        answer: Any = None
        for byte in POST[len(sent) :]:
            try:
                answer = read_answer(sock)
                break
            except TimeoutError:
                sock.sendall(bytes([byte]))
    assert answer is not None
    assert answer.status == 408
    served.good()


def test_100_a_client_that_reads_nothing_costs_bounded_memory(serve: Serve) -> None:
    served = serve(receive_timeout=1.0)
    rows = np.zeros((400, 1, 28, 28), np.float32)
    big = request("POST", "/v2/models/convnet/infer", *binary(rows))
    with served.connect() as sock:
        sock.settimeout(0.5)
        sent = 0
        try:
            while sent < 400:
                sock.sendall(big)
                sent += 1
        except (TimeoutError, ConnectionError):
            pass
        assert sent < 400
        assert served.site.memory < 20 * len(big)
        assert until(lambda: not [c for c in served.site.connections if c._stuck])
    served.good()


def test_101_more_connections_than_there_may_be_are_told_so(serve: Serve) -> None:
    served = serve(max_connections=8)
    held = [served.connect() for _ in range(8)]
    assert until(lambda: len(served.site.connections) == 8)
    refused = served.send(b"")
    assert refused.status == 503
    assert refused.headers["retry-after"] == "1"
    for sock in held[1:]:
        sock.close()
    held[0].sendall(POST)
    assert read_answer(held[0]).status == 200
    held[0].close()
    assert until(lambda: len(served.site.connections) < 8)
    served.good()


def test_102_all_bodies_together_are_limited(serve: Serve) -> None:
    served = serve(max_body=2**20, max_memory=2 * 2**20)
    part = request("POST", "/v2/models/convnet/infer", bytes(2**20))[: 900 * 2**10]
    held = []
    for _ in range(4):
        sock = served.connect()
        sock.sendall(part)
        held.append(sock)
    assert until(lambda: served.site.memory > 0)
    held[-1].settimeout(10)
    statuses = list[int | None]()
    for sock in held:
        sock.settimeout(1)
        try:
            statuses.append(read_answer(sock).status)
        except TimeoutError:
            statuses.append(None)
    assert statuses.count(503) >= 1
    assert served.site.memory <= 2 * 2**20
    for sock in held:
        sock.close()
    assert until(lambda: served.site.memory == 0)
    served.good()


def test_103_pipelined_requests_are_answered_in_their_order(served: Any) -> None:
    paths = ["/v2", "/v2/health/live", "/v2/models/convnet/infer"]
    parts = [
        request("POST", path, BODY, HEADER | {"X-Request-ID": str(number)})
        if path.endswith("infer") else request("GET", path, headers={"X-Request-ID": str(number)})
        for number in range(200) for path in [paths[number % 3]]
    ]  # fmt: skip
    with served.connect() as sock:
        threading.Thread(target=sock.sendall, args=(b"".join(parts),), daemon=True).start()
        stream = sock.makefile("rb")
        ids = []
        for _ in range(200):
            assert stream.readline().startswith(b"HTTP/1.1 200")
            headers = {}
            while line := stream.readline().strip():
                key, _, value = line.partition(b": ")
                headers[key.lower()] = value
            stream.read(int(headers[b"content-length"]))
            ids.append(int(headers[b"x-request-id"]))
    assert ids == list(range(200))
    served.good()


def test_104_what_a_client_that_has_gone_asked_is_not_run(serve: Serve, predictor: Any) -> None:
    hold, rows = threading.Event(), list[int]()

    def before(inputs: Any) -> None:
        rows.append(len(inputs["image"]))
        hold.wait(20)

    acting = Acting(predictor, before)
    served = serve(Source("convnet", lambda: acting))
    batcher = served.registry.find("convnet")
    batcher._least = {False: 1.0, True: 1.0}  # so that it runs in the thread
    acting.armed = True
    first, second = served.connect(), served.connect()
    first.sendall(POST)
    assert until(lambda: rows == [1])
    second.sendall(POST)
    assert until(lambda: batcher._rows[False] == 1)
    second.close()
    assert until(lambda: len(served.site.connections) == 1)
    hold.set()
    assert read_answer(first).status == 200
    first.close()
    assert until(lambda: batcher.idle)
    assert rows == [1]
    served.good()
