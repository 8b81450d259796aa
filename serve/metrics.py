"""Metrics for Prometheus, from which the statistics of the protocol are read too."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from ptx.serve.batcher import Job, RunObserver

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SUCCESS = ("200", "OK")


class Metrics:
    """The metrics of one application.

    With `PROMETHEUS_MULTIPROC_DIR` in the environment (`ptx serve --workers` sets it) `render` and
    `statistics` cover all processes that share that folder.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "ptx_requests_total",
            "Requests by their status code.",
            ["model", "protocol", "code"],
            registry=registry,
        )
        self._bytes = Counter(
            "ptx_bytes_total", "Bytes of bodies.", ["direction"], registry=registry
        )
        self._request_seconds = Histogram(
            "ptx_request_seconds",
            "From the arrival of a request to its response.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._queue_seconds = Histogram(
            "ptx_queue_seconds",
            "That a request waited for its run.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._run_seconds = Histogram(
            "ptx_run_seconds",
            "Of a run of the model.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch_rows = Histogram(
            "ptx_batch_rows", "Rows of a run.", ["model"], buckets=_ROWS, registry=registry
        )
        self._last_run = Gauge(
            "ptx_last_run",
            "Unix time of the last run.",
            ["model"],
            registry=registry,
            multiprocess_mode="max",
        )

        self._received = self._bytes.labels("received")
        self._sent = self._bytes.labels("sent")
        # By their labels: to look a child up by itself takes longer than to count with it.
        self._request_children: dict[
            tuple[str, str, int | str], tuple[Counter, Histogram | None]
        ] = {}

    def observe_request(self, model: str, protocol: str, code: int | str, seconds: float) -> None:
        """Count a response; `model` is empty if the request was not for one."""
        key = model, protocol, code
        if key not in self._request_children:
            histogram = self._request_seconds.labels(model) if model else None
            self._request_children[key] = self._requests.labels(model, protocol, code), histogram
        counter, histogram = self._request_children[key]
        counter.inc()
        if histogram is not None:
            histogram.observe(seconds)

    def observe_received(self, size: int) -> None:
        """Count the bytes of a request's body."""
        self._received.inc(size)

    def observe_sent(self, size: int) -> None:
        """Count the bytes of a response's body."""
        self._sent.inc(size)

    def run_observer(self, model: str) -> RunObserver:
        """What counts the runs of a model."""
        queue_seconds = self._queue_seconds.labels(model)
        run_seconds = self._run_seconds.labels(model)
        batch_rows, last_run = self._batch_rows.labels(model), self._last_run.labels(model)

        def observe(jobs: Sequence[Job], started: float, seconds: float) -> None:
            for job in jobs:
                queue_seconds.observe(started - job.arrived)
            run_seconds.observe(seconds)
            batch_rows.observe(sum(job.rows for job in jobs))
            last_run.set(time.time())

        return observe

    def _collector(self) -> CollectorRegistry:
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return self._registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry

    def render(self) -> bytes:
        """The metrics in the text format of Prometheus."""
        return generate_latest(self._collector())

    def statistics(self, model: str, version: str) -> dict[str, Any]:
        """The statistics of a model, as the protocol has them."""
        values: dict[tuple[str, str], float] = {}
        success = failed = 0.0
        for metric in self._collector().collect():
            for sample in metric.samples:
                if sample.labels.get("model") != model:
                    continue
                if sample.name == "ptx_requests_total":
                    good = sample.labels["code"] in _SUCCESS
                    success, failed = (
                        success + good * sample.value,
                        failed + (not good) * sample.value,
                    )
                elif "le" not in sample.labels:
                    name, _, part = sample.name.rpartition("_")
                    values[name, part] = sample.value

        def duration(name: str, count: float | None = None) -> dict[str, int]:
            number = values.get((name, "count"), 0) if count is None else count
            return {"count": int(number), "ns": int(values.get((name, "sum"), 0) * 1e9)}

        nothing = {"count": 0, "ns": 0}
        return {
            "name": model,
            "version": version,
            "last_inference": int(values.get(("ptx_last", "run"), 0) * 1e3),
            "inference_count": int(values.get(("ptx_batch_rows", "sum"), 0)),
            "execution_count": int(values.get(("ptx_batch_rows", "count"), 0)),
            "inference_stats": {
                "success": duration("ptx_request_seconds", success),
                "fail": {"count": int(failed), "ns": 0},
                "queue": duration("ptx_queue_seconds"),
                "compute_infer": duration("ptx_run_seconds"),
                "compute_input": nothing,
                "compute_output": nothing,
                "cache_hit": nothing,
                "cache_miss": nothing,
            },
            "batch_stats": [],
        }
