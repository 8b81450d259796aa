"""The ASGI application: the Open Inference Protocol over HTTP, with Starlette."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ptx.infer import Predictor, UsageError
from ptx.serve import openapi, page
from ptx.serve.batcher import Result
from ptx.serve.codec import InferRequest, decode_request, decompress, encode_response
from ptx.serve.errors import RequestError, bad_request, to_request_error
from ptx.serve.form import is_form, is_json, read_file, read_json
from ptx.serve.metadata import (
    model_config,
    model_metadata,
    repository_index,
    server_metadata,
    single_tensor_spec,
)
from ptx.serve.metrics import CONTENT_TYPE
from ptx.serve.middleware import (
    BODY_RECEIVED,
    HEADERS,
    RequestMiddleware,
    error_response,
    route_path,
)
from ptx.serve.model import TOP, VERSION, Model, response_parameters
from ptx.serve.registry import ModelSource, Served
from ptx.serve.service import Memory, Service
from ptx.serve.settings import Settings
from ptx.serve.shadow import ShadowSource
from ptx.serve.tensors import BYTES, Tensor, from_bytes

_JSON = "application/json"
_BINARY = "application/octet-stream"
_LARGE = 256 * 2**10  # bytes of a body that is decoded in a thread
_SLOWEST = 64 * 2**10  # bytes a second in which a body must arrive, after the receive timeout
_MAX_TOP = 10_000
_MODEL, _MODEL_VERSION = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def app(
    models: Mapping[str, Predictor | Callable[[], Predictor]],
    settings: Settings | None = None,
    *,
    shadows: Mapping[str, ShadowSource] | None = None,
) -> ASGIApp:
    """An ASGI application that serves models: mount it, wrap it in middleware, run it on any server.

    The models are opened and their golden samples replayed here, so an application that exists is ready.

    Args:
        models: By the name that each is served under: a predictor, or a function that opens one, which
            is called again when the model is reloaded.
        settings: Limits; by default those of `Settings`.
        shadows: Predictors whose outputs are compared with those of a model, by the name of the model.

    Raises:
        UsageError: a shadow has no model, or does not match it.
        PtxError: a model cannot be opened, or fails its golden samples.
    """
    shadows = shadows or {}
    if unknown := shadows.keys() - models.keys():
        raise UsageError(
            f"shadows of unknown models: {sorted(unknown)}; expected some of {sorted(models)}"
        )
    sources = [
        ModelSource(
            name,
            partial(_identity, model) if isinstance(model, Predictor) else model,
            shadows.get(name),
        )
        for name, model in models.items()
    ]
    return build_app(Service(sources, settings or Settings()))


def _identity(predictor: Predictor) -> Predictor:
    return predictor


def build_app(service: Service, lifespan: Lifespan | None = None) -> ASGIApp:
    """The application of a service.

    Args:
        lifespan: Context manager that is open while the server runs; by default it closes the models at
            the end.
    """

    @asynccontextmanager
    async def close_models(_: Starlette) -> AsyncIterator[None]:
        yield
        service.registry.close()

    def observe(name: str, status: int, seconds: float, sent: int) -> None:
        service.metrics.observe_request(service.model_label(name), "http", status, seconds)
        service.metrics.observe_sent(sent)

    endpoints = _Endpoints(service)
    inference = endpoints.inference_routes()
    other = Starlette(
        routes=[*inference, *endpoints.other_routes()],
        exception_handlers={HTTPException: _http_exception},
        lifespan=lifespan or close_models,
    )
    settings = service.settings
    app: ASGIApp = _Router(inference, other)
    if "*" not in settings.allowed_hosts:
        hosts = list(settings.allowed_hosts)
        app = TrustedHostMiddleware(app, allowed_hosts=hosts, www_redirect=False)
    return RequestMiddleware(app, settings=settings, observe=observe)


class _Router:
    """Calls the endpoints of inference directly; all other requests go through Starlette."""

    def __init__(self, inference: Sequence[Route], other: ASGIApp) -> None:
        self._inference, self._other = inference, other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            path = route_path(scope)
            for route in self._inference:
                if match := route.path_regex.match(path):
                    scope["path_params"] = match.groupdict()
                    await route.app(scope, receive, send)
                    return
        await self._other(scope, receive, send)


async def _http_exception(request: Request, error: Exception) -> Response:
    """An error of Starlette's routing as JSON: an unknown path or a wrong method."""
    assert isinstance(error, HTTPException)
    response = error_response(RequestError(error.status_code, error.detail))
    response.headers.update(error.headers or {})
    return response


