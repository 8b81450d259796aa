"""Prefetching: inputs are decoded in chunks during the computation, and predicted in order.

A chunk is decoded by a thread or by worker processes. Threads share Python's global lock: decoding small
images in one thread and working on their predictions in another takes as long as one after the other.
Processes overlap, but a fork is safe only while no library has started a thread. The command line knows
that and forks its workers first; a library cannot know it and uses a thread.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice, repeat
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ptx.infer.backends.threads import available_cpus
from ptx.infer.boxes import with_original_size
from ptx.infer.errors import ArtifactError, InputError, LimitError
from ptx.infer.prediction import Box, Failure, Prediction, split_name
from ptx.infer.preprocessing import Preprocessing, batch_key
from ptx.infer.ranges import BATCH_SIZE
from ptx.infer.signature import Array

if TYPE_CHECKING:
    from ptx.infer.predictor import Predictor

# Inputs that a plan looks at. Fewer small files are decoded faster than worker processes start.
PLANNED_INPUTS = 128
_LARGE_FILES = 8 * 2**20  # bytes: decoding them takes 100 ms, two forks take 60 ms
_CHUNK_BYTES = 4 * 2**20  # of files in a chunk, so that no worker waits long for another
_FIRST_CHUNK = 32  # inputs of the first chunks, and at most of any chunk of large files
_SMALL_SAMPLE = 4096  # numbers: decoding such an image takes as long as computing with it
_SMALL_WORKERS = 2  # processes for small images: more would wait for the computation
_SMALL_CHUNKS_AHEAD = 12  # chunks of small images that are decoded while the backend is opened

_PR_SET_PDEATHSIG, _SIGKILL = 1, 9


class DecodedInput(NamedTuple):
    """The name of an input, and its sample or the error."""

    name: str | None
    sample: Array | InputError
    ignored_regions: tuple[Box, ...] = ()  # see `Prediction.ignored_regions`


Chunk = list[DecodedInput]


class WorkerPool(NamedTuple):
    """The thread or the processes that decode chunks of inputs during the computation."""

    chunks_ahead: int  # chunks that are decoded ahead of the one that is computed
    # starts to decode inputs; the function that it returns waits for the chunk
    submit: Callable[[list[Any]], Callable[[], Chunk]]


class Prefetcher:
    """Decodes inputs in chunks, the first ones as soon as it is created.

    `Predictor.predict_many` accepts it in place of the inputs. Chunks start at `first` inputs and
    double every second chunk up to `size`, so that a few hundred inputs use all workers.
    """

    def __init__(
        self, pool: WorkerPool, inputs: Iterable[Any], size: int, *, first: int | None = None
    ) -> None:
        BATCH_SIZE.check("the size of a chunk", size)
        iterator = iter(inputs)
        sizes = _chunk_sizes(first or size, size)
        chunks = iter(lambda: list(islice(iterator, next(sizes))), [])
        self._submitted = (pool.submit(chunk) for chunk in chunks)
        self._pending = deque(islice(self._submitted, pool.chunks_ahead))

    def __iter__(self) -> Iterator[Chunk]:
        while self._pending:
            chunk = self._pending.popleft()()
            self._pending.extend(islice(self._submitted, 1))
            yield chunk


def _chunk_sizes(first: int, size: int) -> Iterator[int]:
    while first < size:
        yield from (first, first)
        first *= 2
    yield from repeat(size)


@dataclass(frozen=True)
class PrefetchPlan:
    """How worker processes decode the inputs of a run, and how many threads the backend gets."""

    processes: int
    chunks_ahead: int
    chunk_size: int
    first_chunk: int
    backend_threads: int | None  # None: the backend's default

    def start_workers(self, preprocessing: Preprocessing) -> AbstractContextManager[WorkerPool]:
        """Fork the worker processes, before anything starts a thread in this one."""
        return decoder_processes(preprocessing, self.processes, chunks_ahead=self.chunks_ahead)


def plan_prefetch(
    preprocessing: Preprocessing, inputs: Sequence[Any], batch_size: int
) -> PrefetchPlan | None:
    """The plan for a run; None if worker processes are not worth their start or cannot be forked.

    Args:
        preprocessing: Decodes the inputs; only files are worth processes of their own.
        inputs: The first `PLANNED_INPUTS` of the run, or all if there are fewer.
        batch_size: Samples that are computed at once.
    """
    size = sum(map(_file_size, inputs))
    few = len(inputs) < PLANNED_INPUTS and (len(inputs) < 2 or size < _LARGE_FILES)
    if few or not preprocessing.extensions or not can_fork():
        return None
    first = min(_FIRST_CHUNK, max(1, _CHUNK_BYTES * len(inputs) // max(1, size)))
    chunk_size = batch_size if first == _FIRST_CHUNK else min(first, batch_size)
    processes = available_cpus()
    if preprocessing.row_spec and prod(preprocessing.row_spec[1]) <= _SMALL_SAMPLE:
        # One CPU computes as fast as the others decode.
        processes = min(processes, _SMALL_WORKERS)
        return PrefetchPlan(processes, _SMALL_CHUNKS_AHEAD, chunk_size, first, backend_threads=1)
    return PrefetchPlan(processes, processes + 1, chunk_size, first, backend_threads=None)


def _file_size(value: Any) -> int:
    """The size in bytes; 0 for a value that is not a file."""
    try:
        return os.path.getsize(value) if isinstance(value, str) else 0  # noqa: PTH202
    except (OSError, ValueError):
        return 0


def decode(preprocessing: Preprocessing, inputs: list[Any]) -> Chunk:
    """The samples of the inputs with their names; the error in place of an unusable input."""
    chunk: Chunk = []
    for value in inputs:
        name, content = split_name(value)
        try:
            if isinstance(content, InputError):
                raise content
            sample = preprocessing.transform(content)
            chunk.append(DecodedInput(name, sample, getattr(sample, "ignored_regions", ())))
        except InputError as error:
            chunk.append(DecodedInput(name, error))
    return chunk


@contextmanager
def decoder_thread(preprocessing: Preprocessing) -> Iterator[WorkerPool]:
    """A worker pool of one thread of this process."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, thread_name_prefix="ptx-decoder") as executor:
        yield WorkerPool(1, lambda inputs: executor.submit(decode, preprocessing, inputs).result)


