"""Traces with OpenTelemetry's own instrumentation, if environment variables enable them."""

from __future__ import annotations

import os
import threading
from typing import Any

from ptx.infer.errors import install_hint
from ptx.serve.errors import LOG

# Either variable enables traces; the SDK reads these and its other variables itself.
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_FLUSH_SECONDS = 2.0


class Tracing:
    """Wraps the application and the gRPC server; does nothing unless traces are enabled."""

    def __init__(self) -> None:
        self._provider = _open_provider()

    def wrap(self, app: Any) -> Any:
        """The ASGI application, with a span for each request."""
        if self._provider is None:
            return app
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        return OpenTelemetryMiddleware(
            app, tracer_provider=self._provider, exclude_spans=["receive", "send"]
        )

    def grpc_interceptors(self) -> list[Any]:
        """Interceptors of a grpc.aio server, with a span for each call."""
        if self._provider is None:
            return []
        from opentelemetry.instrumentation.grpc import aio_server_interceptor

        return [aio_server_interceptor(tracer_provider=self._provider)]  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Send the remaining spans, for at most two seconds.

        The limit of `force_flush` itself does not stop an export that has begun.
        """
        if self._provider is not None:
            flush = threading.Thread(target=self._provider.force_flush, daemon=True)
            flush.start()
            flush.join(_FLUSH_SECONDS)


def _open_provider() -> Any:
    if not any(map(os.environ.get, _ENDPOINTS)) or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    try:
        import opentelemetry.instrumentation.asgi
        import opentelemetry.instrumentation.grpc  # noqa: F401 - both are needed later
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        LOG.warning("no traces: %s is not installed: %s", error.name, install_hint("otel"))
        return None
    resource = Resource.create()  # from the environment
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "ptx"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
