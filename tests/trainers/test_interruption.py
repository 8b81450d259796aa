"""SIGINT and SIGTERM end a run after the step at hand, with everything saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from ptx.infer import load, read_artifact
from ptx.models.checkpoint import loads
from ptx.trainers import Dataset, TrainingResult, default_recipe, train
from ptx.trainers.interruption import deferred_interruption
from ptx.trainers.loop import RunningMetrics

Few = Callable[..., Dataset]

SIGNALS = (signal.SIGINT, signal.SIGTERM)

pytestmark = pytest.mark.usefixtures("without_plot")


@pytest.fixture(autouse=True)
def noted() -> Iterator[list[int]]:
    """The signals that reach the handlers which stand outside a run; they stand again after it."""
    signals: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        signals.append(number)

    before = {number: signal.signal(number, handler) for number in SIGNALS}
    yield signals
    assert [signal.getsignal(number) for number in SIGNALS] == [handler, handler]
    for number, previous in before.items():
        signal.signal(number, previous)


class Sender:
    """A progress that sends signals to this process after one step, or at the end of one epoch."""

    def __init__(self, *signals: signal.Signals, step: int = 0, epoch: int = 0) -> None:
        self.signals, self.step, self.epoch, self.done = signals, step, epoch, 0

    def epoch_begins(self, epoch: int, epochs: int, rows: int, done: int) -> None: ...

    def step_done(self, rows: int, metrics: RunningMetrics) -> None:
        self.done += 1
        self._send(self.done == self.step)

    def epoch_ends(self, row: dict[str, float]) -> None:
        self._send(row["epoch"] == self.epoch)

    def _send(self, now: bool) -> None:
        for number in self.signals if now else ():
            signal.raise_signal(number)


def run(data: Dataset, folder: Path, progress: Sender | None = None) -> TrainingResult:
    recipe = default_recipe("convnet", batch_size=50, epochs=3)
    return train("convnet", data, recipe, folder=folder, device="cpu", progress=progress)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_run_ends_after_the_step_at_hand(
    number: signal.Signals, few: Few, tmp_path: Path, noted: list[int]
) -> None:
    sender = Sender(number, step=7)
    result = run(few("convnet"), tmp_path, sender)
    assert result.interrupted is number
    assert sender.done == 7
    assert noted == []
    assert [row["epoch"] for row in result.history] == [1]
    assert result.checkpoint == tmp_path / "checkpoint.pt"
    progress = loads(result.checkpoint.read_bytes()).progress
    assert (progress["epoch"], progress["step"]) == (2, 2)
    manifest = read_artifact(result.checkpoint).require_manifest()
    assert manifest.training["epochs"] == 1
    assert manifest.training["metrics"] == {
        name: result.history[0][name]
        for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
    }
    load(result.checkpoint, device="cpu").close()
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt", "metrics.csv"}


def test_a_run_that_ends_in_its_first_epoch_has_no_metrics_yet(few: Few, tmp_path: Path) -> None:
    result = run(few("convnet"), tmp_path, Sender(signal.SIGINT, step=1))
    assert result.history == []
    assert read_artifact(result.checkpoint).require_manifest().training["metrics"] == {}
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 1


def test_a_signal_in_the_last_step_of_an_epoch_ends_with_the_epoch(
    few: Few, tmp_path: Path
) -> None:
    sender = Sender(signal.SIGTERM, step=5)
    result = run(few("convnet"), tmp_path, sender)
    assert result.interrupted is signal.SIGTERM
    assert sender.done == 5
    assert [row["epoch"] for row in result.history] == [1]


def test_a_signal_between_two_epochs_ends_the_run(few: Few, tmp_path: Path) -> None:
    sender = Sender(signal.SIGTERM, epoch=2)
    result = run(few("convnet"), tmp_path, sender)
    assert result.interrupted is signal.SIGTERM
    assert sender.done == 10
    assert len(result.history) == 2


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_acts_as_usual(
    number: signal.Signals, few: Few, tmp_path: Path, noted: list[int]
) -> None:
    result = run(few("convnet"), tmp_path, Sender(signal.SIGINT, number, step=2))
    assert noted == [number]
    assert result.interrupted is signal.SIGINT


def test_a_second_ctrl_c_leaves_the_run_and_what_was_saved(few: Few, tmp_path: Path) -> None:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(few("convnet"), tmp_path, Sender(signal.SIGINT, signal.SIGINT, step=7))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, previous)
    manifest = read_artifact(tmp_path / "checkpoint.pt").require_manifest()
    assert manifest.training["epochs"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_run_without_a_signal_says_so(few: Few, tmp_path: Path) -> None:
    assert run(few("convnet"), tmp_path).interrupted is None


def test_an_ignored_signal_stays_ignored() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of a script's background job
    try:
        with deferred_interruption() as interruption:
            signal.raise_signal(signal.SIGINT)
            assert not interruption
            signal.raise_signal(signal.SIGTERM)
            assert interruption.signal is signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)


def test_handlers_stand_again_after_an_error() -> None:
    def fail() -> None:
        with deferred_interruption():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_another_thread_trains_and_leaves_the_handlers_alone(few: Few, tmp_path: Path) -> None:
    handlers: list[object] = []
    results: list[TrainingResult] = []

    class Watch(Sender):
        def step_done(self, rows: int, metrics: RunningMetrics) -> None:
            handlers.extend(signal.getsignal(number) for number in SIGNALS)

    outside = [signal.getsignal(number) for number in SIGNALS]
    data = few("convnet")
    thread = threading.Thread(target=lambda: results.append(run(data, tmp_path, Watch())))
    thread.start()
    thread.join()
    assert results[0].interrupted is None
    assert len(results[0].history) == 3
    assert handlers == outside * 15
