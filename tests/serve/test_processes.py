"""`ptx serve` as a process: its start, its end, workers, reloading, tokens, TLS."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.serve import Settings, warn_open

from .conftest import binary
from .test_slow import until

BODY, HEADER = binary(np.zeros((1, 1, 28, 28), np.float32))
PATH = "/v2/models/convnet/infer"
START = 60  # seconds, on a machine that has other things to do
_RUN = "from ptx.cli import main; main()"
_MAIN = [sys.executable, "-W", "error", "-c", _RUN]

Begin = Callable[..., "Process"]


class Process:
    """`ptx serve` on a port that is free."""

    def __init__(self, *arguments: object, folder: Path) -> None:
        self.log = folder / f"log-{time.monotonic_ns()}"
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                [*_MAIN, "serve", *map(str, arguments), "--port", "0"],
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self.popen.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", self.popen.stdout.readline())
        assert found, self.log.read_text()
        self.port = int(found[1])

    def connect(self, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        if context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        return http.client.HTTPSConnection("localhost", self.port, timeout=20, context=context)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()

    def infer(self) -> int:
        return self.ask("POST", PATH, BODY, **HEADER)[0]


@pytest.fixture
def begin(artifact: Any, tmp_path: Path) -> Iterator[Begin]:
    """`begin("--workers", 2)`: a process that serves convnet, and is gone at the end."""
    begun: list[Process] = []

    def start(*arguments: object, model: object = None) -> Process:
        model = model or f"convnet={artifact('convnet', 'onnx')}"
        begun.append(Process(model, *arguments, folder=tmp_path))
        return begun[-1]

    yield start
    for process in begun:
        process.popen.kill()
        process.popen.wait()
        assert process.popen.stdout is not None
        process.popen.stdout.close()


class Clients:
    """Threads that ask until they are told that no more is taken."""

    def __init__(self, process: Process, count: int) -> None:
        self.process, self.lost, self.answered, self.stopped = process, list[str](), 0, False
        self._lock = threading.Lock()
        self.threads = [threading.Thread(target=self._work) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _work(self) -> None:
        connection = self.process.connect()
        while not self.stopped:
            try:
                connection.connect()
            except OSError:
                if self.process.popen.poll() is not None or self.stopped:
                    return
                time.sleep(0.01)
                continue
            with contextlib.closing(connection):
                self._ask(connection)

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        while not self.stopped:
            try:
                connection.request("POST", PATH, BODY, HEADER)
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                return
            with self._lock:
                self.answered += 1
            if response.status != 200:
                self.lost.append(str(response.status))
            if response.will_close:
                return

    def end(self) -> None:
        self.stopped = True
        for thread in self.threads:
            thread.join(20)


def test_107_no_answer_is_lost_at_the_end(begin: Begin) -> None:
    process = begin()
    clients = Clients(process, 16)
    assert until(lambda: clients.answered > 200)
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(20) == 0
    clients.end()
    assert clients.lost == []


def test_not_ready_is_said_before_the_end_and_a_second_signal_ends_at_once(begin: Begin) -> None:
    process = begin("--grace", 20)
    connection = process.connect()
    connection.request("POST", PATH, headers={"Content-Length": "10"})  # begun, and never ended
    asking = process.connect()
    asking.connect()
    process.popen.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    asking.request("GET", "/v2/health/ready")
    response = asking.getresponse()
    assert response.status == 503
    assert json.loads(response.read())["ready"] is False
    assert process.popen.poll() is None
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(5) == 1
    connection.close()
    asking.close()


def test_a_signal_ends_a_worker_that_has_hardly_begun(artifact: Any) -> None:
    """Every process of it sleeps behind its fork, before its first line of Python."""
    slow = "import os, time; os.register_at_fork(after_in_child=lambda: time.sleep(1))"
    model = f"convnet={artifact('convnet', 'onnx')}"
    command = [sys.executable, "-c", f"{slow}; {_RUN}", "serve", model, "--port", "0"]
    with subprocess.Popen([*command, "--workers", "2"], stdout=subprocess.PIPE, text=True) as popen:
        try:
            assert popen.stdout is not None
            assert popen.stdout.readline().startswith("serving")
            popen.send_signal(signal.SIGTERM)
            assert popen.wait(20) == 0
        finally:
            popen.kill()


def test_a_worker_that_dies_is_replaced_and_loses_only_what_it_held(begin: Begin) -> None:
    process = begin("--workers", 2)
    children = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children")

    def workers() -> set[int]:
        return set(map(int, children.read_text().split()))

    assert until(lambda: len(workers()) == 2)
    clients = Clients(process, 8)
    assert until(lambda: clients.answered > 100)
    first = workers()
    os.kill(min(first), signal.SIGKILL)
    assert until(lambda: len(workers() - first) == 1, 30)
    before = clients.answered
    assert until(lambda: clients.answered > before + 100)
    clients.end()
    assert len(clients.lost) <= 8
    assert until(lambda: process.infer() == 200)
    counted = process.ask("GET", "/metrics")[1].decode()
    found = re.search(r'ptx_requests_total\{code="200",model="convnet",protocol="http"\} (\S+)',
                      counted)  # fmt: skip
    assert found
    assert float(found[1]) >= clients.answered - 8
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(30) == 0


def test_a_new_file_takes_the_place_and_a_broken_one_does_not(
    begin: Begin, artifact: Any, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    shutil.copy(artifact("convnet", "onnx"), path)
    process = begin("--reload", model=f"convnet={path}")
    clients = Clients(process, 4)
    load = "/v2/repository/models/convnet/load"
    assert process.ask("POST", load, b"{}")[0] == 200
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    status, body = process.ask("POST", load, b"{}")
    assert status == 409
    assert "goes on answering" in json.loads(body)["error"]
    assert str(tmp_path) not in body.decode()
    assert process.infer() == 200
    assert process.ask("POST", "/v2/repository/models/nobody/load", b"{}")[0] == 404
    clients.end()
    assert clients.lost == []


def test_without_a_token_nothing_but_health_is_told(begin: Begin, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("first\nsecond\n")
    process = begin("--token-file", tokens, "--access-log")
    for path in ("/v2", "/metrics", "/"):
        assert process.ask("GET", path)[0] == 401
    assert process.infer() == 401
    assert process.ask("GET", "/v2", Authorization="Bearer third")[0] == 401
    assert process.ask("GET", "/v2", Authorization="Basic first")[0] == 401
    assert process.ask("GET", "/v2", Authorization="Bearer second")[0] == 200
    assert process.ask("GET", "/v2/health/ready")[0] == 200
    headers = {"Authorization": "Bearer first", "X-Request-ID": "seven"}
    assert process.ask("POST", PATH, BODY, **HEADER, **headers)[0] == 200
    assert until(lambda: "seven" in process.log.read_text())
    lines = [json.loads(line) for line in process.log.read_text().splitlines() if line[0] == "{"]
    assert [line["status"] for line in lines].count(401) == 6
    assert lines[-1]["id"] == "seven"
    assert "first" not in process.log.read_text()


def test_tls(begin: Begin, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out",
         certificate], check=True, capture_output=True,
    )  # fmt: skip
    process = begin("--certfile", certificate, "--keyfile", key)
    with contextlib.closing(process.connect(ssl.create_default_context(cafile=certificate))) as one:
        one.request("POST", PATH, BODY, HEADER)
        assert one.getresponse().status == 200


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["convnet", "convnet", "--port", "0"], 2, "same name"),
        (["a b={model}", "--port", "0"], 2, "cannot be served"),
        (["{model}", "--port", "1", "--host", "192.0.2.1"], 2, "cannot be taken"),
        (["{model}", "--max-body", "many"], 2, "is no size"),
        (["{model}", "--keyfile", "{model}", "--port", "0"], 2, "needs --certfile"),
        (["{model}", "--workers", "2", "--port", "0", "--grpc-port", "0"], 2, "--grpc-port"),
        (["{broken}", "--port", "0"], 4, "has changed"),
        (["{broken}", "--port", "0", "--workers", "2"], 4, "has changed"),
    ],
)
def test_what_cannot_be_served_is_said_at_the_start(
    artifact: Any, tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    model, broken = artifact("convnet", "onnx"), tmp_path / "broken.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    broken.write_bytes(data)
    given = [word.format(model=model, broken=broken) for word in arguments]
    done = subprocess.run(
        [*_MAIN, "serve", *given], capture_output=True, text=True, timeout=START, check=False
    )
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_another_host_without_a_token_is_said_to_be_open(tmp_path: Path) -> None:
    assert warn_open(Settings()) is None
    assert warn_open(Settings(host="0.0.0.0", token_file=tmp_path)) is None
    assert "everybody who reaches this machine" in str(warn_open(Settings(host="0.0.0.0")))
