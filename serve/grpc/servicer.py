"""The gRPC service: the same models, queues and limits as over HTTP, on the same event loop."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from ptx.infer import UsageError
from ptx.serve.errors import RequestError, bad_request, to_request_error
from ptx.serve.grpc.messages import decode_request, encode_response
from ptx.serve.grpc.protobuf import POOL
from ptx.serve.grpc.protobuf import grpc_service_pb2 as pb2
from ptx.serve.metadata import model_config, model_metadata, repository_index, server_metadata
from ptx.serve.middleware import TokenChecker, log_request
from ptx.serve.model import VERSION, Model, response_parameters
from ptx.serve.service import Service
from ptx.serve.settings import ServerSettings
from ptx.serve.tensors import BYTES
from ptx.serve.tracing import Tracing

SERVICE = "inference.GRPCInferenceService"
_REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"
_OVERHEAD = 64 * 2**10  # maximum bytes of a message without its tensors
_MAX_METADATA = 32 * 2**10


@asynccontextmanager
async def grpc_server(
    service: Service, settings: ServerSettings, tracing: Tracing
) -> AsyncIterator[None]:
    """A server that listens on `settings.grpc_port` while the context is open.

    Raises:
        UsageError: it cannot listen there.
    """
    server = grpc.aio.server(
        interceptors=tracing.grpc_interceptors(),
        maximum_concurrent_rpcs=service.settings.max_requests,
        options=[
            ("grpc.max_receive_message_length", service.settings.max_body + _OVERHEAD),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", _MAX_METADATA),
            ("grpc.so_reuseport", int(settings.workers > 1)),
        ],
    )
    handlers = Servicer(service).handlers()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    for name in ("", SERVICE):
        await health_servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    _add_reflection(server)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    _listen(server, f"{host}:{settings.grpc_port}", settings)
    await server.start()
    try:
        yield
    finally:
        await health_servicer.enter_graceful_shutdown()
        await server.stop(settings.grace)


def _listen(server: Any, address: str, settings: ServerSettings) -> None:
    try:
        if settings.certfile is None:
            server.add_insecure_port(address)
            return
        certificate = settings.certfile.read_bytes()
        key = certificate if settings.keyfile is None else settings.keyfile.read_bytes()
        server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
    except RuntimeError as error:
        raise UsageError(f"cannot listen on {address} for gRPC: {error}") from error


def _add_reflection(server: Any) -> None:
    """Reflection v1, and v1alpha for older clients; the messages of both are the same bytes."""
    names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME, _REFLECTION_V1)
    servicer = reflection.aio.ReflectionServicer(names, pool=_Pools())
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    generic = grpc.method_handlers_generic_handler(
        _REFLECTION_V1, {"ServerReflectionInfo": handler}
    )
    server.add_generic_rpc_handlers((generic,))


class _Pools:
    """Descriptors of the inference service, and those in protobuf's default pool."""

    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        def find(key: Any) -> Any:
            try:
                return getattr(POOL, name)(key)
            except KeyError:
                return getattr(descriptor_pool.Default(), name)(key)

        return find


