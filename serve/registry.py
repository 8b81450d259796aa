"""The models of a server by their names, and how one is replaced while it is asked."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ptx.infer import Predictor, PtxError, UsageError
from ptx.serve.model import VERSION, Model
from ptx.serve.queue.batching import Batcher, Watch
from ptx.serve.queue.jobs import Job
from ptx.serve.refusals import LOG, RefusalError, busy
from ptx.serve.settings import Settings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_PAUSE = 0.5  # seconds at most that a request is held before it is refused


class Source(NamedTuple):
    """Where a model comes from.

    Attributes:
        name: Under which it is served.
        open: Reads the file, now.
    """

    name: str
    open: Callable[[], Predictor]


def open_model(source: Source) -> Model:
    """A model that holds here: its golden samples were replayed.

    Raises:
        PtxError: it cannot be opened, or does not hold.
    """
    if NAME.fullmatch(source.name) is None:
        raise UsageError(
            f"the name {source.name!r} cannot be served; expected letters, digits, '.', '_' and '-':"
            " give it as NAME=FILE"
        )
    predictor = source.open()
    model = Model(source.name, predictor)
    try:
        model.prove()
    except BaseException:
        predictor.close()
        raise
    return model


class Registry:
    """Models that answer. All its methods are called on the event loop."""

    def __init__(
        self, sources: Sequence[Source], models: Sequence[Model], settings: Settings, watch: Watch
    ) -> None:
        self._settings, self._watch = settings, watch
        self._sources = {source.name: source for source in sources}
        self._batchers = {model.name: Batcher(model, settings, watch) for model in models}
        self._leaving: list[Batcher] = []  # replaced ones, with what they have begun
        self._loading = asyncio.Lock()

    def __iter__(self) -> Iterator[Model]:
        for batcher in self._batchers.values():
            yield batcher.model

    def __contains__(self, name: str) -> bool:
        return name in self._batchers

    def known(self, name: str) -> str:
        """A model's name as it is counted: "" where there is none."""
        return name if name in self._batchers else ""

    def find(self, name: str, version: str = "") -> Batcher:
        """The queue of a model.

        Raises:
            RefusalError: there is no such model or version.
        """
        batcher = self._batchers.get(name)
        if batcher is None or version not in ("", VERSION):
            what = f"'{name[:80]}'" + (f" version '{version[:80]}'" if version else "")
            raise RefusalError(404, f"Request for unknown model: {what} is not found")
        return batcher

    async def load(self, name: str) -> None:
        """Read a model's file again, prove it, and let it take the old one's place.

        Raises:
            RefusalError: the new one does not hold; the old one goes on answering.
        """
        await self._replace(name)
        if self._settings.workers > 1:  # the supervisor tells the others
            os.kill(os.getppid(), signal.SIGHUP)

    async def _replace(self, name: str) -> None:
        old = self.find(name)
        async with self._loading:
            try:
                model = await asyncio.to_thread(open_model, self._sources[name])
            except Exception as error:
                LOG.error("model %s was not replaced", name, exc_info=error)
                told = error.code if isinstance(error, PtxError) else type(error).__name__
                raise RefusalError(
                    409, f"the new file of '{name}' does not hold ({told}); the old one goes on"
                    " answering; the server's log says why",
                ) from error  # fmt: skip
            self._batchers[name] = Batcher(model, self._settings, self._watch)
            self._leaving = [batcher for batcher in (*self._leaving, old) if not batcher.idle]
            old.close()

    async def load_all(self) -> None:
        """The same for each."""
        for name in list(self._batchers):
            try:
                await self._replace(name)
            except RefusalError:
                continue  # which is in the log

    def pause(self, batcher: Batcher) -> float:
        """Seconds for which a new request is to be held: 0 where it can be taken now."""
        if batcher.waiting_time() <= self._settings.max_wait:
            return 0.0
        return min(_PAUSE, self._settings.max_wait)

    def submit(self, batcher: Batcher, job: Job) -> None:
        """Queue a job.

        Raises:
            RefusalError: it would wait longer than it may.
        """
        wait = batcher.waiting_time()
        if wait > self._settings.max_wait:
            raise busy("the server is busy: this request would wait too long", min(wait, 60))
        batcher.submit(job)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return all(batcher.idle for batcher in (*self._batchers.values(), *self._leaving))

    def close(self) -> None:
        """Close the predictors."""
        for batcher in self._batchers.values():
            batcher.close()
