"""The service of gRPC: the same models, the same queue, the same limits as over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NamedTuple

import grpc
from google.protobuf.json_format import ParseDict
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from ptx.infer import UsageError
from ptx.serve.access import Access, log_request
from ptx.serve.counts.metrics import Metrics
from ptx.serve.describing import describe_config, describe_model, describe_server, repository_index
from ptx.serve.model import VERSION, Model
from ptx.serve.queue.jobs import Job, Result
from ptx.serve.refusals import RefusalError, refusal
from ptx.serve.registry import Registry
from ptx.serve.rpc.schema import MESSAGES, METHODS, POOL, SERVICE, STREAM
from ptx.serve.rpc.wire import Given, Requests, in_stream, refused_in_stream
from ptx.serve.settings import Settings
from ptx.serve.tensors import BYTES
from ptx.serve.tracing import Tracing

_INFER = "ModelInfer"
_SPARE = 64 * 2**10  # bytes of a message beside its tensors


class Started(NamedTuple):
    """A server of gRPC that listens."""

    port: int
    stop: Callable[[float], Coroutine[Any, Any, None]]


async def start(
    registry: Registry, settings: Settings, metrics: Metrics, access: Access, tracing: Tracing
) -> Started:
    """Listen at `settings.grpc_port`.

    Raises:
        UsageError: the port is taken.
    """
    service = Service(registry, settings, metrics, access, tracing)
    server = grpc.aio.server(options=[
        ("grpc.max_receive_message_length", settings.max_body + _SPARE),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", 32 * 2**10),
        ("grpc.so_reuseport", int(settings.workers > 1)),
    ], maximum_concurrent_rpcs=settings.max_connections)  # fmt: skip
    found = _Found(server)
    found.add_generic_rpc_handlers([
        grpc.method_handlers_generic_handler(SERVICE, service.methods())
    ])  # fmt: skip
    watched = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(watched, found)
    for name in ("", SERVICE):
        await watched.set(name, health_pb2.HealthCheckResponse.SERVING)
    names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    told = reflection.aio.ReflectionServicer(names, pool=_Pools())
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(told, found)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.grpc_port}"
    try:
        port = _listen(server, address, settings)
    except RuntimeError as error:
        raise UsageError(
            f"port {settings.grpc_port} cannot be taken for gRPC: give another --grpc-port"
        ) from error
    await server.start()

    async def stop(grace: float) -> None:
        await watched.enter_graceful_shutdown()
        service.draining = True
        await server.stop(grace)

    return Started(port, stop)


def _listen(server: Any, address: str, settings: Settings) -> int:
    if settings.certfile is None:
        return int(server.add_insecure_port(address))
    certificate = settings.certfile.read_bytes()
    key = certificate if settings.keyfile is None else settings.keyfile.read_bytes()
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    return int(server.add_secure_port(address, credentials))


class _Found:
    """A server whose methods are found when they are called, and none is registered: grpc.aio 1.85 looks
    at every registered method at every call, which cost 17 of a call's 240 microseconds."""

    def __init__(self, server: Any) -> None:
        self.add_generic_rpc_handlers: Callable[[Any], None] = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, name: str, handlers: Any) -> None:
        """Of a service, beside the others: not taken."""


class _Pools:
    """Our descriptions, and those of health and reflection, which lie in the pool of all."""

    def __getattr__(self, name: str) -> Any:
        from google.protobuf import descriptor_pool

        def find(key: Any) -> Any:
            try:
                return getattr(POOL, name)(key)
            except KeyError:
                return getattr(descriptor_pool.Default(), name)(key)

        return find


