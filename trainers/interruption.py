"""Ctrl-C and SIGTERM, deferred to the end of the current step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether the run was interrupted, and by which signal."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def deferred_interruption() -> Iterator[Interruption]:
    """Within the block, record the first SIGINT or SIGTERM; a second one has its usual effect.

    Signals that are ignored (`nohup`, background jobs of a script) stay ignored. Outside the main
    thread, where Python delivers no signals, this does nothing.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    replaced = {
        number: handler
        for number, handler in handlers.items()
        # None: the handler was set by C code and could not be restored.
        if handler not in (signal.SIG_IGN, None)
    }

    def restore() -> None:
        for number, handler in replaced.items():
            signal.signal(number, handler)

    def record(number: int, frame: FrameType | None) -> None:
        interruption.signal = signal.Signals(number)
        restore()

    try:
        for number in replaced:
            signal.signal(number, record)
        yield interruption
    finally:
        restore()
