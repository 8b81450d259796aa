"""`ptx serve` as a process: its start, its end, workers, reloading, TLS."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ptx.serve import ServerSettings, Settings, open_access_warning

from .conftest import (
    BODY,
    COMMAND,
    HEADER,
    PATH,
    Begin,
    Process,
    make_certificate,
    request,
    until,
)

START = 60  # seconds, on a machine that has other things to do


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


@pytest.mark.parametrize("workers", [1, 2])
def test_107_no_response_is_lost_at_the_end(begin: Begin, workers: int) -> None:
    process = begin("--workers", workers)
    clients = Clients(process, 16)
    assert until(lambda: clients.answered > 200)
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(20) == 0
    clients.end()
    assert clients.lost == []


def test_not_ready_is_said_before_the_end(begin: Begin) -> None:
    process = begin("--grace", 20)
    unfinished = process.connect()
    unfinished.putrequest("POST", PATH)
    unfinished.putheader("Content-Length", "10")
    unfinished.endheaders()
    idle = process.connect()
    idle.request("GET", "/v2/health/ready")
    assert json.loads(idle.getresponse().read())["ready"] is True
    process.popen.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    idle.request("GET", "/v2/health/ready")
    response = idle.getresponse()
    assert (response.status, response.headers["Connection"]) == (503, "close")
    assert json.loads(response.read())["ready"] is False
    assert process.popen.poll() is None
    unfinished.send(b"0123456789")
    assert unfinished.getresponse().status == 400
    assert process.popen.wait(20) == 0
    idle.close()
    unfinished.close()


def test_a_request_that_does_not_end_is_dropped_after_the_grace(begin: Begin) -> None:
    process = begin("--grace", 1)
    unfinished = process.connect()
    unfinished.putrequest("POST", PATH)
    unfinished.putheader("Content-Length", "10")
    unfinished.endheaders()
    assert process.ask("GET", "/v2/health/live")[0] == 200
    process.popen.send_signal(signal.SIGINT)
    assert process.popen.wait(20) == 0
    unfinished.close()


def children(process: Process) -> set[int]:
    """The workers: the processes that Python's `spawn` has started."""
    path = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children")
    workers = set()
    for pid in path.read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                workers.add(int(pid))
    return workers


def test_a_worker_that_dies_is_replaced_and_loses_only_what_it_held(begin: Begin) -> None:
    process = begin("--workers", 2)
    assert until(lambda: len(children(process)) == 2)
    clients = Clients(process, 8)
    assert until(lambda: clients.answered > 100)
    first = children(process)
    os.kill(min(first), signal.SIGKILL)
    assert until(lambda: len(children(process) - first) == 1, 30)
    before = clients.answered
    assert until(lambda: clients.answered > before + 100)
    clients.end()
    assert len(clients.lost) <= 8
    assert until(lambda: process.infer() == 200)
    counted = process.ask("GET", "/metrics")[1].decode()
    found = re.search(
        r'ptx_requests_total\{code="200",model="convnet",protocol="http"\} (\S+)', counted
    )
    assert found
    assert float(found[1]) >= clients.answered - 8
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(30) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such signal")
def test_workers_end_with_a_supervisor_that_is_killed(begin: Begin) -> None:
    process = begin("--workers", 2)
    workers = children(process)
    assert len(workers) == 2
    process.popen.kill()
    process.popen.wait()
    assert until(lambda: not any(Path(f"/proc/{worker}/exe").exists() for worker in workers), 20)


def test_every_worker_takes_the_new_file(begin: Begin, artifact: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    shutil.copy(artifact("convnet", "onnx"), path)
    process = begin("--reload", "--workers", 2, model=f"convnet={path}")
    first = children(process)
    clients = Clients(process, 4)
    assert process.ask("POST", "/v2/repository/models/convnet/load", b"{}")[0] == 200
    assert until(lambda: len(children(process) - first) == 2 and not children(process) & first, 60)
    clients.end()
    assert clients.lost == []


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
    assert "E-HASH" in json.loads(body)["error"]
    assert str(tmp_path) not in body.decode()
    assert process.infer() == 200
    assert process.ask("POST", "/v2/repository/models/nobody/load", b"{}")[0] == 404
    clients.end()
    assert clients.lost == []


def test_sighup_reads_the_files_again(begin: Begin, artifact: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    shutil.copy(artifact("convnet", "onnx"), path)
    process = begin("--reload", model=f"convnet={path}")
    path.write_bytes(b"no model")
    process.popen.send_signal(signal.SIGHUP)
    assert until(lambda: "convnet was not reloaded" in process.log.read_text())
    assert process.infer() == 200


def test_the_access_log_has_each_request_and_no_token(begin: Begin, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("first\nsecond\n")
    process = begin("--token-file", tokens, "--access-log")
    assert process.infer() == 401
    headers = {"Authorization": "Bearer first", "X-Request-ID": "seven"}
    assert process.ask("POST", PATH, BODY, **HEADER, **headers)[0] == 200
    assert until(lambda: "seven" in process.log.read_text())
    lines = [json.loads(line) for line in process.log.read_text().splitlines() if line[0] == "{"]
    assert [line["status"] for line in lines] == [401, 200]
    assert lines[-1]["id"] == "seven"
    assert "first" not in process.log.read_text()


def test_the_memory_of_large_and_abandoned_bodies_comes_back(begin: Begin) -> None:
    process = begin()
    large = request("POST", PATH, bytes(60 * 2**20), {"Inference-Header-Content-Length": "10"})

    def resident() -> float:
        pages = int(Path(f"/proc/{process.popen.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20

    def send(size: int) -> None:
        with socket.create_connection(("127.0.0.1", process.port), 20) as sock:
            sock.sendall(large[:size])
            if size == len(large):
                assert sock.recv(12) == b"HTTP/1.1 400"

    assert process.infer() == 200
    before = resident()
    for size in (len(large), 30 * 2**20):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, [size] * 16))
    assert process.infer() == 200
    assert until(lambda: resident() - before < 60), (before, resident())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_tls(begin: Begin, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    process = begin("--certfile", certificate, "--keyfile", key)
    with contextlib.closing(process.connect(ssl.create_default_context(cafile=certificate))) as one:
        one.request("POST", PATH, BODY, HEADER)
        assert one.getresponse().status == 200


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["convnet", "convnet", "--port", "0"], 2, "same name"),
        (["a b={model}", "--port", "0"], 2, "cannot be served"),
        (["{model}", "--port", "1", "--host", "192.0.2.1"], 2, "cannot listen"),
        (["{model}", "--max-body", "many"], 2, "is not a size"),
        (["{model}", "--keyfile", "{model}", "--port", "0"], 2, "needs --certfile"),
        (["{model}", "--certfile", "{model}", "--port", "0"], 2, "certificate"),
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
        [*COMMAND, *given], capture_output=True, text=True, timeout=START, check=False
    )
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_others_can_reach_without_a_token_is_warned_about() -> None:
    reachable = ServerSettings(host="0.0.0.0")
    assert open_access_warning(Settings(), ServerSettings()) is None
    assert open_access_warning(Settings(tokens=("secret",)), reachable) is None
    assert "anybody" in str(open_access_warning(Settings(), reachable))
