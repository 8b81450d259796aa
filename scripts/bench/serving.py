"""Rows of `ptx serve` beside other servers: seconds a request, where clients ask without a pause."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from pairing import OUTSIDE, Goal, Missing, Pair, Pending, run_outside
from setting import PTX, Setting, naive, pictures

SECONDS = 2  # of one window
WARM_UP = 1  # before it
ROUNDS = 3
HERE = Path(__file__).parent
INFER = "/v2/models/convnet/infer"
_JSON = "Content-Type: application/json"
# Clients → how many times the requests of the other that ptx must answer.
_STARLETTE = {1: 1.2, 8: 2.0, 64: 2.4}
_PEERS = ("uvicorn", "tritonclient")


class Request(NamedTuple):
    """What a client of HTTP sends."""

    path: str
    body: Path
    header: str


class Ports(NamedTuple):
    """Where each server listens."""

    ptx: int
    ptx_grpc: int
    starlette: int
    grpc: int  # bare grpc.aio
    example: int  # docs/examples/service.py
    workers: int  # two of ptx


def serving(setting: Setting) -> Iterator[Pending]:
    """One process of each, all of them up at the same time, asked in turn."""
    if absent := [name for name in _PEERS if find_spec(name) is None]:
        yield Missing("ptx serve", f"pip install {' '.join(absent)}")
        return
    if shutil.which("h2load") is None:
        yield Missing("ptx serve", "no h2load: apt-get install nghttp2-client")
        return
    requests = _requests(setting)
    with ExitStack() as stack:
        ports = _start_all(setting, stack)
        yield from _tensors(ports, requests)
        yield from _grpc(ports)
        yield from _other(ports, requests)
    model = setting.model("convnet", ".onnx")
    yield Pair(
        "start to the first answer", "Starlette on uvicorn", partial(_start, _ptx(model)),
        partial(_start, naive("starlette_server", model, "PORT")), ROUNDS, Goal(1.1),
    )  # fmt: skip


def _tensors(ports: Ports, requests: dict[str, Request]) -> Iterator[Pending]:
    for clients, times in _STARLETTE.items():
        for form, goal in (("binary", times), ("JSON", None)):
            asking = partial(_asking, clients=clients, request=requests[form])
            yield _row(f"{form} tensors, {_counted(clients)}", "Starlette on uvicorn",
                       asking(ports.ptx), asking(ports.starlette), goal)  # fmt: skip


def _grpc(ports: Ports) -> Iterator[Pending]:
    for clients in _STARLETTE:
        ours, theirs = (_asking_grpc(port, clients) for port in (ports.ptx_grpc, ports.grpc))
        yield _row(f"gRPC, {_counted(clients)}", "bare grpc.aio", ours, theirs, 0.95)


def _other(ports: Ports, requests: dict[str, Request]) -> Iterator[Pending]:
    rows, tensors = requests["rows"], requests["binary"]
    yield _row("200 clients, 8 rows a request", "8 clients of the same",
               _asking(ports.ptx, 200, rows), _asking(ports.ptx, 8, rows), 0.8)  # fmt: skip
    for clients in _STARLETTE:
        ours = _asking(ports.ptx, clients, requests["picture"])
        theirs = _asking(ports.example, clients, requests["example"])
        yield _row(f"picture files, {_counted(clients)}", "docs/examples/service.py", ours, theirs)
    many = (os.cpu_count() or 1) > 3  # else the clients and the workers share the processors
    yield _row("binary tensors, 64 clients, two workers", "one worker",
               _asking(ports.workers, 64, tensors), _asking(ports.ptx, 64, tensors),
               1.6 if many else None)  # fmt: skip


def _ptx(model: Path, *more: object) -> list[object]:
    return [PTX, "serve", f"convnet={model}", "--port", "PORT", *more]


def _start_all(setting: Setting, stack: ExitStack) -> Ports:
    model = setting.model("convnet", ".onnx")
    example = ["env", f"PTX_MODEL={model}", sys.executable, "-m", "uvicorn", "--factory",
               "--app-dir", HERE.parents[1] / "docs/examples", "--log-level", "critical",
               "--port", "PORT", "service:create_app"]  # fmt: skip
    commands = [
        _ptx(model, "--grpc-port", "PORT"), naive("starlette_server", model, "PORT"),
        naive("grpc_server", model, "PORT"), example, _ptx(model, "--workers", 2),
    ]  # fmt: skip
    return Ports(*(port for one in commands for port in stack.enter_context(_server(one))))


def _row(
    name: str, reference: str, ours: Callable[[], float], theirs: Callable[[], float],
    times: float | None = None,
) -> Pair:  # fmt: skip
    return Pair(name, reference, ours, theirs, ROUNDS, None if times is None else Goal(1 / times))


def _counted(clients: int) -> str:
    return "1 client" if clients == 1 else f"{clients} clients"


def _requests(setting: Setting) -> dict[str, Request]:
    """Their bodies are files."""
    image = np.random.default_rng(0).random((8, 1, 28, 28), np.float32)
    digit = next(pictures(setting).iterdir()).read_bytes()
    one, rows = _binary(image[:1]), _binary(image)
    kinds = {
        "binary": (INFER, *one), "rows": (INFER, *rows), "JSON": (INFER, _json(image[:1]), _JSON),
        "picture": ("/predict/convnet", digit, _JSON), "example": ("/predict", digit, _JSON),
    }  # fmt: skip
    found = {}
    for name, (path, body, header) in kinds.items():
        file = setting.folder / f"request-{name}"
        file.write_bytes(body)
        found[name] = Request(path, file, header)
    return found


def _binary(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> tuple[bytes, str]:
    tensor = {"name": "image", "shape": array.shape, "datatype": "FP32",
              "parameters": {"binary_data_size": array.nbytes}}  # fmt: skip
    text = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    return text + array.tobytes(), f"Inference-Header-Content-Length: {len(text)}"


def _json(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    tensor = {"name": "image", "shape": array.shape, "datatype": "FP32", "data": array.ravel()}
    return orjson.dumps({"inputs": [tensor]}, option=orjson.OPT_SERIALIZE_NUMPY)


def _asking(port: int, clients: int, request: Request) -> Callable[[], float]:
    """Clients that ask again as soon as they are answered, on one thread of C."""
    command = [
        "h2load", "--h1", "-t", 1, "-c", clients, "-D", SECONDS, "--warm-up-time", WARM_UP,
        "-d", request.body, "-H", request.header, f"http://127.0.0.1:{port}{request.path}",
    ]  # fmt: skip

    def seconds() -> float:
        """Of one good answer, over all clients."""
        found = re.search(r"status codes: (\d+) 2xx", run_outside(command))
        assert found is not None
        return SECONDS / int(found[1])

    return seconds


def _asking_grpc(port: int, clients: int) -> Callable[[], float]:
    command = [sys.executable, HERE / "asking_grpc.py", port, clients, SECONDS]

    def seconds() -> float:
        good: float = json.loads(run_outside(command))["good"]
        return 1 / good

    return seconds


@contextmanager
def _server(command: list[object]) -> Iterator[list[int]]:
    """A server that answers; `PORT` in its command becomes a port that is free."""
    free = [_free_port() for word in command if word == "PORT"]
    left = iter(free)
    words = [str(next(left)) if word == "PORT" else str(word) for word in command]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, env=OUTSIDE) as process:
        try:
            for port in free:
                _await(port)
            yield free
        finally:
            process.terminate()


def _await(port: int) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.005)
        else:
            return


def _start(command: list[object]) -> float:
    started = time.perf_counter()
    with _server(command):
        return time.perf_counter() - started


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
