"""The served models by name, which can be reloaded while requests arrive."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from ptx.infer import Predictor, PtxError, UsageError
from ptx.serve.batcher import Batcher, Job, Result
from ptx.serve.errors import LOG, RequestError
from ptx.serve.metrics import Metrics
from ptx.serve.model import VERSION, Model
from ptx.serve.settings import Settings
from ptx.serve.shadow import Shadow, ShadowSource, open_shadow

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class ModelSource:
    """A model to serve.

    Attributes:
        name: The name under which it is served.
        open: Reads the file and opens it; called at the start and at each reload. With several worker
            processes it must be picklable, such as a `functools.partial` of a module's function.
        shadow: Another predictor, whose outputs are compared with those of the model.
    """

    name: str
    open: Callable[[], Predictor]
    shadow: ShadowSource | None = None


def open_model(source: ModelSource) -> Model:
    """Open a model and replay its golden samples.

    Raises:
        PtxError: the model cannot be opened, or fails its golden samples.
    """
    if _NAME.fullmatch(source.name) is None:
        raise UsageError(
            f"the name {source.name!r} cannot be served; expected letters, digits, '.', '_' and '-':"
            " choose one with NAME=FILE"
        )
    predictor = source.open()
    try:
        model = Model(source.name, predictor)
        model.self_test()
    except BaseException:
        predictor.close()
        raise
    return model


@dataclass(frozen=True)
class Served:
    """A model, with its queue and its shadow."""

    model: Model
    batcher: Batcher
    shadow: Shadow | None = None

    async def run(
        self, job: Job, disconnected: Callable[[], Awaitable[None]] | None = None
    ) -> Result:
        """As `Batcher.run`; some jobs are also passed to the shadow."""
        if self.shadow is None or not self.shadow.selects_next():
            return await self.batcher.run(job, disconnected)
        job.shadowed = True
        result = await self.batcher.run(job, disconnected)
        self.shadow.offer(job)
        return result

    def close(self) -> None:
        """Close the predictors as soon as the requests in progress are done."""
        self.batcher.close()
        if self.shadow is not None:
            self.shadow.close()


class Registry:
    """The models that are served.

    Raises:
        PtxError: see `open_model`; or two models have the same name.
    """

    def __init__(
        self, sources: Sequence[ModelSource], settings: Settings, metrics: Metrics
    ) -> None:
        if len({source.name for source in sources}) < len(sources):
            raise UsageError("two models have the same name: name one with NAME=FILE")
        self._settings, self._metrics = settings, metrics
        self._sources = {source.name: source for source in sources}
        self._served = {source.name: self._open(source) for source in sources}
        self._reload_lock = asyncio.Lock()

    def _open(self, source: ModelSource) -> Served:
        model, shadow = open_model(source), None
        try:
            if source.shadow is not None:
                shadow = open_shadow(source.shadow, model, self._metrics.shadow(model.name))
        except BaseException:
            model.predictor.close()
            raise
        observe = self._metrics.run_observer(model.name)
        return Served(model, Batcher(model.predictor, self._settings, observe), shadow)

    def __iter__(self) -> Iterator[Model]:
        return (served.model for served in self._served.values())

    def __contains__(self, name: object) -> bool:
        return name in self._served

    def find(self, name: str, version: str = "") -> Served:
        """A model by its name.

        Raises:
            RequestError: 404: there is no such model or version.
        """
        served = self._served.get(name)
        if served is None or version not in ("", VERSION):
            what = f"'{name[:80]}'" + (f" version '{version[:80]}'" if version else "")
            raise RequestError(404, f"Request for unknown model: {what} is not found")
        return served

    async def reload(self, name: str) -> None:
        """Read a model's file again and replace the model; requests in progress finish on the old one.

        Raises:
            RequestError: 409: the new file cannot be served; the old model stays.
        """
        old = self.find(name)
        async with self._reload_lock:
            try:
                served = await asyncio.to_thread(self._open, self._sources[name])
            except Exception as error:
                LOG.error("model %s was not reloaded", name, exc_info=error)
                code = error.code if isinstance(error, PtxError) else type(error).__name__
                raise RequestError(
                    409,
                    f"the new file of '{name}' cannot be served ({code}), and the old model stays in"
                    " use; the server's log has the details",
                ) from error
            self._served[name] = served
            old.close()

    async def reload_all(self) -> None:
        """Reload each model; failures are logged."""
        for name in list(self._served):
            try:
                await self.reload(name)
            except RequestError:
                continue

    def close(self) -> None:
        """Close the predictors."""
        for served in self._served.values():
            served.close()
