"""Rows of `ptx serve` next to other servers: seconds for a request, with clients that never pause."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from load_clients import LoadClients, Request, grpc_clients, make_requests
from pairing import Goal, Missing, Pair, Pending, Spent
from servers import PEERS, TRITON, Servers, commands, memory, starting
from setting import Setting

ROUNDS = 5
_CLOSE = 9  # rounds if the two sides are within some hundredths of each other
Seconds = Callable[[], float | Spent]
_NEEDED = ("uvicorn", "starlette", "tritonclient")
# Clients → the least ratio of the bare program's seconds to those of ptx, for tensors and for pictures.
_TENSORS: dict[int, float | None] = {1: 0.9, 8: None, 64: None}
_PICTURES: dict[int, float | None] = {1: None, 8: 1.3, 64: 1.3}
_PEERS = {"MLServer": 4.0, "LitServe": None}


def serving(setting: Setting) -> Iterator[Pending]:
    """All servers run at the same time, and are measured in turn."""
    if absent := [name for name in _NEEDED if find_spec(name) is None]:
        yield Missing("ptx serve", f"pip install {' '.join(absent)}")
        return
    if shutil.which("h2load") is None:
        yield Missing("ptx serve", "no h2load: apt-get install nghttp2-client")
        return
    _long_network(setting.folder / "resnet18.onnx")
    with ExitStack() as stack:
        rows = _Rows(Servers(setting, stack), make_requests(setting))
        yield from rows.starlette()
        yield from rows.own()
        yield from rows.grpc(commands(setting))
        yield from rows.triton()
        yield from rows.peers()
        yield from rows.resources(commands(setting))


class _Rows:
    """The rows, by what ptx is compared with."""

    def __init__(self, servers: Servers, requests: dict[str, Request]) -> None:
        self._servers, self._requests = servers, requests

    def _clients(self, server: str, clients: int, request: str) -> LoadClients:
        return LoadClients(self._servers, server, clients, self._requests[request])

    def starlette(self) -> Iterator[Pending]:
        for what, form, other, goals in (
            ("binary tensors", "binary", "starlette", _TENSORS),
            ("JSON tensors", "JSON", "starlette", dict.fromkeys(_TENSORS)),
            ("picture files", "picture", "pictures", _PICTURES),
        ):
            for clients, times in goals.items():
                yield _row(
                    f"{what}, {_counted(clients)}",
                    "Starlette on uvicorn",
                    self._clients("ptx", clients, form).spent,
                    self._clients(other, clients, form).spent,
                    times,
                )

    def own(self) -> Iterator[Pending]:
        """Next to itself, with other options."""
        clients_of = self._clients
        yield _row(
            "200 clients, 8 rows a request",
            "8 clients of the same",
            clients_of("ptx", 200, "rows").seconds,
            clients_of("ptx", 8, "rows").seconds,
            0.8,
        )
        yield _row(
            "binary tensors, 1 client, a shadow of 1 %, median",
            "without a shadow",
            clients_of("shadowed", 1, "binary").median,
            clients_of("ptx", 1, "binary").median,
            1 / 1.03,
            _CLOSE,
        )
        for clients in (1, 8):
            yield _row(
                f"resnet18, {_counted(clients)}",
                "one run at a time",
                clients_of("slow", clients, "slow").seconds,
                clients_of("slow-single", clients, "slow").seconds,
                1.0,
                _CLOSE,
            )
        many = (os.cpu_count() or 1) > 3  # else the clients and the workers share the processors
        for what, request in (("picture files", "picture"), ("binary tensors", "binary")):
            two, one = (clients_of(name, 64, request) for name in ("workers", "ptx"))
            yield _row(
                f"{what}, 64 clients, two workers",
                "one worker",
                two.seconds,
                one.seconds,
                1.6 if many or request == "picture" else None,
            )
        yield Pair(
            "the same, processor time of the server",
            "one worker",
            two.processor,
            one.processor,
            ROUNDS,
            Goal(1.25),
        )

    def grpc(self, commands: dict[str, list[object]]) -> Iterator[Pending]:
        for clients in _TENSORS:
            ours, theirs = (grpc_clients(commands[name], clients) for name in ("ptx-grpc", "grpc"))
            yield _row(f"gRPC, {_counted(clients)}", "bare grpc.aio", ours, theirs, None)

    def triton(self) -> Iterator[Pending]:
        if not TRITON:
            yield Missing("next to Triton", "PTX_TRITON names no folder of scripts/setup/triton")
            return
        for clients in (8, 64):
            yield _row(
                f"picture files, {_counted(clients)}",
                "Triton, the repository of ptx",
                self._clients("ptx", clients, "picture").seconds,
                self._clients("triton", clients, "triton").seconds,
                1.0,
            )
        ours, theirs = (self._clients(name, 8, "binary") for name in ("ptx", "triton"))
        yield Pair(
            "binary tensors, 8 clients, 99 of 100 answers",
            "Triton, its Python backend",
            ours.p99,
            theirs.p99,
            ROUNDS,
            Goal(1.0),
        )

    def peers(self) -> Iterator[Pending]:
        for name, times in _PEERS.items():
            if not (PEERS / name.lower() / "bin/python").exists():
                yield Missing(f"next to {name}", "PTX_PEERS names no folder of scripts/setup/peers")
                continue
            for clients in (8, 64):
                request = "JSON" if name == "MLServer" else "predict"
                theirs = self._clients(name.lower(), clients, request).spent
                for form, goal in (
                    ("binary", times),
                    ("JSON", 2.5 if name == "MLServer" else None),
                ):
                    yield _row(
                        f"{form} tensors, {_counted(clients)}",
                        f"{name}, JSON",
                        self._clients("ptx", clients, form).spent,
                        theirs,
                        goal,
                    )

    def resources(self, commands: dict[str, list[object]]) -> Iterator[Pending]:
        ours, theirs = (commands[name] for name in ("ptx", "starlette"))
        yield Pair(
            "start to the first answer",
            "Starlette on uvicorn",
            starting(ours),
            starting(theirs),
            2 * ROUNDS,
            Goal(1.1),
        )
        yield Pair(
            "memory after the rows above",
            "Starlette on uvicorn",
            lambda: memory(self._servers["ptx"].process),
            lambda: memory(self._servers["starlette"].process),
            1,
            Goal(1.3),
            lambda size: f"{size:.0f} MiB",
        )


def _row(
    name: str,
    reference: str,
    ours: Seconds,
    theirs: Seconds,
    times: float | None,
    rounds: int = ROUNDS,
) -> Pair:
    return Pair(name, reference, ours, theirs, rounds, None if times is None else Goal(1 / times))


def _counted(clients: int) -> str:
    return "1 client" if clients == 1 else f"{clients} clients"


def _long_network(path: Path) -> None:
    """resnet18 for 224 × 224 pixels, seeded: some 30 ms on a processor."""
    if path.exists():
        return
    import torch
    from torchvision.models import resnet18

    from ptx.export import describe, export

    torch.manual_seed(0)
    described = describe(
        resnet18(num_classes=4),
        name="resnet18",
        task="classification",
        signature={
            "inputs": {"image": ["float32", ["batch", 3, 224, 224]]},
            "outputs": {"logits": ["float32", ["batch", 4]]},
        },
        labels=("ant", "bee", "cat", "dog"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        export(described, "onnx", path)
