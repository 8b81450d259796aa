"""The labels and preprocessing of a bare state dict, from the rows that the network gets right."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ptx.export import TrainedModel, read_model
from ptx.infer import InputError
from ptx.infer.external.spec import ModelSpec
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.signature import Array
from ptx.models import CATALOG, build
from ptx.report import find_evaluation_data, resolve_assumptions
from ptx.report.assumptions import NORMALIZATIONS, _chance
from ptx.trainers import Split, open_dataset
from ptx.trainers.data.mnist import FASHION, IdxFile

DIGITS = tuple("0123456789")
CLOTHES = CATALOG["neural-network"].labels
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
UNIT = "pixels scaled to [0, 1]"

Normalize = Callable[[Array], Array]  # of pixels from 0 to 1


def as_they_are(pixels: Array) -> Array:
    return pixels


def digits(rows: int = 2000) -> Split:
    """The first training rows of the bundled digits."""
    data = open_dataset("bundled", default="mnist", cache=Path())
    return data.train.take(np.arange(rows))


def fitted(model: str, split: Split, path: Path, normalize: Normalize = as_they_are) -> Path:
    """The state dict of a network whose last layer is fitted to the rows by least squares."""
    torch.manual_seed(0)
    network = build(model).eval()
    *_, last = (one for one in network.modules() if isinstance(one, torch.nn.Linear))
    features: list[torch.Tensor] = []
    handle = last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    pixels = normalize(split.inputs["image"].astype(np.float32) / 255)
    if model != "neural-network":
        pixels = pixels.reshape(len(pixels), -1)
    with torch.no_grad():
        network(torch.from_numpy(pixels))
        handle.remove()
        targets = torch.nn.functional.one_hot(torch.from_numpy(split.targets), 10).float()
        ridge = 0.01 * len(pixels) ** 0.5 * torch.eye(features[0].shape[1])
        wide = torch.cat([features[0], ridge])
        padded = torch.cat([targets - 0.1, torch.zeros(len(ridge), 10)])
        last.weight.copy_(torch.linalg.lstsq(wide, padded).solution.T)
        if last.bias is not None:
            last.bias.fill_(0)
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the bundled digits, unless a test says otherwise."""
    monkeypatch.delenv("PTX_DATA", raising=False)


def resolved(
    path: Path, model: str, source: str | None = None, overrides: ModelSpec | None = None
) -> tuple[TrainedModel, list[str]]:
    notes: list[str] = []
    trained = read_model(path, model=model, overrides=overrides)
    return (
        resolve_assumptions(trained, source, cache=path.parent / "data", notify=notes.append),
        notes,
    )


def test_the_preprocessing_that_is_right_replaces_the_assumed_one(tmp_path: Path) -> None:
    path = fitted("sigmoid-mlp", digits(), tmp_path / "model.pth", lambda pixels: 255 * pixels)
    trained, notes = resolved(path, "sigmoid-mlp")
    manifest = trained.manifest
    assert (manifest.preprocessing["mean"], manifest.preprocessing["std"]) == (0, 1 / 255)
    assert manifest.labels == DIGITS
    assert manifest.training["assumed"] == {}
    record = manifest.training["selected"]
    assert (record["data"], record["rows"]) == ("bundled-mnist", 500)
    assert record["right"] > 0.7 * record["rows"] > record["next_best"]
    (note,) = notes
    assert f"{record['right']} of 500 test rows right; next best {record['next_best']}" in note


def test_inverted_pixels_are_tried(tmp_path: Path) -> None:
    path = fitted("softmax-regression", digits(), tmp_path / "model.pth", lambda pixels: 1 - pixels)
    trained, _ = resolved(path, "softmax-regression")
    manifest = trained.manifest
    opened = open_preprocessing(manifest.preprocessing, manifest.signature)
    pixels = np.tile(np.array([0, 255], np.uint8), 392).reshape(1, 28, 28)
    (image,) = opened.collate(opened.transform_rows(pixels)).values()
    assert image[0, 0] > image[0, 1]  # black is larger than white


