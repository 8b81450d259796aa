"""A span of OpenTelemetry for each request, where it is installed and the environment asks for it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from ptx.infer.errors import installing
from ptx.serve.refusals import LOG

# Either says where the spans go; the SDK reads these and its other variables itself.
_ADDRESSES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_LAST = 2000  # milliseconds for what is left when the server ends
_BAD = {"INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED"}  # of gRPC: the server's, not the client's


class Tracing:
    """What the spans of a server go through; nothing where nobody asks for them."""

    def __init__(self) -> None:
        self._provider = _provider()

    @property
    def on(self) -> bool:
        """Whether spans are wanted."""
        return self._provider is not None

    def answered(
        self, name: str, headers: Mapping[str, str], code: int | str, seconds: float, **said: str
    ) -> None:
        """Record a request that took `seconds` until now, where spans are wanted.

        Args:
            name: Of the span.
            headers: Those of the client; `traceparent` says of which trace the span is a part.
            code: Of HTTP, or of gRPC by its name.
            seconds: From its arrival to its answer.
            said: More attributes, with `_` for `.`.
        """
        if self._provider is None:
            return
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        end = time.time_ns()
        key = "http.response.status_code" if isinstance(code, int) else "rpc.grpc.status_code"
        attributes = {key: code, **{key.replace("_", "."): value for key, value in said.items()}}
        context = TraceContextTextMapPropagator().extract(headers)
        span = self._provider.get_tracer("ptx.serve").start_span(
            name, context, SpanKind.SERVER, attributes, start_time=end - int(seconds * 1e9)
        )
        if code in _BAD or (isinstance(code, int) and code >= 500):
            span.set_status(StatusCode.ERROR)
        span.end(end)

    def close(self) -> None:
        """Send what is left, for two seconds at most."""
        if self._provider is not None:
            self._provider.force_flush(_LAST)


def _provider() -> Any:
    env = os.environ
    if not any(env.get(name) for name in _ADDRESSES) or env.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        LOG.warning(
            "no traces are written: %s is not installed: %s", error.name, installing("otel")
        )
        return None
    resource = Resource.create()  # what the environment says, or a name that means nothing
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "ptx"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
