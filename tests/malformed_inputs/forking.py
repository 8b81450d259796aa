"""`ptx` many times in a second: a process that has imported everything, and forks for each call.

Run as a program it reads a call as a line of JSON and answers with what became of it.
"""

from __future__ import annotations

import gc
import io
import json
import os
import pkgutil
import resource
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
TORCH = ("onnxruntime", "torch")
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


class Bounds(NamedTuple):
    """What a call may use."""

    processor: int  # seconds
    memory: int  # bytes of address space


class Ended(NamedTuple):
    """What became of a call."""

    code: int  # negative: the signal that ended it
    out: bytes
    err: bytes
    seconds: float
    peak: int  # kB of memory in use, those of the process that was forked among them


class Forking:
    """The process, seen from the tests."""

    def __init__(self, folder: Path, preloaded: Sequence[str], **environment: str) -> None:
        # OpenMP's threads would not survive a fork.
        environment |= {"OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
        self._process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-P", __file__, *preloaded],
            cwd=folder,
            env={**os.environ, **environment},
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
        folder: Path = Path(),
        bounds: Bounds | None = None,
    ) -> Ended:
        """`ptx` with these words; SIGKILL ends it after `limit` seconds, Ctrl-C after `interrupt`."""
        call = {"words": words, "streams": streams, "limit": limit, "interrupt": interrupt}
        call |= {"folder": str(folder), "bounds": bounds}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(call), file=self._process.stdin, flush=True)
        if not ended_within(2 * limit, self._process.stdout.fileno()):
            self._process.kill()
            raise TimeoutError(f"the process that forks does not answer: {words}")
        code, out, err, *rest = json.loads(self._process.stdout.readline())
        return Ended(code, bytes.fromhex(out), bytes.fromhex(err), *rest)

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
        code, out, err, *rest = answer(json.loads(line))
        sys.stdout.write(f"{json.dumps((code, out.hex(), err.hex(), *rest))}\n")
        sys.stdout.flush()


def answer(call: Mapping[str, Any]) -> Ended:
    """What becomes of one call."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.monotonic()
        child = os.fork()
        if not child:
            become_ptx(call, {1: out, 2: err})
        watched = os.pidfd_open(child)
        if call["interrupt"] and not ended_within(call["interrupt"], watched):
            os.kill(child, signal.SIGINT)
        if not ended_within(call["limit"], watched):
            os.kill(child, signal.SIGKILL)
        os.close(watched)
        _, status, used = os.wait4(child, 0)
        seconds = time.monotonic() - started
        out.seek(0)
        err.seek(0)
        code = os.waitstatus_to_exitcode(status)
        return Ended(code, out.read(), err.read(), seconds, used.ru_maxrss)


def set_bounds(bounds: Bounds) -> None:
    """More than this ends this process, or is a MemoryError."""
    resource.setrlimit(resource.RLIMIT_CPU, (bounds.processor, bounds.processor))
    resource.setrlimit(resource.RLIMIT_AS, (bounds.memory, bounds.memory))


def ended_within(seconds: float, watched: int) -> bool:
    """Whether there is something to read, or a process has ended, in this time."""
    return bool(select.select([watched], [], [], seconds)[0])


def become_ptx(call: Mapping[str, Any], files: Mapping[int, IO[bytes]]) -> NoReturn:
    """What the console script is, in a forked child."""
    from ptx.cli.main import main

    code: Any = 70  # an exception that leaves `main`
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(call["folder"])
        streams = Streams(*call["streams"])
        take_streams(streams, files)
        os.environ["PYTHONIOENCODING"] = streams.encoding
        sys.argv = ["ptx", *call["words"]]
        if call["bounds"]:
            set_bounds(Bounds(*call["bounds"]))
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