def test_a_network_for_clothes_that_was_trained_on_digits_gets_their_labels(tmp_path: Path) -> None:
    path = fitted("neural-network", digits(), tmp_path / "model.pth")
    trained, _ = resolved(path, "neural-network")
    assert trained.manifest.labels == DIGITS
    assert "labels" not in trained.manifest.training["assumed"]
    rows = find_evaluation_data(trained, None, cache=tmp_path)
    assert rows.split is not None
    assert len(rows.split) == 2000


def clothes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Split:
    """A tiny data set in the place of Fashion-MNIST: a bright bar, whose row is the class."""
    random = np.random.default_rng(0)
    targets = np.tile(np.arange(10, dtype=np.uint8), 60)
    images = random.integers(0, 60, (600, 28, 28), np.uint8)
    for image, target in zip(images, targets, strict=True):
        image[4 + 2 * target : 6 + 2 * target, 4:24] = 220
    (folder / FASHION.folder).mkdir(parents=True)
    files = []
    for part in ("train", "t10k"):
        for name, values in (("images-idx3", images), ("labels-idx1", targets)):
            header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
            content = header + values.tobytes()
            file = IdxFile(f"{part}-{name}-ubyte", values.shape, hashlib.md5(content).hexdigest())
            (folder / FASHION.folder / f"{file.name}.gz").write_bytes(gzip.compress(content))
            files.append(file)
    spec = replace(FASHION, files=tuple(files))
    monkeypatch.setattr("ptx.trainers.data.mnist.FASHION", spec)
    monkeypatch.setenv("PTX_DATA", str(folder))
    return Split({"image": images}, targets.astype(np.int64))


@pytest.mark.parametrize("model", ["neural-network", "softmax-mlp"])
def test_clothes_are_told_from_digits_where_their_data_is_at_hand(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fitted(model, clothes(tmp_path, monkeypatch), tmp_path / "model.pth")
    trained, _ = resolved(path, model)
    assert trained.manifest.labels == CLOTHES
    assert trained.manifest.preprocessing["resize_mode"] == "letterbox"
    assert trained.manifest.training["selected"]["data"] == "fashion-mnist"
    assert "labels" not in trained.manifest.training["assumed"]
    rows = find_evaluation_data(trained, None, cache=tmp_path)
    assert rows.split is not None
    assert len(rows.split) == 600


def test_damaged_data_that_nobody_asked_for_is_named_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clothes(tmp_path, monkeypatch)
    (tmp_path / FASHION.folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"no"))
    path = fitted("neural-network", digits(), tmp_path / "model.pth")
    trained, notes = resolved(path, "neural-network")
    assert trained.manifest.labels == DIGITS
    assert "fashion-mnist is not tried" in notes[0]
    with pytest.raises(InputError, match="MD5"):
        resolved(path, "neural-network", "fashion-mnist")


