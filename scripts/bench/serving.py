"""Rows of `ptx serve` next to other servers: seconds for a request, with clients that never pause."""

from __future__ import annotations

import os
import runpy
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pairing import Goal, Missing, Pair, Pending
from servers import Server, clients, make_requests, running
from setting import HERE, PTX, Setting, naive

MLSERVER = os.environ.get("PTX_MLSERVER", "")  # made by scripts/setup/mlserver
TRITON = os.environ.get("PTX_TRITON", "")  # made by scripts/setup/triton
ROUNDS = 5
STARLETTE = "Starlette on uvicorn"
Times = Mapping[
    int, float | None
]  # clients → the least ratio of the other's seconds to those of ptx


def serving(setting: Setting) -> Iterator[Pending]:
    """All servers run at the same time, and are measured in turn."""
    if shutil.which("h2load") is None:
        yield Missing("ptx serve", "no h2load: apt-get install nghttp2-client")
        return
    model, requests = setting.model("convnet", ".onnx"), make_requests(setting)

    def rows(
        other: Server, reference: str, what: str, goals: Times, as_sent: str = ""
    ) -> Iterator[Pair]:
        """A row for each number of clients; `as_sent`: the other's request, if not the same."""
        for count, times in goals.items():
            yield Pair(
                f"{what}, {count} client{'s' * (count > 1)}",
                reference,
                clients(ours, count, requests[what]),
                clients(other, count, requests[as_sent or what]),
                ROUNDS,
                None if times is None else Goal(1 / times),
            )

    with ExitStack() as stack:
        start = stack.enter_context
        ours = start(running([PTX, "serve", f"convnet={model}", "--port", "PORT"]))
        other = start(running(naive("starlette_server", model, "PORT")))
        yield from rows(other, STARLETTE, "binary tensors", {1: 0.9, 8: None, 64: None})
        yield from rows(other, STARLETTE, "JSON tensors", {1: None, 8: None, 64: None})
        other = start(running(naive("starlette_pictures", model, "PORT")))
        yield from rows(other, STARLETTE, "image files", {1: None, 8: 1.3, 64: 1.3})
        if TRITON:
            other = start(_triton(model))
            yield from rows(other, "Triton", "image files", {8: 1, 64: 1}, "triton")
        else:
            yield Missing("next to Triton", "PTX_TRITON names no folder of scripts/setup/triton")
        if MLSERVER:
            _, *command = naive("mlserver_server", model, "PORT", "PORT")
            other = start(running([Path(MLSERVER).absolute() / "bin/python", *command]))
            for what, times in (("binary tensors", 4), ("JSON tensors", 2.5)):
                goals = {8: times, 64: times}
                yield from rows(other, "MLServer, JSON", what, goals, "JSON tensors")
        else:
            reason = "PTX_MLSERVER names no folder of scripts/setup/mlserver"
            yield Missing("next to MLServer", reason)


@contextmanager
def _triton(model: Path) -> Iterator[Server]:
    """A real tritonserver on the repository that ptx writes for the model."""
    from ptx.export.triton import write_repository
    from ptx.infer import read_artifact

    start = runpy.run_path(str(HERE.parents[1] / "tests/export/triton/server.py"))["triton_server"]
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_repository(read_artifact(model), folder / "repository")
        with start(folder / "repository", folder) as ports:
            yield Server(ports.process, ports.http)
