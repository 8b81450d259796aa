"""A run that was interrupted and resumed is, bit for bit, the run that was not."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from ptx.infer import load, read_artifact
from ptx.infer.artifact import zip_archive
from ptx.infer.errors import ArtifactError
from ptx.models.checkpoint import Checkpoint, dumps, loads
from ptx.trainers import Dataset, Recipe, TrainingResult, default_recipe, train
from ptx.trainers.loop import RunningMetrics
from ptx.trainers.trainer import Trainer

if TYPE_CHECKING:
    from tests.trainers.conftest import Worker

Few = Callable[..., Dataset]

# dropout under SGD with momentum, dropout under Adam, the batch on another axis, lengths of their own
MODELS = ("convnet", "dropout-mlp", "lstm", "name-classifier")
EPOCHS, STEPS = 3, 5  # 230 rows in batches of 50: the last one has 30
KILLS = 12

pytestmark = pytest.mark.usefixtures("without_plot")


class Stop:
    """A progress that sends this process a signal after the given steps of a run."""

    def __init__(self, *steps: int) -> None:
        self.steps, self.done = steps, 0

    def epoch_begins(self, epoch: int, epochs: int, rows: int, done: int) -> None: ...
    def epoch_ends(self, row: dict[str, float]) -> None: ...
    def step_done(self, rows: int, metrics: RunningMetrics) -> None:
        self.done += 1
        if self.done in self.steps:
            signal.raise_signal(signal.SIGINT)


def recipe_of(model: str, **overrides: Any) -> Recipe:
    return default_recipe(model, **{"batch_size": 50, "epochs": EPOCHS, **overrides})


def run(
    model: str, data: Dataset, folder: Path, *stops: int, resume: bool = False, **overrides: Any
) -> TrainingResult:
    return train(
        model,
        data,
        recipe_of(model, **overrides),
        folder=folder,
        seed=3,
        device="cpu",
        resume=resume,
        progress=Stop(*stops),
    )


def read(folder: Path) -> Checkpoint:
    return loads((folder / "checkpoint.pt").read_bytes())


def assert_same(got: Any, expected: Any, where: str = "checkpoint") -> None:
    """Equal, tensors bit for bit."""
    assert type(got) is type(expected), where
    if isinstance(got, torch.Tensor):
        assert got.dtype == expected.dtype, where
        assert got.stride() == expected.stride(), where
        assert got.numpy().tobytes() == expected.numpy().tobytes(), where
    elif isinstance(got, dict):
        assert list(got) == list(expected), where
        for name, value in got.items():
            assert_same(value, expected[name], f"{where}[{name!r}]")
    elif isinstance(got, list):
        assert len(got) == len(expected), where
        for index, (one, other) in enumerate(zip(got, expected, strict=True)):
            assert_same(one, other, f"{where}[{index}]")
    else:
        assert got == expected, where


def without_times(history: list[dict[str, float]]) -> list[dict[str, float]]:
    times = ("seconds", "rows_per_second")
    return [{name: row[name] for name in row if name not in times} for row in history]


def assert_same_state(got: Checkpoint, expected: Checkpoint) -> None:
    for part in ("weights", "optimizer", "progress", "random", "samples"):
        assert_same(getattr(got, part), getattr(expected, part), part)
    assert_same(without_times(got.history), without_times(expected.history), "history")


@pytest.fixture(scope="module")
def whole(few: Few, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Checkpoint]:
    """`whole(model)`: what a run without an interruption leaves."""

    @cache
    def make(model: str) -> Checkpoint:
        folder = tmp_path_factory.mktemp(model)
        assert run(model, few(model), folder).interrupted is None
        return read(folder)

    return make


@pytest.mark.parametrize(
    ("model", "step"),
    [
        *((model, step) for model in MODELS[:2] for step in range(1, EPOCHS * STEPS)),
        *((model, step) for model in MODELS[2:] for step in (1, 4, 5, 7, 10, 14)),
    ],
)
def test_an_interruption_at_any_step_leaves_no_trace(
    model: str, step: int, few: Few, whole: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    expected = whole(model)
    stopped = run(model, few(model), tmp_path, step)
    assert stopped.interrupted is signal.SIGINT
    at = read(tmp_path)
    epoch, within = divmod(step, STEPS)
    assert (at.progress["epoch"], at.progress["step"]) == (epoch + 1, within)
    assert len(stopped.history) == len(at.history) == epoch
    assert at.weights.keys() == expected.weights.keys()
    assert any(not torch.equal(at.weights[name], expected.weights[name]) for name in at.weights)
    finished = run(model, few(model), tmp_path, resume=True)
    assert finished.interrupted is None
    assert [row["epoch"] for row in finished.history] == [1, 2, 3]
    assert_same_state(read(tmp_path), expected)


@pytest.mark.parametrize("model", MODELS)
def test_an_interruption_after_every_step_leaves_no_trace(
    model: str, few: Few, whole: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    run(model, few(model), tmp_path, 1)
    interruptions = 1
    while run(model, few(model), tmp_path, 1, resume=True).interrupted:
        interruptions += 1
    assert interruptions == EPOCHS * STEPS  # after the last step too
    assert_same_state(read(tmp_path), whole(model))


@pytest.mark.parametrize("model", ["convnet", "dropout-mlp"])
def test_without_the_random_state_dropout_differs(
    model: str,
    few: Few,
    whole: Callable[[str], Checkpoint],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(model, few(model), tmp_path, 7)
    restore = Trainer.restore

    def forgetful(trainer: Trainer, checkpoint: Checkpoint) -> None:
        restore(trainer, replace(checkpoint, random={"cpu": torch.get_rng_state()}))

    monkeypatch.setattr(Trainer, "restore", forgetful)
    run(model, few(model), tmp_path, resume=True)
    got, expected = read(tmp_path).weights, whole(model).weights
    assert any(not torch.equal(got[name], expected[name]) for name in got)


def test_more_epochs_go_on_and_are_what_they_would_have_been(few: Few, tmp_path: Path) -> None:
    data = few("convnet")
    short, long = tmp_path / "short", tmp_path / "long"
    run("convnet", data, short, epochs=2)
    result = run("convnet", data, short, resume=True, epochs=4)
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4]
    run("convnet", data, long, epochs=4)
    assert_same_state(read(short), read(long))
    manifest = read_artifact(short / "checkpoint.pt").require_manifest()
    assert manifest.training["recipe"]["epochs"] == manifest.training["epochs"] == 4


def test_a_one_cycle_goes_on_where_it_was_and_its_epochs_are_given(
    few: Few, tmp_path: Path
) -> None:
    data = few("convnet")
    fast: dict[str, Any] = {"schedule": "one-cycle", "dropout": False}
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run("convnet", data, whole, **fast)
    run("convnet", data, stopped, 7, **fast)
    with pytest.raises(ArtifactError, match="was trained with epochs 3, and this run has 4"):
        run("convnet", data, stopped, resume=True, epochs=4, **fast)
    run("convnet", data, stopped, resume=True, **fast)
    assert_same_state(read(stopped), read(whole))


@pytest.mark.parametrize("epochs", [2, 3])
def test_a_finished_run_is_resumed_without_a_step(few: Few, tmp_path: Path, epochs: int) -> None:
    run("convnet", few("convnet"), tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    progress = Stop()
    result = train(
        "convnet",
        few("convnet"),
        recipe_of("convnet", epochs=epochs),
        folder=tmp_path,
        seed=3,
        device="cpu",
        resume=True,
        progress=progress,
    )
    assert progress.done == 0
    assert len(result.history) == 3
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def other_data(data: Dataset) -> Dataset:
    """One pixel of one test picture is another."""
    pixels = data.test.inputs["image"].copy()
    pixels[-1, -1, -1] += 1
    return replace(data, test=replace(data.test, inputs={"image": pixels}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "was trained with seed 3, and this run has 4"),
        ({"lr": 0.5}, "was trained with lr 0.01, and this run has 0.5"),
        ({"batch_size": 60}, "was trained with batch size 50, and this run has 60"),
        ({"optimizer": "adam"}, "was trained with optimizer sgd, and this run has adam"),
        ({"momentum": 0.0}, "was trained with momentum 0.9, and this run has 0.0"),
        ({"dropout": False}, "was trained with dropout True, and this run has False"),
        ({"schedule": "one-cycle"}, "was trained with schedule constant, and this run has one"),
        (
            {"model": "deep-convnet"},
            "was trained with model convnet, and this run has deep-convnet",
        ),
        ({"data": other_data}, "was trained with data "),
    ],
)
def test_another_run_is_refused_with_what_differs(
    change: dict[str, Any], message: str, few: Few, tmp_path: Path
) -> None:
    data = few("convnet")
    run("convnet", data, tmp_path, 2)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    settings: dict[str, Any] = {"model": "convnet", "data": lambda data: data, "seed": 3, **change}
    model, changed, seed = (settings.pop(name) for name in ("model", "data", "seed"))
    recipe = replace(recipe_of("convnet"), **settings)
    with pytest.raises(ArtifactError, match=re.escape(message)) as caught:
        train(model, changed(data), recipe, folder=tmp_path, seed=seed, device="cpu", resume=True)
    assert (caught.value.exit_code, caught.value.code) == (4, "E-RESUME")
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_nothing_to_resume_is_an_error_that_writes_nothing(few: Few, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "convnet"
    with pytest.raises(ArtifactError, match="there is no checkpoint to resume; train without") as (
        caught
    ):
        run("convnet", few("convnet"), folder, resume=True)
    assert (caught.value.exit_code, caught.value.code) == (4, "E-IN-MISSING")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_is_not_resumed(few: Few, tmp_path: Path) -> None:
    run("convnet", few("convnet"), tmp_path, 2)
    path = tmp_path / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        run("convnet", few("convnet"), tmp_path, resume=True)
    assert caught.value.exit_code == 4
    assert path.read_bytes() == content


def test_a_checkpoint_of_weights_alone_is_not_resumed(few: Few, tmp_path: Path) -> None:

    run("convnet", few("convnet"), tmp_path, 2)
    path = tmp_path / "checkpoint.pt"
    manifest = read_artifact(path).require_manifest()
    path.write_bytes(
        zip_archive.embed_manifest(dumps(Checkpoint(read(tmp_path).weights)), manifest.to_json())
    )
    with pytest.raises(ArtifactError, match="has only weights; there is no training to resume"):
        run("convnet", few("convnet"), tmp_path, resume=True)


def test_an_exported_file_in_the_checkpoints_place_is_not_resumed(few: Few, tmp_path: Path) -> None:
    from ptx.export import export, read_model

    run("linear-model", few("linear-model", 3, 3), tmp_path)
    exported = export(
        read_model(tmp_path / "checkpoint.pt"), "torchscript", tmp_path / "linear.torchscript"
    )
    (tmp_path / "checkpoint.pt").write_bytes(exported.path.read_bytes())
    with pytest.raises(ArtifactError, match="is a TorchScript archive; expected a checkpoint"):
        run("linear-model", few("linear-model", 3, 3), tmp_path, resume=True)


def test_the_random_state_is_that_of_the_device_that_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ptx.trainers import trainer

    class Module:
        """Stands for `torch.cuda` on a machine with two devices."""

        def __init__(self) -> None:
            self.states = {"cuda": torch.tensor([0]), "cuda:1": torch.tensor([1])}

        def get_rng_state(self, device: str = "cuda") -> torch.Tensor:
            return self.states[device]

        def set_rng_state(self, state: torch.Tensor, device: str = "cuda") -> None:
            self.states[device] = state

    module = Module()
    monkeypatch.setattr(torch, "get_device_module", lambda kind: module)
    assert trainer._random_states("cuda")["cuda"].tolist() == [0]
    states = trainer._random_states("cuda:1")
    assert states["cuda"].tolist() == [1]
    trainer._restore_random({**states, "cuda": torch.tensor([7])}, "cuda:1")
    assert [state.tolist() for state in module.states.values()] == [[0], [7]]
    assert trainer._random_states("cpu").keys() == {"cpu"}


KILLED: dict[str, Any] = {"epochs": 24, "batch_size": 30}


@pytest.mark.skipif(os.name != "posix", reason="kills with a signal")
def test_a_killed_run_leaves_a_checkpoint_to_go_on_from(worker: Worker, tmp_path: Path) -> None:
    """Twelve kills at random moments; each chain of resumed runs ends bit-identical."""
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    for _ in range(2):  # the second one tells how long a run takes
        begun = time.perf_counter()
        assert worker.run("convnet", whole, **KILLED) == 0, worker.errors
        duration = time.perf_counter() - begun
    expected = read(whole)
    moment = random.Random(0)
    checkpoint, kills, kept = folder / "checkpoint.pt", 0, 0
    while kills < KILLS or not kept:
        resume = checkpoint.exists()
        after = moment.uniform(0.01, duration / 2)
        status = worker.run("convnet", folder, resume=resume, kill_after=after, **KILLED)
        if status == 0:  # it was quicker
            assert_same_state(read(folder), expected)
            checkpoint.unlink()
            continue
        assert status == -signal.SIGKILL, worker.errors
        kills += 1
        if checkpoint.exists():
            load(checkpoint, device="cpu").close()  # written with its digest, whole, and it opens
            kept += 1
    status = worker.run("convnet", folder, resume=checkpoint.exists(), **KILLED)
    assert status == 0, worker.errors
    assert_same_state(read(folder), expected)
    assert {path.name for path in folder.iterdir()} == {"checkpoint.pt", "metrics.csv"}


@pytest.mark.skipif(os.name != "posix", reason="tells a process that is gone by its number")
def test_a_temporary_file_of_a_killed_save_is_swept_by_the_next(
    few: Few, tmp_path: Path, worker: Worker
) -> None:
    assert worker.run("convnet", tmp_path, epochs=1) == 0, worker.errors
    left = tmp_path / f".checkpoint.pt.{worker.process}-0badcafe.ptx-tmp"
    left.write_bytes(b"half of a checkpoint")
    mine = tmp_path / f".checkpoint.pt.{os.getpid()}-0badcafe.ptx-tmp"
    mine.write_bytes(b"a save of this process that is under way")
    run("convnet", few("convnet"), tmp_path, 1)
    assert not left.exists()
    assert mine.exists()


def test_the_seed_decides_the_weights_bit_for_bit(few: Few, tmp_path: Path) -> None:
    data = few("convnet")
    weights: list[dict[str, torch.Tensor]] = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(weights))  # what others do with the generator has no say
        train(
            "convnet", data, recipe_of("convnet"), folder=tmp_path / name, seed=seed, device="cpu"
        )
        weights.append(read(tmp_path / name).weights)
    assert_same(weights[0], weights[1])
    assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
