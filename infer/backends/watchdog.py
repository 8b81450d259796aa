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
        # What stops each run, and when: in the order of the deadlines, since all have the same seconds.
        self._watched: dict[object, tuple[float, Callable[[], None]]] = {}
        self._awake = False

    def limit(self, what: str, stop: Callable[[], None]) -> Limit:
        """Call `stop`, from another thread, when the body takes too long; it must make the body raise.

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
            self._watched[limit] = time.monotonic() + self.seconds, limit.stop

    def end(self, limit: Limit) -> bool:
        """Whether it was still watched, and not stopped."""
        with self._lock:
            return self._watched.pop(limit, None) is not None

    def _watch(self) -> None:
        while True:
            with self._lock:
                if not self._watched:
                    self._awake = False
                    return
                key, (deadline, stop) = next(iter(self._watched.items()))
                left = deadline - time.monotonic()
                if left <= 0:
                    del self._watched[key]
                    stop()
                    continue
            time.sleep(min(left, _NAP))


class Limit:
    """One body under the watch. A generator's context would cost a run of 30 µs four more."""

    __slots__ = ("_what", "_whose", "stop")

    def __init__(self, whose: Watchdog, what: str, stop: Callable[[], None]) -> None:
        self._whose, self._what, self.stop = whose, what, stop

    def __enter__(self) -> None:
        self._whose.begin(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._whose.end(self) and isinstance(error, Exception):
            raise LimitError(
                f"{self._what} took longer than the {self._whose.seconds:g} s it was given: give it"
                " more, or less to do at a time",
                code="E-TIMEOUT",
            ) from error
