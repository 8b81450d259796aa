"""Many inputs: read in windows, the next one while the last is computed, answered in order.

They are read in a thread, or in processes of their own. Threads share Python's global lock: to decode
small pictures in one and to work on their answers in another takes as long as one after the other.
Processes overlap, but one may be forked only while nothing has started a thread. The command line,
which knows that, asks for them; a library cannot.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, groupby, islice, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ptx.infer.backends.threads import usable_processors
from ptx.infer.errors import ArtifactError, InputError, LimitError
from ptx.infer.prediction import Box, Failure, Named, Prediction
from ptx.infer.preprocessing import Preprocessing
from ptx.infer.ranges import BATCH_SIZE
from ptx.infer.signature import Array

if TYPE_CHECKING:
    from ptx.infer.predictor import Predictor

_DIES_WITH_PARENT, _KILLED = 1, 9  # PR_SET_PDEATHSIG, SIGKILL


class ReadValue(NamedTuple):
    """A value as it was read, under its name."""

    name: str | None
    sample: Array | InputError
    others: tuple[Box, ...] = ()  # see `Prediction.others`


Window = list[ReadValue]


class Readers(NamedTuple):
    """What reads values beside the computation."""

    ahead: int  # windows that are read ahead of the one that is computed
    submit: Callable[[list[Any]], Callable[[], Window]]  # begins; what it gives waits for the end


class ReadAhead:
    """Values in windows of `size`, the first of which are being read as soon as this is made.

    `Predictor.predict_many` takes it in the place of the values. `first`: the size of the first two
    windows, where it is less; it doubles with each two behind them. So a few hundred values that take
    long to read are divided among the readers, and do not all wait in one window for one of them.
    """

    def __init__(
        self, readers: Readers, values: Iterable[Any], size: int, *, first: int | None = None
    ) -> None:
        BATCH_SIZE.check("the size of a window", size)
        iterator = iter(values)
        sizes = _window_sizes(first or size, size)
        windows = iter(lambda: list(islice(iterator, next(sizes))), [])
        self._begun = (readers.submit(window) for window in windows)
        self._pending = deque(islice(self._begun, readers.ahead))

    def __iter__(self) -> Iterator[Window]:
        while self._pending:
            window = self._pending.popleft()()
            self._pending.extend(islice(self._begun, 1))
            yield window


def _window_sizes(first: int, most: int) -> Iterator[int]:
    """`first` twice, then twice as much twice, and so on up to `most`."""
    while first < most:
        yield from (first, first)
        first *= 2
    yield from repeat(most)


def unname(value: Any) -> tuple[str | None, Any]:
    """The name that a value's prediction bears, and what is to be read."""
    return (value.name, value.value) if isinstance(value, Named) else (input_name(value), value)


def input_name(value: Any) -> str | None:
    """How a value is named in its prediction: a path or a text as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**64):
        return str(value)
    return None


def read_window(preprocessing: Preprocessing, values: list[Any]) -> Window:
    """The samples of values, under their names; an error in the place of one that cannot be used."""
    window: Window = []
    for value in values:
        name, content = unname(value)
        try:
            if isinstance(content, InputError):
                raise content
            sample = preprocessing.read(content)
            window.append(ReadValue(name, sample, getattr(sample, "ignored_regions", ())))
        except InputError as error:
            window.append(ReadValue(name, error))
    return window


def batch_key(preprocessing: Preprocessing, sample: Array) -> object:
    """Samples with equal keys fit into one batch: pixels and ready samples do not, nor do two shapes."""
    return None if preprocessing.pads else (sample.dtype, sample.shape)


@contextmanager
def reader_thread(preprocessing: Preprocessing) -> Iterator[Readers]:
    """One thread of this process."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, thread_name_prefix="ptx-reader") as executor:
        yield Readers(1, lambda values: executor.submit(read_window, preprocessing, values).result)


def can_fork() -> bool:
    """Whether a fork is safe: on Linux, in a process that has one thread, NumPy's included."""
    return sys.platform == "linux" and len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208


