"""What HTTP and gRPC share: the models, their metrics, and how a request for inference is run."""

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
        on_reload: Called after a model was replaced, to have other processes do the same.

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
        """Delay a request that would be refused: a client that is refused at once is back at once.

        Refusing costs as much as answering, so without this an overloaded server answers fewer requests.
        """
        await asyncio.sleep(min(_MAX_HOLD, self.settings.max_wait))

    async def reload(self, name: str) -> None:
        """Have a model's file read again.

        Raises:
            RequestError: it is not allowed, there is no such model, or its new file cannot be served.
        """
        self.registry.find(name)
        if not self.settings.reload:
            raise RequestError(403, "clients may not reload models: start the server with --reload")
        await self.registry.reload(name)
        self._on_reload()

    def model_label(self, name: str) -> str:
        """The name of a model in metrics: empty if there is none of that name."""
        return name if name in self.registry else ""