class Service:
    """The methods; each takes a message and gives a message, or raises a refusal."""

    def __init__(
        self, registry: Registry, settings: Settings, metrics: Metrics, access: Access,
        tracing: Tracing,
    ) -> None:  # fmt: skip
        self._registry, self._settings, self._metrics = registry, settings, metrics
        self._access, self._tracing, self.draining = access, tracing, False
        self._requests = Requests()
        self._shown: dict[str, Callable[[Any], Any]] = {
            "ServerLive": lambda _: {"live": True},
            "ServerReady": lambda _: {"ready": not self.draining},
            "ModelReady": lambda given: {"ready": self._is_ready(given)},
            "ServerMetadata": lambda _: describe_server(),
            "ModelMetadata": lambda given: describe_model(self._find(given)),
            "ModelConfig": lambda given: {"config": self._config(self._find(given))},
            "ModelStatistics": self._statistics,
            "RepositoryIndex": lambda _: {"models": repository_index(registry)},
            "SystemSharedMemoryStatus": lambda _: {},
            "CudaSharedMemoryStatus": lambda _: {},
        }

    def methods(self) -> dict[str, Any]:
        """What grpc.aio calls for each method, by its name."""
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                self._guarded(name),
                request_deserializer=MESSAGES[f"{name}Request"].FromString,
                response_serializer=MESSAGES[f"{name}Response"].SerializeToString,
            )
            for name in METHODS
        }
        handlers[_INFER] = grpc.unary_unary_rpc_method_handler(
            self._guarded(_INFER), request_deserializer=self._requests.open
        )  # its answer is made as bytes
        handlers[STREAM] = grpc.stream_stream_rpc_method_handler(
            self._stream, request_deserializer=self._requests.open
        )
        return handlers

    def _guarded(self, name: str) -> Callable[[Any, Any], Coroutine[Any, Any, Any]]:
        """A method whose refusals are gRPC's status codes, counted."""

        async def method(given: Any, context: Any) -> Any:
            started, model, code = time.perf_counter(), "", "OK"
            try:
                if self._access.asks:
                    self._check(context)
                if name == _INFER:
                    model = self._registry.known(given.said.model_name)
                    return await self._infer(given)
                if name.startswith("RepositoryModel"):
                    return await self._change(name, given)
                return ParseDict(
                    self._shown[name](given),
                    MESSAGES[f"{name}Response"](),
                    ignore_unknown_fields=True,
                )
            except Exception as error:
                refused = refusal(error)
                code = refused.grpc
            finally:
                seconds = time.perf_counter() - started
                self._note(name, model, code, seconds, context)
                if self._settings.access_log:
                    log_request("gRPC", name, code, seconds, id=getattr(given, "id", ""))
            await context.abort(getattr(grpc.StatusCode, code), refused.message)
            raise AssertionError("abort raises")

        return method

    async def _stream(self, requests: AsyncIterator[Given], context: Any) -> AsyncIterator[bytes]:
        """Answers in the order of the requests; an error of one leaves the stream open."""
        if self._access.asks:
            try:
                self._check(context)
            except RefusalError as error:
                await context.abort(getattr(grpc.StatusCode, error.grpc), error.message)
        async for given in requests:
            started, code = time.perf_counter(), "OK"
            model = self._registry.known(given.said.model_name)
            try:
                answer = in_stream(await self._infer(given))
            except Exception as error:
                refused = refusal(error)
                code = refused.grpc
                answer = refused_in_stream(refused.message, given.id)
            self._note(STREAM, model, code, time.perf_counter() - started, context)
            yield answer

    def _note(self, name: str, model: str, code: str, seconds: float, context: Any) -> None:
        """Count a call, or a message of a stream, and make it a span."""
        self._metrics.answered(model, "grpc", code, seconds)
        if self._tracing.on:
            headers = dict(context.invocation_metadata() or ())
            self._tracing.answered(
                f"{SERVICE}/{name}", headers, code, seconds, rpc_system="grpc", ptx_model=model
            )

    def _check(self, context: Any) -> None:
        """Hold a call to its token."""
        given = dict(context.invocation_metadata() or ())
        self._access.check(str(given.get("authorization", "")).encode())

    def _find(self, given: Any) -> Model:
        return self._registry.find(given.name, given.version).model

    def _is_ready(self, given: Any) -> bool:
        return given.name in self._registry and given.version in ("", VERSION)

    def _config(self, model: Model) -> dict[str, Any]:
        config = describe_config(model, self._settings.max_batch)
        for item in (*config["input"], *config["output"]):
            item["data_type"] = item["data_type"].replace(f"TYPE_{BYTES}", "TYPE_STRING")
        return config

    def _statistics(self, given: Any) -> dict[str, Any]:
        models = [self._find(given)] if given.name else list(self._registry)
        return {"model_stats": [self._metrics.statistics(one.name, VERSION) for one in models]}

    async def _change(self, name: str, given: Any) -> Any:
        self._registry.find(given.model_name)
        if not self._settings.reload or name == "RepositoryModelUnload":
            raise RefusalError(501, "models are not loaded or unloaded from outside")
        await self._registry.load(given.model_name)
        return MESSAGES[f"{name}Response"]()

    async def _infer(self, given: Given) -> bytes:
        """The answer to a request."""
        said = given.said
        batcher = self._registry.find(said.model_name, said.model_version)
        if pause := self._registry.pause(batcher):
            await asyncio.sleep(pause)
            batcher = self._registry.find(said.model_name)  # which may be a new one since
        job = given.job(batcher.model, self._settings.max_batch)
        result = batcher.run_now(job)
        if result is None:
            self._registry.submit(batcher, job)
            result = await _later(job)
        if isinstance(result, RefusalError):
            raise result
        return given.answer(batcher.model, result)


async def _later(job: Job) -> Result | RefusalError:
    """The result of a job that waits; it is not computed where nobody waits for it any more."""
    answer: asyncio.Future[Result | RefusalError] = asyncio.get_running_loop().create_future()

    def deliver(result: Result | RefusalError) -> None:
        if not answer.done():
            answer.set_result(result)

    job.deliver = deliver
    try:
        return await answer
    except asyncio.CancelledError:
        job.abandon()
        raise
