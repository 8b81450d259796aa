"""Servers in this process, on uvicorn in a thread; raw connections to them; `ptx serve` as a process."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pytest
import uvicorn

from ptx.infer import Predictor, load
from ptx.serve import ModelSource, ServerSettings, Settings
from ptx.serve.server import application, uvicorn_config
from ptx.serve.service import Service
from ptx.serve.tracing import Tracing

TIMEOUT = 20.0  # seconds, on a machine that has other things to do
Headers = dict[str, str]


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        """The JSON of the body, without the tensors behind it."""
        size = self.headers.get("inference-header-content-length")
        return json.loads(self.body if size is None else self.body[: int(size)])

    @property
    def tensor(self) -> Any:
        """float32: what stands behind the JSON."""
        return np.frombuffer(
            self.body[int(self.headers["inference-header-content-length"]) :], "<f4"
        )


def request(method: str, path: str, body: bytes = b"", headers: Headers | None = None) -> bytes:
    """A request of HTTP/1.1, byte for byte."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    given = {"Content-Length": str(len(body)), **(headers or {})}
    lines += [f"{name}: {value}" for name, value in given.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def read_answer(sock: socket.socket) -> Answer:
    """The next answer on a connection; status 0 where it is closed without one."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (part := _receive(sock)):
            return Answer(0, {}, data)
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 100"):
        return read_answer(_Ahead(sock, body))  # type: ignore[arg-type]
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {key.lower(): value for key, value in (line.split(": ", 1) for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += _receive(sock)
    return Answer(int(first.split()[1]), headers, body[: int(headers["content-length"])])


class _Ahead:
    """A socket some bytes of which were read too early."""

    def __init__(self, sock: socket.socket, data: bytes) -> None:
        self._sock, self._data = sock, data

    def recv(self, size: int) -> bytes:
        data, self._data = self._data, b""
        return data or self._sock.recv(size)


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(2**16)
    except ConnectionError:
        return b""


def binary(array: Any, name: str = "image", **more: Any) -> tuple[bytes, Headers]:
    """A request of one float32 tensor behind its JSON, and the header that says where it begins."""
    tensor = {
        "name": name,
        "shape": list(array.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": array.nbytes},
    }
    head = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}} | more)
    return head + array.tobytes(), {"Inference-Header-Content-Length": str(len(head))}


@dataclass
class Served:
    """A server that runs."""

    port: int
    grpc_port: int
    service: Service
    uvicorn: uvicorn.Server

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self.uvicorn.server_state.connections)

    @property
    def batcher(self) -> Any:
        """The queue of convnet."""
        return self.service.registry.find("convnet").batcher

    @property
    def waiting(self) -> int:
        """Requests in the queue of convnet."""
        return sum(map(len, self.batcher._queues.values()))

    def connect(self) -> socket.socket:
        """A new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)

    def send(self, data: bytes) -> Answer:
        """The response to raw bytes."""
        with self.connect() as sock:
            with contextlib.suppress(ConnectionError):  # refused before everything was sent
                sock.sendall(data)
            return read_answer(sock)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Headers | None = None
    ) -> Answer:
        """The response to a request."""
        return self.send(request(method, path, body, headers))

    def infer(self, body: bytes, headers: Headers | None = None, model: str = "convnet") -> Answer:
        """The response to a request for inference."""
        return self.ask("POST", f"/v2/models/{model}/infer", body, headers)

    def good(self) -> None:
        """Check that a valid request gets its response."""
        answer = self.infer(*binary(np.zeros((1, 1, 28, 28), np.float32)))
        assert answer.status == 200, answer.body
        assert answer.json["outputs"][0]["shape"] == [1, 10]


Serve = Callable[..., Served]


@contextlib.contextmanager
def serving(
    sources: list[ModelSource], settings: Settings, *, grpc: bool = False, **server: Any
) -> Iterator[Served]:
    """A server in a thread."""
    service = Service(sources, settings)
    ports = [free_port() if grpc else None]
    listening = ServerSettings(grpc_port=ports[0], grace=2, **server)
    config = uvicorn_config(lambda: application(service, listening, Tracing()), listening)
    running = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=running.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        assert until(lambda: running.started or not thread.is_alive(), 60)
        port = sock.getsockname()[1]
        try:
            yield Served(port, ports[0] or 0, service, running)
        finally:
            running.should_exit = True
            thread.join(TIMEOUT)


