"""A run that takes too long is stopped; one that does not costs nothing and is left alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.infer.backends.watchdog import Watchdog
from ptx.infer.errors import LimitError, UsageError
from ptx.infer.loading import load

from ...malformed_inputs.endless import endless_model

Export = Callable[[str, str], Path]
ROW = {"x": np.array([[3.0]], np.float32)}
AGES = 60.0  # seconds: a time that never comes


@pytest.fixture
def endless(artifact: Export, tmp_path: Path) -> Path:
    """linear-model, which multiplies for ever when its input is 3."""
    path = tmp_path / "endless.onnx"
    path.write_bytes(endless_model(artifact("linear-model", "onnx")))
    return path


def test_an_endless_model_ends_with_a_limit_error_and_the_next_answer_is_right(
    endless: Path,
) -> None:
    with load(endless, backend="ort-cpu", timeout=0.2) as predictor:
        for _ in range(2):
            with pytest.raises(LimitError, match=r"0\.2 s") as caught:
                predictor.run(ROW)
            assert (caught.value.code, caught.value.exit_code) == ("E-TIMEOUT", 6)
            assert predictor.run({"x": ROW["x"] + 1})["y"].tolist() == [[4.0]]


def test_what_can_stop_a_run_serves_the_next_one_but_where_it_did_stop_one(endless: Path) -> None:
    with load(endless, backend="ort-cpu", timeout=0.2) as predictor:
        backend: Any = predictor.backend
        idle = backend._runs._pool
        predictor.run({"x": ROW["x"] + 1})
        (first,) = idle
        predictor.run({"x": ROW["x"] + 2})
        assert idle == [first]
        with pytest.raises(LimitError):
            predictor.run(ROW)
        assert idle == []


def test_of_many_threads_only_the_endless_ones_are_stopped(endless: Path) -> None:
    found: dict[float, Any] = {}

    def run(value: float) -> None:
        try:
            found[value] = predictor.run({"x": np.array([[value]], np.float32)})["y"].item()
        except LimitError as error:
            found[value] = error.code

    with load(endless, backend="ort-cpu", threads=1, timeout=0.3) as predictor:
        threads = [threading.Thread(target=run, args=(float(value),)) for value in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {value: value for value in range(8)} | {3: "E-TIMEOUT"}


def test_with_a_time_limit_the_answers_are_the_same(artifact: Export) -> None:
    path = artifact("convnet", "onnx")
    with load(path, backend="ort-cpu") as free, load(path, backend="ort-cpu", timeout=AGES) as held:
        inputs = free.signature.example({"batch": 3}, seed=0)
        assert np.array_equal(held.run(inputs)["logits"], free.run(inputs)["logits"])


@pytest.mark.parametrize("form", ["torchscript", "pt2", "checkpoint"])
def test_a_backend_that_cannot_be_stopped_takes_no_timeout_and_says_what_does(
    artifact: Export, form: str
) -> None:
    with pytest.raises(UsageError, match=r"ptx predict --timeout"):
        load(artifact("linear-model", form), device="cpu", trust=True, timeout=1)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_is_a_number_of_seconds(artifact: Export, timeout: float) -> None:
    with pytest.raises(UsageError, match=r"timeout is .*; expected a number from 0.001 to 604800"):
        load(artifact("linear-model", "onnx"), timeout=timeout)


def test_one_thread_watches_all_runs_and_ends_when_there_are_none() -> None:
    def watchers() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "ptx-watchdog"}

    others = watchers()
    watchdog = Watchdog(0.01)
    stopped = threading.Event()
    for _ in range(100):
        with watchdog.deadline("nothing", stopped.set):
            pass
        assert len(watchers() - others) <= 1
    for thread in watchers() - others:
        thread.join()
    assert watchers() <= others
    assert not stopped.is_set()


def test_an_error_of_the_body_in_time_is_its_own() -> None:
    with pytest.raises(KeyError), Watchdog(AGES).deadline("a run", lambda: None):
        raise KeyError
