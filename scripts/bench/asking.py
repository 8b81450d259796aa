"""Clients that ask again as soon as they are answered: `python asking.py PORT CLIENTS SECONDS FILE`.

FILE holds one request, byte for byte. Prints as JSON how many answers and how many good ones came in a
second, and the median and 99th percentile of the time to one in seconds. One thread, so that it takes
little from the server that it measures.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from pathlib import Path


def main(port: int, clients: int, seconds: float, request: bytes) -> dict[str, float]:
    """Ask for that long, after a tenth of it that is not counted."""
    selector = selectors.DefaultSelector()
    sent: dict[socket.socket, float] = {}
    parts: dict[socket.socket, bytes] = {}
    for _ in range(clients):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(sock, selectors.EVENT_READ, sock)
        sent[sock], parts[sock] = time.perf_counter(), b""
        sock.sendall(request)
    started = time.perf_counter()
    begin, end = started + seconds / 10, started + seconds * 1.1
    times: list[float] = []
    good, now = 0, started
    while now < end:
        for key, _ in selector.select(1.0):
            sock = key.data
            data = parts[sock] + sock.recv(2**18)
            if not whole(data):
                parts[sock] = data
                continue
            now = time.perf_counter()
            if now > begin:
                times.append(now - sent[sock])
                good += data[9:12] == b"200"
            parts[sock], sent[sock] = b"", now
            sock.sendall(request)
        now = time.perf_counter()
    times.sort()
    return {
        "answers": len(times) / (now - begin), "good": good / (now - begin),
        "p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)],
    }  # fmt: skip


def whole(data: bytes) -> bool:
    """Whether an answer has come whole."""
    head, found, body = data.partition(b"\r\n\r\n")
    place = head.lower().find(b"content-length:")
    return bool(found) and len(body) >= int(head[place + 15 :].partition(b"\r\n")[0])


if __name__ == "__main__":
    _, port, clients, seconds, file = sys.argv
    print(json.dumps(main(int(port), int(clients), float(seconds), Path(file).read_bytes())))
