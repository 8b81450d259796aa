"""docs/examples/serving/nginx.conf in front of a server: it limits what uvicorn does not."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ptx.serve import ModelSource, Settings

from .conftest import POST, free_port, make_certificate, read_answer, serving, until

CONFIG = Path(__file__).parents[2] / "docs" / "examples" / "serving" / "nginx.conf"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = pytest.mark.skipif(
    NGINX is None or shutil.which("openssl") is None, reason="nginx or openssl is not installed"
)


@pytest.fixture(scope="module")
def proxy(
    source: Callable[[str], ModelSource], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port of nginx; its times are those of the file, divided by ten."""
    folder = tmp_path_factory.mktemp("nginx")
    make_certificate(folder)
    port = free_port()
    slow = Settings(max_delay=0.3)  # so that a client can go before its response
    with serving([source("convnet")], slow, grpc=True) as served:
        text = CONFIG.read_text()
        for old, new in (
            ("listen 443", f"listen 127.0.0.1:{port}"),
            ("127.0.0.1:8000", f"127.0.0.1:{served.port}"),
            ("127.0.0.1:8001", f"127.0.0.1:{served.grpc_port}"),
            ("/etc/nginx", str(folder)),
            ("timeout 10s", "timeout 1s"),
        ):
            assert old in text
            text = text.replace(old, new)
        temporary = "".join(
            f"{name}_temp_path {folder}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        text = text.replace("http {", f"http {{\n{temporary}", 1)
        (folder / "nginx.conf").write_text(text)
        options = f"daemon off; error_log {folder}/error.log; pid {folder}/nginx.pid;"
        command = [str(NGINX), "-p", folder, "-c", folder / "nginx.conf", "-g", options]
        with subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL) as process:
            try:
                assert until(lambda: _listens(port) or process.poll() is not None)
                assert process.poll() is None, (folder / "error.log").read_text()
                yield port
            finally:
                process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def connect(port: int) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 20))


def test_it_passes_requests_on(proxy: int) -> None:
    with connect(proxy) as sock:
        for _ in range(2):
            sock.sendall(POST)
            assert read_answer(sock).status == 200


@pytest.mark.parametrize(
    "sent", [0, 20, 400], ids=["nothing", "a part of the headers", "of the body"]
)
def test_a_slow_client_is_closed(proxy: int, sent: int) -> None:
    with connect(proxy) as sock:
        sock.sendall(POST[:sent])
        assert read_answer(sock).status in (0, 408)


def test_a_tls_handshake_that_is_not_finished_is_closed(proxy: int) -> None:
    with socket.create_connection(("127.0.0.1", proxy), 20) as sock:
        assert sock.recv(10) == b""


def test_a_client_that_half_closes_gets_its_response(proxy: int) -> None:
    with connect(proxy) as sock:
        sock.sendall(POST)
        socket.socket.shutdown(sock, socket.SHUT_WR)  # of TCP: TLS has no half of a connection
        assert read_answer(sock).status == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_http_2(proxy: int, seven: Path) -> None:
    done = subprocess.run(
        [
            "curl",
            "-sk",
            "--http2",
            "-w",
            "%{http_version}",
            "--data-binary",
            f"@{seven}",
            f"https://localhost:{proxy}/predict/convnet",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert '"label"' in done.stdout
    assert done.stdout.endswith("}2")
