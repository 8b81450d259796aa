"""The servers of the benchmark, and clients that never pause."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from pairing import OUTSIDE, Spent, run_outside
from setting import Setting, pictures

SECONDS = 2  # of one measurement
_ENDING = 10.0  # seconds that a server has to end
_TICK = os.sysconf("SC_CLK_TCK")
_JSON = "Content-Type: application/json"


class Server(NamedTuple):
    """A server that runs."""

    process: int
    port: int


class Request(NamedTuple):
    """A request over HTTP; its body is a file."""

    path: str
    body: Path
    header: str


def make_requests(setting: Setting) -> dict[str, Request]:
    """The requests by their names."""
    image = np.random.default_rng(0).random((1, 1, 28, 28), np.float32)
    tensor: dict[str, Any] = {"name": "image", "shape": image.shape, "datatype": "FP32"}
    digit = next(pictures(setting).iterdir()).read_bytes()
    picture = {"name": "picture", "shape": [1, 1], "datatype": "BYTES"}
    infer = "/v2/models/{}/infer".format
    kinds = {
        "binary tensors": (infer("convnet"), *_binary(tensor, image.tobytes())),
        "JSON tensors": (infer("convnet"), _json(tensor | {"data": image.ravel()}), _JSON),
        "image files": ("/predict/convnet", digit, _JSON),
        "triton": (
            infer("convnet_predict"),
            *_binary(picture, len(digit).to_bytes(4, "little") + digit),
        ),
    }
    requests = {}
    for name, (path, body, header) in kinds.items():
        file = setting.folder / f"request-{name}"
        file.write_bytes(body)
        requests[name] = Request(path, file, header)
    return requests


def _json(tensor: dict[str, Any], **more: object) -> bytes:
    return orjson.dumps({"inputs": [tensor], **more}, option=orjson.OPT_SERIALIZE_NUMPY)


def _binary(tensor: dict[str, Any], data: bytes) -> tuple[bytes, str]:
    """Body and header of a request whose tensor follows the JSON text."""
    tensor = tensor | {"parameters": {"binary_data_size": len(data)}}
    text = _json(tensor, parameters={"binary_data_output": True})
    return text + data, f"Inference-Header-Content-Length: {len(text)}"


@contextmanager
def running(command: Sequence[object]) -> Iterator[Server]:
    """A server that accepts connections; each `PORT` in its command becomes a free port."""
    free = [_free_port() for word in command if word == "PORT"]
    left = iter(free)
    words = [str(next(left)) if word == "PORT" else str(word) for word in command]
    null = subprocess.DEVNULL
    with subprocess.Popen(
        words, stdout=null, stderr=null, env=OUTSIDE, start_new_session=True
    ) as process:
        try:
            _await(free[0], process)
            yield Server(process.pid, free[0])
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_ENDING)
            with suppress(ProcessLookupError):  # its children
                os.killpg(process.pid, signal.SIGKILL)


def clients(server: Server, count: int, request: Request) -> Callable[[], Spent]:
    """Seconds for each good response over all clients, and those of the server's processors.

    The clients share one thread of h2load.
    """
    words = ["h2load", "--h1", "-t", 1, "-c", count, "-D", SECONDS, "-d", request.body]
    words += ["-H", request.header, f"http://127.0.0.1:{server.port}{request.path}"]

    def once() -> Spent:
        before = _processor_seconds(server.process)
        match = re.search(r"status codes: (\d+) 2xx", run_outside(words))
        assert match is not None
        good = int(match[1])
        return Spent(SECONDS / good, (_processor_seconds(server.process) - before) / good)

    return once


def _processor_seconds(process: int) -> float:
    """Processor time that a server and its workers have used so far."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return sum(_ticks(one) for one in (process, *map(int, children))) / _TICK


def _ticks(process: int) -> int:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > end or process.poll() is not None:
                raise
            time.sleep(0.005)
        else:
            return


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