class _Endpoints:
    """The handlers of the application's routes."""

    def __init__(self, service: Service) -> None:
        self.service, self._settings = service, service.settings
        self._registry, self._metrics = service.registry, service.metrics
        self._page, self._page_models = b"", list[Model]()

    def inference_routes(self) -> list[Route]:
        """The routes of inference."""
        infer, predict = _BodyEndpoint(self, self._infer), _BodyEndpoint(self, self._predict)
        return [
            Route(f"{_MODEL}/infer", infer, methods=["POST"]),
            Route("/predict/{name}", predict, methods=["POST"]),
            Route(f"{_MODEL_VERSION}/infer", infer, methods=["POST"]),
        ]

    def other_routes(self) -> list[Route]:
        """The routes of everything else."""
        any_method = ["GET", "POST", "PUT", "DELETE"]
        return [
            Route(f"{_MODEL}/preview", _BodyEndpoint(self, self._preview), methods=["POST"]),
            Route("/", _endpoint(self._show_page)),
            Route("/docs", _endpoint(self._show_docs)),
            Route("/openapi.json", _endpoint(self._show_openapi)),
            Route("/metrics", _endpoint(self._show_metrics)),
            Route("/v2", _endpoint(self._show_server)),
            Route("/v2/health/live", _endpoint(self._show_live)),
            Route("/v2/health/ready", _endpoint(self._show_ready)),
            Route("/v2/models", _endpoint(self._show_models)),
            Route("/v2/models/stats", _endpoint(self._show_statistics)),
            *(
                Route(prefix + suffix, _endpoint(handler))
                for prefix in (_MODEL, _MODEL_VERSION)
                for suffix, handler in (
                    ("", self._show_model),
                    ("/ready", self._show_model_ready),
                    ("/config", self._show_config),
                    ("/stats", self._show_statistics),
                )
            ),
            Route("/v2/repository/index", _endpoint(self._show_index), methods=["POST"]),
            Route("/v2/repository/models/{name}/load", _endpoint(self._load), methods=["POST"]),
            Route(
                "/v2/repository/models/{name}/unload",
                _endpoint(self._unsupported),
                methods=["POST"],
            ),
            Route("/v2/systemsharedmemory/status", _endpoint(self._show_nothing)),
            Route("/v2/cudasharedmemory/status", _endpoint(self._show_nothing)),
            *(
                Route(path, _endpoint(self._unsupported), methods=any_method)
                for path in (
                    "/v2/systemsharedmemory/{rest:path}",
                    "/v2/cudasharedmemory/{rest:path}",
                    "/v2/logging",
                    "/v2/trace/setting",
                )
            ),
        ]

    def find(self, scope: Scope) -> Served:
        """The model that the path of a request names."""
        path = scope["path_params"]
        return self._registry.find(path["name"], path.get("version", ""))

    # Inference

    async def _infer(self, call: _Call, served: Served) -> Response:
        """Inference on tensors, as the protocol defines it."""
        header = call.headers.get(b"inference-header-content-length")
        decode = partial(self._decode, served.model, call.body, header)
        if len(call.body) > _LARGE:
            request = await asyncio.to_thread(decode)
            served = self.find(call.scope)  # the model may have been reloaded in the meantime
        else:
            request = decode()
        result = await self._run(call, served, request)
        tensors = served.model.to_tensors(request, result)
        parameters = response_parameters(result)
        content, size = encode_response(served.model.name, VERSION, request, tensors, parameters)
        if size is None:
            return Response(content, media_type=_JSON)
        headers = {"Inference-Header-Content-Length": str(size)}
        return Response(content, headers=headers, media_type=_BINARY)

    def _decode(self, model: Model, body: bytes, header: bytes | None) -> InferRequest:
        size = len(body)
        if header is not None:
            if not header.isdigit() or int(header[:20]) > len(body):
                raise bad_request("Inference-Header-Content-Length is larger than the body")
            size = int(header)
            if size == 0:  # the body is one tensor, without JSON
                tensor = from_bytes(*single_tensor_spec(model, len(body)), body)
                return InferRequest([tensor], binary=True)
        if size > self._settings.max_json:
            raise RequestError(
                413, f"the JSON has more than {self._settings.max_json} bytes (--max-json)"
            )
        return decode_request(body, None if header is None else size)

    async def _predict(self, call: _Call, served: Served) -> Response:
        """Predict an image file, a text or a row; the response is that of `ptx predict --json`."""
        model = served.model
        top = QueryParams(call.scope["query_string"]).get("top", str(TOP))
        if not (top.isascii() and top.isdigit() and 1 <= int(top[:9]) <= _MAX_TOP):
            raise bad_request(f"top is not a number of labels between 1 and {_MAX_TOP}")
        if model.raw_input is None:
            raise bad_request(
                f"model '{model.name}' has no preprocessing: send its tensors to"
                f" /v2/models/{model.name}/infer"
            )
        tensor = Tensor(model.raw_input, BYTES, (1,), [await _raw_input(call, model)])
        result = await self._run(call, served, InferRequest([tensor], top=int(top)))
        assert isinstance(result, list)
        return _json(result[0].to_data())

    async def _run(self, call: _Call, served: Served, request: InferRequest) -> Result:
        job = served.model.make_job(request, self._settings.max_batch)
        return await served.run(job, call.disconnected)

    async def _preview(self, call: _Call, served: Served) -> Response:
        """The input as the model receives it; the body is the same as for `predict`."""
        model = served.model
        if model.raw_input is None:
            raise bad_request(f"model '{model.name}' has no preprocessing: there is no preview")
        value = model.decode(await _raw_input(call, model))
        try:
            content, media_type = await asyncio.to_thread(
                page.preview, model.predictor.preprocessing, value
            )
        except Exception as error:
            raise to_request_error(error, raw_input=True) from error
        return Response(content, media_type=media_type)

    # Management

    async def _load(self, request: Request) -> Response:
        await self.service.reload(request.path_params["name"])
        return Response(media_type=_JSON)

    async def _unsupported(self, request: Request) -> Response:
        if name := request.path_params.get("name"):
            self._registry.find(name)
        raise RequestError(
            501, "unloading, shared memory, logging and trace settings are not supported"
        )

    # Metadata

    async def _show_page(self, request: Request) -> Response:
        if not self._settings.page:
            raise RequestError(404, "Not Found")
        models = list(self._registry)
        if models != self._page_models:
            self._page = page.render((model.name, model.predictor.manifest) for model in models)
            self._page_models = models
        # The rest of the policy is in the page, where this directive would be ignored.
        headers = {"Content-Security-Policy": "frame-ancestors 'none'"}
        return Response(self._page, headers=headers, media_type="text/html")

    async def _show_openapi(self, request: Request) -> Response:
        return _json(self._describe(request))

    async def _show_docs(self, request: Request) -> Response:
        policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
        headers = {"Content-Security-Policy": policy}
        return Response(
            openapi.page(self._describe(request)), headers=headers, media_type="text/html"
        )

    def _describe(self, request: Request) -> dict[str, Any]:
        root = request.scope.get("root_path", "") or "/"
        needs_token = bool(self._settings.tokens)
        return openapi.describe(self._registry, root=root, needs_token=needs_token)

    async def _show_metrics(self, request: Request) -> Response:
        return Response(self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    async def _show_server(self, request: Request) -> Response:
        return _json(server_metadata())

    async def _show_live(self, request: Request) -> Response:
        return _json({"live": True})

    async def _show_ready(self, request: Request) -> Response:
        draining = request.scope.get("state", {}).get("draining", False)
        return _json({"ready": not draining}, 503 if draining else 200)

    async def _show_models(self, request: Request) -> Response:
        return _json({"models": [model.name for model in self._registry]})

    async def _show_index(self, request: Request) -> Response:
        return _json(repository_index(self._registry))

    async def _show_model(self, request: Request) -> Response:
        return _json(model_metadata(self.find(request.scope).model))

    async def _show_model_ready(self, request: Request) -> Response:
        return _json({"name": self.find(request.scope).model.name, "ready": True})

    async def _show_config(self, request: Request) -> Response:
        return _json(model_config(self.find(request.scope).model, self._settings.max_batch))

    async def _show_statistics(self, request: Request) -> Response:
        has_name = "name" in request.path_params
        models = [self.find(request.scope).model] if has_name else list(self._registry)
        statistics = [self._metrics.statistics(model.name, VERSION) for model in models]
        return _json({"model_stats": statistics})

    async def _show_nothing(self, request: Request) -> Response:
        return _json([])


class _Call:
    """A request for a model, whose body is read within limits of size and time."""

    def __init__(self, scope: Scope, receive: Receive, settings: Settings, memory: Memory) -> None:
        self.scope, self.headers = scope, scope[HEADERS]
        self._receive, self._settings, self._memory = receive, settings, memory
        self._reserved = 0
        self.body = b""

    async def read_body(self) -> None:
        """Read the body.

        Raises:
            RequestError: 408, 413, 415, 499 or 503.
        """
        length, limit = self.headers.get(b"content-length", b"0"), self._settings.max_body
        if not length.isdigit() or int(length) > limit:
            raise self._too_large()
        if BODY_RECEIVED in self.scope:  # without a time limit, which would take 5 µs
            self.body = await self._receive_body(limit)
        else:
            seconds = self._settings.receive_timeout + int(length) / _SLOWEST
            try:
                async with asyncio.timeout(seconds):
                    self.body = await self._receive_body(limit)
            except TimeoutError as error:
                raise RequestError(408, "the body did not arrive in time") from error
            self.scope[BODY_RECEIVED] = True
        if (coding := self.headers.get(b"content-encoding")) is not None:
            decode = partial(decompress, self.body, coding.decode("latin-1"), limit)
            self.body = await asyncio.to_thread(decode)
            self._reserve(len(self.body))

    async def _receive_body(self, limit: int) -> bytes:
        # A bytearray, because the memory of a list of chunks is not returned to the system.
        body = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise RequestError(499, "the client has disconnected")
            chunk: bytes = message.get("body", b"")
            if len(body) + len(chunk) > limit:
                raise self._too_large()
            self._reserve(len(chunk))
            more = message.get("more_body", False)
            if not body and not more:
                return chunk
            body += chunk
            if not more:
                return bytes(body)

    def _reserve(self, size: int) -> None:
        self._memory.reserve(size)
        self._reserved += size

    def release(self) -> None:
        """Release the memory that was reserved for the body."""
        self._memory.used -= self._reserved

    async def disconnected(self) -> None:
        """Return when the client has disconnected."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _too_large(self) -> RequestError:
        limit = self._settings.max_body
        return RequestError(413, f"the body has more than {limit} bytes (--max-body)")


async def _raw_input(call: _Call, model: Model) -> bytes:
    """The raw input of a request: the body, the file in a form, or a text in JSON."""
    if is_form(call.headers):
        return await read_file(call.headers, call.body)
    if is_json(call.headers) and model.takes_json:
        return read_json(call.body, str(model.raw_input))
    return call.body


_Handler = Callable[[_Call, Served], Awaitable[Response]]


class _BodyEndpoint:
    """An endpoint of a model that reads the body, unless the request is refused before."""

    def __init__(self, endpoints: _Endpoints, handler: _Handler) -> None:
        self._endpoints, self._handler = endpoints, handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoints, service = self._endpoints, self._endpoints.service
        call = _Call(scope, receive, service.settings, service.memory)
        try:
            if service.is_overloaded(endpoints.find(scope)):
                await service.hold()
            await call.read_body()
            service.metrics.observe_received(len(call.body))
            response = await self._handler(call, endpoints.find(scope))
        except Exception as error:
            response = error_response(to_request_error(error))
        finally:
            call.release()
        await response(scope, receive, send)


def _json(data: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(data), status, media_type=_JSON)


def _endpoint(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """A handler whose errors become responses."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:
            return error_response(to_request_error(error))

    return endpoint
