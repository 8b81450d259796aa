"""What a server counts, as Prometheus' own parser reads it, and over several processes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ptx.serve.counts.cells import Cells, Layout
from ptx.serve.counts.metrics import Metrics
from ptx.serve.queue.jobs import Job

from ..conftest import Served, binary

NAMES = ["convnet", "lstm"]


def read(text: bytes) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels, in their order."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def jobs(*waits: float, rows: int = 1) -> list[Job]:
    found = [Job(rows, (), {}) for _ in waits]
    for job, wait in zip(found, waits, strict=True):
        job.arrived, job.started = 0.0, wait
    return found


def test_prometheus_reads_each_number_back() -> None:
    metrics = Metrics(NAMES)
    for code, seconds in ((200, 0.0002), (200, 0.2), (503, 30.0)):
        metrics.answered("convnet", "http", code, seconds)
    metrics.answered("", "http", 404, 0.1)
    metrics.answered("lstm", "grpc", "INVALID_ARGUMENT", 0.001)
    metrics.transferred(100, 7)
    metrics.ran("convnet", jobs(0.0, 0.003, rows=2), [], 0.25)
    found = read(metrics.text())
    assert found["ptx_requests_total", "200", "convnet", "http"] == 2
    assert found["ptx_requests_total", "503", "convnet", "http"] == 1
    assert found["ptx_requests_total", "404", "", "http"] == 1
    assert found["ptx_requests_total", "INVALID_ARGUMENT", "lstm", "grpc"] == 1
    buckets = {key[1]: value for key, value in found.items()
               if key[0] == "ptx_request_seconds_bucket" and key[2] == "convnet"}  # fmt: skip
    assert (buckets["0.0001"], buckets["0.00025"], buckets["0.25"]) == (0, 1, 2)
    assert (buckets["10.0"], buckets["+Inf"]) == (2, 3)
    assert found["ptx_request_seconds_sum", "convnet"] == pytest.approx(30.2002)
    # What is 1 ms belongs to the bucket that ends there.
    assert found["ptx_request_seconds_bucket", "0.001", "lstm"] == 1
    assert found["ptx_request_seconds_bucket", "0.0005", "lstm"] == 0
    assert found["ptx_queue_seconds_sum", "convnet"] == pytest.approx(0.003)
    assert found["ptx_batch_rows_bucket", "4.0", "convnet"] == 1
    assert found["ptx_batch_rows_bucket", "2.0", "convnet"] == 0
    assert found["ptx_run_seconds_count", "convnet"] == 1
    assert found["ptx_bytes_total", "received"] == 100
    assert found["ptx_bytes_total", "sent"] == 7


def test_processes_count_together_and_who_takes_a_place_goes_on_there() -> None:
    cells = Cells(Layout(NAMES).size, 3)
    for process in (0, 2, 2):  # the last of them has ended, and another came
        child = os.fork()
        if not child:
            metrics = Metrics(NAMES, cells, process)
            metrics.answered("lstm", "http", 200, 0.5)
            metrics.ran("lstm", jobs(0.25), [], 0.125)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    every = [Metrics(NAMES, cells, process) for process in range(3)]
    assert every[0].text() == every[1].text() == every[2].text()
    found = read(every[1].text())
    assert found["ptx_requests_total", "200", "lstm", "http"] == 3
    assert found["ptx_request_seconds_sum", "lstm"] == 1.5
    assert found["ptx_last_run", "lstm"] > 1e9
    said = every[1].statistics("lstm", "1")
    assert (said["inference_count"], said["execution_count"]) == (3, 3)
    assert said["inference_stats"]["success"] == {"count": 3, "ns": 1_500_000_000}
    assert said["inference_stats"]["queue"] == {"count": 3, "ns": 750_000_000}
    assert every[1].statistics("convnet", "1")["inference_stats"]["success"]["count"] == 0


def test_a_server_counts_what_it_answers(served: Served) -> None:
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
