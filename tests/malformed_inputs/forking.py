"""`ptx` many times in a second: a process that has imported everything, and forks for each call.

Run as a program it reads a call as a line of JSON and answers with what became of it.
"""

from __future__ import annotations

import gc
import io
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, NoReturn

LIGHT = ("onnxruntime",)  # to fork a process that holds little takes a fifth of the time
HEAVY = (
    "onnxruntime",
    "torch.onnx",
    "torch.export",
    "torch._dynamo",
    "onnxscript",
    "jinja2",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "ptx.trainers.training",
    "ptx.export.pipeline",
    "ptx.export.formats.onnx_",
    "ptx.report.reporting",
)


class Streams(NamedTuple):
    """How a shell hands over the streams: `open`, `closed`, `full` (a disk) or `gone` (a reader)."""

    stdin: str = "open"
    stdout: str = "open"
    stderr: str = "open"
    encoding: str = "utf-8"


class Ended(NamedTuple):
    """What became of a call."""

    code: int  # negative: the signal that ended it
    out: bytes
    err: bytes
    seconds: float


class Forking:
    """The process, seen from the tests."""

    def __init__(self, folder: Path, preloaded: Sequence[str]) -> None:
        # OpenMP's threads would not survive a fork.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
        self._process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-P", __file__, *preloaded],
            cwd=folder,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(
        self,
        words: Sequence[str],
        streams: Streams = Streams(),  # noqa: B008 - immutable
        *,
        limit: float = 120,
        interrupt: float | None = None,
    ) -> Ended:
        """`ptx` with these words; SIGKILL ends it after `limit` seconds, Ctrl-C after `interrupt`."""
        call = {"words": words, "streams": streams, "limit": limit, "interrupt": interrupt}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(call), file=self._process.stdin, flush=True)
        if not ended_within(2 * limit, self._process.stdout.fileno()):
            self._process.kill()
            raise TimeoutError(f"the process that forks does not answer: {words}")
        code, out, err, seconds = json.loads(self._process.stdout.readline())
        return Ended(code, bytes.fromhex(out), bytes.fromhex(err), seconds)

    def __enter__(self) -> Forking:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate()


def serve() -> None:
    """Answer calls until there are no more."""
    from ptx.cli.main import COMMANDS

    for target, _ in COMMANDS.values():
        pkgutil.resolve_name(target)
    for module in sys.argv[1:]:
        pkgutil.resolve_name(module)
    gc.collect()
    gc.freeze()  # else a collection in a child copies all that it looks at
    for line in sys.stdin:
        call = json.loads(line)
        ended = answer(call["words"], Streams(*call["streams"]), call["limit"], call["interrupt"])
        sys.stdout.write(
            f"{json.dumps((ended.code, ended.out.hex(), ended.err.hex(), ended.seconds))}\n"
        )
        sys.stdout.flush()


def answer(words: Sequence[str], streams: Streams, limit: float, interrupt: float | None) -> Ended:
    """What becomes of one call."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.monotonic()
        child = os.fork()
        if not child:
            become_ptx(words, streams, {1: out, 2: err})
        watched = os.pidfd_open(child)
        if interrupt and not ended_within(interrupt, watched):
            os.kill(child, signal.SIGINT)
        if not ended_within(limit, watched):
            os.kill(child, signal.SIGKILL)
        os.close(watched)
        status = os.waitpid(child, 0)[1]
        seconds = time.monotonic() - started
        out.seek(0)
        err.seek(0)
        return Ended(os.waitstatus_to_exitcode(status), out.read(), err.read(), seconds)


def ended_within(seconds: float, watched: int) -> bool:
    """Whether there is something to read, or a process has ended, in this time."""
    return bool(select.select([watched], [], [], seconds)[0])


def become_ptx(words: Sequence[str], streams: Streams, files: Mapping[int, IO[bytes]]) -> NoReturn:
    """What the console script is, in a forked child."""
    from ptx.cli.main import main

    code: Any = 70  # an exception that leaves `main`
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        take_streams(streams, files)
        os.environ["PYTHONIOENCODING"] = streams.encoding
        sys.argv = ["ptx", *words]
        main()
    except SystemExit as error:
        code = error.code
        try:
            sys.stdout.flush()
        except BaseException:
            code = 120  # as Python ends then
    except BaseException:
        import traceback

        os.write(files[2].fileno(), traceback.format_exc().encode())
    os._exit(code)


def take_streams(streams: Streams, files: Mapping[int, IO[bytes]]) -> None:
    """Put what a shell would hand over under 0, 1 and 2, and open it as Python does at its start."""
    for number, state in enumerate(streams[:3]):
        if state == "full":
            os.dup2(os.open("/dev/full", os.O_WRONLY), number)
        elif state == "gone":
            reading, writing = os.pipe()
            os.close(reading)
            os.dup2(writing, number)
        else:
            empty = os.open(os.devnull, os.O_RDONLY)
            os.dup2(files[number].fileno() if number else empty, number)
    for number, state in enumerate(streams[:3]):
        if state == "closed":  # at last, so that nothing above takes its place
            os.close(number)
    sys.stdin, sys.stdout, sys.stderr = (
        None if state == "closed" else _open(number, streams.encoding)
        for number, state in enumerate(streams[:3])
    )


def _open(number: int, encoding: str) -> io.TextIOWrapper:
    raw = io.FileIO(number, "wb" if number else "rb", closefd=False)
    if not number:
        return io.TextIOWrapper(io.BufferedReader(raw), encoding)
    errors = "backslashreplace" if number == 2 else "strict"
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=number == 2)


if __name__ == "__main__":
    serve()
    os._exit(0)  # some libraries write when they are taken apart
