"""A run from its data to its checkpoint, and what stops it before or while it works."""

from __future__ import annotations

import csv
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from ptx.infer import load, read_artifact
from ptx.infer.calibration import Calibration
from ptx.infer.errors import BackendError, InputError, LimitError, OutputError, PtxError, UsageError
from ptx.infer.preprocessing import open_preprocessing
from ptx.models import CATALOG
from ptx.models.checkpoint import loads
from ptx.trainers import (
    Dataset,
    Recipe,
    Split,
    TrainingResult,
    default_recipe,
    sample_inputs,
    train,
)
from ptx.trainers.loop import RunningMetrics
from ptx.trainers.manifest import make_manifest
from ptx.trainers.training import _denormals_are_zero, _without_denormals

if TYPE_CHECKING:
    from tests.trainers.conftest import Worker

Few = Callable[..., Dataset]

quick = pytest.mark.usefixtures("without_plot")


def run(model: str, data: Dataset, folder: Path, **options: Any) -> TrainingResult:
    recipe = options.pop("recipe", None) or default_recipe(model, batch_size=50, epochs=2)
    return train(model, data, recipe, folder=folder, **{"device": "cpu", **options})


@quick
def test_a_finished_classifier_is_calibrated_and_one_of_digits_has_the_detector(
    few: Few, tmp_path: Path
) -> None:
    data = few("convnet")
    manifest = read_artifact(run("convnet", data, tmp_path / "digits").checkpoint).manifest
    assert manifest is not None
    calibration = Calibration.from_data(
        manifest.calibration, manifest.task, (28, 28), len(manifest.labels)
    )
    assert calibration is not None
    assert 0.1 <= calibration.temperature <= 10
    seven = int(np.flatnonzero(data.test.targets == 7)[0])
    pixels, sure = data.test.inputs["image"][seven], 20 * np.eye(10, dtype=np.float32)
    wrong = calibration.error_probabilities(sure[[7, 4]], [pixels, pixels])
    assert wrong is not None
    assert wrong[0] < 0.2 < 0.8 < wrong[1]
    named = replace(data, labels=tuple(f"figure {label}" for label in data.labels))
    other = read_artifact(run("convnet", named, tmp_path / "others").checkpoint).manifest
    assert other is not None
    assert list(other.calibration) == ["temperature"]


@quick
def test_a_regression_is_not_calibrated(few: Few, tmp_path: Path) -> None:
    manifest = read_artifact(run("linear-model", few("linear-model"), tmp_path).checkpoint).manifest
    assert manifest is not None
    assert manifest.calibration == {}