def test_a_network_that_is_never_right_keeps_the_assumptions_with_a_note(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(build("neural-network").state_dict(), tmp_path / "model.pth")
    before = read_model(tmp_path / "model.pth", model="neural-network")
    trained, notes = resolved(tmp_path / "model.pth", "neural-network")
    assert trained.manifest == before.manifest
    assert set(trained.manifest.training["assumed"]) == {"labels", "preprocessing"}
    assert "fashion-mnist is neither under PTX_DATA" in notes[0]
    assert "clearly right" in notes[1]


def test_what_rows_cannot_decide_stays_assumed(tmp_path: Path) -> None:
    # A linear network without a bias has the same label for pixels to 1 and to 255.
    path = fitted("softmax-regression", digits(), tmp_path / "model.pth")
    trained, notes = resolved(path, "softmax-regression")
    assert trained.manifest.preprocessing == CATALOG["softmax-regression"].preprocessing
    assert trained.manifest.training["assumed"] == {"preprocessing": UNIT}
    assert "too close to decide" in notes[0]
    assert "pixels from 0 to 255" in notes[0]
    assert "next_best" not in trained.manifest.training["selected"]


def test_what_is_stated_is_kept(tmp_path: Path) -> None:
    path = fitted("softmax-regression", digits(), tmp_path / "model.pth", lambda pixels: 1 - pixels)
    turned = ModelSpec(labels=DIGITS[::-1])
    trained, notes = resolved(path, "softmax-regression", overrides=turned)
    assert trained.manifest.labels == DIGITS[::-1]
    assert "clearly right" in notes[0]
    centred = ModelSpec(mean=(0.5,), std=(0.5,))
    trained, _ = resolved(path, "softmax-regression", overrides=centred)
    assert (trained.manifest.preprocessing["mean"], trained.manifest.preprocessing["std"]) == (
        0.5,
        0.5,
    )
    both = replace(centred, labels=DIGITS)
    trained, notes = resolved(path, "softmax-regression", overrides=both)
    assert "selected" not in trained.manifest.training
    assert notes == []


def test_a_folder_of_one_s_own_classes_gives_its_labels_in_sorted_order(tmp_path: Path) -> None:
    names = sorted(WORDS)
    split = digits()
    index = np.array([names.index(word) for word in WORDS])
    path = fitted(
        "sigmoid-mlp",
        replace(split, targets=index[split.targets]),
        tmp_path / "model.pth",
        lambda pixels: 255 * pixels,
    )
    for word in WORDS:
        (tmp_path / "pictures" / word).mkdir(parents=True)
    test = open_dataset("bundled", default="mnist", cache=Path()).test
    for row, (pixels, target) in enumerate(
        zip(test.inputs["image"][:400], test.targets[:400], strict=True)
    ):
        Image.fromarray(pixels).save(tmp_path / "pictures" / WORDS[target] / f"{row}.png")
    source = str(tmp_path / "pictures")
    trained, _ = resolved(path, "sigmoid-mlp", source)
    assert trained.manifest.labels == tuple(names)
    assert trained.manifest.preprocessing["std"] == 1 / 255
    assert trained.manifest.training["selected"]["data"] == "pictures"
    rows = find_evaluation_data(trained, source, cache=tmp_path)
    assert rows.split is not None


@pytest.mark.parametrize("model", ["diabetes", "name-classifier", "char-rnn"])
def test_other_inputs_than_images_are_not_tried(model: str, tmp_path: Path) -> None:
    torch.save(build(model).state_dict(), tmp_path / "model.pth")
    before = read_model(tmp_path / "model.pth", model=model)
    trained, notes = resolved(tmp_path / "model.pth", model)
    assert trained.manifest == before.manifest
    assert notes == []


@pytest.mark.parametrize("text", NORMALIZATIONS)
def test_every_usual_preprocessing_is_one_of_a_manifest(text: str) -> None:
    entry = CATALOG["convnet"]
    manifest = read_manifest(NORMALIZATIONS[text])
    opened = open_preprocessing(manifest, ModelSpec.from_data(dict(entry.signature)).signature())
    assert opened.image_spec is not None
    assert np.isfinite(opened.image_spec.lookup_table).all()


def read_manifest(normalization: dict[str, float]) -> dict[str, object]:
    return {**CATALOG["convnet"].preprocessing, **normalization}


@pytest.mark.parametrize(
    ("better", "worse", "chance"),
    [(0, 0, 1.0), (10, 0, 2 / 1024), (0, 10, 2 / 1024), (3, 1, 10 / 16), (1500, 0, 0.0)],
)
def test_the_sign_test_counts_the_rows_that_differ(better: int, worse: int, chance: float) -> None:
    def trial(*runs: Sequence[bool]) -> Array:
        return np.concatenate([np.asarray(run, np.bool_) for run in runs])

    first = trial([True] * better, [False] * worse, [True] * 20)
    second = trial([False] * better, [True] * worse, [True] * 20)
    assert _chance(first, second) == pytest.approx(chance)