def can_fork() -> bool:
    """Whether a fork is safe: on Linux, in a process that has one thread, NumPy's included."""
    return sys.platform == "linux" and len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208


@contextmanager
def decoder_processes(
    preprocessing: Preprocessing, processes: int, *, chunks_ahead: int
) -> Iterator[WorkerPool]:
    """A pool of worker processes, forked at once; call it while this process has a single thread.

    If an exception leaves the block, the workers are killed.

    Args:
        preprocessing: Decodes the inputs.
        processes: The number of worker processes.
        chunks_ahead: Chunks that are decoded ahead of the one that is computed.

    Raises:
        LimitError: while waiting for a chunk: a process was killed, for example for lack of memory.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import active_children, get_context

    arguments = (preprocessing, os.getpid())
    before = active_children()
    with ProcessPoolExecutor(processes, get_context("fork"), _start_decoder, arguments) as executor:
        executor.submit(os.getpid)  # forks all processes now, not with the first chunk
        workers = [process for process in active_children() if process not in before]
        try:
            yield WorkerPool(
                chunks_ahead, lambda inputs: _make_wait(executor.submit(_decode_chunk, inputs))
            )
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            for process in workers:
                process.kill()
            raise


_preprocessing: Preprocessing  # of a worker process


def _start_decoder(preprocessing: Preprocessing, parent: int) -> None:
    global _preprocessing
    _preprocessing = preprocessing
    end_with_parent(parent)


def end_with_parent(parent: int) -> None:
    """Exit when the process `parent` exits; ignore Ctrl-C, which the parent handles."""
    import ctypes
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class _Encoded(NamedTuple):
    """A chunk in the form that is sent between processes: one array is faster than many small ones."""

    names: list[str | None]
    samples: Array | list[Array]  # one array if all have the same shape
    original_sizes: list[tuple[int, int] | None]  # of the samples' images, see `ImagePixels`
    errors: dict[int, InputError]
    ignored_regions: dict[int, tuple[Box, ...]]


def _decode_chunk(inputs: list[Any]) -> _Encoded:
    chunk = decode(_preprocessing, inputs)
    names = [item.name for item in chunk]
    errors = {i: item.sample for i, item in enumerate(chunk) if isinstance(item.sample, InputError)}
    regions = {i: item.ignored_regions for i, item in enumerate(chunk) if item.ignored_regions}
    samples = [item.sample for item in chunk if not isinstance(item.sample, InputError)]
    sizes = [getattr(sample, "original_size", None) for sample in samples]
    if len({(sample.shape, sample.dtype) for sample in samples}) == 1:
        return _Encoded(names, np.stack(samples), sizes, errors, regions)
    return _Encoded(names, samples, sizes, errors, regions)


def _make_wait(future: Any) -> Callable[[], Chunk]:
    def wait() -> Chunk:
        from concurrent.futures.process import BrokenProcessPool

        try:
            encoded: _Encoded = future.result()
        except BrokenProcessPool as error:
            raise LimitError(
                "a process that decoded the inputs was killed; is there too little memory?",
                code="E-MEMORY",
            ) from error
        pairs = zip(encoded.samples, encoded.original_sizes, strict=True)
        samples = (with_original_size(sample, size) if size else sample for sample, size in pairs)
        return [
            DecodedInput(name, encoded.errors[index])
            if index in encoded.errors
            else DecodedInput(name, next(samples), encoded.ignored_regions.get(index, ()))
            for index, name in enumerate(encoded.names)
        ]

    return wait


def predict_stream(
    predictor: Predictor,
    inputs: Iterable[Any] | Prefetcher,
    batch_size: int,
    top: int,
    *,
    strict: bool,
) -> Iterator[Prediction | Failure]:
    """See `Predictor.predict_many`; with `strict` the first unusable input raises its error."""
    if isinstance(inputs, Prefetcher):
        for chunk in inputs:
            yield from _predict_chunk(predictor, chunk, top, strict)
        return
    rest = iter(inputs)
    first = list(islice(rest, batch_size))
    if len(first) < batch_size:  # a single batch: nothing to overlap with
        yield from _predict_chunk(predictor, decode(predictor.preprocessing, first), top, strict)
        return
    with decoder_thread(predictor.preprocessing) as pool:
        for chunk in Prefetcher(pool, chain(first, rest), batch_size):
            yield from _predict_chunk(predictor, chunk, top, strict)


def _predict_chunk(
    predictor: Predictor, chunk: Chunk, top: int, strict: bool
) -> Iterator[Prediction | Failure]:
    def key(item: DecodedInput) -> object:
        if isinstance(item.sample, InputError):
            return None
        return (batch_key(predictor.preprocessing, item.sample),)

    for group_key, group in groupby(chunk, key):
        items = list(group)
        if group_key is not None:
            yield from _predict_batch(predictor, items, top, strict)
            continue
        for name, error, _ in items:
            if isinstance(error, InputError):
                if strict:
                    raise error
                yield Failure(error, name)


def _predict_batch(
    predictor: Predictor, items: Chunk, top: int, strict: bool
) -> Iterator[Prediction | Failure]:
    """The predictions of a batch; if it fails, each sample is computed alone."""
    samples = [item.sample for item in items if not isinstance(item.sample, InputError)]
    names = [item.name for item in items]
    try:
        predictions = predictor.predict_samples(samples, names, top=top)
    except (InputError, ArtifactError) as error:
        if len(samples) > 1:
            for item in items:
                yield from _predict_batch(predictor, [item], top, strict)
        elif strict:
            raise
        else:
            yield Failure(error, names[0])
        return
    for prediction, item in zip(predictions, items, strict=True):
        regions = item.ignored_regions
        yield replace(prediction, ignored_regions=regions) if regions else prediction