def test_a_run_leaves_three_files(few: Few, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "convnet"  # both are made
    result = run("convnet", few("convnet"), folder)
    assert {path.name for path in folder.iterdir()} == {
        "checkpoint.pt",
        "metrics.csv",
        "training.png",
    }
    assert result.checkpoint == folder / "checkpoint.pt"
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, expected in zip(rows, result.history, strict=True):
        assert {name: float(text) for name, text in row.items()} == pytest.approx(
            expected, rel=1e-3, abs=1e-3
        )
    with Image.open(folder / "training.png") as image:
        assert image.size == (840, 720)


@quick
def test_the_checkpoint_of_the_run_before_is_kept_once(few: Few, tmp_path: Path) -> None:
    data = few("linear-model", 3, 3)
    path, kept = tmp_path / "checkpoint.pt", tmp_path / "checkpoint.previous.pt"
    contents = []
    for seed in range(3):
        run("linear-model", data, tmp_path, seed=seed)
        contents.append(path.read_bytes())
    assert kept.read_bytes() == contents[1]
    recipe = default_recipe("linear-model", batch_size=50, epochs=3)
    run("linear-model", data, tmp_path, seed=2, recipe=recipe, resume=True)
    assert kept.read_bytes() == contents[1]


@quick
def test_a_run_that_saves_nothing_moves_no_checkpoint(few: Few, tmp_path: Path) -> None:
    data = few("linear-model", 3, 3)
    run("linear-model", data, tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    wild = default_recipe("linear-model", epochs=100, lr=1e6, weight_decay=1e30)
    with pytest.raises(PtxError, match="diverged"):
        run("linear-model", data, tmp_path, recipe=wild)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not (tmp_path / "checkpoint.previous.pt").exists()


@quick
def test_what_is_no_checkpoint_is_kept_too(few: Few, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"something else")
    run("linear-model", few("linear-model", 3, 3), tmp_path)
    assert (tmp_path / "checkpoint.previous.pt").read_bytes() == b"something else"


@quick
def test_a_resume_says_how_many_epochs_it_trained(few: Few, tmp_path: Path) -> None:
    data = few("linear-model", 3, 3)
    assert run("linear-model", data, tmp_path).trained == 2
    assert run("linear-model", data, tmp_path, resume=True).trained == 0


@quick
@pytest.mark.parametrize("model", CATALOG)
def test_each_model_trains_on_its_data_and_predicts(model: str, few: Few, tmp_path: Path) -> None:
    rows = {"hello": 1, "three-points": 3, "hours": 3}.get(CATALOG[model].data, 60)
    data = few(model, rows, rows)
    result = run(model, data, tmp_path)
    assert [row["epoch"] for row in result.history] == [1, 2]
    manifest = read_artifact(result.checkpoint).require_manifest()
    assert (manifest.model, manifest.task, manifest.labels) == (
        model,
        CATALOG[model].task,
        data.labels,
    )
    assert manifest.training["data"] == {
        "name": data.name,
        "source": data.source,
        "sha256": data.sha256,
        "rows": rows,
        "test_rows": rows,
    }
    assert manifest.training["recipe"] == default_recipe(model, batch_size=50, epochs=2).to_data()
    assert (manifest.training["seed"], manifest.training["epochs"]) == (0, 2)
    assert manifest.training["device"] == "cpu"
    assert set(manifest.training["precision"].values()) == {"float32"}
    (value, *_) = next(iter(data.test.inputs.values()))
    answer = "hello" if model.startswith("char-rnn") else value
    with load(result.checkpoint, device="cpu") as predictor:
        prediction = predictor.predict(answer)
    assert (prediction.value is None) == bool(data.labels)


@quick
def test_samples_are_the_first_test_rows_as_prediction_prepares_them(
    few: Few, tmp_path: Path
) -> None:
    for model, axis, count in (("lstm", 1, 64), ("name-classifier", 0, 64), ("linear-model", 0, 3)):
        data = few(model, 3 if count == 3 else 100, 3 if count == 3 else 100)
        samples = loads(run(model, data, tmp_path).checkpoint.read_bytes()).samples
        assert [tensor.shape[axis] for tensor in samples.values()] == [count] * len(samples)
        manifest = make_manifest(model, data, default_recipe(model), 0)
        for name, tensor in sample_inputs(manifest, data).items():
            assert torch.equal(samples[name], tensor)
            assert samples[name].is_contiguous()
        with load(tmp_path / "checkpoint.pt", device="cpu") as predictor:
            (values,) = data.test.inputs.values()
            inputs = predictor.preprocessing.collate(
                [predictor.preprocessing.transform(value) for value in values[:count]]
            )
        for name, array in inputs.items():
            assert samples[name].numpy().tobytes() == array.tobytes()


def of_three_classes(data: Dataset) -> Dataset:
    def three(split: Split) -> Split:
        return split.take(np.flatnonzero(split.targets < 3))

    return replace(data, train=three(data.train), test=three(data.test), labels=("a", "b", "c"))


@quick
@pytest.mark.parametrize("model", ["convnet", "lstm", "mlp", "inception", "name-classifier"])
def test_labels_and_logits_follow_the_data(model: str, few: Few, tmp_path: Path) -> None:
    data = of_three_classes(few(model, 200, 100))
    result = run(model, data, tmp_path)
    manifest = read_artifact(result.checkpoint).require_manifest()
    assert manifest.labels == ("a", "b", "c")
    assert manifest.config["classes"] == 3
    assert manifest.signature.outputs[0].axes == ("batch", 3)
    assert CATALOG[model].config["classes"] != 3
    with load(result.checkpoint, device="cpu") as predictor:
        (values,) = data.test.inputs.values()
        answer = predictor.predict(values[0], top=10)
    assert {label for label, _ in answer.top} == {"a", "b", "c"}


@quick
def test_white_says_what_the_brightest_pixel_is(few: Few) -> None:
    data = few("lstm")
    for white in (1, 255):
        manifest = make_manifest("lstm", data, default_recipe("lstm", max_pixel=white), 0)
        pixels = np.array([[[0, 255] * 14] * 28], np.uint8)
        opened = open_preprocessing(manifest.preprocessing, manifest.signature)
        assert np.unique(opened.collate(list(pixels))["sequence"]) == pytest.approx([0, white])


def test_columns_have_no_white(few: Few, tmp_path: Path) -> None:
    recipe = default_recipe("diabetes", max_pixel=255)
    with pytest.raises(UsageError, match="diabetes has no gray images for max_pixel 255"):
        run("diabetes", few("diabetes"), tmp_path / "run", recipe=recipe)


def test_standardised_columns_take_mean_and_spread_of_the_training_rows(
    few: Few, tmp_path: Path
) -> None:
    data = few("diabetes", 200, 60)
    constant = data.train.inputs["columns"].copy()
    constant[:, 3] = 5.0
    data = replace(data, train=Split({"columns": constant}, data.train.targets))
    result = run("diabetes", data, tmp_path)
    preprocessing = read_artifact(result.checkpoint).require_manifest().preprocessing
    columns = constant.astype(np.float64)
    np.testing.assert_allclose(preprocessing["mean"], columns.mean(axis=0), rtol=1e-12)
    spread = columns.std(axis=0)
    assert spread[3] == 0 < preprocessing["std"][3]
    np.testing.assert_allclose(np.delete(preprocessing["std"], 3), np.delete(spread, 3), rtol=1e-12)
    assert np.isfinite(result.history[-1]["train_loss"])


@quick
def test_the_form_of_the_pictures_follows_the_data(few: Few) -> None:
    data = replace(few("convnet"), resize_mode="letterbox")
    assert (
        make_manifest("convnet", data, default_recipe("convnet"), 0).preprocessing["resize_mode"]
        == "letterbox"
    )


def blank(*shape: int) -> Dataset:
    rows = Split({"image": np.zeros((4, *shape), np.uint8)}, np.arange(4) % 2)
    return Dataset("blank", "image", rows, rows, ("no", "yes"), "nothing")


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (
            "linear-model",
            lambda few: few("mnist-like"),
            "takes numbers, 1 a row; the training split",
        ),
        ("convnet", lambda few: few("name-classifier"), "of names has texts"),
        (
            "convnet",
            lambda few: blank(32, 32),
            "the training split of blank has images of 32×32",
        ),
        ("lstm", lambda few: blank(56, 28), "the training split of blank has images of 56×28"),
        ("diabetes", lambda few: few("logistic-regression", 3, 3), "has numbers, 1 a row"),
        (
            "linear-model",
            lambda few: few("logistic-regression", 3, 3),
            "linear-model predicts numbers",
        ),
        (
            "logistic-regression",
            lambda few: replace(few("logistic-regression", 3, 3), labels=("a", "b", "c")),
            "hours has 3 classes; logistic-regression, a model for binary, takes 2",
        ),
        (
            "convnet",
            lambda few: replace(only_zeros(few("convnet")), labels=("0",)),
            "has 1 class; convnet, a model for classification, takes at least 2",
        ),
        (
            "convet",
            lambda few: few("convnet"),
            "there is no model 'convet'; did you mean 'convnet'",
        ),
    ],
)
def test_data_that_is_not_for_the_model_is_wrong_usage_and_writes_nothing(
    model: str, data: Callable[[Few], Dataset], message: str, few: Few, tmp_path: Path
) -> None:
    def named(name: str, *rows: int) -> Dataset:
        return few("convnet" if name == "mnist-like" else name, *rows)

    recipe = default_recipe(model if model in CATALOG else "convnet", epochs=1)
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        run(model, data(named), tmp_path / "run", recipe=recipe)
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def only_zeros(data: Dataset) -> Dataset:
    def zeros(split: Split) -> Split:
        return split.take(np.flatnonzero(split.targets == 0))

    return replace(data, train=zeros(data.train), test=zeros(data.test))


