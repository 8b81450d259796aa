"""Bearer tokens: who has none is refused before the body of the request is read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ptx.infer import UsageError
from ptx.serve import ModelSource, Settings, read_tokens

from .conftest import BODY, HEADER, POST, Served, read_answer, request, serving

GOOD = {"Authorization": "Bearer second"}


@pytest.fixture(scope="module", name="closed")
def closed_server(source: Callable[[str], ModelSource]) -> Iterator[Served]:
    settings = Settings(tokens=("first", "second"), max_requests=8, max_memory=2**20)
    with serving([source("convnet")], settings) as served:
        yield served


def test_without_a_token_only_health_is_answered(closed: Served) -> None:
    for path in ("/v2", "/metrics", "/", "/v2/models/convnet", "/nothing"):
        answer = closed.ask("GET", path)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert closed.ask("GET", path).status == 200
    for token in ("Bearer third", "Basic first", "Bearer ", "first"):
        assert closed.ask("GET", "/v2", headers={"Authorization": token}).status == 401
    assert closed.ask("GET", "/v2", headers=GOOD).status == 200


def test_a_request_without_a_token_is_refused_before_its_body(closed: Served) -> None:
    with closed.connect() as sock:
        sock.sendall(
            request("POST", "/v2/models/convnet/infer", headers={"Content-Length": "1000000"})
        )
        answer = read_answer(sock)
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert sock.recv(10) == b""
    assert closed.service.memory.used == 0


def test_clients_without_a_token_block_nobody(closed: Served) -> None:
    """Sixteen that begin a request, send a part of it and wait."""
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            sock = stack.enter_context(closed.connect())
            sock.sendall(POST[:-100])
        answer = closed.infer(BODY, HEADER | GOOD)
    assert answer.status == 200


def test_a_token_file_has_a_token_a_line(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("first\n\n  second \n")
    assert read_tokens(path) == ("first", "second")
    path.write_text("\n")
    with pytest.raises(UsageError, match="empty"):
        read_tokens(path)
