"""The state that HTTP and gRPC share: models, metrics, and limits of requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ptx.serve.errors import RequestError, unavailable
from ptx.serve.metrics import Metrics
from ptx.serve.registry import ModelSource, Registry, Served
from ptx.serve.settings import Settings

_MAX_HOLD = 0.5  # seconds that a request is held before it is refused


class Memory:
    """The bytes of the bodies of all requests in progress."""

    def __init__(self, limit: int) -> None:
        self._limit, self.used = limit, 0

    def reserve(self, size: int) -> None:
        if self.used + size > self._limit:
            raise unavailable("the bodies of all requests take too much memory (--max-memory)")
        self.used += size


class Service:
    """The state of one application.

    Args:
        sources: The models; they are opened here, and their golden samples are replayed.
        settings: Limits.
        on_reload: Called after a model was replaced, so that other processes can do the same.

    Raises:
        PtxError: a model cannot be served, see `ptx.serve.registry.open_model`.
    """

    def __init__(
        self,
        sources: Sequence[ModelSource],
        settings: Settings,
        on_reload: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings, self._on_reload = settings, on_reload
        self.metrics, self.memory = Metrics(), Memory(settings.max_memory)
        self.registry = Registry(sources, settings, self.metrics)

    def is_overloaded(self, served: Served) -> bool:
        """Whether a request for this model would be refused now: see `hold`."""
        return served.batcher.waiting_time() > self.settings.max_wait

    async def hold(self) -> None:
        """Delay a request that would be refused, because a refused client retries at once.

        Refusing takes as much time as answering, so without the delay an overloaded server would answer
        fewer requests.
        """
        await asyncio.sleep(min(_MAX_HOLD, self.settings.max_wait))

    async def reload(self, name: str) -> None:
        """Reload a model from its file.

        Raises:
            RequestError: reloading is not allowed, there is no such model, or its file cannot be served.
        """
        self.registry.find(name)
        if not self.settings.reload:
            raise RequestError(403, "clients may not reload models: start the server with --reload")
        await self.registry.reload(name)
        self._on_reload()

    def model_label(self, name: str) -> str:
        """The label of a model in metrics: its name, or empty if there is no such model."""
        return name if name in self.registry else ""
