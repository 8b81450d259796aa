"""Ctrl-C and SIGTERM that wait for the end of the step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether somebody asked to stop, and with which signal."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def deferred_interruption() -> Iterator[Interruption]:
    """While inside, the first SIGINT or SIGTERM is noted; a second one acts as it always does.

    A signal that is ignored (`nohup`, a script's background jobs) stays ignored. Outside the main
    thread, where Python delivers no signals, nothing is changed.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {
        number: handler
        for number, handler in handlers.items()
        # None was set by C code and could not be set again.
        if handler not in (signal.SIG_IGN, None)
    }

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        interruption.signal = signal.Signals(number)
        restore()

    try:
        for number in before:
            signal.signal(number, note)
        yield interruption
    finally:
        restore()
