"""What a server counts: for Prometheus, and for the statistics of the protocol."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from ptx.serve.counts.cells import HISTOGRAMS, Cells, Histogram, Layout
from ptx.serve.queue.jobs import Job, Result
from ptx.serve.refusals import RefusalError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_GOOD = ("200", "OK")


class Metrics:
    """The counters of one server, in this process; what is read is the sum over all of its processes.

    Args:
        models: Their names.
        cells: Those of all processes, where there are several.
        process: Which of them this one is.
    """

    def __init__(self, models: Sequence[str], cells: Cells | None = None, process: int = 0) -> None:
        self._layout = layout = Layout(models)
        self._cells = cells or Cells(layout.size)
        self._own = self._cells.own(process)
        # The four of each model, in the order of HISTOGRAMS.
        self._of_model = {
            model: [
                Histogram(self._own, layout.histograms[name, model], ends)
                for name, (_, ends) in HISTOGRAMS.items()
            ]
            for model in models
        }
        self._codes: dict[tuple[str, str, int | str], int] = {
            (model, protocol, int(code) if protocol == "http" else code): place
            for (model, protocol, code), place in layout.requests.items()
        }
        self._received, self._sent = layout.transferred.values()

    def answered(self, model: str, protocol: str, code: int | str, seconds: float) -> None:
        """A request has its answer."""
        self._own[self._codes[model, protocol, code]] += 1
        if model:
            self._of_model[model][0].observe(seconds)

    def transferred(self, received: int, sent: int) -> None:
        """Bytes of bodies came and went."""
        self._own[self._received] += received
        self._own[self._sent] += sent

    def ran(
        self,
        model: str,
        jobs: Sequence[Job],
        results: Sequence[Result | RefusalError],
        seconds: float,
    ) -> None:
        """Some jobs went in together."""
        _, queued, run, batch = self._of_model[model]
        rows = 0
        for job in jobs:
            queued.observe(job.started - job.arrived)
            rows += job.rows
        run.observe(seconds)
        batch.observe(rows)
        self._own[self._layout.last[model]] = time.time()

    def text(self) -> bytes:
        """The page `/metrics`, in the text format of Prometheus."""
        return "".join(f"{line}\n" for line in self._lines()).encode()

    def _lines(self) -> Iterator[str]:
        layout, total = self._layout, self._cells.total
        yield from _head("ptx_requests_total", "counter", "Requests by their answer.")
        for (model, protocol, code), place in layout.requests.items():
            if count := total(place):
                yield (f'ptx_requests_total{{code="{code}",model="{model}",protocol="{protocol}"}}'
                       f" {count}")  # fmt: skip
        for name, (told, ends) in HISTOGRAMS.items():
            yield from _head(name, "histogram", told)
            for model in layout.models:
                counts, spent = self._histogram(name, model)
                for end, count in zip((*map(str, ends), "+Inf"), accumulate(counts), strict=True):
                    yield f'{name}_bucket{{le="{end}",model="{model}"}} {count}'
                yield f'{name}_count{{model="{model}"}} {sum(counts)}'
                yield f'{name}_sum{{model="{model}"}} {spent}'
        yield from _head("ptx_bytes_total", "counter", "Of bodies.")
        for way, place in layout.transferred.items():
            yield f'ptx_bytes_total{{direction="{way}"}} {total(place)}'
        yield from _head("ptx_last_run", "gauge", "When a model ran last, in seconds since 1970.")
        for model, place in layout.last.items():
            yield f'ptx_last_run{{model="{model}"}} {self._cells.latest(place)}'

    def _histogram(self, name: str, model: str) -> tuple[list[float], float]:
        """How many are in each bucket, and their sum."""
        place, last = self._layout.histograms[name, model], len(HISTOGRAMS[name][1]) + 1
        *counts, spent = map(self._cells.total, range(place, place + last + 1))
        return counts, spent

    def statistics(self, model: str, version: str) -> dict[str, Any]:
        """The protocol's statistics of a model."""
        good = failed = 0.0
        for (name, _, code), place in self._layout.requests.items():
            if name == model:
                count = self._cells.total(place)
                good, failed = (good + count, failed) if code in _GOOD else (good, failed + count)

        def spent(name: str, count: float | None = None) -> dict[str, int]:
            counts, seconds = self._histogram(name, model)
            return {"count": int(sum(counts) if count is None else count), "ns": int(seconds * 1e9)}

        nothing = {"count": 0, "ns": 0}
        runs, rows = self._histogram("ptx_batch_rows", model)
        return {
            "name": model, "version": version,
            "last_inference": int(self._cells.latest(self._layout.last[model]) * 1e3),
            "inference_count": int(rows), "execution_count": int(sum(runs)),
            "inference_stats": {
                "success": spent("ptx_request_seconds", good),
                "fail": {"count": int(failed), "ns": 0},
                "queue": spent("ptx_queue_seconds"), "compute_infer": spent("ptx_run_seconds"),
                "compute_input": nothing, "compute_output": nothing,
                "cache_hit": nothing, "cache_miss": nothing,
            },
            "batch_stats": [],
        }  # fmt: skip


def _head(name: str, kind: str, told: str) -> Iterator[str]:
    yield f"# HELP {name} {told}"
    yield f"# TYPE {name} {kind}"
