"""A second predictor that computes a share of the requests again, after they were answered."""

from __future__ import annotations

import asyncio
import heapq
import io
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ptx.infer import Array, Manifest, Predictor, UsageError
from ptx.infer.artifact.accuracy import ONE_SIDED
from ptx.infer.artifact.files import write_atomic
from ptx.serve.batcher import Job
from ptx.serve.errors import LOG
from ptx.serve.metrics import ShadowMetrics
from ptx.serve.model import Model

SHARE = 0.01
MAX_KEPT = 20  # worst inputs of a process that are kept
_MAX_KEPT_SIZE = 4 * 2**20  # bytes of one of them
_MAX_WAITING = 16  # requests
_MAX_WAITING_SIZE = 2**22  # numbers in their inputs
_DELAY = 0.02  # seconds after which the response has been sent


@dataclass(frozen=True)
class ShadowSource:
    """A predictor to compare a served model with.

    Attributes:
        open: As for a `ModelSource`.
        share: Fraction of the requests that is compared, from 0 to 1.
        keep: A folder for the inputs with the largest errors, each an .npz file with the inputs and the
            outputs of both predictors. Inputs may be private, so nothing is written by default.
    """

    open: Callable[[], Predictor]
    share: float = SHARE
    keep: Path | None = None


def open_shadow(source: ShadowSource, model: Model, metrics: ShadowMetrics) -> Shadow:
    """Open the predictor of a shadow.

    Raises:
        UsageError: its inputs, outputs, labels or preprocessing differ from those of the model.
        PtxError: it cannot be opened, or fails its golden samples.
    """
    predictor = source.open()
    try:
        _check_match(model.predictor.manifest, predictor.manifest, model.name)
        Model(model.name, predictor).self_test()
        return Shadow(model, predictor, source, metrics)
    except BaseException:
        predictor.close()
        raise


def _check_match(served: Manifest, shadow: Manifest, name: str) -> None:
    for what, expected, actual in (
        ("inputs", _shapes(served, "inputs"), _shapes(shadow, "inputs")),
        ("outputs", _shapes(served, "outputs"), _shapes(shadow, "outputs")),
        ("task", served.task, shadow.task),
        ("labels", served.labels, shadow.labels),
        ("preprocessing", served.preprocessing, shadow.preprocessing),
    ):
        if expected != actual:
            raise UsageError(
                f"the shadow of {name!r} has other {what} than the model: {actual}; expected"
                f" {expected}"
            )


def _shapes(manifest: Manifest, which: str) -> list[tuple[str, str, object]]:
    return [(spec.name, spec.dtype, spec.axes) for spec in getattr(manifest.signature, which)]


