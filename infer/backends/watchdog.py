"""Stops what takes longer than it may: one thread for all runs of a backend, and none between them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from ptx.infer.errors import LimitError

_NAP = 3600.0  # seconds that the thread sleeps at most; `time.sleep` has a limit of its own


class Watchdog:
    """Gives everything that it watches the same number of seconds.

    Its thread sleeps until the first deadline, and ends when nothing is watched then: a run between two
    deadlines costs a dictionary entry and wakes nobody.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        # When each is stopped: in the order of the deadlines, since all have the same seconds.
        self._watched: dict[Limit, float] = {}
        self._awake = False

    def limit(self, what: str, stop: Callable[[], None]) -> Limit:
        """A context that calls `stop`, from another thread, when its body takes too long; this must make
        the body raise. It may be entered again once it was left, unless it was `stopped`.

        Raises:
            LimitError: the body was stopped.
        """
        return Limit(self, what, stop)

    def begin(self, limit: Limit) -> None:
        """Watch it, from now on."""
        with self._lock:
            if not self._awake:
                threading.Thread(target=self._watch, name="ptx-watchdog", daemon=True).start()
                self._awake = True
            self._watched[limit] = time.monotonic() + self.seconds

    def end(self, limit: Limit) -> None:
        """It has ended: it is not stopped any more."""
        with self._lock:
            self._watched.pop(limit, None)

    def _watch(self) -> None:
        while True:
            with self._lock:
                if not self._watched:
                    self._awake = False
                    return
                limit, deadline = next(iter(self._watched.items()))
                left = deadline - time.monotonic()
                if left <= 0:
                    del self._watched[limit]
                    limit.stopped = True
                    limit.stop()
                    continue
            time.sleep(min(left, _NAP))


class Limit:
    """One body under the watch. A generator's context would cost a run of 30 µs four more.

    Attributes:
        stopped: Whether a body took too long.
    """

    __slots__ = ("_what", "_whose", "stop", "stopped")

    def __init__(self, whose: Watchdog, what: str, stop: Callable[[], None]) -> None:
        self._whose, self._what, self.stop, self.stopped = whose, what, stop, False

    def __enter__(self) -> None:
        self._whose.begin(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._whose.end(self)
        if self.stopped and isinstance(error, Exception):
            raise LimitError(
                f"{self._what} took longer than the {self._whose.seconds:g} s it was given: give it"
                " more, or less to do at a time",
                code="E-TIMEOUT",
            ) from error
