"""HTTP as the RFCs say, for clients that use more of it than a benchmark does."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from .conftest import (
    BODY,
    HEADER,
    PATH,
    POST,
    Answer,
    Hold,
    Serve,
    Served,
    read_answer,
    request,
    until,
)

DIGIT = Path(__file__).parents[1] / "pictures" / "mnist-7.png"
H2C = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"}


def test_an_upgrade_is_ignored_and_the_body_is_kept(served: Served) -> None:
    """As curl --http2 and Java's HttpClient ask; the connection goes on."""
    upgrade = request("POST", PATH, BODY, HEADER | H2C)
    with served.connect() as sock:
        for part in (
            upgrade,
            upgrade[:300],
            upgrade[300:],
            request("GET", "/v2", headers=H2C),
            POST,
        ):
            sock.sendall(part)
            if part != upgrade[:300]:
                assert read_answer(sock).status == 200


def test_an_upgrade_with_a_chunked_body_is_ignored(served: Served) -> None:
    fields = HEADER | H2C | {"Transfer-Encoding": "chunked"}
    lines = [
        f"POST {PATH} HTTP/1.1",
        "Host: a",
        *(f"{key}: {value}" for key, value in fields.items()),
    ]
    head = "\r\n".join((*lines, "", "")).encode()
    assert served.send(head + b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n").status == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_asks_for_http2(served: Served) -> None:
    done = subprocess.run(
        [
            "curl",
            "-s",
            "--http2",
            "--data-binary",
            f"@{DIGIT}",
            f"http://127.0.0.1:{served.port}/predict/convnet",
        ],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert '"label"' in done.stdout


JAVA = """
import java.net.*; import java.net.http.*; import java.nio.file.*;
public class Ask {
  public static void main(String[] args) throws Exception {
    HttpClient client = HttpClient.newHttpClient();
    for (int i = 0; i < 2; i++) {
      HttpRequest request = HttpRequest.newBuilder(URI.create(args[0]))
        .POST(HttpRequest.BodyPublishers.ofFile(Path.of(args[1]))).build();
      HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
      System.out.println(response.statusCode() + " " + response.body());
    }
  }
}
"""


@pytest.mark.skipif(shutil.which("java") is None, reason="java is not installed")
def test_javas_http_client(served: Served, tmp_path: Path) -> None:
    (tmp_path / "Ask.java").write_text(JAVA)
    done = subprocess.run(
        ["java", tmp_path / "Ask.java", f"http://127.0.0.1:{served.port}/predict/convnet", DIGIT],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "compiler" in done.stderr:
        pytest.skip("this Java has no compiler")
    assert [line[:3] for line in done.stdout.splitlines()] == ["200", "200"], done.stderr


def test_trailers_are_not_headers(served: Served) -> None:
    lines = [
        f"POST {PATH} HTTP/1.1",
        "Host: a",
        "Transfer-Encoding: chunked",
        *(f"{key}: {value}" for key, value in HEADER.items()),
    ]
    head = "\r\n".join((*lines, "", "")).encode()
    body = b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\nX-Request-ID: evil\r\n\r\n"
    answer = served.send(head + body)
    assert answer.status == 200
    assert "x-request-id" not in answer.headers


def ask(served: Served, text: str) -> Answer:
    return served.send(text.encode().replace(b"\n", b"\r\n"))


def test_http_1_1_needs_one_host(served: Served) -> None:
    assert ask(served, "GET /v2 HTTP/1.1\n\n").status == 400
    assert ask(served, "GET /v2 HTTP/1.1\nHost: a\nHost: b\n\n").status == 400
    assert ask(served, "GET /v2 HTTP/1.0\n\n").status == 200


def test_a_response_has_a_date(served: Served) -> None:
    assert served.ask("GET", "/v2").headers["date"].endswith("GMT")


def test_the_methods_of_an_address_are_named(served: Served) -> None:
    answer = served.ask("DELETE", "/v2")
    assert (answer.status, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert served.ask("GET", PATH).headers["allow"] == "POST"


def test_absolute_form_is_accepted(served: Served) -> None:
    assert ask(served, "GET http://a/v2/health/live HTTP/1.1\nHost: a\n\n").json == {"live": True}


def test_options_of_the_server(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        head = sock.recv(2**16)
    assert head.startswith(b"HTTP/1.1 204")
    assert b"allow: GET, HEAD, POST, OPTIONS" in head


def test_head_has_no_body(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(b"HEAD /v2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        data = b"".join(iter(lambda: sock.recv(2**16), b""))
    assert data.endswith(b"\r\n\r\n")
    assert b"content-length: " in data


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO is Linux's")
def test_a_small_response_is_one_packet(served: Served) -> None:
    """Its head and its body, so the client is woken once."""
    with served.connect() as sock:
        for count in range(1, 4):
            sock.sendall(request("GET", "/v2/health/live"))
            assert read_answer(sock).json == {"live": True}
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
            assert struct.unpack_from("I", info, 152)[0] == count  # tcpi_data_segs_in


def test_a_body_that_the_client_holds_back_is_asked_for(served: Served) -> None:
    with served.connect() as sock:
        head, _, body = request("POST", PATH, BODY, HEADER | {"Expect": "100-continue"}).partition(
            b"\r\n\r\n"
        )
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(2**16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert read_answer(sock).status == 200


def test_a_connection_of_http_1_0_is_closed(served: Served) -> None:
    """What uvicorn does, keep-alive or not: the client sees `Connection: close`."""
    with served.connect() as sock:
        sock.sendall(b"GET /v2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert read_answer(sock).headers["connection"] == "close"
        assert sock.recv(10) == b""


@pytest.mark.skipif(shutil.which("ab") is None, reason="ab is not installed")
def test_ab_ends(served: Served, tmp_path: Path) -> None:
    for option in ([], ["-k"]):
        done = subprocess.run(
            ["ab", "-q", *option, "-n", "20", "-c", "2", f"http://127.0.0.1:{served.port}/v2"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "Failed requests:        0" in done.stdout


def test_a_client_that_half_closes_is_taken_for_gone(hold: Hold) -> None:
    """What uvicorn does; behind a reverse proxy the client gets its response, see test_nginx.py."""
    free = threading.Event()
    served = hold(lambda _: free.wait(20))
    with served.connect() as sock:
        sock.sendall(POST)
        assert until(lambda: bool(served.batcher._running))
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(10) == b""
    free.set()
    served.good()


def test_only_allowed_hosts_are_served(serve: Serve) -> None:
    served = serve(allowed_hosts=("example.org", "*.example.com"))
    for host, status in (("example.org", 200), ("a.example.com:80", 200), ("evil", 400)):
        answer = served.send(f"GET /v2 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert answer.status == status


def test_a_client_that_accepts_gzip_gets_it(served: Served) -> None:
    accepts = {"Accept-Encoding": "gzip, deflate"}
    assert served.ask("GET", "/metrics", headers=accepts).headers["content-encoding"] == "gzip"
    assert "content-encoding" not in served.ask("GET", "/metrics").headers
