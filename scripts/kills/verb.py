"""A verb of ptx in a process of its own, and how it is killed."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from files import temporaries

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PATIENCE = 600  # seconds that a verb may take, on a machine with much else to do


@dataclass
class Verb:
    """A verb that runs in a child of its own."""

    pid: int
    errors: int  # the reading end of its stderr, a pipe: a file would count as one that it writes

    def wait(self) -> tuple[int, str]:
        """Its exit code and what it wrote to stderr."""
        with os.fdopen(self.errors, errors="replace") as stream:
            text = stream.read()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), text


def start(arguments: Sequence[str], file_limit: int | None = None) -> Verb:
    """`ptx` with these arguments, as the command line runs it, in a fork of this process.

    PyTorch has been imported and nothing of it was run, so that a child begins at once.
    """
    from ptx.cli import main

    read, write = os.pipe()
    # A signal during the fork would strike in the middle of what Python does after it.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.close(write)
        return Verb(pid, read)
    code: object = 99
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.dup2(write, 2)
        os.close(write)
        signal.alarm(PATIENCE)
        sys.argv = ["ptx", *arguments]
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        main()
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:  # before the verb had begun
        code = 128 + signal.SIGINT
    finally:
        os._exit(code if isinstance(code, int) else 0)


def run(arguments: Sequence[str]) -> None:
    """A verb that must succeed."""
    code, errors = start(arguments).wait()
    if code:
        raise SystemExit(f"ptx {' '.join(arguments)} ended with {code}: {errors}")


def kill(verb: Verb, folder: Path, writes: int, dice: random.Random, duration: float) -> None:
    """Kill at any moment, or as soon as one of its `writes` temporary files is there."""
    number = dice.choice(SIGNALS)
    if dice.random() < 0.5:
        time.sleep(dice.uniform(0, duration))
    else:
        seen: set[str] = set()
        count, deadline = dice.randint(1, writes), time.monotonic() + duration
        while len(seen) < count and time.monotonic() < deadline:
            seen |= set(temporaries(folder))
        time.sleep(dice.choice((0.0, 0.0, 0.001)))
    os.kill(verb.pid, number)  # it has not been waited for: there is no other of this number
