"""A real tritonserver on a repository; PTX_TRITON names what scripts/setup/triton has made."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

TRITON = os.environ.get("PTX_TRITON", "")
MISSING = "PTX_TRITON names no folder that scripts/setup/triton has made"
HERE = Path(__file__).parent


class Ports(NamedTuple):
    """Where it listens, and its process."""

    http: int
    grpc: int
    process: int


@contextmanager
def triton_server(repository: Path, folder: Path) -> Iterator[Ports]:
    """The server, once all models are ready; its log is in `folder`."""
    home = Path(TRITON).resolve()
    http, grpc = _free_port(), _free_port()
    with (folder / "triton.log").open("wb") as log:
        process = subprocess.Popen(
            [
                home / "wheel/pytriton/tritonserver/bin/tritonserver",
                f"--model-repository={repository}",
                f"--backend-directory={_backends(home, folder / 'backends')}",
                f"--http-port={http}",
                f"--grpc-port={grpc}",
                "--http-address=127.0.0.1",
                "--grpc-address=127.0.0.1",
                "--allow-metrics=false",
                "--exit-timeout-secs=5",
            ],
            stdout=log,
            stderr=log,
            cwd=folder,
            env=_environment(home),
        )
        try:
            _wait(process, http, folder / "triton.log")
            yield Ports(http, grpc, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _backends(home: Path, folder: Path) -> Path:
    """Triton's Python backend with the stub of that Python, and ours for ONNX Runtime."""
    server = home / "wheel/pytriton/tritonserver"
    shutil.copytree(server / "backends/python", folder / "python")
    shutil.copy(_stub(home, server), folder / "python")
    (folder / "onnxruntime").mkdir()
    shutil.copy(HERE / "onnx_backend.py", folder / "onnxruntime/model.py")
    return folder


def _stub(home: Path, server: Path) -> Path:
    (library,) = (home / "env/lib").glob("python3.*")
    version = library.name.removeprefix("python")
    return server / "python_backend_stubs" / version / "triton_python_backend_stub"


def _environment(home: Path) -> dict[str, str]:
    """The stub takes the Python environment that it finds on PATH, and no PYTHONPATH."""
    python = (home / "env/bin/python").resolve().parents[1]
    return {
        "PATH": f"{home / 'env/bin'}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": f"{python / 'lib'}:{home / 'wheel/nvidia_pytriton.libs'}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
