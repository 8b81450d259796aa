"""Clients that ask again as soon as they are answered, and what they ask."""

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
from pairing import run_outside
from servers import Command, Servers, processor_seconds, running
from setting import Setting, pictures

SECONDS = 2  # of one window
GRPC_SECONDS = 1  # of one of gRPC
WARM_UP = "500ms"  # before it
HERE = Path(__file__).parent
_INFER = "/v2/models/convnet/infer"
_JSON = "Content-Type: application/json"
_SIDE = 224  # pixels of what the long network takes


class Request(NamedTuple):
    """What a client of HTTP sends."""

    path: str
    body: Path
    header: str


def requests(setting: Setting) -> dict[str, Request]:
    """Their bodies are files."""
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
    found = {}
    for name, (path, body, header) in kinds.items():
        file = setting.folder / f"request-{name}"
        file.write_bytes(body)
        found[name] = Request(path, file, header)
    return found


def _binary(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> tuple[bytes, str]:
    return _request({"name": "image", "shape": array.shape, "datatype": "FP32"}, array.tobytes())


def _text(value: bytes) -> tuple[bytes, str]:
    """One file as the written repository takes it."""
    given = len(value).to_bytes(4, "little") + value
    return _request({"name": "picture", "shape": [1, 1], "datatype": "BYTES"}, given)


def _request(tensor: dict[str, object], data: bytes) -> tuple[bytes, str]:
    tensor["parameters"] = {"binary_data_size": len(data)}
    text = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    return text + data, f"Inference-Header-Content-Length: {len(text)}"


def _json(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    tensor = {"name": "image", "shape": array.shape, "datatype": "FP32", "data": array.ravel()}
    return orjson.dumps({"inputs": [tensor]}, option=orjson.OPT_SERIALIZE_NUMPY)


class Asking:
    """Clients of a server, all on one thread of C: each call is a window of `SECONDS`."""

    def __init__(self, servers: Servers, name: str, clients: int, request: Request) -> None:
        self._servers, self._name = servers, name
        self._clients, self._request = clients, request

    def __call__(self) -> float:
        """Seconds of one good answer, over all clients."""
        return SECONDS / self._good()

    def processor(self) -> float:
        """Seconds of the server's processors for one good answer."""
        process = self._servers[self._name].process
        before = processor_seconds(process)
        good = self._good(warm_up="0s")
        return (processor_seconds(process) - before) / good

    def p99(self) -> float:
        """Seconds within which 99 of 100 answers come."""
        with tempfile.NamedTemporaryFile("r") as log:
            self._good("--log-file", log.name)
            return float(np.percentile([int(line.split()[2]) for line in log], 99)) / 1e6

    def _good(self, *more: str, warm_up: str = WARM_UP) -> int:
        path, body, header = self._request
        address = f"http://127.0.0.1:{self._servers.port(self._name)}{path}"
        said = run_outside(
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
        found = re.search(r"status codes: (\d+) 2xx", said)
        assert found is not None
        return int(found[1])


def asking_grpc(server: Command, clients: int) -> Callable[[], float]:
    """Clients of gRPC: each call is a window on a server that was started for it."""

    def seconds() -> float:
        with running(server) as found:
            told = run_outside(
                [sys.executable, HERE / "asking_grpc.py", found.ports[-1], clients, GRPC_SECONDS]
            )
        good: float = json.loads(told)["good"]
        return 1 / good

    return seconds
