"""Dynamic batching: what arrives during a run goes into the next run together."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from ptx.infer import Array, Prediction, Predictor
from ptx.infer.preprocessing import batch_key
from ptx.infer.signature import BATCH
from ptx.serve.errors import RequestError, to_request_error, unavailable
from ptx.serve.settings import Settings

Result = Mapping[str, Array] | list[Prediction]  # of arrays; of raw inputs
# Gets the jobs of a run, its start (`time.perf_counter`) and its seconds.
RunObserver = Callable[[Sequence["Job"], float, float], None]

_ERRORS = Exception, SystemExit  # the code of a model may try to end the process
_MAX_ROWS = 64  # that are gathered for one run: a row of a larger batch is not cheaper
# Seconds that a run may take on the event loop. A thread and back cost 0.1 ms, which doubles the latency
# of a small model (docs/serving.md, Speed); a longer run would hold up other requests.
_INLINE_SECONDS = 0.001
_WATCH_AFTER = 0.1  # seconds that a job waits before it is watched whether its client has gone
_SMALL_IMAGE = 128 * 128  # pixels of an image that may be decoded on the event loop


@dataclass(slots=True, eq=False)
class Job:
    """The rows of one request.

    Attributes:
        key: Jobs with equal keys fit into one run; None: raw inputs.
        content: Arrays by input name, or a list of raw inputs.
        size: Numbers in the arrays, or bytes of the raw inputs; the cost of a run grows with it.
        sizes: Of the dynamic axes of the arrays, the batch among them.
        top: Labels to rank for each raw input.
        timeout: Seconds until its run must have begun.
        result: Cancelled if the client has gone.
    """

    rows: int
    key: Hashable
    content: Any
    size: int
    sizes: Mapping[str, int] = field(default_factory=dict)
    top: int = 0
    timeout: float | None = None
    arrived: float = field(default_factory=time.perf_counter)
    result: asyncio.Future[Result] = field(init=False)

    @property
    def is_raw(self) -> bool:
        """Whether its content is raw inputs."""
        return self.key is None

    def finish(self, result: Result | RequestError) -> None:
        """Set the result, unless there is one already or the client has gone."""
        if self.result.done():
            return
        if isinstance(result, RequestError):
            self.result.set_exception(result)
        else:
            self.result.set_result(result)


@dataclass(slots=True)
class _Cost:
    """Seconds of a run by its size, as learned from the runs so far; 0: nothing is known yet.

    Attributes:
        mean: Moving average, from which waiting times are estimated.
        lowest: Of the last runs, without what else the machine did at their time.
    """

    mean: float = 0.0
    lowest: float = 0.0

    def add(self, cost: float) -> None:
        self.mean = self.mean + 0.2 * (cost - self.mean) if self.mean else cost
        self.lowest = min(cost, 1.05 * self.lowest) if self.lowest else cost


class Batcher:
    """The queue of one model. Its methods are called on the event loop."""

    def __init__(self, predictor: Predictor, settings: Settings, observe: RunObserver) -> None:
        self._predictor, self._settings, self._observe = predictor, settings, observe
        self._queues: dict[Hashable, deque[Job]] = {}  # by key, the one that waits longest first
        self._running: Sequence[Job] = ()  # in the thread
        self._waiting_size = {False: 0, True: 0}  # of the jobs in the queues: arrays, raw inputs
        self._dispatching = self._hung = self._closing = False
        self._is_first = True  # no job has run in this iteration of the event loop
        self._costs = {False: _Cost(), True: _Cost()}  # of arrays, of raw inputs
        self._executor = ThreadPoolExecutor(1, "ptx-run")

    async def run(
        self, job: Job, disconnected: Callable[[], Awaitable[None]] | None = None
    ) -> Result:
        """The result of a job. It is dropped if the call is cancelled before its run begins.

        Args:
            disconnected: Returns when the client has gone, which drops the job too.

        Raises:
            RequestError: the job cannot be computed, or would wait longer than `max_wait`; 499 if the
                client has gone.
        """
        loop = asyncio.get_running_loop()
        job.result = loop.create_future()
        if (
            self._is_first
            and self.idle
            and not self._settings.max_delay
            and self._fits_inline([job])
        ):
            # The first of an iteration of the event loop runs at once: a single client does not wait for
            # others. Those that come in the same iteration are batched.
            self._is_first = False
            loop.call_soon(self._next_iteration)
            self._run_inline([job])
            return job.result.result()
        if (wait := self.waiting_time()) > self._settings.max_wait:
            raise unavailable("the server is busy: this request would wait too long", min(wait, 60))
        self._queues.setdefault(job.key, deque()).append(job)
        self._waiting_size[job.is_raw] += job.size
        if not self._dispatching and not self._running:
            self._dispatching = True
            if self._settings.max_delay:
                loop.call_later(self._settings.max_delay, self._dispatch)
            else:
                loop.call_soon(self._dispatch)
        return await (job.result if disconnected is None else _watched(job, disconnected))

    def _next_iteration(self) -> None:
        self._is_first = True

    def waiting_time(self) -> float:
        """Seconds until the run of a job that is added now begins, as estimated from earlier runs."""
        if self._hung:
            return float("inf")
        sizes = dict(self._waiting_size)
        for job in self._running:
            sizes[job.is_raw] += job.size
        return sum(self._costs[is_raw].mean * size for is_raw, size in sizes.items())

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._queues and not self._running

    def close(self) -> None:
        """Close the predictor as soon as the batcher is idle."""
        self._closing = True
        if self.idle:
            self._executor.shutdown(wait=False)
            self._predictor.close()

    def _dispatch(self) -> None:
        self._dispatching = False
        jobs = self._next_jobs()
        if jobs:
            if self._fits_inline(jobs):
                self._run_inline(jobs)
            else:
                self._run_in_thread(jobs)
        self._continue()

    def _continue(self) -> None:
        if self._running or self._dispatching:
            return
        if self._queues:
            self._dispatching = True
            asyncio.get_running_loop().call_soon(self._dispatch)
        elif self._closing:
            self.close()

    def _next_jobs(self) -> list[Job]:
        """The jobs of the next run, from the queue that has waited longest."""
        if not self._queues:
            return []
        key, queue = next(iter(self._queues.items()))
        limit = max(min(_MAX_ROWS, self._settings.max_batch), queue[0].rows)
        jobs: list[Job] = []
        rows, now = 0, time.perf_counter()
        while queue and rows + queue[0].rows <= limit:
            job = queue.popleft()
            self._waiting_size[job.is_raw] -= job.size
            waited = now - job.arrived
            if job.timeout is not None and waited > job.timeout:
                job.finish(RequestError(504, "the timeout of the request has passed"))
            elif waited > 2 * self._settings.max_wait + self._settings.max_delay:
                job.finish(unavailable("the request waited too long: the server is busy"))
            elif not job.result.done():
                jobs.append(job)
                rows += job.rows
        del self._queues[key]
        if queue:
            self._queues[key] = queue  # behind the others
        return jobs

    def _fits_inline(self, jobs: Sequence[Job]) -> bool:
        """Whether a run is so short that it may hold up the event loop."""
        cost = self._costs[jobs[0].is_raw].lowest
        if not cost or cost * sum(job.size for job in jobs) > _INLINE_SECONDS:
            return False
        if not jobs[0].is_raw or self._predictor.preprocessing.pictures is None:
            return True
        return all(_is_small_png(value) for job in jobs for value in job.content)

    def _run_inline(self, jobs: Sequence[Job]) -> None:
        started = time.perf_counter()
        self._finish(jobs, run_batch(self._predictor, jobs), started)

    def _run_in_thread(self, jobs: Sequence[Job]) -> None:
        self._running, started = jobs, time.perf_counter()
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._executor, run_batch, self._predictor, jobs)
        timer = loop.call_later(self._settings.timeout, self._on_timeout, jobs)

        def done(future: asyncio.Future[list[Result | RequestError]]) -> None:
            timer.cancel()
            self._running, self._hung = (), False
            self._finish(jobs, future.result(), started)
            self._continue()

        future.add_done_callback(done)

    def _on_timeout(self, jobs: Sequence[Job]) -> None:
        """A run takes too long: its clients get a 504; until it ends, others get a 503."""
        self._hung = True
        for job in jobs:
            job.finish(RequestError(504, "the run took longer than the server's --timeout"))
        for queue in self._queues.values():
            for job in queue:
                job.finish(unavailable("another run blocks the model"))
        self._queues.clear()
        self._waiting_size = {False: 0, True: 0}

    def _finish(
        self, jobs: Sequence[Job], results: Sequence[Result | RequestError], started: float
    ) -> None:
        seconds = time.perf_counter() - started
        if size := sum(job.size for job in jobs):
            self._costs[jobs[0].is_raw].add(seconds / size)
        for job, result in zip(jobs, results, strict=True):
            job.finish(result)
        self._observe(jobs, started, seconds)


async def _watched(job: Job, disconnected: Callable[[], Awaitable[None]]) -> Result:
    """The result of a job, dropped if its client goes."""
    loop = asyncio.get_running_loop()
    watcher: asyncio.Task[None] | None = None

    async def cancel_when_disconnected() -> None:
        await disconnected()
        job.result.cancel()

    def watch() -> None:
        nonlocal watcher
        watcher = loop.create_task(cancel_when_disconnected())

    timer = loop.call_later(_WATCH_AFTER, watch)
    try:
        return await job.result
    except asyncio.CancelledError:
        if watcher is not None and watcher.done():
            raise RequestError(499, "the client has gone") from None
        raise
    finally:
        timer.cancel()
        if watcher is not None:
            watcher.cancel()


def _is_small_png(value: bytes) -> bool:
    if value[:8] != b"\x89PNG\r\n\x1a\n" or len(value) < 24:
        return False
    width, height = int.from_bytes(value[16:20]), int.from_bytes(value[20:24])
    return width * height <= _SMALL_IMAGE


def run_batch(predictor: Predictor, jobs: Sequence[Job]) -> list[Result | RequestError]:
    """The results of jobs with equal keys, computed in one run; a bad job does not spoil the others."""
    try:
        if jobs[0].is_raw:
            return _predict(predictor, jobs)
        return _run_joined(predictor, jobs)
    except _ERRORS as error:
        if len(jobs) == 1:
            return [to_request_error(error)]
    return [result for job in jobs for result in run_batch(predictor, [job])]


def _run_joined(predictor: Predictor, jobs: Sequence[Job]) -> list[Result | RequestError]:
    """Arrays, joined along their batch axes."""
    if len(jobs) == 1:
        return [predictor.run_checked(jobs[0].content, jobs[0].sizes)]
    signature = predictor.signature
    joined = {
        spec.name: np.concatenate([job.content[spec.name] for job in jobs], spec.batch_axis)
        for spec in signature.inputs
    }
    sizes = {**jobs[0].sizes, BATCH: sum(job.rows for job in jobs)}
    outputs = predictor.run_checked(joined, sizes)
    results: list[Result | RequestError] = []
    start = 0
    for job in jobs:
        rows = slice(start, start + job.rows)
        results.append(
            {
                spec.name: outputs[spec.name][(slice(None),) * spec.batch_axis + (rows,)]
                for spec in signature.outputs
            }
        )
        start += job.rows
    return results


def _predict(predictor: Predictor, jobs: Sequence[Job]) -> list[Result | RequestError]:
    """Raw inputs, each preprocessed by itself; samples of one shape go into one run."""
    results: list[Result | RequestError] = []
    batches: dict[tuple[int, object], list[tuple[list[Prediction], int, Array]]] = {}
    for job in jobs:
        try:
            samples = [predictor.preprocessing.read(value) for value in job.content]
        except _ERRORS as error:
            results.append(to_request_error(error, raw_input=True))
            continue
        predictions = cast("list[Prediction]", [None] * len(samples))
        results.append(predictions)
        for index, sample in enumerate(samples):
            key = job.top, batch_key(predictor.preprocessing, sample)
            batches.setdefault(key, []).append((predictions, index, sample))
    for (top, _), members in batches.items():
        samples = [sample for _, _, sample in members]
        found = predictor.predict_samples(samples, [None] * len(samples), top=top)
        for (predictions, index, _), prediction in zip(members, found, strict=True):
            predictions[index] = prediction
    return results
