"""What each address of the server answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import orjson

from ptx.infer.backends.threads import usable_processors
from ptx.serve import page
from ptx.serve.access import Access, log_request
from ptx.serve.counts.metrics import CONTENT_TYPE, Metrics
from ptx.serve.describing import (
    describe_config,
    describe_model,
    describe_server,
    repository_index,
)
from ptx.serve.model import VERSION, Model
from ptx.serve.refusals import RefusalError, bad, refusal
from ptx.serve.registry import Registry
from ptx.serve.settings import Settings
from ptx.serve.tracing import Tracing
from ptx.serve.web.connection import Connection
from ptx.serve.web.exchange import Exchange
from ptx.serve.web.inference import Inference

# The page allows itself the rest; this alone is heeded in a header only.
_POLICY = "Content-Security-Policy: frame-ancestors 'none'"
_ADDRESSES = 256  # that are remembered


class Site:
    """The addresses over a registry of models; what `Connection` calls a site."""

    def __init__(
        self, registry: Registry, settings: Settings, metrics: Metrics, access: Access,
        tracing: Tracing,
    ) -> None:  # fmt: skip
        self.registry, self.settings, self.metrics, self.access, self.tracing = (
            registry, settings, metrics, access, tracing
        )  # fmt: skip
        self.connections: set[Connection] = set()
        self.memory, self.draining = 0, False
        alone = settings.workers == 1 and settings.grpc_port is None  # in this process's loop
        plain = settings.certfile is None
        self.patient = alone and plain and usable_processors() > 1  # one is left for the client
        self._inference = Inference(registry, settings)
        self._page, self._shown = b"", list[Model]()  # and the models that it shows
        self._known: dict[bytes, str] = {}  # addresses of inference
        self._fixed: dict[str, tuple[str, Callable[[Exchange], None]]] = {
            "/": ("GET", self._show_page),
            "/metrics": ("GET", self._show_metrics),
            "/v2": ("GET", lambda exchange: self._json(exchange, describe_server())),
            "/v2/health/live": ("GET", self._show_health),
            "/v2/health/ready": ("GET", self._show_health),
            "/v2/models": ("GET", self._show_models),
            "/v2/models/stats": ("GET", self._show_statistics),
            "/v2/repository/index": ("POST", self._show_index),
            "/v2/systemsharedmemory/status": ("GET", lambda exchange: self._json(exchange, [])),
            "/v2/cudasharedmemory/status": ("GET", lambda exchange: self._json(exchange, [])),
        }

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, now or later."""
        try:
            self._route(exchange)
        except Exception as error:
            exchange.refuse(refusal(error))

    def note(self, exchange: Exchange, status: int, sent: int) -> None:
        """Count an answer."""
        seconds = time.perf_counter() - exchange.arrived
        self.metrics.answered(exchange.model, "http", status, seconds)
        self.metrics.transferred(len(exchange.body), sent)
        if self.tracing.on:
            path = exchange.target.partition(b"?")[0].decode("latin-1")
            headers = {
                key.decode(): value.decode("latin-1") for key, value in exchange.headers.items()
            }
            self.tracing.answered(exchange.method, headers, status, seconds,
                                  http_request_method=exchange.method, url_path=path,
                                  ptx_model=exchange.model)  # fmt: skip
        if self.settings.access_log:
            names = {"id": b"x-request-id", "traceparent": b"traceparent"}
            given = {key: exchange.headers.get(name, b"").decode("latin-1")[:128]
                     for key, name in names.items()}  # fmt: skip
            target = exchange.target.decode("latin-1")
            log_request(exchange.method, target, status, seconds, bytes=sent, **given)

    def _route(self, exchange: Exchange) -> None:
        if exchange.method == "POST" and (name := self._known.get(exchange.target)) is not None:
            self.access.check(exchange.headers.get(b"authorization"))
            self._inference.infer(exchange, name)
            return
        path, _, query = exchange.target.decode("latin-1").partition("?")
        if not path.startswith("/"):
            raise bad("the address does not begin with /")
        if not path.startswith("/v2/health/"):
            self.access.check(exchange.headers.get(b"authorization"))
        fixed = self._fixed.get(path) or self._fixed.get(path.rstrip("/"))
        if fixed is not None:
            _need(exchange, fixed[0])
            fixed[1](exchange)
            return
        match [unquote(part) for part in path.split("/")[1:]]:
            case ["v2", "models", name, "versions", version, *rest]:
                self._of_model(exchange, name, version, rest)
            case ["v2", "models", name, *rest]:
                self._of_model(exchange, name, "", rest)
            case ["v2", "repository", "models", name, ("load" | "unload") as verb]:
                _need(exchange, "POST")
                self._change(exchange, name, verb)
            case ["predict", name]:
                _need(exchange, "POST")
                self._inference.predict(exchange, self.registry.find(name).model.name, query)
            case ["v2", ("systemsharedmemory" | "cudasharedmemory" | "logging" | "trace"), *_]:
                raise RefusalError(
                    501, "this server has no shared memory, and no settings to change"
                )
            case _:
                raise RefusalError(404, "there is nothing at this address")

    def _of_model(self, exchange: Exchange, name: str, version: str, rest: list[str]) -> None:
        batcher = self.registry.find(name, version)
        model = batcher.model
        match rest:
            case ["infer"]:
                _need(exchange, "POST")
                if len(self._known) < _ADDRESSES:
                    self._known[exchange.target] = name
                self._inference.infer(exchange, name)
            case ["preview"]:
                _need(exchange, "POST")
                self._inference.preview(exchange, model)
            case [] | [""]:
                _need(exchange, "GET")
                self._json(exchange, describe_model(model))
            case ["ready"]:
                _need(exchange, "GET")
                self._json(exchange, {"name": name, "ready": True})
            case ["config"]:
                _need(exchange, "GET")
                self._json(exchange, describe_config(model, self.settings.max_batch))
            case ["stats"]:
                _need(exchange, "GET")
                self._json(exchange, self._statistics([name]))
            case _:
                raise RefusalError(404, "there is nothing at this address")

    def _change(self, exchange: Exchange, name: str, verb: str) -> None:
        self.registry.find(name)
        if verb == "unload":
            raise RefusalError(501, "models are not unloaded while the server runs")
        if not self.settings.reload:
            raise RefusalError(
                403, "models are not loaded from outside: start the server with --reload"
            )

        async def load() -> None:
            await self.registry.load(name)
            exchange.answer(200)

        self._inference.later(exchange, load())

    # What is shown.

    def _json(self, exchange: Exchange, data: Any, status: int = 200) -> None:
        exchange.answer(status, orjson.dumps(data))

    def _show_page(self, exchange: Exchange) -> None:
        if not self.settings.page:
            raise RefusalError(404, "there is nothing at this address")
        models = list(self.registry)
        if models != self._shown:
            self._page = page.render((model.name, model.predictor.card) for model in models)
            self._shown = models
        exchange.answer(200, self._page, "text/html; charset=utf-8", [_POLICY])

    def _show_metrics(self, exchange: Exchange) -> None:
        exchange.answer(200, self.metrics.text(), CONTENT_TYPE)

    def _show_health(self, exchange: Exchange) -> None:
        health: dict[str, Any] = {"live": True, "ready": not self.draining}
        if self.draining and exchange.target.startswith(b"/v2/health/ready"):
            self._json(exchange, {"error": "the server is being stopped", **health}, 503)
        else:
            self._json(exchange, health)

    def _show_models(self, exchange: Exchange) -> None:
        self._json(exchange, {"models": [model.name for model in self.registry]})

    def _show_index(self, exchange: Exchange) -> None:
        self._json(exchange, repository_index(self.registry))

    def _show_statistics(self, exchange: Exchange) -> None:
        self._json(exchange, self._statistics([model.name for model in self.registry]))

    def _statistics(self, names: list[str]) -> dict[str, Any]:
        return {"model_stats": [self.metrics.statistics(name, VERSION) for name in names]}


def _need(exchange: Exchange, method: str) -> None:
    if exchange.method != method and not (method == "GET" and exchange.method == "HEAD"):
        raise RefusalError(405, f"{exchange.method} is not for this address; expected {method}")