def test_data_without_test_rows_is_named_and_writes_nothing(few: Few, tmp_path: Path) -> None:
    data = few("convnet")
    empty = replace(data, test=data.test.take(np.arange(0)))
    with pytest.raises(InputError, match="the test split of bundled-mnist has no rows"):
        run("convnet", empty, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "names", [{"name": "na\udcffme"}, {"labels": (*"012345678", "ni\udcffne")}]
)
def test_a_name_that_is_no_text_is_named_and_writes_nothing(
    names: dict[str, Any], few: Few, tmp_path: Path
) -> None:
    message = re.escape("\\udcff") + ".* is not valid text: rename the file or folder"
    with pytest.raises(InputError, match=message):
        run("convnet", replace(few("convnet"), **names), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_label_that_rings_is_named_before_the_training(few: Few, tmp_path: Path) -> None:
    data = replace(few("convnet"), labels=(*"012345678", "ni\x07ne"))
    with pytest.raises(InputError, match=r"label 'ni\\x07ne' contains a control character"):
        run("convnet", data, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cudaa"}, "there is no device 'cudaa'; did you mean 'cuda'"),
        ({"seed": -1}, "the seed is -1; expected an integer from 0 to 4294967295"),
        ({"seed": 2**32}, "the seed is 4294967296; expected an integer from 0 to 4294967295"),
        (
            {"recipe": Recipe("mse-mean", "sgd", 0.01, 10, 1)},
            "convnet cannot be trained with mse-mean; expected cross-entropy",
        ),
        (
            {"recipe": Recipe("cross-entropy", "sgd", 0.01, 10, 1, standardise=True)},
            "convnet has no columns to standardise",
        ),
    ],
)
def test_an_option_that_cannot_be_is_wrong_usage_and_writes_nothing(
    options: dict[str, Any], message: str, few: Few, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        run("convnet", few("convnet"), tmp_path / "run", **options)
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


@quick
def test_the_largest_seed_trains(few: Few, tmp_path: Path) -> None:
    run("softmax-regression", few("softmax-regression"), tmp_path, seed=2**32 - 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_here_is_not_replaced(few: Few, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="device 'cuda' is not available") as caught:
        run("convnet", few("convnet"), tmp_path / "run", device="cuda")
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


@quick
@pytest.mark.parametrize(("model", "lr"), [("linear-model", 1.0), ("convnet", 1e6)])
def test_a_run_that_diverges_says_so_and_keeps_what_was_saved(
    model: str, lr: float, few: Few, tmp_path: Path
) -> None:
    rows = 3 if model == "linear-model" else 230
    data = few(model, rows, rows)
    run(model, data, tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    decay = 0.0 if model == "linear-model" else 1e30
    wild = default_recipe(model, batch_size=50, epochs=100, lr=lr, weight_decay=decay)
    message = (
        rf"the training diverged in epoch \d+: .* use a learning rate below {re.escape(f'{lr:g}')}"
    )
    with pytest.raises(PtxError, match=message) as caught:
        run(model, data, tmp_path, recipe=wild)
    assert (caught.value.exit_code, caught.value.code) == (1, "E-DIVERGED")
    kept = read_artifact(tmp_path / "checkpoint.pt")
    kept.require_manifest()
    assert all(tensor.isfinite().all() for tensor in loads(kept.data).weights.values())
    assert kept.data == before or model == "linear-model"  # whose first epochs were finite


@quick
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_is_a_limit(
    error: Exception, few: Few, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, *inputs: torch.Tensor) -> torch.Tensor:
        raise error

    monkeypatch.setattr("ptx.models.networks.convnet.ConvNet.forward", fail)
    with pytest.raises(LimitError, match="ran out of memory on cpu: use a smaller batch") as caught:
        run("convnet", few("convnet"), tmp_path)
    assert caught.value.exit_code == 6


@quick
def test_another_error_of_torch_is_not_taken_for_a_lack_of_memory(
    few: Few, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, *inputs: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("ptx.models.networks.convnet.ConvNet.forward", fail)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run("convnet", few("convnet"), tmp_path)


class Unreachable:
    """A progress of a run that must not begin."""

    def epoch_begins(self, epoch: int, epochs: int, rows: int, done: int) -> None:
        raise AssertionError("the training has begun")

    def step_done(self, rows: int, metrics: RunningMetrics) -> None: ...
    def epoch_ends(self, row: dict[str, float]) -> None: ...


@pytest.mark.parametrize("name", ["checkpoint.pt", "metrics.csv", "training.png"])
def test_a_folder_in_a_files_place_is_found_out_before_the_training(
    name: str, few: Few, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match=f"{name}' is a folder") as caught:
        run("convnet", few("convnet"), tmp_path, progress=Unreachable())
    assert caught.value.exit_code == 5
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_in_the_folders_place_is_found_out_before_the_training(
    few: Few, tmp_path: Path
) -> None:
    (tmp_path / "runs").write_text("a file")
    for folder in (tmp_path / "runs", tmp_path / "runs" / "convnet"):
        with pytest.raises(OutputError, match="cannot be created") as caught:
            run("convnet", few("convnet"), folder, progress=Unreachable())
        assert caught.value.exit_code == 5


@pytest.fixture
def locked(few: Few) -> Iterator[Path]:
    """A folder that this process may not write to; root, whom nothing stops, becomes nobody."""
    few("convnet").sha256  # noqa: B018 - opened before the change of user
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        yield folder
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="has no users")
def test_a_folder_without_permission_is_found_out_before_the_training(
    few: Few, locked: Path
) -> None:
    for folder in (locked, locked / "convnet"):
        with pytest.raises(OutputError, match="Permission denied") as caught:
            run("convnet", few("convnet"), folder, progress=Unreachable())
        assert caught.value.exit_code == 5


@pytest.mark.skipif(os.name != "posix", reason="limits the size of a file")
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, -1])
def test_a_full_disk_leaves_the_old_checkpoint(
    share: float, worker: Worker, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"
    recipe: dict[str, Any] = {"epochs": 1, "batch_size": 30}
    assert worker.run("convnet", tmp_path, **recipe) == 0, worker.errors
    before = path.read_bytes()
    limit = len(before) - 1 if share < 0 else int(share * len(before))
    for resume in (False, True):
        longer = {**recipe, "epochs": 2} if resume else recipe
        status = worker.run("convnet", tmp_path, resume=resume, file_limit=limit, **longer)
        assert status == 5, worker.errors
        target = path if resume else path.with_name("checkpoint.previous.pt")
        assert worker.errors.splitlines()[-1].startswith(
            f"E-OUT-SPACE '{target}' cannot be written"
        )
        assert path.read_bytes() == before
        assert {file.name for file in tmp_path.iterdir()} == {"checkpoint.pt", "metrics.csv"}
    assert worker.run("convnet", tmp_path, resume=True, epochs=2, batch_size=30) == 0


class Recorder:
    """A progress that writes down what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def epoch_begins(self, epoch: int, epochs: int, rows: int, done: int) -> None:
        self.calls.append(("begins", epoch, epochs, rows, done))

    def step_done(self, rows: int, metrics: RunningMetrics) -> None:
        assert metrics.rows == rows
        self.calls.append(("step", rows))

    def epoch_ends(self, row: dict[str, float]) -> None:
        self.calls.append(("ends", row))


@quick
def test_progress_is_told_each_epoch_and_each_step(few: Few, tmp_path: Path) -> None:
    progress = Recorder()
    result = run("convnet", few("convnet", 120), tmp_path, progress=progress)
    steps = [("step", 50), ("step", 100), ("step", 120)]
    assert progress.calls == [
        ("begins", 1, 2, 120, 0),
        *steps,
        ("ends", result.history[0]),
        ("begins", 2, 2, 120, 0),
        *steps,
        ("ends", result.history[1]),
    ]


@quick
def test_progress_of_a_resumed_epoch_begins_where_it_was_left(few: Few, tmp_path: Path) -> None:
    import signal

    class Stop(Recorder):
        def step_done(self, rows: int, metrics: RunningMetrics) -> None:
            super().step_done(rows, metrics)
            signal.raise_signal(signal.SIGINT)

    first, second = Stop(), Recorder()
    run("convnet", few("convnet", 120), tmp_path, progress=first)
    assert first.calls == [("begins", 1, 2, 120, 0), ("step", 50)]
    result = run("convnet", few("convnet", 120), tmp_path, progress=second, resume=True)
    assert second.calls[:4] == [
        ("begins", 1, 2, 120, 50),
        ("step", 100),
        ("step", 120),
        ("ends", result.history[0]),
    ]


@quick
def test_the_checkpoint_is_there_when_progress_hears_of_the_end_of_its_epoch(
    few: Few, tmp_path: Path
) -> None:
    epochs = []

    class Watch(Recorder):
        def epoch_ends(self, row: dict[str, float]) -> None:
            manifest = read_artifact(tmp_path / "checkpoint.pt").require_manifest()
            epochs.append((row["epoch"], manifest.training["epochs"]))

    run("convnet", few("convnet"), tmp_path, progress=Watch())
    assert epochs == [(1, 1), (2, 2)]


@pytest.mark.parametrize("flush", [True, False])
def test_the_applications_choice_on_denormals_is_there_again(flush: bool) -> None:
    try:
        torch.set_flush_denormal(flush)
        with _without_denormals():
            assert _denormals_are_zero()
        assert _denormals_are_zero() == flush
    finally:
        torch.set_flush_denormal(False)
