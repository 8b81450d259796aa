"""What a server counts: for Prometheus, and for the statistics of the protocol."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import prometheus_client as prometheus
from prometheus_client import multiprocess

from ptx.serve.processes import SHARED
from ptx.serve.queue.jobs import Job, Result
from ptx.serve.refusals import RefusalError

CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST
_SECONDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self._registry = prometheus.CollectorRegistry()
        registry, model = self._registry, ["model"]
        self._requests = prometheus.Counter(
            "ptx_requests", "Requests by their answer.", ["model", "protocol", "code"],
            registry=registry,
        )  # fmt: skip
        self._seconds = prometheus.Histogram(
            "ptx_request_seconds", "From a request's arrival to its answer.", model,
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._queued = prometheus.Histogram(
            "ptx_queue_seconds", "That a request waited for its run.", model,
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._run = prometheus.Histogram(
            "ptx_run_seconds", "Of a run of the model.", model, buckets=_SECONDS, registry=registry
        )
        self._batch = prometheus.Histogram(
            "ptx_batch_rows", "Rows of a run.", model, buckets=_ROWS, registry=registry
        )
        self._bytes = prometheus.Counter(
            "ptx_bytes", "Of bodies.", ["direction"], registry=registry
        )
        self._last = prometheus.Gauge(
            "ptx_last_run", "When a model ran last, in seconds since 1970.", model,
            registry=registry, multiprocess_mode="max",
        )  # fmt: skip
        self._received, self._sent = (self._bytes.labels(way) for way in ("received", "sent"))
        self._children: dict[Any, Any] = {}

    def answered(self, model: str, protocol: str, code: int | str, seconds: float) -> None:
        """A request has its answer."""
        count, histogram = self._labelled(model, protocol, code)
        count.inc()
        if model:
            histogram.observe(seconds)

    def transferred(self, received: int, sent: int) -> None:
        """Bytes of bodies came and went."""
        self._received.inc(received)
        self._sent.inc(sent)

    def ran(
        self,
        model: str,
        jobs: Sequence[Job],
        results: Sequence[Result | RefusalError],
        seconds: float,
    ) -> None:
        """Some jobs went in together."""
        queued, run, batch, last = self._of_model(model)
        for job in jobs:
            queued.observe(job.started - job.arrived)
        run.observe(seconds)
        batch.observe(sum(job.rows for job in jobs))
        last.set(time.time())

    def text(self) -> bytes:
        """The page `/metrics`."""
        return prometheus.generate_latest(self._collected())

    def statistics(self, model: str, version: str) -> dict[str, Any]:
        """The protocol's statistics of a model."""
        found: defaultdict[str, float] = defaultdict(float)
        for metric in self._collected().collect():
            for sample in metric.samples:
                if sample.labels.get("model") != model or "le" in sample.labels:
                    continue
                code = sample.labels.get("code", "")
                found[f"{sample.name}{'' if code in ('', '200', 'OK') else ' failed'}"] += (
                    sample.value
                )

        def spent(name: str, count: float | None = None) -> dict[str, int]:
            times = found[f"{name}_count"] if count is None else count
            return {"count": int(times), "ns": int(found[f"{name}_sum"] * 1e9)}

        nothing = {"count": 0, "ns": 0}
        return {
            "name": model, "version": version,
            "last_inference": int(found["ptx_last_run"] * 1e3),
            "inference_count": int(found["ptx_batch_rows_sum"]),
            "execution_count": int(found["ptx_batch_rows_count"]),
            "inference_stats": {
                "success": spent("ptx_request_seconds", found["ptx_requests_total"]),
                "fail": {"count": int(found["ptx_requests_total failed"]), "ns": 0},
                "queue": spent("ptx_queue_seconds"), "compute_infer": spent("ptx_run_seconds"),
                "compute_input": nothing, "compute_output": nothing,
                "cache_hit": nothing, "cache_miss": nothing,
            },
            "batch_stats": [],
        }  # fmt: skip

    def _collected(self) -> prometheus.CollectorRegistry:
        """Of all workers, where there are several."""
        if SHARED not in os.environ:
            return self._registry
        registry = prometheus.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry

    def _labelled(self, model: str, protocol: str, code: int | str) -> tuple[Any, Any]:
        key = model, protocol, code
        found = self._children.get(key)
        if found is None:
            found = self._requests.labels(*map(str, key)), self._seconds.labels(model)
            self._children[key] = found
        return found

    def _of_model(self, model: str) -> tuple[Any, ...]:
        found = self._children.get(model)
        if found is None:
            names = self._queued, self._run, self._batch, self._last
            found = self._children[model] = tuple(item.labels(model) for item in names)
        return found
