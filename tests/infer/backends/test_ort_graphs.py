"""Batches in fixed buffers: the answers of a plain run, whatever the batch, from any thread.

On a machine without CUDA the buffers are the CPU's, and nothing is captured: what is tested is what ptx
does around the capture.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.infer import load
from ptx.infer.artifact.artifact import read_artifact
from ptx.infer.backends import Options
from ptx.infer.backends.ort.graphs import SIZES, CapturedBatches, can_capture
from ptx.infer.backends.ort.session import open_session
from ptx.infer.errors import LimitError, UsageError
from ptx.infer.signature import Array

Export = Callable[[str, str], Path]


@pytest.fixture
def path(artifact: Export) -> Path:
    return artifact("softmax-regression", "onnx")


@pytest.fixture
def captured(path: Path) -> CapturedBatches:
    found = read_artifact(path)
    session = open_session(found, Options(threads=1), ["CPUExecutionProvider"], None)
    return CapturedBatches(found, session, "cpu")


def rows(count: int, seed: int) -> dict[str, Array]:
    generator = np.random.default_rng(seed)
    return {"image": generator.random((count, 784), np.float32)}


def test_every_batch_is_answered_as_without_buffers(path: Path, captured: CapturedBatches) -> None:
    with load(path, backend="ort-cpu", threads=1) as predictor:
        # Larger and smaller in turn: no row of a batch before may be seen.
        for count in (256, 1, 5, 64, 3, 16, 200, 2, 1, 256):
            inputs = rows(count, seed=count)
            found = captured.run(inputs)
            expected = predictor.run(inputs)
            assert found.keys() == expected.keys()
            np.testing.assert_allclose(found["logits"], expected["logits"], rtol=1e-5, atol=1e-5)


def test_an_answer_is_not_overwritten_by_the_next(captured: CapturedBatches) -> None:
    first = captured.run(rows(3, seed=1))["logits"]
    kept = first.copy()
    captured.run(rows(4, seed=2))
    np.testing.assert_array_equal(first, kept)


def test_threads_do_not_see_each_others_rows(captured: CapturedBatches) -> None:
    given = [rows(1 + seed % 4, seed) for seed in range(64)]
    expected = [captured.run(one)["logits"] for one in given]
    with ThreadPoolExecutor(8) as executor:
        found = list(executor.map(lambda one: captured.run(one)["logits"], given))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_does_not_fit_is_told(captured: CapturedBatches) -> None:
    assert captured.fits(rows(SIZES[-1], seed=0))
    assert not captured.fits(rows(SIZES[-1] + 1, seed=0))


class Exhausted:
    """A session on a device that has no memory left."""

    def __init__(self, session: Any) -> None:
        self.io_binding = session.io_binding

    def run_with_iobinding(self, binding: Any, settings: Any) -> None:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 1024")


def test_an_error_of_the_runtime_is_told_as_ours(path: Path) -> None:
    found = read_artifact(path)
    session = open_session(found, Options(threads=1), ["CPUExecutionProvider"], None)
    exhausted = CapturedBatches(found, Exhausted(session), "cpu")
    with pytest.raises(LimitError, match="use a smaller batch"):
        exhausted.run(rows(1, seed=0))


@pytest.mark.parametrize(
    ("model", "fixed"),
    [("convnet", True), ("mlp", True), ("lstm", False), ("name-classifier", False)],
)
def test_shapes_that_depend_on_more_than_the_batch_are_not_captured(
    artifact: Export, model: str, fixed: bool
) -> None:
    signature = read_artifact(artifact(model, "onnx")).require_card().signature
    assert can_capture(signature) == fixed


def test_graphs_are_for_ort_cuda_and_without_a_time_limit(path: Path) -> None:
    with pytest.raises(UsageError, match="'ort-cpu' takes no cuda_graphs"):
        load(path, backend="ort-cpu", cuda_graphs=True)
    with pytest.raises(UsageError, match="a CUDA graph cannot be stopped"):
        load(path, backend="ort-cuda", cuda_graphs=True, timeout=1.0)
