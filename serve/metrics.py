"""Metrics for Prometheus, from which the statistics of the protocol are also computed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from ptx.serve.batcher import Job, RunObserver

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SHARES = (0.1, 0.5, 1, 2, 5, 10, 100, 1000, 1e6)  # of a tolerance
_RELATIVE = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1)
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
            "Seconds from the arrival of a request to its response.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._queue_seconds = Histogram(
            "ptx_queue_seconds",
            "Seconds that a request waited for its run.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._run_seconds = Histogram(
            "ptx_run_seconds",
            "Seconds of a run of the model.",
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

        self._shadow: _ShadowFamilies | None = None
        self._received = self._bytes.labels("received")
        self._sent = self._bytes.labels("sent")
        # By labels, because looking up a child takes longer than counting with it.
        self._request_children: dict[
            tuple[str, str, int | str], tuple[Counter, Histogram | None]
        ] = {}

    def observe_request(self, model: str, protocol: str, code: int | str, seconds: float) -> None:
        """Count a response; `model` is empty if the request was for no model."""
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
        """The function that counts the runs of a model."""
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

    def shadow(self, model: str) -> ShadowMetrics:
        """The metrics of the comparisons of a model with its shadow."""
        if self._shadow is None:
            self._shadow = _ShadowFamilies(self._registry)
        return self._shadow.of_model(model)

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
                    if sample.labels["code"] in _SUCCESS:
                        success += sample.value
                    else:
                        failed += sample.value
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


@dataclass(frozen=True)
class ShadowMetrics:
    """The metrics of one model's shadow.

    Attributes:
        agrees, differs, failed, dropped: Requests, by the result of the comparison.
        labels: Labels that were compared.
        changed: Labels that differ.
        error: Largest error of a request, in units of the tolerance.
        relative_error: Largest error of a request, relative to the largest value.
        disagrees: 1 once the shadow differs by more than its file allows.
        kept, not_kept: Inputs that differ, and were written to a file or not.
    """

    agrees: Counter
    differs: Counter
    failed: Counter
    dropped: Counter
    labels: Counter
    changed: Counter
    error: Histogram
    relative_error: Histogram
    run_seconds: Histogram
    disagrees: Gauge
    kept: Counter
    not_kept: Counter

    def count_kept(self, kept: bool) -> None:
        """Count an input that differs; `kept`: whether it was written to a file."""
        (self.kept if kept else self.not_kept).inc()


class _ShadowFamilies:
    """The metrics of all shadows, by model; they are registered only if there is a shadow."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, ["model", *labels], registry=registry)

        def histogram(name: str, text: str, buckets: Sequence[float]) -> Histogram:
            return Histogram(name, text, ["model"], buckets=buckets, registry=registry)

        self._requests = counter(
            "ptx_shadow_requests_total", "Requests that were selected for the shadow.", "result"
        )
        self._labels = counter("ptx_shadow_labels_total", "Labels that were compared.")
        self._changed = counter(
            "ptx_shadow_labels_changed_total", "Labels that the shadow predicts differently."
        )
        self._inputs = counter(
            "ptx_shadow_inputs_total", "Inputs that differ, by result.", "result"
        )
        self._error = histogram(
            "ptx_shadow_error", "Largest error of a request, in units of the tolerance.", _SHARES
        )
        self._relative = histogram(
            "ptx_shadow_relative_error",
            "Largest error of a request, relative to the largest value.",
            _RELATIVE,
        )
        self._run_seconds = histogram(
            "ptx_shadow_run_seconds", "Seconds of a run of the shadow.", _SECONDS
        )
        self._disagrees = Gauge(
            "ptx_shadow_disagrees",
            "1 once the shadow differs by more than its file allows.",
            ["model"],
            registry=registry,
            multiprocess_mode="max",
        )

    def of_model(self, model: str) -> ShadowMetrics:
        results = ("agrees", "differs", "failed", "dropped")
        return ShadowMetrics(
            **{name: self._requests.labels(model, name) for name in results},
            labels=self._labels.labels(model),
            changed=self._changed.labels(model),
            error=self._error.labels(model),
            relative_error=self._relative.labels(model),
            run_seconds=self._run_seconds.labels(model),
            disagrees=self._disagrees.labels(model),
            kept=self._inputs.labels(model, "kept"),
            not_kept=self._inputs.labels(model, "dropped"),
        )
