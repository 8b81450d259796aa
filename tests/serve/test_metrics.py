"""Metrics, as Prometheus' own parser reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ptx.serve.batcher import Job
from ptx.serve.metrics import Metrics

from .conftest import Served, binary


def read(text: bytes) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels, in their order."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def jobs(*waits: float, rows: int = 1) -> list[Job]:
    return [Job(rows, (), {}, rows, arrived=-wait) for wait in waits]


def test_prometheus_reads_each_number_back() -> None:
    metrics = Metrics()
    for code, seconds in (("200", 0.0002), ("200", 0.2), ("503", 30.0)):
        metrics.observe_request("convnet", "http", code, seconds)
    metrics.observe_request("", "http", "404", 0.1)
    metrics.observe_request("lstm", "grpc", "INVALID_ARGUMENT", 0.001)
    metrics.observe_received(100)
    metrics.observe_sent(7)
    metrics.run_observer("convnet")(jobs(0.0, 0.003, rows=2), 0.0, 0.25)
    found = read(metrics.render())
    assert found["ptx_requests_total", "200", "convnet", "http"] == 2
    assert found["ptx_requests_total", "503", "convnet", "http"] == 1
    assert found["ptx_requests_total", "404", "", "http"] == 1
    assert found["ptx_requests_total", "INVALID_ARGUMENT", "lstm", "grpc"] == 1
    buckets = {
        key[1]: value
        for key, value in found.items()
        if key[0] == "ptx_request_seconds_bucket" and key[2] == "convnet"
    }
    assert (buckets["0.0001"], buckets["0.00025"], buckets["0.25"]) == (0, 1, 2)
    assert (buckets["10.0"], buckets["+Inf"]) == (2, 3)
    assert found["ptx_request_seconds_sum", "convnet"] == pytest.approx(30.2002)
    assert found["ptx_queue_seconds_sum", "convnet"] == pytest.approx(0.003)
    assert found["ptx_batch_rows_bucket", "4.0", "convnet"] == 1
    assert found["ptx_batch_rows_bucket", "2.0", "convnet"] == 0
    assert found["ptx_run_seconds_count", "convnet"] == 1
    assert found["ptx_bytes_total", "received"] == 100
    assert found["ptx_bytes_total", "sent"] == 7


def test_statistics_are_those_of_the_model() -> None:
    metrics = Metrics()
    metrics.observe_request("lstm", "http", "200", 0.5)
    metrics.observe_request("lstm", "grpc", "OK", 1.0)
    metrics.observe_request("lstm", "http", "400", 0.0)
    metrics.observe_request("convnet", "http", "200", 0.5)
    metrics.run_observer("lstm")(jobs(0.25, 0.25, rows=3), 0.0, 0.125)
    statistics = metrics.statistics("lstm", "1")
    assert (statistics["inference_count"], statistics["execution_count"]) == (6, 1)
    assert statistics["last_inference"] > 1e12  # milliseconds
    assert statistics["inference_stats"]["success"] == {"count": 2, "ns": 1_500_000_000}
    assert statistics["inference_stats"]["fail"]["count"] == 1
    assert statistics["inference_stats"]["queue"] == {"count": 2, "ns": 500_000_000}
    assert metrics.statistics("nobody", "1")["inference_stats"]["success"]["count"] == 0


def test_a_server_counts_its_responses(served: Served) -> None:
    def now() -> dict[tuple[str, ...], float]:
        return read(served.ask("GET", "/metrics").body)

    def grown(*key: str) -> float:
        return float(after[key] - before.get(key, 0))

    before = now()
    for _ in range(3):
        served.good()
    body, headers = binary(np.zeros((1, 1, 28, 27), np.float32))
    assert served.infer(body, headers).status == 400
    after: Any = now()
    assert grown("ptx_requests_total", "200", "convnet", "http") == 3
    assert grown("ptx_requests_total", "400", "convnet", "http") == 1
    assert grown("ptx_batch_rows_sum", "convnet") == 3
    assert grown("ptx_bytes_total", "received") == 4 * len(body) + 3 * 28 * 4
