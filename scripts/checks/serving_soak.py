"""`ptx serve` under many clients: each answer that of `predict`, none lost, memory that stays.

    ./scripts/run checks/serving_soak MODEL.onnx --minutes 30

MODEL is a network of one tensor of numbers, such as the convnet. Exit code 1 where something does not
hold. The steady load is made by h2load (apt-get install nghttp2-client), at 80 % of what 8 clients
without a pause get.
"""

from __future__ import annotations

import argparse
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import orjson

from ptx.infer import Predictor, load

PTX = Path(sysconfig.get_path("scripts")) / "ptx"
CLIENTS, INPUTS = 16, 64
LOAD = 0.8
PACED = 32  # clients that keep to a rate: fewer fall behind it whenever an answer is late
GROWTH = 2.0  # MiB that may be added all the same: the allocator's arenas
WARM_UP = 20_000  # requests before the memory is looked at
SAMPLE = 15  # seconds of steady load between two looks
Found = tuple[str, bool]


class Server:
    """A server that runs; it is asked at its own port."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def memory(self) -> float:
        """Resident, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def running(model: Path) -> Iterator[Server]:
    """`ptx serve` as a process of its own."""
    command = [str(PTX), "serve", f"model={model}", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = re.search(r":(\d+);", process.stdout.readline())
            assert said is not None
            yield Server(process, int(said[1]))
        finally:
            process.terminate()


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), 60)
        self._file = self._sock.makefile("rb")
        self.ends = False  # as the last answer has said

    def ask(self, request: bytes) -> bytes:
        """The tensor's bytes of an answer.

        Raises:
            ConnectionError: the connection ended before it.
        """
        self._sock.sendall(request)
        status = self._file.readline()
        if not status:
            raise ConnectionError("no answer")
        sizes: dict[bytes, bytes] = {}
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            sizes[name.lower()] = value
        self.ends = sizes.get(b"connection", b"").strip() == b"close"
        body = self._file.read(int(sizes[b"content-length"]))
        if b" 200 " not in status:
            raise ConnectionError(body.decode())
        return body[int(sizes[b"inference-header-content-length"]) :]


class Questions:
    """Requests, and the bytes that `predict` gives for each."""

    def __init__(self, predictor: Predictor) -> None:
        (spec,), (output,) = predictor.signature.inputs, predictor.signature.outputs
        self.requests, self.answers = [], []
        for seed in range(INPUTS):
            inputs = predictor.signature.example({"batch": 1 + seed % 3}, seed=seed)
            array = inputs[spec.name]
            tensor = {"name": spec.name, "shape": array.shape, "datatype": "FP32",
                      "parameters": {"binary_data_size": array.nbytes}}  # fmt: skip
            text = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
            head = (
                "POST /v2/models/model/infer HTTP/1.1\r\nHost: x\r\n"
                f"Content-Length: {len(text) + array.nbytes}\r\n"
                f"Inference-Header-Content-Length: {len(text)}\r\n\r\n"
            )
            self.requests.append(head.encode() + text + array.tobytes())
            self.answers.append(predictor.run(inputs)[output.name].tobytes())


def equal(server: Server, questions: Questions, count: int) -> Found:
    """Each answer beside that of `predict`."""

    def client(number: int) -> int:
        connection, wrong = Client(server.port), 0
        for turn in range(count):
            seed = (7 * number + turn) % INPUTS
            wrong += connection.ask(questions.requests[seed]) != questions.answers[seed]
        return wrong

    with ThreadPoolExecutor(CLIENTS) as pool:
        wrong = sum(pool.map(client, range(CLIENTS)))
    return (
        f"{CLIENTS} clients, {count:,} requests each: {wrong} answers differ from predict's",
        wrong == 0,
    )


def growth(server: Server, body: Path, header: str, count: int) -> Found:
    """Memory before and after many requests."""
    h2load(server, body, header, "-n", WARM_UP, "-c", 8)
    before = server.memory()
    good = h2load(server, body, header, "-n", count, "-c", 8)
    grown = server.memory() - before
    text = f"{good:,} requests: memory {before:.1f} MiB + {grown:.2f} MiB"
    return text, good == count and grown < GROWTH


def steady(server: Server, body: Path, header: str, minutes: float) -> Found:
    """Memory under a steady load of `LOAD` of what 8 clients get."""
    most = h2load(server, body, header, "-D", 5, "-c", 8) / 5
    rate = max(1, int(LOAD * most / PACED))
    sizes, good, end = [], 0, time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        good += h2load(server, body, header, "-D", SAMPLE, "-c", PACED, "--rps", rate)
        sizes.append(server.memory())
    grown = max(sizes[-3:]) - max(sizes[:3])
    got = good / (SAMPLE * len(sizes))
    text = (
        f"{minutes:g} minutes at {got:,.0f} requests a second ({PACED * rate:,} asked, {LOAD:.0%} of"
        f" {most:,.0f}): memory {sizes[0]:.1f} MiB, at the end {grown:+.2f} MiB"
    )
    # A rate that is not reached: something else had the processors.
    return text, grown < GROWTH and got > 0.9 * PACED * rate


def ending(server: Server, questions: Questions) -> Found:
    """SIGTERM while clients ask: each request on a connection that was not said to end is answered."""

    def client(number: int) -> tuple[int, int]:
        answered = 0
        while True:
            try:
                connection = Client(server.port)
            except OSError:  # nobody is taken in any more
                return answered, 0
            try:
                while not connection.ends:
                    connection.ask(questions.requests[number])
                    answered += 1
            except OSError:
                return answered, 1

    with ThreadPoolExecutor(CLIENTS) as pool:
        found = [pool.submit(client, number) for number in range(CLIENTS)]
        time.sleep(2)
        server.process.send_signal(signal.SIGTERM)
        counts = [one.result() for one in found]
    code = server.process.wait(60)
    answered, lost = (sum(count[side] for count in counts) for side in (0, 1))
    text = f"SIGTERM under {CLIENTS} clients: {answered:,} answers, {lost} lost, exit code {code}"
    return text, lost == 0 and code == 0


def h2load(server: Server, body: Path, header: str, *more: object) -> int:
    """Good answers."""
    words = ["h2load", "--h1", "-t", "1", *map(str, more), "-d", str(body), "-H", header,
             f"http://127.0.0.1:{server.port}/v2/models/model/infer"]  # fmt: skip
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    found = re.search(r"status codes: (\d+) 2xx", said)
    assert found is not None
    return int(found[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--equal", type=int, default=10_000, help="requests of each of 16 clients")
    parser.add_argument(
        "--count", type=int, default=100_000, help="requests that leave nothing behind"
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="of steady load")
    options = parser.parse_args()
    with load(options.model, backend="ort-cpu") as predictor:
        questions = Questions(predictor)
    head, _, body = questions.requests[0].partition(b"\r\n\r\n")
    header = head.decode().rpartition("\r\n")[2]
    failed = False
    with tempfile.TemporaryDirectory() as folder, running(options.model) as server:
        file = Path(folder) / "body"
        file.write_bytes(body)
        for check in (
            partial(equal, server, questions, options.equal),
            partial(growth, server, file, header, options.count),
            partial(steady, server, file, header, options.minutes),
            partial(ending, server, questions),
        ):
            text, holds = check()
            failed |= not holds
            print(f"{'holds' if holds else 'FAILS'}  {text}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
