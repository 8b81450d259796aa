"""Spans of OpenTelemetry, sent to a collector of the test."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import tritonclient.grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .conftest import BODY, HEADER, PATH, Begin, free_port

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The resources with their spans that a collector on this machine was sent."""
    found: list[Any] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.extend(ExportTraceServiceRequest.FromString(body).resource_spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=digits")
        yield found
        server.shutdown()
        thread.join()


def attributes(holder: Any) -> dict[str, Any]:
    return {item.key: item.value.string_value or item.value.int_value for item in holder.attributes}


def test_requests_and_calls_are_spans_of_the_trace_they_came_with(
    begin: Begin, collected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    port = free_port()
    process = begin("--grpc-port", port)
    assert process.ask("POST", PATH, BODY, traceparent=TRACEPARENT, **HEADER)[0] == 200
    assert process.ask("GET", "/nothing")[0] == 404
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{port}") as client:
        assert client.is_model_ready("convnet", headers={"traceparent": TRACEPARENT})
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(30) == 0
    spans = [span for one in collected for scope in one.scope_spans for span in scope.spans]
    infer, missing, ready = sorted(spans, key=lambda span: span.start_time_unix_nano)
    assert attributes(collected[0].resource)["service.name"] == "digits"
    for span in (infer, ready):
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert missing.trace_id.hex() != TRACE
    assert attributes(infer)["http.response.status_code"] == 200
    assert attributes(infer)["url.path"] == PATH
    assert attributes(missing)["http.response.status_code"] == 404
    assert ready.name == "/inference.GRPCInferenceService/ModelReady"
    assert 0 < infer.end_time_unix_nano - infer.start_time_unix_nano < 20e9


def test_a_collector_that_does_not_answer_keeps_nobody_waiting(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a client nor the end of the server, whatever the exporter's own time limit."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "120")
    with socket.create_server(("127.0.0.1", 0)) as collector:
        address = f"http://127.0.0.1:{collector.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        process = begin()
        assert process.infer() == 200
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(30) == 0
