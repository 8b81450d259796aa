"""Stops what takes longer than it may: one thread for all runs of a backend, and none between them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

    @contextmanager
    def limit(self, what: str, stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop`, from another thread, when the body takes too long; it must make the body raise.

        Raises:
            LimitError: the body was stopped.
        """
        key = object()
        with self._lock:
            if not self._awake:
                threading.Thread(target=self._watch, name="ptx-watchdog", daemon=True).start()
                self._awake = True
            self._watched[key] = time.monotonic() + self.seconds, stop
        try:
            yield
        except Exception as error:
            if not self._forget(key):
                raise LimitError(
                    f"{what} took longer than the {self.seconds:g} s it was given: give it more, or"
                    " less to do at a time",
                    code="E-TIMEOUT",
                ) from error
            raise
        finally:
            self._forget(key)

    def _forget(self, key: object) -> bool:
        """Whether it was still watched, and not stopped."""
        with self._lock:
            return self._watched.pop(key, None) is not None

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
