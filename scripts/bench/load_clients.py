"""Clients that send the next request as soon as they have a response, and their requests."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from pairing import Spent, run_outside
from servers import Command, Servers, processor_seconds, running
from setting import Setting, pictures

SECONDS = 2  # of one measurement
GRPC_SECONDS = 1  # of one with gRPC
WARM_UP = "500ms"  # before it
HERE = Path(__file__).parent
_INFER = "/v2/models/convnet/infer"
_JSON = "Content-Type: application/json"
_SIDE = 224  # pixels of the input of resnet18


class Request(NamedTuple):
    """A request over HTTP; its body is a file."""

    path: str
    body: Path
    header: str


def make_requests(setting: Setting) -> dict[str, Request]:
    """The requests by their names."""
    generator = np.random.default_rng(0)
    image = generator.random((8, 1, 28, 28), np.float32)
    photograph = generator.random((1, 3, _SIDE, _SIDE), np.float32)
    digit = next(pictures(setting).iterdir()).read_bytes()
    kinds = {
        "binary": (_INFER, *_binary(image[:1])),
        "rows": (_INFER, *_binary(image)),
        "slow": (_INFER, *_binary(photograph)),
        "JSON": (_INFER, _json(image[:1]), _JSON),
        "predict": ("/predict", _json(image[:1]), _JSON),
        "picture": ("/predict/convnet", digit, _JSON),
        "triton": ("/v2/models/convnet_predict/infer", *_text(digit)),
    }
    requests = {}
    for name, (path, body, header) in kinds.items():
        file = setting.folder / f"request-{name}"
        file.write_bytes(body)
        requests[name] = Request(path, file, header)
    return requests


def _binary(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> tuple[bytes, str]:
    return _request({"name": "image", "shape": array.shape, "datatype": "FP32"}, array.tobytes())


def _text(value: bytes) -> tuple[bytes, str]:
    """One file as the repository for Triton takes it."""
    element = len(value).to_bytes(4, "little") + value
    return _request({"name": "picture", "shape": [1, 1], "datatype": "BYTES"}, element)


def _request(tensor: dict[str, object], data: bytes) -> tuple[bytes, str]:
    tensor["parameters"] = {"binary_data_size": len(data)}
    text = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    return text + data, f"Inference-Header-Content-Length: {len(text)}"


def _json(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    tensor = {"name": "image", "shape": array.shape, "datatype": "FP32", "data": array.ravel()}
    return orjson.dumps({"inputs": [tensor]}, option=orjson.OPT_SERIALIZE_NUMPY)


class LoadClients:
    """Clients of a server, all on one thread of h2load; each call is a measurement of `SECONDS`."""

    def __init__(self, servers: Servers, name: str, clients: int, request: Request) -> None:
        self._servers, self._name = servers, name
        self._clients, self._request = clients, request

    def seconds(self) -> float:
        """Seconds for each good response, over all clients."""
        return SECONDS / self._count_good()

    def spent(self) -> Spent:
        """The same, and the processor time of the server."""
        process = self._servers[self._name].process
        before = processor_seconds(process)
        good = self._count_good(warm_up="0s")
        return Spent(SECONDS / good, (processor_seconds(process) - before) / good)

    def processor(self) -> float:
        """Seconds of the server's processors for each good response."""
        return self.spent().processor

    def median(self) -> float:
        """Seconds within which half of the responses come."""
        return self._percentile(50)

    def p99(self) -> float:
        """Seconds within which 99 of 100 responses come."""
        return self._percentile(99)

    def _percentile(self, percent: int) -> float:
        with tempfile.NamedTemporaryFile("r") as log:
            self._count_good("--log-file", log.name)
            return float(np.percentile([int(line.split()[2]) for line in log], percent)) / 1e6

    def _count_good(self, *more: str, warm_up: str = WARM_UP) -> int:
        path, body, header = self._request
        address = f"http://127.0.0.1:{self._servers.port(self._name)}{path}"
        output = run_outside(
            [
                "h2load",
                "--h1",
                "-t",
                1,
                "-c",
                self._clients,
                "-D",
                SECONDS,
                "--warm-up-time",
                warm_up,
                "-d",
                body,
                "-H",
                header,
                *more,
                address,
            ]
        )
        match = re.search(r"status codes: (\d+) 2xx", output)
        assert match is not None
        return int(match[1])


def grpc_clients(server: Command, clients: int) -> Callable[[], float]:
    """Clients of gRPC: each call is a measurement of a server that is started for it."""

    def seconds() -> float:
        with running(server) as started:
            output = run_outside(
                [sys.executable, HERE / "grpc_clients.py", started.ports[-1], clients, GRPC_SECONDS]
            )
        good: float = json.loads(output)["good"]
        return 1 / good

    return seconds