def until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Wait for a condition; whether it is true."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of localhost, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.fixture(scope="session")
def source(artifact: Callable[[str, str], Path]) -> Callable[[str], ModelSource]:
    """`source("convnet")`: an exported model as a server opens it."""

    def make(model: str) -> ModelSource:
        path = artifact(model, "onnx")
        return ModelSource(model, lambda: load(path, backend="ort-cpu", timeout=60))

    return make


MODELS = ("convnet", "lstm", "name-classifier", "diabetes")


@pytest.fixture(scope="session", name="served")
def shared_server(source: Callable[[str], ModelSource]) -> Iterator[Served]:
    """A server of several models, with limits that a test can reach."""
    settings = Settings(max_body=4 * 2**20, max_json=2**20, max_batch=64, max_wait=30.0)
    with serving([source(model) for model in MODELS], settings, grpc=True) as one:
        yield one


@pytest.fixture
def serve(source: Callable[[str], ModelSource]) -> Iterator[Serve]:
    """`serve(max_wait=…)`: a server of convnet, or of a `ModelSource`."""
    with contextlib.ExitStack() as stack:

        def make(*sources: ModelSource, server: Any = None, **settings: Any) -> Served:
            models = list(sources) or [source("convnet")]
            return stack.enter_context(serving(models, Settings(**settings), **(server or {})))

        yield make


class Acting(Predictor):
    """A predictor that calls a function before each run, once it is `armed`."""

    armed: bool
    before: Callable[[Any], object]

    def __init__(self, inner: Predictor, before: Callable[[Any], object]) -> None:
        self.__dict__ = inner.__dict__ | {"_inner": inner, "before": before, "armed": False}

    def run_checked(self, inputs: Any, sizes: Any) -> Any:
        if self.armed:
            self.before(inputs)
        return super().run_checked(inputs, sizes)


Hold = Callable[..., Served]


@pytest.fixture
def hold(serve: Serve, predictor: Predictor) -> Hold:
    """`hold(before)`: a server of convnet that calls a function before each run, in the thread."""

    def make(before: Callable[[Any], object], **settings: Any) -> Served:
        acting = Acting(predictor, before)
        served = serve(ModelSource("convnet", lambda: acting), **settings)
        acting.armed = True  # no run was timed yet, so the next one is in the thread
        return served

    return make


@pytest.fixture
def predictor(artifact: Callable[[str, str], Path]) -> Iterator[Predictor]:
    """convnet, as the command line opens it."""
    with load(artifact("convnet", "onnx"), backend="ort-cpu") as one:
        yield one


Begin = Callable[..., "Process"]


class Process:
    """`ptx serve` on a free port."""

    def __init__(self, *arguments: object, folder: Path) -> None:
        self.log = folder / f"log-{time.monotonic_ns()}"
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                [*COMMAND, *map(str, arguments), "--port", "0"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.popen.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", self.popen.stdout.readline())
        assert found, self.log.read_text()
        self.port = int(found[1])

    def connect(self, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        """A new connection."""
        if context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        return http.client.HTTPSConnection("localhost", self.port, timeout=20, context=context)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """Status and body of the response to a request."""
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()

    def infer(self) -> int:
        """The status of a valid request."""
        return self.ask("POST", PATH, BODY, **HEADER)[0]


COMMAND = [sys.executable, "-W", "error", "-c", "from ptx.cli import main; main()", "serve"]
PATH = "/v2/models/convnet/infer"
BODY, HEADER = binary(np.zeros((1, 1, 28, 28), np.float32))
POST = request("POST", PATH, BODY, HEADER)


@pytest.fixture
def begin(artifact: Callable[[str, str], Path], tmp_path: Path) -> Iterator[Begin]:
    """`begin("--workers", 2)`: a process that serves convnet, and is killed at the end."""
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