@contextmanager
def reader_processes(
    preprocessing: Preprocessing, *, ahead: int = 0, most: int | None = None
) -> Iterator[Readers]:
    """Forked processes, one for each processor; while this process has a single thread.

    What is being read when the block is left by an exception is not waited for.

    Args:
        ahead: Windows that are read ahead, where these are more than the processes.
        most: Processes, where more would wait for the computation.

    Raises:
        LimitError: when a window is waited for: a process has died, as of too little memory.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import active_children, get_context

    count = min(usable_processors(), most or usable_processors())
    prepare = (preprocessing, os.getpid())
    before = active_children()
    with ProcessPoolExecutor(count, get_context("fork"), _prepare, prepare) as executor:
        executor.submit(os.getpid)  # all processes are forked now, and not with the first window
        forked = [process for process in active_children() if process not in before]
        try:
            yield Readers(
                max(ahead, count + 1),
                lambda values: _make_wait(executor.submit(_read_packed, values)),
            )
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            for process in forked:
                process.kill()
            raise


_preprocessing: Preprocessing  # of a forked reader


def _prepare(preprocessing: Preprocessing, parent: int) -> None:
    global _preprocessing
    _preprocessing = preprocessing
    end_with_parent(parent)


def end_with_parent(parent: int) -> None:
    """Let a process that works for `parent` end with it; Ctrl-C is the parent's to answer."""
    import ctypes
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, _KILLED)
    if os.getppid() != parent:
        os._exit(1)


class _Packed(NamedTuple):
    """A window as it is sent: many small arrays take longer than one."""

    names: list[str | None]
    samples: Array | list[Array]  # one array where all have the same shape
    errors: dict[int, InputError]
    others: dict[int, tuple[Box, ...]]


def _read_packed(values: list[Any]) -> _Packed:
    window = read_window(_preprocessing, values)
    names = [read.name for read in window]
    errors = {i: r.sample for i, r in enumerate(window) if isinstance(r.sample, InputError)}
    others = {i: read.others for i, read in enumerate(window) if read.others}
    samples = [read.sample for read in window if not isinstance(read.sample, InputError)]
    if len({(sample.shape, sample.dtype) for sample in samples}) == 1:
        return _Packed(names, np.stack(samples), errors, others)
    return _Packed(names, samples, errors, others)


def _make_wait(future: Any) -> Callable[[], Window]:
    def wait() -> Window:
        from concurrent.futures.process import BrokenProcessPool

        try:
            packed: _Packed = future.result()
        except BrokenProcessPool as error:
            raise LimitError(
                "a process that read the inputs was killed; is there too little memory?",
                code="E-MEMORY",
            ) from error
        samples = iter(packed.samples)
        return [
            ReadValue(name, packed.errors[index])
            if index in packed.errors
            else ReadValue(name, next(samples), packed.others.get(index, ()))
            for index, name in enumerate(packed.names)
        ]

    return wait


def stream(
    predictor: Predictor,
    values: Iterable[Any] | ReadAhead,
    batch_size: int,
    top: int,
    *,
    strict: bool,
) -> Iterator[Prediction | Failure]:
    """See `Predictor.predict_many`; `strict`: the first value that cannot be used ends it."""
    if isinstance(values, ReadAhead):
        for window in values:
            yield from _answers(predictor, window, top, strict)
        return
    rest = iter(values)
    first = list(islice(rest, batch_size))
    if len(first) < batch_size:  # all there is: nothing to overlap with
        yield from _answers(predictor, read_window(predictor.preprocessing, first), top, strict)
        return
    with reader_thread(predictor.preprocessing) as readers:  # ends where an answer raises
        for window in ReadAhead(readers, chain(first, rest), batch_size):
            yield from _answers(predictor, window, top, strict)


def _answers(
    predictor: Predictor, window: Window, top: int, strict: bool
) -> Iterator[Prediction | Failure]:
    def key(item: ReadValue) -> object:
        if isinstance(item.sample, InputError):
            return None
        return (batch_key(predictor.preprocessing, item.sample),)

    for fitting, group in groupby(window, key):
        items = list(group)
        if fitting is not None:
            answers = _predict_window(predictor, items, top, strict)
            for answer, read in zip(answers, items, strict=True):
                if read.others and isinstance(answer, Prediction):
                    answer = replace(answer, others=read.others)
                yield answer
            continue
        for name, error, _ in items:
            if isinstance(error, InputError):
                if strict:
                    raise error
                yield Failure(error, name)


def _predict_window(
    predictor: Predictor, items: Window, top: int, strict: bool
) -> Iterator[Prediction | Failure]:
    """The answers of a batch; where one sample of it cannot be computed, of each by itself."""
    samples = [read.sample for read in items if not isinstance(read.sample, InputError)]
    names = [read.name for read in items]
    try:
        yield from predictor.predict_samples(samples, names, top=top)
    except (InputError, ArtifactError) as error:
        if strict:
            raise
        if len(samples) == 1:
            yield Failure(error, names[0])
            return
        for item in items:
            yield from _predict_window(predictor, [item], top, strict)
