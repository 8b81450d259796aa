"""The processes of `ptx train --processes N`, on one machine: all end together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO

from ptx.infer.errors import LimitError, UsageError

_POLL = 0.1  # seconds between two looks at the processes
_GRACE = 30.0  # seconds in which the others end by themselves, as after Ctrl-C


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
