"""The processes of `ptx train --processes N` or of torchrun: all end together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import IO

from ptx import trainers
from ptx.cli.output.terminal import tell_error
from ptx.infer.errors import LimitError, UsageError

_POLL = 0.1  # seconds between two looks at the processes
_GRACE = 30.0  # seconds in which the others end by themselves, as after Ctrl-C
_STUCK = 20.0  # seconds after SIGTERM in one call into a library; torchrun kills after 30
_LOOK = 0.5  # seconds between two looks at where the main thread is


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run `python -m ptx.cli ARGUMENTS` so many times as one group; the exit code of the first.

    Raises:
        UsageError: fewer than one.
        LimitError: E-PEER: a process was killed, and so the others were.
    """
    if processes < 1:
        raise UsageError(f"--processes is {processes}; expected at least 1")
    with ExitStack() as stack:
        said = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(processes)]
        children = _start(arguments, processes, said)
        signal.signal(signal.SIGINT, lambda *_: _signal(children, signal.SIGINT))
        signal.signal(signal.SIGTERM, lambda *_: _signal(children, signal.SIGTERM))
        while _running(children) and not _failed(children):
            time.sleep(_POLL)
        failed = _failed(children)
        limit = time.monotonic() + (
            0 if any(children[rank].returncode < 0 for rank in failed) else _GRACE
        )
        while _running(children) and time.monotonic() < limit:
            time.sleep(_POLL)
        _signal(children, signal.SIGKILL)
        return _outcome(children, failed, said)


def _start(
    arguments: Sequence[str], processes: int, said: Sequence[IO[bytes]]
) -> list[subprocess.Popen[bytes]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "ptx.cli", *arguments],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=None if rank == 0 else said[rank],
            start_new_session=True,  # Ctrl-C comes from here, once
        )
        for rank in range(processes)
    ]


def _signal(children: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(number)


def _running(children: Sequence[subprocess.Popen[bytes]]) -> bool:
    return any(child.poll() is None for child in children)


def _failed(children: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    return [rank for rank, child in enumerate(children) if child.poll() not in (None, 0)]


def _outcome(
    children: Sequence[subprocess.Popen[bytes]], failed: list[int], said: Sequence[IO[bytes]]
) -> int:
    codes = [child.wait() for child in children]
    for rank in failed:
        if codes[rank] < 0:
            raise LimitError(
                f"process {rank + 1} of {len(codes)} was ended by signal {-codes[rank]}, and the others"
                " with it: --resume goes on from the last checkpoint",
                code="E-PEER",
            )
        if rank:  # whose words nobody has seen yet; the first has said its own
            said[rank].seek(0)
            sys.stderr.write(said[rank].read().decode("utf-8", "replace"))
            return codes[rank]
    return codes[failed[0]] if failed else codes[0]


@contextmanager
def ending_with_the_others() -> Iterator[None]:
    """While inside, one of several processes ends after SIGTERM, though it waits for one that is gone.

    torchrun sends it to the others when one has ended. gloo does not always wake who waits for that one
    (its `waitSend` goes on), and as long as it does not, Python runs no handler in the main thread.
    """
    if trainers.world_size() == 1:
        yield
        return
    told, tells = socket.socketpair()
    tells.setblocking(False)
    before = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    watch = threading.Thread(target=_end_when_stuck, args=(told,), daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        tells.close()
        watch.join()
        told.close()


def _end_when_stuck(told: socket.socket) -> None:
    """End the process when SIGTERM has come and the main thread stays where it is."""
    while signal.SIGTERM not in (signals := told.recv(64)):
        if not signals:
            return  # the training has come to its end
    told.settimeout(_LOOK)
    place, since = _place(), time.monotonic()
    while time.monotonic() - since < _STUCK:
        with suppress(TimeoutError):
            if not told.recv(64):
                return
        if (now := _place()) != place:
            place, since = now, time.monotonic()
    error = LimitError(
        "another process of the training does not answer: --resume goes on from the last checkpoint",
        code="E-PEER",
    )
    tell_error(f"[{error.code}] {error}")
    os._exit(error.exit_code)


def _place() -> tuple[int, int]:
    """The instruction at which the main thread is."""
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    return id(frame), frame.f_lasti
