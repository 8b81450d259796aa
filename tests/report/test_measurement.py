"""Measuring: the inputs, the percentiles, the error against the golden samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.infer import load
from ptx.report import measurement
from ptx.report.measurement import largest_error, measure, measure_process, sample_batch

Export = Callable[[str, str], Path]


class Clock:
    """A clock that a run moves on by the lap it is to take."""

    def __init__(self, laps: list[float]) -> None:
        self.now, self.laps = 0.0, laps

    def perf_counter(self) -> float:
        return self.now

    def run(self) -> None:
        self.now += self.laps.pop(0)


def test_percentiles_and_rates_are_those_of_the_counted_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warm_up = [0.1] * 3  # one round, behind which the time for it is over
    counted = [0.01 * lap for lap in range(1, 16)]
    clock = Clock(warm_up + counted)
    monkeypatch.setattr(measurement, "time", clock)
    (timing,) = measure({4: clock.run}, seconds=1e-6)
    assert (timing.batch, timing.runs) == (4, 15)
    assert timing.p50_us == pytest.approx(np.percentile(counted, 50) * 1e6)
    assert timing.p95_us == pytest.approx(np.percentile(counted, 95) * 1e6)
    assert timing.p99_us == pytest.approx(np.percentile(counted, 99) * 1e6)
    assert timing.rows_per_second == pytest.approx(60 / sum(counted))
    # Of the five rounds the fastest has a median of 0.02 s, the slowest one of 0.14 s.
    assert timing.noise == pytest.approx((0.14 - 0.02) / np.percentile(counted, 50))


def test_the_warm_up_ends_where_a_round_is_as_fast_as_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    warm_up = [0.9] * 3 + [0.5] * 3 + [0.2] * 3 + [0.1] * 6  # rounds of three runs
    counted = [0.1] * 12 * measurement.ROUNDS
    clock = Clock(warm_up + counted)
    monkeypatch.setattr(measurement, "time", clock)
    (timing,) = measure({1: clock.run}, seconds=5.9)
    assert (timing.runs, clock.laps) == (len(counted), [])
    assert timing.p99_us == pytest.approx(0.1 * 1e6)


def test_batch_sizes_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, order = Clock([0.1] * 100), []

    def run(batch: int) -> None:
        order.append(batch)
        clock.run()

    monkeypatch.setattr(measurement, "time", clock)
    timings = list(measure({1: partial(run, 1), 8: partial(run, 8)}, seconds=1e-6))
    assert [timing.batch for timing in timings] == [1, 8]
    counted = order[-2 * measurement.ROUNDS * measurement.MIN_RUNS :]
    assert counted == ([1] * 3 + [8] * 3) * measurement.ROUNDS


@pytest.mark.parametrize("model", ["lstm", "name-classifier", "linear-model"])
@pytest.mark.parametrize("batch", [1, 2, 50])
def test_the_batch_is_a_golden_sample_over_and_over(
    artifact: Export, model: str, batch: int
) -> None:
    with load(artifact(model, "onnx"), backend="ort-cpu") as predictor:
        manifest = predictor.manifest
        inputs = sample_batch(manifest, batch)
        for spec in manifest.signature.inputs:
            golden = manifest.golden[0].inputs[spec.name]
            rows = golden.shape[spec.batch_axis]
            for row in (0, batch - 1):
                np.testing.assert_array_equal(
                    inputs[spec.name].take(row, spec.batch_axis),
                    golden.take(row % rows, spec.batch_axis),
                )
        assert predictor.run(inputs)
        assert predictor.run(sample_batch(replace(manifest, golden=()), batch))


def test_a_process_is_measured_with_its_error_and_memory(artifact: Export) -> None:
    path = artifact("softmax-regression", "onnx")
    answered: list[int] = []
    settings: dict[str, Any] = {
        "path": str(path),
        "exports": [],
        "backend": "ort-cpu",
        "device": "auto",
        "trust": [],
        "batches": [1, 3],
        "seconds": 0.01,
        "threads": None,
        "precision": "float32",
    }
    found = measure_process(settings, lambda: answered.append(1))
    assert answered == [1]
    assert [timing.batch for timing in found.timings] == [1, 3]
    assert found.device == "cpu"
    assert found.agrees
    assert found.runtime.startswith("onnxruntime ")
    assert found.load_s > 0
    assert found.first_s > 0
    assert found.memory > 10 * 2**20
    with load(path, backend="ort-cpu") as predictor:
        manifest = predictor.manifest
        assert found.error == largest_error(predictor, manifest)
        assert found.error is not None
        assert 0 <= found.error <= manifest.golden[0].tolerance["logits"]
        logits = np.asarray(manifest.golden[0].outputs["logits"])
        wrong = replace(manifest.golden[0], outputs={"logits": logits + 1.5})
        assert largest_error(predictor, replace(manifest, golden=(wrong,))) == pytest.approx(
            1.5, abs=1e-3
        )
        assert largest_error(predictor, replace(manifest, golden=())) is None
