"""The servers of the benchmark: each is started when it is first used, and all run until the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

from pairing import OUTSIDE
from setting import PTX, Setting, naive

ROOT = Path(__file__).parents[2]
PEERS = Path(os.environ.get("PTX_PEERS", ""))  # made by scripts/setup/peers
TRITON = os.environ.get("PTX_TRITON", "")  # made by scripts/setup/triton
_ENDING = 10.0  # seconds that a server has to end
_TICK = os.sysconf("SC_CLK_TCK")
Command = Sequence[object]


class Server(NamedTuple):
    """A server that runs."""

    process: int
    ports: list[int]


class Servers:
    """The servers that run, by their names."""

    def __init__(self, setting: Setting, stack: ExitStack) -> None:
        self._commands = commands(setting)
        self._setting, self._stack = setting, stack
        self._up: dict[str, Server] = {}

    def __getitem__(self, name: str) -> Server:
        if name not in self._up:
            started = _triton(self._setting) if name == "triton" else running(self._commands[name])
            self._up[name] = self._stack.enter_context(started)
        return self._up[name]

    def port(self, name: str) -> int:
        """Its port for HTTP; of a server that has only gRPC, that one."""
        return self[name].ports[0]


def commands(setting: Setting) -> dict[str, list[object]]:
    """The command of each; `PORT` stands for a free port."""
    model, slow = setting.model("convnet", ".onnx"), setting.folder / "resnet18.onnx"
    return {
        "ptx": ptx(model),
        "ptx-grpc": ptx(model, "--grpc-port", "PORT"),
        "workers": ptx(model, "--workers", 2),
        "shadowed": ptx(model, "--shadow", model, "--share", 0.01),
        "slow": ptx(slow),
        "slow-single": ptx(slow, "--max-batch", 1),
        "starlette": naive("starlette_server", model, "PORT"),
        "pictures": naive("starlette_pictures", model, "PORT"),
        "grpc": naive("grpc_server", model, "PORT"),
        "mlserver": _peer("mlserver", model, "PORT", "PORT"),
        "litserve": _peer("litserve", model, "PORT"),
    }


def ptx(model: Path, *more: object) -> list[object]:
    """`ptx serve` of a file, as `convnet`."""
    return [PTX, "serve", f"convnet={model}", "--port", "PORT", *more]


def _peer(name: str, *arguments: object) -> list[object]:
    """A reference program in its own environment."""
    _, *command = naive(f"{name}_server", *arguments)
    return [PEERS.absolute() / name / "bin/python", *command]


@contextmanager
def running(command: Command) -> Iterator[Server]:
    """A server that accepts connections; `PORT` in its command becomes a free port."""
    free = [_free_port() for word in command if word == "PORT"]
    left = iter(free)
    words = [str(next(left)) if word == "PORT" else str(word) for word in command]
    null = subprocess.DEVNULL
    with subprocess.Popen(
        words, stdout=null, stderr=null, env=OUTSIDE, start_new_session=True
    ) as process:
        try:
            for port in free:
                _await(port, process)
            yield Server(process.pid, free)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_ENDING)
            with suppress(ProcessLookupError):  # LitServe leaves processes behind
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def _triton(setting: Setting) -> Iterator[Server]:
    """A real tritonserver on the repository that ptx writes for the convnet."""
    from tempfile import TemporaryDirectory

    from ptx.export.triton import write_repository
    from ptx.infer import read_artifact

    server = _module(ROOT / "tests/export/triton/server.py")
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_repository(read_artifact(setting.model("convnet", ".onnx")), folder / "repository")
        with server.triton_server(folder / "repository", folder) as ports:
            yield Server(0, [ports.http, ports.grpc])


def _module(path: Path) -> Any:
    spec = spec_from_file_location("triton_server", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def processor_seconds(process: int) -> float:
    """Processor time that a server and its workers have used so far."""
    return sum(_ticks(one) for one in (process, *_children(process))) / _TICK


def memory(process: int) -> float:
    """Memory of one process in MiB; what it shares with others counts in parts."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def starting(command: Command) -> Callable[[], float]:
    """Seconds from a command to the first connection that it accepts."""

    def once() -> float:
        started = time.perf_counter()
        with running(command):
            return time.perf_counter() - started

    return once


def _children(process: int) -> list[int]:
    return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


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
