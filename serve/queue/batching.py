"""Batches of what arrived while the last one ran: nobody waits for others unless asked to."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from ptx.serve.model import Model
from ptx.serve.queue.jobs import ON_LOOP, Job, Result, compute
from ptx.serve.refusals import RefusalError, busy
from ptx.serve.settings import Settings

_SMALL = 64 * 2**10  # bytes of values that may be read on the loop
_PIXELS = 128 * 128  # of a picture that may be
_READING = 2e-4  # seconds to read a value, until one was read
_WEIGHT = 0.2  # of the last run in what a row is expected to take
_LATE = "the request waited longer than it may: the server is busy"


class Watch(Protocol):
    """Who is told of each run."""

    def ran(
        self,
        model: str,
        jobs: Sequence[Job],
        results: Sequence[Result | RefusalError],
        seconds: float,
    ) -> None:
        """`jobs` went in together and took `seconds`."""


class Batcher:
    """The queue of one model. All its methods are called on the event loop."""

    def __init__(self, model: Model, settings: Settings, watch: Watch) -> None:
        self.model, self.settings, self.watch = model, settings, watch
        self._rows = {False: 0, True: 0}  # that wait: of tensors, of values
        self._waiting: dict[Hashable, deque[Job]] = {}
        self._running: list[Job] = []  # in the thread
        self._scheduled = self._hung = False
        self._expected = 0.0  # when the run in the thread should end
        # Seconds of a row of tensors, and of values.
        self._cost = {False: model.row_seconds, True: model.row_seconds + _READING}
        self._least = dict(self._cost)  # of all runs, whatever else the machine had to do
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, f"ptx-{model.name}")
        self._closing = False

    def waiting_time(self) -> float:
        """Seconds until a row that comes now begins to be computed, as far as can be told."""
        if self._hung:
            return float("inf")
        if not self._waiting and not self._running:
            return 0.0
        left = max(0.0, self._expected - time.perf_counter()) if self._running else 0.0
        rows, cost = self._rows, self._cost
        return left + rows[False] * cost[False] + rows[True] * cost[True]

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._waiting and not self._running

    def submit(self, job: Job, *, alone: bool = False) -> None:
        """Have a job computed; `job.deliver` is called, on the loop.

        Args:
            alone: It may be computed before this returns, see `run_now`: for requests that come one
                in a turn of the loop.
        """
        if alone and self.run_now(job) is not None:
            return
        queue = self._waiting.get(job.key)
        if queue is None:
            queue = self._waiting[job.key] = deque()
        queue.append(job)
        self._rows[job.of_value] += job.rows
        if not self._scheduled:
            self._schedule(self.settings.max_delay)

    def run_now(self, job: Job) -> Result | RefusalError | None:
        """The result of a job that the loop can wait for, where nothing else waits; None where it must
        be submitted."""
        if self._waiting or self._running or self.settings.max_delay:
            return None
        jobs = [job]
        if not self._is_short(jobs, job.rows):
            return None
        results = compute(self.model.predictor, jobs)
        self._finish(jobs, job.rows, results, job.arrived)
        return results[0]

    def close(self) -> None:
        """Close the predictor once nothing waits any more."""
        self._closing = True
        if self.idle:
            self._thread.shutdown(wait=False)
            if not self._hung:
                self.model.predictor.close()

    def _schedule(self, delay: float = 0.0) -> None:
        if self._scheduled or self._running or not self._waiting:
            return
        self._scheduled = True
        if delay and sum(self._rows.values()) < self.model.best_batch:
            self._loop.call_later(delay, self._turn)
        else:  # behind what this turn of the loop has read from other connections
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        jobs = self._take()
        if not jobs:
            self._schedule()
            return
        self._begin(jobs)

    def _begin(self, jobs: list[Job]) -> None:
        started = time.perf_counter()
        rows = 0
        for job in jobs:
            job.started = started
            rows += job.rows
        if self._is_short(jobs, rows):
            self._finish(jobs, rows, compute(self.model.predictor, jobs), started)
        else:
            self._run_in_thread(jobs, rows, started)

    def _take(self) -> list[Job]:
        """The jobs of the next run: those of the key that waits longest, without who has gone."""
        key, queue = next(iter(self._waiting.items()))
        # Beyond the best batch a row gets no cheaper, and others would wait for nothing.
        limit = min(self.model.best_batch, self.settings.max_batch)
        if self._least[queue[0].of_value] < ON_LOOP:
            limit = min(limit, int(ON_LOOP / self._least[queue[0].of_value]))
        limit = max(limit, queue[0].rows)
        jobs: list[Job] = []
        rows, now = 0, time.perf_counter()
        while queue and rows + queue[0].rows <= limit:
            job = queue.popleft()
            self._rows[job.of_value] -= job.rows
            if job.deliver is None:
                continue
            if job.deadline is not None and now > job.deadline:
                job.finish(RefusalError(504, "the request's own timeout has passed"))
            elif now - job.arrived > 2 * self.settings.max_wait + self.settings.max_delay:
                job.finish(busy(_LATE))
            else:
                jobs.append(job)
                rows += job.rows
        del self._waiting[key]
        if queue:
            self._waiting[key] = queue
        return jobs

    def _is_short(self, jobs: Sequence[Job], rows: int) -> bool:
        """Whether the loop can wait for it."""
        of_value = jobs[0].of_value
        if rows * self._least[of_value] > ON_LOOP:
            return False
        if not of_value:
            return True
        if sum(len(value) for job in jobs for value in job.content) > _SMALL:
            return False
        if self.model.predictor.preprocessing.pictures is None:
            return True
        return all(_is_small_png(value) for job in jobs for value in job.content)

    def _run_in_thread(self, jobs: list[Job], rows: int, started: float) -> None:
        self._running = jobs
        self._expected = started + self._cost[jobs[0].of_value] * rows
        future = self._loop.run_in_executor(self._thread, compute, self.model.predictor, jobs)
        timer = self._loop.call_later(self.settings.timeout, self._hang, jobs)

        def done(future: asyncio.Future[list[Result | RefusalError]]) -> None:
            timer.cancel()
            self._running, self._hung = [], False
            self._finish(jobs, rows, future.result(), started)

        future.add_done_callback(done)

    def _hang(self, jobs: Sequence[Job]) -> None:
        """The run takes too long: its clients are told; it holds the model until it ends."""
        self._hung = True
        for job in jobs:
            job.finish(RefusalError(504, "the run took longer than the server's --timeout"))
        for queue in self._waiting.values():
            for job in queue:
                job.finish(busy("the model is held by a run that does not end"))
        self._waiting.clear()
        self._rows = {False: 0, True: 0}

    def _finish(
        self, jobs: Sequence[Job], rows: int, results: Sequence[Result | RefusalError],
        started: float,
    ) -> None:  # fmt: skip
        seconds = time.perf_counter() - started
        if rows:
            of_value, each = jobs[0].of_value, seconds / rows
            self._cost[of_value] += _WEIGHT * (each - self._cost[of_value])
            if each < self._least[of_value]:
                self._least[of_value] = each
        for job, result in zip(jobs, results, strict=True):
            job.finish(result)
        self.watch.ran(self.model.name, jobs, results, seconds)  # which no client waits for
        if self._waiting:
            self._schedule()
        if self._closing:
            self.close()


def _is_small_png(value: bytes) -> bool:
    if value[:8] != b"\x89PNG\r\n\x1a\n" or len(value) < 24:
        return False
    width, height = int.from_bytes(value[16:20]), int.from_bytes(value[20:24])
    return width * height <= _PIXELS