class Servicer:
    """The methods of the service: a message in, a message out, or a status code."""

    def __init__(self, service: Service) -> None:
        self._service, self._registry = service, service.registry
        self._tokens = TokenChecker(service.settings.tokens)
        self._methods: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._repository_index,
            "RepositoryModelLoad": self._load,
            "SystemSharedMemoryStatus": self._no_shared_memory,
            "CudaSharedMemoryStatus": self._no_shared_memory,
        }

    def handlers(self) -> dict[str, Any]:
        """The handler of each method of the service."""
        methods = POOL.FindServiceByName(SERVICE).methods
        return {
            method.name: grpc.stream_stream_rpc_method_handler(
                self._stream, _deserializer(method), pb2.ModelStreamInferResponse.SerializeToString
            )
            if method.name == "ModelStreamInfer"
            else grpc.unary_unary_rpc_method_handler(
                self._unary(method),
                _deserializer(method),
                getattr(pb2, method.output_type.name).SerializeToString,
            )
            for method in methods
        }

    def _unary(self, method: Any) -> Callable[[Any, Any], Awaitable[Any]]:
        behavior = self._methods.get(method.name, self._unsupported)
        response_type = getattr(pb2, method.output_type.name)

        async def call(message: Any, context: Any) -> Any:
            error = None
            with self._observed(method.name, message) as observation:
                try:
                    self._check_token(context)
                    response = await behavior(_require_valid(message))
                except Exception as raised:
                    error = to_request_error(raised)
                    observation.code = error.grpc_code
            if error is not None:
                await context.abort(getattr(grpc.StatusCode, error.grpc_code), error.message)
            if isinstance(response, dict):
                response = ParseDict(response, response_type(), ignore_unknown_fields=True)
            return response

        return call

    async def _stream(self, messages: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """Responses in the order of the requests; after an error the stream stays open."""
        try:
            self._check_token(context)
        except RequestError as error:
            await context.abort(getattr(grpc.StatusCode, error.grpc_code), error.message)
        async for message in messages:
            with self._observed("ModelStreamInfer", message) as observation:
                try:
                    response = await self._infer(_require_valid(message))
                    result = pb2.ModelStreamInferResponse(infer_response=response)
                except Exception as error:
                    failure = to_request_error(error)
                    observation.code = failure.grpc_code
                    result = pb2.ModelStreamInferResponse(error_message=failure.message)
                    result.infer_response.id = getattr(message, "id", "")
            yield result

    def _observed(self, method: str, message: Any) -> _Observation:
        return _Observation(self._service, method, message)

    def _check_token(self, context: Any) -> None:
        metadata = dict(context.invocation_metadata() or ())
        self._tokens.check(str(metadata.get("authorization", "")).encode())

    async def _infer(self, message: Any) -> Any:
        service = self._service
        served = self._registry.find(message.model_name, message.model_version)
        if service.is_overloaded(served):
            await service.hold()
        served = self._registry.find(message.model_name, message.model_version)
        request = decode_request(message)
        job = served.model.make_job(request, service.settings.max_batch)
        result = await served.run(job)
        tensors = served.model.to_tensors(request, result)
        parameters = response_parameters(result)
        return encode_response(served.model.name, VERSION, request, tensors, parameters)

    async def _server_live(self, message: Any) -> dict[str, Any]:
        return {"live": True}

    async def _server_ready(self, message: Any) -> dict[str, Any]:
        return {"ready": True}

    async def _model_ready(self, message: Any) -> dict[str, Any]:
        return {"ready": message.name in self._registry and message.version in ("", VERSION)}

    async def _server_metadata(self, message: Any) -> dict[str, Any]:
        return server_metadata()

    async def _model_metadata(self, message: Any) -> dict[str, Any]:
        return model_metadata(self._find(message))

    async def _model_config(self, message: Any) -> dict[str, Any]:
        config = model_config(self._find(message), self._service.settings.max_batch)
        for item in (*config["input"], *config["output"]):
            item["data_type"] = item["data_type"].replace(f"TYPE_{BYTES}", "TYPE_STRING")
        return {"config": config}

    async def _model_statistics(self, message: Any) -> dict[str, Any]:
        models = [self._find(message)] if message.name else list(self._registry)
        statistics = self._service.metrics.statistics
        return {"model_stats": [statistics(model.name, VERSION) for model in models]}

    async def _repository_index(self, message: Any) -> dict[str, Any]:
        return {"models": repository_index(self._registry)}

    async def _load(self, message: Any) -> dict[str, Any]:
        await self._service.reload(message.model_name)
        return {}

    async def _no_shared_memory(self, message: Any) -> dict[str, Any]:
        return {}

    async def _unsupported(self, message: Any) -> Any:
        raise RequestError(
            501, "unloading, shared memory, logging and trace settings are not supported"
        )

    def _find(self, message: Any) -> Model:
        return self._registry.find(message.name, message.version).model


class _Observation:
    """Counts and logs a call, or a message of a stream."""

    def __init__(self, service: Service, method: str, message: Any) -> None:
        self._service, self._method, self._message = service, method, message
        self._started, self.code = time.perf_counter(), "OK"

    def __enter__(self) -> _Observation:
        return self

    def __exit__(self, *error: object) -> None:
        service, seconds = self._service, time.perf_counter() - self._started
        code = "CANCELLED" if error[0] is not None else self.code
        infers = isinstance(self._message, pb2.ModelInferRequest)
        model = service.model_label(self._message.model_name) if infers else ""
        service.metrics.observe_request(model, "grpc", code, seconds)
        if service.settings.access_log:
            log_request("gRPC", self._method, code, seconds, id=self._message.id if infers else "")


def _deserializer(method: Any) -> Callable[[bytes], Any]:
    """A function that parses a message, or returns an error for bytes that are not a valid message.

    If it raised an exception, the client would get INTERNAL, as if the server had failed.
    """
    parse = getattr(pb2, method.input_type.name).FromString

    def deserialize(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return bad_request(f"the bytes are not a valid {method.input_type.name}")

    return deserialize


def _require_valid(message: Any) -> Any:
    if isinstance(message, RequestError):
        raise message
    return message