class Shadow:
    """Compares outputs of a model with those of another predictor, in a separate thread.

    Requests that arrive while `_MAX_WAITING` are waiting are counted, but not compared. Errors of the
    other predictor are counted, and the first one is logged.
    """

    def __init__(
        self, model: Model, predictor: Predictor, source: ShadowSource, metrics: ShadowMetrics
    ) -> None:
        self._model, self._predictor, self._metrics = model, predictor, metrics
        self._share = source.share
        self._tolerance = _tolerance(model.predictor.manifest, predictor.manifest)
        self._verdict = _Verdict(predictor.manifest)
        self._worst = None if source.keep is None else _WorstInputs(source.keep, model.name)
        self._random = np.random.default_rng()
        self._waiting: queue.Queue[Job | None] = queue.Queue(_MAX_WAITING)
        self._waiting_size = 0
        self._has_failed = False
        self._thread = threading.Thread(target=self._work, name="ptx-shadow", daemon=True)
        self._thread.start()

    def selects_next(self) -> bool:
        """Whether to compare the next request: a random choice with the probability `share`."""
        return self._random.random() < self._share

    def offer(self, job: Job) -> None:
        """Compare a job that has been computed; called on the event loop."""
        asyncio.get_running_loop().call_later(_DELAY, self._put, job)

    def close(self) -> None:
        """Stop the thread after the waiting requests, and close the predictor."""
        with suppress(queue.Full):  # if the thread hangs, it ends with the process
            self._waiting.put_nowait(None)

    def _put(self, job: Job) -> None:
        try:
            if self._waiting_size + job.size > _MAX_WAITING_SIZE:
                raise queue.Full
            self._waiting.put_nowait(job)
            self._waiting_size += job.size
        except queue.Full:
            self._metrics.dropped.inc()

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            self._waiting_size -= job.size
            try:
                self._compare(job)
            except Exception as error:
                self._metrics.failed.inc()
                if not self._has_failed:
                    LOG.warning("the shadow of %s failed", self._model.name, exc_info=error)
                self._has_failed = True
        self._predictor.close()

    def _compare(self, job: Job) -> None:
        """Run the inputs of a job, and count how the outputs differ."""
        differs = False
        for inputs, expected in job.computed:
            started = time.perf_counter()
            outputs = self._predictor.run(inputs)
            self._metrics.run_seconds.observe(time.perf_counter() - started)
            share, relative = self._errors(outputs, expected)
            changed = self._changed_labels(outputs, expected)
            differs |= share > 1 or changed > 0
            if self._tolerance:
                self._metrics.error.observe(share)
            self._metrics.relative_error.observe(relative)
            if (share > 1 or changed) and self._worst is not None:
                kept = self._worst.add(relative, inputs, expected, outputs)
                self._metrics.count_kept(kept)
        (self._metrics.differs if differs else self._metrics.agrees).inc()
        if self._verdict.disagrees or (self._tolerance and differs):
            self._metrics.disagrees.set(1)

    def _errors(
        self, outputs: Mapping[str, Array], expected: Mapping[str, Array]
    ) -> tuple[float, float]:
        """The largest error in units of the tolerance, 0 without one, and relative to the values."""
        share = relative = 0.0
        for name, array in expected.items():
            if array.dtype.kind != "f" or not array.size:
                continue
            exact = array.astype(np.float64)
            error = float(np.abs(outputs[name] - exact).max())
            error = math.inf if math.isnan(error) else error
            share = max(share, error / self._tolerance.get(name, math.inf))
            relative = max(relative, error / (float(np.abs(exact).max()) or 1.0))
        return share, relative

    def _changed_labels(self, outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> int:
        labels, expected_labels = (
            self._predictor.classes(outputs),
            self._model.predictor.classes(expected),
        )
        if labels is None or expected_labels is None:
            return 0
        changed = int((labels != expected_labels).sum())
        self._metrics.labels.inc(labels.size)
        self._metrics.changed.inc(changed)
        self._verdict.add(labels.size, changed)
        return changed


def _tolerance(served: Manifest, shadow: Manifest) -> dict[str, float]:
    """The allowed difference of each output of two files; empty if their weights differ.

    Each file may differ from float64 by its tolerance: the largest one of its golden samples.
    """
    same = (served.weights_sha256, served.weights) == (shadow.weights_sha256, shadow.weights)
    if not same or served.compute or shadow.compute:
        return {}
    tolerances: dict[str, float] = {}
    for manifest in (served, shadow):
        largest: dict[str, float] = {}
        for sample in manifest.golden:
            for name, value in sample.tolerance.items():
                columns = sample.columns.get(name)
                value = value if columns is None else float(columns.max())
                largest[name] = max(largest.get(name, 0.0), value)
        for name, value in largest.items():
            tolerances[name] = tolerances.get(name, 0.0) + value
    return tolerances


class _Verdict:
    """Whether more labels change than quantization was allowed to change."""

    def __init__(self, manifest: Manifest) -> None:
        cost = manifest.quantization
        self._allowed = None if cost is None else max(cost.changed, 1) / cost.predictions
        self._labels = self._changed = 0

    def add(self, labels: int, changed: int) -> None:
        self._labels += labels
        self._changed += changed

    @property
    def disagrees(self) -> bool:
        """By a one-sided confidence bound of 95 %; never if no allowed share is known."""
        if self._allowed is None:
            return False
        expected = self._labels * self._allowed
        return self._changed > expected + 1 + ONE_SIDED * math.sqrt(expected)


class _WorstInputs:
    """Writes the inputs with the largest errors to files; the largest errors replace smaller ones."""

    def __init__(self, folder: Path, model: str) -> None:
        self._folder, self._stem = folder, f"{model}-{os.getpid()}"
        self._kept: list[tuple[float, int, Path]] = []
        self._count = 0

    def add(
        self,
        error: float,
        inputs: Mapping[str, Array],
        expected: Mapping[str, Array],
        outputs: Mapping[str, Array],
    ) -> bool:
        """Write a file if the error is among the largest; returns whether it was written."""
        full = len(self._kept) == MAX_KEPT
        if full and error <= self._kept[0][0]:
            return False
        content = io.BytesIO()
        groups = {"input": inputs, "served": expected, "shadow": outputs}
        arrays = {f"{g}.{name}": a for g, named in groups.items() for name, a in named.items()}
        np.savez(content, **arrays)  # type: ignore[arg-type]
        if content.tell() > _MAX_KEPT_SIZE:
            return False
        self._count += 1
        path = self._folder / f"{self._stem}-{self._count}.npz"
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content.getvalue())
        entry = error, self._count, path
        if full:
            heapq.heapreplace(self._kept, entry)[-1].unlink(missing_ok=True)
        else:
            heapq.heappush(self._kept, entry)
        return True
