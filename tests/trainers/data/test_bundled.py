"""The data in the package, held against the originals and against known counts."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ptx.trainers.data import Dataset, open_dataset
from ptx.trainers.data.dataset import read_bundled
from ptx.trainers.data.mnist import MNIST, read_folder
from ptx.trainers.data.tables import diabetes_folds

ROOT = Path(__file__).parents[3]
SHARED = ROOT.parent / "shared" / "datasets"
needs_shared = pytest.mark.skipif(
    not (SHARED / "MNIST/raw").is_dir(), reason="whole MNIST is not beside the repository"
)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return open_dataset("bundled", default="mnist", cache=Path("nowhere"))


def build_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "build_bundled", ROOT / "scripts/catalog/build_bundled.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_bundled_mnist_is_small_and_of_the_form_of_mnist(digits: Dataset) -> None:
    assert len(read_bundled("mnist.npz")) <= 1_700_000
    assert digits.row_type == "image"
    assert digits.labels == tuple("0123456789")
    for split, rows in ((digits.train, 10_000), (digits.test, 2_000)):
        assert len(split) == rows
        assert split.inputs["image"].shape == (rows, 28, 28)
        assert split.inputs["image"].dtype == np.uint8
        assert split.targets.dtype == np.int64
        assert split.inputs["image"].flags.writeable
    # MNIST's own mean of all pixels is 0.1307.
    assert digits.train.inputs["image"].mean() / 255 == pytest.approx(0.1307, abs=0.001)


@needs_shared
def test_bundled_mnist_holds_originals_in_the_proportions_of_their_set(digits: Dataset) -> None:
    for part, whole in zip(
        (digits.train, digits.test), read_folder(MNIST, SHARED / "MNIST/raw"), strict=True
    ):
        share = len(part) / len(whole)
        counts = np.bincount(part.targets) - np.bincount(whole.targets) * share
        assert np.abs(counts).max() < 1
        known = {
            (image.tobytes(), int(label))
            for image, label in zip(whole.inputs["image"], whole.targets, strict=True)
        }
        mine = [
            (image.tobytes(), int(label))
            for image, label in zip(part.inputs["image"], part.targets, strict=True)
        ]
        assert known.issuperset(mine)
        assert len(set(mine)) == len(mine)


@needs_shared
def test_rebuilding_the_bundled_mnist_gives_the_same_bytes() -> None:
    assert build_script().build(SHARED / "MNIST/raw") == read_bundled("mnist.npz")


def test_packing_depends_on_nothing_but_the_arrays() -> None:
    script = build_script()
    arrays: dict[str, NDArray[Any]] = {"a": np.arange(5), "b": np.eye(3, dtype=np.float32)}
    packed = script.packed(arrays)
    assert packed == script.packed(arrays)
    with np.load(io.BytesIO(packed)) as read:
        assert set(read) == set(arrays)
        for name, values in arrays.items():
            np.testing.assert_array_equal(read[name], values)
            assert read[name].dtype == values.dtype


def test_shares_add_up_and_follow_the_counts() -> None:
    counts = np.array([5, 3, 3, 1])
    assert build_script().shares(counts, 6).tolist() == [3, 2, 1, 0]


@needs_shared
@pytest.mark.parametrize("name", ["diabetes.csv", "names/names.csv"])
def test_bundled_tables_are_the_originals(name: str) -> None:
    assert read_bundled(Path(name).name) == (SHARED / name).read_bytes()


def test_names_are_split_within_each_language(tmp_path: Path) -> None:
    names = open_dataset("names", default="names", cache=tmp_path)
    assert len(names.train) + len(names.test) == 20_050
    assert len(names.labels) == 18
    assert list(names.labels) == sorted(names.labels)
    train, test = (np.bincount(split.targets) for split in (names.train, names.test))
    assert (np.abs(test / (train + test) - 0.2) < 0.05).all()  # names, not rows, are shared out
    russian = names.labels.index("Russian")
    assert int((train + test)[russian]) == 9_384
    assert all(type(text) is str for text in names.test.inputs["text"])


def test_no_name_of_the_test_is_known_from_the_training(tmp_path: Path) -> None:
    names = open_dataset("names", default="names", cache=tmp_path)
    known = {text.casefold() for text in names.train.inputs["text"]}
    assert [text for text in names.test.inputs["text"] if text.casefold() in known] == []


def test_diabetes_is_split_within_its_classes(tmp_path: Path) -> None:
    table = open_dataset("bundled", default="diabetes", cache=tmp_path)
    assert table.train.inputs["columns"].shape == (614, 8)
    assert table.test.inputs["columns"].shape == (154, 8)
    assert table.train.inputs["columns"].dtype == np.float32
    assert np.bincount(table.train.targets).tolist() == [400, 214]
    assert np.bincount(table.test.targets).tolist() == [100, 54]


def test_diabetes_folds_test_each_row_once() -> None:
    folds = diabetes_folds(5)
    assert [len(fold.test) for fold in folds] == [154, 154, 154, 153, 153]
    assert sum(int(fold.test.targets.sum()) for fold in folds) == 268
    rows = np.concatenate([fold.test.inputs["columns"] for fold in folds])
    assert len(np.unique(rows, axis=0)) == 768


def test_the_digest_tells_the_content_and_not_the_file(digits: Dataset, tmp_path: Path) -> None:
    known = {name: open_dataset(name, default=name, cache=tmp_path).sha256 for name in DIGESTS}
    assert known == DIGESTS
    fewer = Dataset("x", "image", digits.test, digits.test, digits.labels, "")
    assert fewer.sha256 != digits.sha256
    renamed = Dataset("x", "image", digits.train, digits.test, digits.labels, "")
    assert renamed.sha256 == digits.sha256


# A change here is a change of the data or of its canonical order: say so in the change log.
DIGESTS = {
    "bundled-mnist": "9f889f9b887b51724497107e251d0744653c1e6db833ece176461d1dac92e209",
    "names": "e4eaa05864aff832161b1a99100eae391f41f96f17b6fef40cba4d3ea1321c3f",
    "diabetes": "75e550238b5f3d43a4dfd030b1cd8a7b68cd110e01f5a1585d16ffab2360f130",
    "hello": "1318a579a7b611d8eb65bb3e6aee93382ec61b3bb6013ca315d6b91c62d438a8",
}
