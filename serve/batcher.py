"""Dynamic batching: requests that arrive during a run form the next batch."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import numpy as np

from ptx.infer import Array, Prediction, Predictor
from ptx.infer.backends.threads import available_cpus
from ptx.infer.preprocessing import batch_key
from ptx.infer.signature import BATCH, TensorSpec
from ptx.serve.errors import RequestError, to_request_error, unavailable
from ptx.serve.settings import Settings

T = TypeVar("T")
Result = Mapping[str, Array] | list[Prediction]  # for arrays; for raw inputs
# Called with the jobs of a run, its start (`time.perf_counter`) and its duration in seconds.
RunObserver = Callable[[Sequence["Job"], float, float], None]

_ERRORS = Exception, SystemExit  # the code of a model may call sys.exit
_MAX_ROWS = 64  # of one run; a row of a larger batch is not faster
# Seconds of work that may be done on the event loop. Using a thread takes 0.1 ms, which doubles the
# latency of a small model (docs/guide/serving.md, Speed); longer work would block other requests.
_INLINE_SECONDS = 0.001
_WATCH_AFTER = 0.1  # seconds after which a waiting job is watched for a disconnect of its client
_SMALL_IMAGE = 128 * 128  # pixels of an image that may be decoded on the event loop


@dataclass(slots=True, eq=False)
class Job:
    """The rows of one request.

    Attributes:
        key: Jobs with equal keys can share a run; None: raw inputs.
        content: Arrays by input name; or a list of raw inputs, later replaced by their samples.
        size: Elements of the arrays or samples, or bytes of the raw inputs; the cost grows with it.
        sizes: Sizes of the dynamic axes of the arrays, including the batch.
        top: Number of labels to rank for each raw input.
        timeout: Seconds within which its run must begin.
        preprocessed: Seconds that preprocessing took; they do not count as waiting time.
        shadowed: Whether the inputs and outputs of its run are stored in `computed`, for a shadow.
        result: Cancelled if the client disconnects.
    """

    rows: int
    key: Hashable
    content: Any
    size: int
    sizes: Mapping[str, int] = field(default_factory=dict)
    top: int = 0
    timeout: float | None = None
    arrived: float = field(default_factory=time.perf_counter)
    preprocessed: float = 0.0
    shadowed: bool = False
    computed: list[tuple[Mapping[str, Array], Mapping[str, Array]]] = field(default_factory=list)
    result: asyncio.Future[Result] = field(init=False)

    @property
    def is_raw(self) -> bool:
        """Whether the job has raw inputs."""
        return self.key is None

    def finish(self, result: Result | RequestError) -> None:
        """Set the result, unless there is one already or the client has disconnected."""
        if self.result.done():
            return
        if isinstance(result, RequestError):
            self.result.set_exception(result)
        else:
            self.result.set_result(result)


@dataclass(slots=True)
class _Cost:
    """Observed seconds of work per unit of size; 0: not observed yet.

    Attributes:
        mean: Moving average, from which waiting times are estimated.
        lowest: A recent minimum, which excludes delays by other work of the machine.
    """

    mean: float = 0.0
    lowest: float = 0.0

    def fits_inline(self, size: int) -> bool:
        """Whether work of this size is short enough for the event loop."""
        return 0 < self.lowest * size <= _INLINE_SECONDS

    def add(self, seconds: float, size: int) -> None:
        if not size:
            return
        cost = seconds / size
        self.mean = self.mean + 0.2 * (cost - self.mean) if self.mean else cost
        self.lowest = min(cost, 1.05 * self.lowest) if self.lowest else cost


class Batcher:
    """The queue of one model. Its methods are called on the event loop.

    Raw inputs are preprocessed when they arrive, before their job waits for a run: several at a time,
    and while the model runs. A run or a preprocessing that is expected to take less than
    `_INLINE_SECONDS` is done on the event loop, others in threads.
    """

    def __init__(self, predictor: Predictor, settings: Settings, observe: RunObserver) -> None:
        self._predictor, self._settings, self._observe = predictor, settings, observe
        self._takes_pictures = predictor.preprocessing.image_spec is not None
        self._queues: dict[Hashable, deque[Job]] = {}  # by key; the first has waited longest
        self._running: Sequence[Job] = ()  # in the thread
        self._waiting_size = {False: 0, True: 0}  # of queued jobs, by `is_raw`
        self._preprocessing, self._preprocessing_size = 0, 0  # number and bytes of jobs in threads
        self._dispatching = self._hung = self._closing = False
        self._costs = {False: _Cost(), True: _Cost()}  # of runs, by `is_raw`
        self._preprocessing_cost = _Cost()
        self._threads = available_cpus()
        self._executor = ThreadPoolExecutor(1, "ptx-run")
        self._preprocessors = ThreadPoolExecutor(self._threads, "ptx-preprocess")

    async def run(
        self, job: Job, disconnected: Callable[[], Awaitable[None]] | None = None
    ) -> Result:
        """Compute the result of a job. The job is dropped if the call is cancelled before its run.

        Args:
            disconnected: Returns when the client has disconnected; the job is then dropped too.

        Raises:
            RequestError: the job cannot be computed, or would wait longer than `max_wait`; 499 if the
                client has disconnected.
        """
        if job.is_raw:
            await self._preprocess(job, disconnected)
        self._check_waiting_time()
        loop = asyncio.get_running_loop()
        job.result = loop.create_future()
        queue = self._queues.setdefault(job.key, deque())
        queue.append(job)
        self._waiting_size[job.is_raw] += job.size
        inline = self._costs[job.is_raw].fits_inline(job.size)
        if not self._dispatching and not self._running:
            self._dispatching = True
            if self._settings.max_delay:
                loop.call_later(self._settings.max_delay, self._dispatch)
            elif inline:
                try:
                    await _until_complete(queue)
                except asyncio.CancelledError:
                    job.result.cancel()
                    raise
                finally:
                    self._dispatch()
            else:
                loop.call_soon(self._dispatch)
        if inline and not self._running:
            return await job.result  # which takes too little time to watch the client
        return await _watched(job.result, disconnected)

    async def _preprocess(
        self, job: Job, disconnected: Callable[[], Awaitable[None]] | None
    ) -> None:
        """Replace the raw inputs of a job by samples.

        Raises:
            RequestError: one cannot be used, or the job would wait too long.
        """
        started = time.perf_counter()
        size, cost = job.size, self._preprocessing_cost
        if cost.fits_inline(size) and self._may_decode_inline(job.content):
            samples = _read_samples(self._predictor, job.content)
        else:
            self._check_waiting_time()
            self._preprocessing += 1
            self._preprocessing_size += size

            def preprocess() -> list[Array]:
                nonlocal started
                started = time.perf_counter()
                self._check_waited(job, started)
                return _read_samples(self._predictor, job.content)

            loop = asyncio.get_running_loop()
            try:
                samples = await _watched(
                    loop.run_in_executor(self._preprocessors, preprocess), disconnected
                )
            finally:
                self._preprocessing -= 1
                self._preprocessing_size -= size
                loop.call_soon(self._continue)  # after the job has been queued
        job.preprocessed = time.perf_counter() - started
        cost.add(job.preprocessed, size)
        job.content, job.size = samples, sum([sample.size for sample in samples])

    def _may_decode_inline(self, values: Sequence[Any]) -> bool:
        return not self._takes_pictures or all(map(_is_small_png, values))

    def waiting_time(self) -> float:
        """Estimated seconds until the run of a job that is added now would begin."""
        if self.idle:
            return 0.0
        if self._hung:
            return float("inf")
        sizes = dict(self._waiting_size)
        for job in self._running:
            sizes[job.is_raw] += job.size
        running = sum(self._costs[is_raw].mean * size for is_raw, size in sizes.items())
        preprocessing = self._preprocessing_cost.mean * self._preprocessing_size
        return running + preprocessing / self._threads

    def _check_waiting_time(self) -> None:
        if (wait := self.waiting_time()) > self._settings.max_wait:
            raise unavailable("the server is busy: this request would wait too long", min(wait, 60))

    def _check_waited(self, job: Job, now: float) -> None:
        """Raise RequestError for a job that has waited too long for its client."""
        waited = now - job.arrived - job.preprocessed
        if job.timeout is not None and waited > job.timeout:
            raise RequestError(504, "the timeout of the request has passed")
        if waited > 2 * self._settings.max_wait + self._settings.max_delay:
            raise unavailable("the request waited too long: the server is busy")

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._queues and not self._running and not self._preprocessing

    def close(self) -> None:
        """Close the predictor as soon as the batcher is idle."""
        self._closing = True
        if self.idle:
            self._executor.shutdown(wait=False)
            self._preprocessors.shutdown(wait=False)
            self._predictor.close()

    def _dispatch(self) -> None:
        self._dispatching = False
        jobs = self._next_jobs()
        if jobs:
            if self._costs[jobs[0].is_raw].fits_inline(sum([job.size for job in jobs])):
                for job, result in zip(jobs, self._compute(jobs), strict=True):
                    job.finish(result)
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
            self.close()  # if nothing is preprocessed

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
            if job.result.done():
                continue
            try:
                self._check_waited(job, now)
            except RequestError as error:
                job.finish(error)
            else:
                jobs.append(job)
                rows += job.rows
        del self._queues[key]
        if queue:
            self._queues[key] = queue  # after the others
        return jobs

    def _compute(self, jobs: Sequence[Job]) -> list[Result | RequestError]:
        started = time.perf_counter()
        results = run_batch(self._predictor, jobs)
        self._record(jobs, started)
        return results

    def _run_in_thread(self, jobs: Sequence[Job]) -> None:
        self._running, started = jobs, time.perf_counter()
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._executor, run_batch, self._predictor, jobs)
        timer = loop.call_later(self._settings.timeout, self._on_timeout, jobs)

        def done(future: asyncio.Future[list[Result | RequestError]]) -> None:
            timer.cancel()
            self._running, self._hung = (), False
            self._record(jobs, started)
            for job, result in zip(jobs, future.result(), strict=True):
                job.finish(result)
            self._continue()

        future.add_done_callback(done)

    def _on_timeout(self, jobs: Sequence[Job]) -> None:
        """Respond 504 to the clients of a run that takes too long, and 503 to others until it ends."""
        self._hung = True
        for job in jobs:
            job.finish(RequestError(504, "the run took longer than the server's --timeout"))
        for queue in self._queues.values():
            for job in queue:
                job.finish(unavailable("a run that exceeded its time limit blocks the model"))
        self._queues.clear()
        self._waiting_size = {False: 0, True: 0}

    def _record(self, jobs: Sequence[Job], started: float) -> None:
        seconds = time.perf_counter() - started
        self._costs[jobs[0].is_raw].add(seconds, sum([job.size for job in jobs]))
        self._observe(jobs, started, seconds)


async def _until_complete(queue: deque[Job]) -> None:
    """Run the event loop until it brings no further job, or the queue fills a run."""
    previous = 0
    while previous < len(queue) < _MAX_ROWS:
        previous = len(queue)
        await asyncio.sleep(0)


async def _watched(
    future: asyncio.Future[T], disconnected: Callable[[], Awaitable[None]] | None
) -> T:
    """The result of a future, which is cancelled if the client disconnects."""
    if disconnected is None:
        return await future
    loop = asyncio.get_running_loop()
    watcher: asyncio.Task[None] | None = None

    async def cancel_when_disconnected() -> None:
        await disconnected()
        future.cancel()

    def watch() -> None:
        nonlocal watcher
        watcher = loop.create_task(cancel_when_disconnected())

    timer = loop.call_later(_WATCH_AFTER, watch)
    try:
        return await future
    except asyncio.CancelledError:
        if watcher is not None and watcher.done():
            raise RequestError(499, "the client has disconnected") from None
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


def _read_samples(predictor: Predictor, values: Sequence[Any]) -> list[Array]:
    """The samples of raw inputs.

    Raises:
        RequestError: one cannot be used.
    """
    try:
        return [predictor.preprocessing.transform(value) for value in values]
    except _ERRORS as error:
        raise to_request_error(error, raw_input=True) from error


def run_batch(predictor: Predictor, jobs: Sequence[Job]) -> list[Result | RequestError]:
    """The results of jobs with equal keys, computed in one run; if it fails, each job runs alone."""
    try:
        if jobs[0].is_raw:
            return _predict(predictor, jobs)
        return _run_joined(predictor, jobs)
    except _ERRORS as error:
        if len(jobs) == 1:
            return [to_request_error(error)]
    return [result for job in jobs for result in run_batch(predictor, [job])]


def _run_joined(predictor: Predictor, jobs: Sequence[Job]) -> list[Result | RequestError]:
    """The outputs of jobs with arrays, which are joined along the batch axis."""
    if len(jobs) == 1:
        outputs = predictor.run_checked(jobs[0].content, jobs[0].sizes)
        return [_keep_computed(jobs[0], outputs)]
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
        part = {
            spec.name: outputs[spec.name][(slice(None),) * spec.batch_axis + (rows,)]
            for spec in signature.outputs
        }
        results.append(_keep_computed(job, part))
        start += job.rows
    return results


def _keep_computed(job: Job, outputs: dict[str, Array]) -> dict[str, Array]:
    if job.shadowed:
        job.computed.append((job.content, outputs))
    return outputs


def _predict(predictor: Predictor, jobs: Sequence[Job]) -> list[Result | RequestError]:
    """The predictions for samples of raw inputs; samples of the same shape share a run."""
    results = [cast("list[Prediction]", [None] * job.rows) for job in jobs]
    batches: dict[tuple[int, object], list[tuple[Job, list[Prediction], int]]] = {}
    for job, predictions in zip(jobs, results, strict=True):
        job.computed.clear()  # from a run with other jobs, one of which failed
        for index, sample in enumerate(job.content):
            key = job.top, batch_key(predictor.preprocessing, sample)
            batches.setdefault(key, []).append((job, predictions, index))
    for (top, _), members in batches.items():
        samples = [job.content[index] for job, _, index in members]
        inputs = predictor.preprocessing.collate(samples)
        outputs = predictor.run(inputs)
        predicted = predictor.decode_outputs(
            outputs, [None] * len(samples), top=top, samples=samples
        )
        for row, (job, predictions, index) in enumerate(members):
            predictions[index] = predicted[row]
            if job.shadowed:
                signature = predictor.signature
                job.computed.append(
                    (
                        _take_row(signature.inputs, inputs, row),
                        _take_row(signature.outputs, outputs, row),
                    )
                )
    return list(results)


def _take_row(
    specs: Sequence[TensorSpec], arrays: Mapping[str, Array], row: int
) -> dict[str, Array]:
    return {spec.name: np.take(arrays[spec.name], [row], spec.batch_axis) for spec in specs}
