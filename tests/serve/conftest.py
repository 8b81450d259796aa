"""Servers in this process, on a loop in a thread of their own; raw connections to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pytest

from ptx.infer import Predictor, load
from ptx.serve import Settings, Source
from ptx.serve.access import Access
from ptx.serve.counts.metrics import Metrics
from ptx.serve.registry import Registry, open_model
from ptx.serve.rpc.service import start
from ptx.serve.server import sweep
from ptx.serve.tracing import Tracing
from ptx.serve.web.connection import Connection
from ptx.serve.web.routes import Site

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
    tensor = {"name": name, "shape": list(array.shape), "datatype": "FP32",
              "parameters": {"binary_data_size": array.nbytes}}  # fmt: skip
    head = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}} | more)
    return head + array.tobytes(), {"Inference-Header-Content-Length": str(len(head))}


@dataclass
class Served:
    """A server that runs."""

    port: int
    grpc_port: int
    site: Any
    registry: Registry
    loop: asyncio.AbstractEventLoop

    def connect(self) -> socket.socket:
        """A connection of its own."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)

    def send(self, data: bytes) -> Answer:
        """The answer to raw bytes."""
        with self.connect() as sock:
            with contextlib.suppress(ConnectionError):  # refused before all was sent: it says why
                sock.sendall(data)
            return read_answer(sock)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Headers | None = None
    ) -> Answer:
        """The answer to a request."""
        return self.send(request(method, path, body, headers))

    def infer(self, body: bytes, headers: Headers | None = None, model: str = "convnet") -> Answer:
        """The answer to a request for inference."""
        return self.ask("POST", f"/v2/models/{model}/infer", body, headers)

    def good(self) -> None:
        """Hold that a right request is answered rightly."""
        answer = self.infer(*binary(np.zeros((1, 1, 28, 28), np.float32)))
        assert answer.status == 200, answer.body
        assert answer.json["outputs"][0]["shape"] == [1, 10]


Serve = Callable[..., Served]


@contextlib.contextmanager
def serving(sources: list[Source], settings: Settings) -> Iterator[Served]:
    """A server on a loop in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin() -> tuple[Served, Any, Any, Any]:
        models = [open_model(source) for source in sources]
        metrics = Metrics([source.name for source in sources])
        access, tracing = Access(settings.token_file), Tracing()
        registry = Registry(sources, models, settings, metrics)
        site = Site(registry, settings, metrics, access, tracing)
        http = await loop.create_server(lambda: Connection(site), "127.0.0.1", 0)
        rpc = await start(registry, settings, metrics, access, tracing)
        sweeping = loop.create_task(sweep(site))
        port = http.sockets[0].getsockname()[1]
        return Served(port, rpc.port, site, registry, loop), http, rpc, sweeping

    async def end(http: Any, rpc: Any, sweeping: Any) -> None:
        http.close()
        sweeping.cancel()
        await rpc.stop(0)
        for connection in list(server.site.connections):
            connection._transport.abort()
        server.registry.close()
        await asyncio.sleep(0)

    server, *parts = asyncio.run_coroutine_threadsafe(begin(), loop).result(60)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(end(*parts), loop).result(TIMEOUT)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(TIMEOUT)
        loop.close()


@pytest.fixture(scope="session")
def source(artifact: Callable[[str, str], Path]) -> Callable[[str], Source]:
    """`source("convnet")`: an exported model as a server opens it."""

    def make(model: str) -> Source:
        path = artifact(model, "onnx")
        return Source(model, lambda: load(path, backend="ort-cpu", timeout=60))

    return make


MODELS = ("convnet", "lstm", "name-classifier", "diabetes")


@pytest.fixture(scope="session", name="served")
def shared_server(source: Callable[[str], Source]) -> Iterator[Served]:
    """A server of several models, with limits that a test can reach."""
    settings = Settings(
        grpc_port=0, max_body=4 * 2**20, max_json=2**20, max_batch=64, max_wait=30.0
    )
    with serving([source(model) for model in MODELS], settings) as one:
        yield one


@pytest.fixture
def serve(source: Callable[[str], Source]) -> Iterator[Serve]:
    """`serve(max_wait=…)`: a server of its own, of convnet or of a `Source`."""
    with contextlib.ExitStack() as stack:

        def make(*sources: Source, **settings: Any) -> Served:
            models = list(sources) or [source("convnet")]
            return stack.enter_context(serving(models, Settings(grpc_port=0, **settings)))

        yield make


class Acting(Predictor):
    """A predictor that does something before each run, once `armed`."""

    armed: bool
    before: Callable[[Any], object]

    def __init__(self, inner: Predictor, before: Callable[[Any], object]) -> None:
        self.__dict__ = inner.__dict__ | {"_inner": inner, "before": before, "armed": False}

    def run_checked(self, inputs: Any, sizes: Any) -> Any:
        if self.armed:
            self.before(inputs)
        return super().run_checked(inputs, sizes)


@pytest.fixture
def predictor(artifact: Callable[[str, str], Path]) -> Iterator[Predictor]:
    """convnet, as the command line opens it."""
    with load(artifact("convnet", "onnx"), backend="ort-cpu") as one:
        yield one
