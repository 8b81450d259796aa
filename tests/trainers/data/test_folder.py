"""Pictures of one's own: read as prediction reads them, split, and every problem named at once."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ptx.infer.errors import InputError
from ptx.infer.images.decode import decode
from ptx.infer.images.resize import RESIZE_MODES
from ptx.trainers.data import Dataset, open_dataset


def picture(path: Path, seed: int = 0) -> Path:
    """A bright angle on black, its place given by the seed."""
    random = np.random.RandomState(seed)
    pixels = np.zeros((28, 28), np.uint8)
    row, column = random.randint(4, 18, size=2)
    pixels[row : row + 2, column : column + 6] = 255
    pixels[row : row + 9, column + 4 : column + 6] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def class_folders(root: Path, counts: dict[str, int]) -> Path:
    for label, count in counts.items():
        (root / label).mkdir(parents=True)
        for index in range(count):
            picture(root / label / f"{index:02}.png", seed=index)
    return root


def opened(source: Path, **options: object) -> Dataset:
    return open_dataset(str(source), default="mnist", cache=source, **options)  # type: ignore[arg-type]


def test_class_folders_are_split_within_each_class(tmp_path: Path) -> None:
    data = opened(class_folders(tmp_path / "digits", {"7": 10, "1": 5}))
    assert (data.name, data.row_type, data.labels) == ("digits", "image", ("1", "7"))
    assert np.bincount(data.train.targets).tolist() == [4, 8]
    assert np.bincount(data.test.targets).tolist() == [1, 2]
    assert data.train.inputs["image"].shape == (12, 28, 28)
    assert data.train.inputs["image"].dtype == np.uint8
    assert opened(tmp_path / "digits").sha256 == data.sha256


def test_pictures_come_through_the_code_of_prediction(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "digits", {"a": 2, "b": 2})
    data = opened(folder, resize_mode="letterbox", size=(20, 24))
    image = decode((folder / "a" / "00.png").read_bytes(), name="a")
    expected = RESIZE_MODES["letterbox"](image, (24, 20)).tobytes()
    images = [*data.train.inputs["image"], *data.test.inputs["image"]]
    assert expected in [image.tobytes() for image in images]
    assert images[0].shape == (20, 24)
    assert data.resize_mode == "letterbox"


def test_train_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", {"a": 3, "b": 1})
    class_folders(tmp_path / "test", {"a": 2, "b": 2})
    data = opened(tmp_path)
    assert data.train.targets.tolist() == [0, 0, 0, 1]
    assert data.test.targets.tolist() == [0, 0, 1, 1]


def test_hidden_files_and_litter_are_passed_over(tmp_path: Path) -> None:
    folder = class_folders(tmp_path, {"a": 2, "b": 2, ".git": 1})
    (folder / "a" / ".DS_Store").write_bytes(b"x")
    (folder / "a" / "Thumbs.db").write_bytes(b"x")
    (folder / "README.txt").write_text("x")
    assert opened(folder).labels == ("a", "b")


def test_given_labels_set_the_order_of_the_classes(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "digits", {"1": 2, "9": 2})
    data = opened(folder, labels=tuple("9876543210"))
    assert data.labels == tuple("9876543210")
    assert sorted(data.train.targets.tolist()) == [0, 8]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "there is no class"),
        ({"a": 3}, "there is one class"),
        ({"a": 3, "b": 0}, "the class folder 'b' is empty"),
        ({"a": 3, "b": 1}, "the class 'b' has one row, too few for a training and a test split"),
        ({"a": 2, "zero": 2}, "the label 'zero' is unknown"),
    ],
)
def test_classes_that_cannot_be_split_are_named(
    tmp_path: Path, counts: dict[str, int], message: str
) -> None:
    tmp_path.joinpath("digits").mkdir()
    with pytest.raises(InputError, match=message):
        opened(class_folders(tmp_path / "digits", counts), labels=("a", "b"))


def test_all_problems_are_counted_and_the_first_five_named(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "digits", {"a": 2, "b": 1, "c": 0})
    for index in range(6):
        (folder / "a" / f"bad{index}.png").write_bytes(b"no picture")
    (folder / "a" / "folder").mkdir()
    with pytest.raises(InputError) as caught:
        opened(folder)
    text = str(caught.value)
    assert "digits' has 9 problems: " in text
    assert "the class folder 'c' is empty; " in text
    assert "folder' is a folder in a class folder" in text
    assert "bad2.png" in text
    assert "bad3.png" not in text
    assert ", and 4 more; expected class folders" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ({"a": 2, "b": 2}, {"a": 1, "c": 1}, "the label 'c' in test is unknown"),
        ({"a": 2, "b": 2}, {"a": 1}, "test has one class"),
        ({"a": 2, "b": 2}, {}, "test has no class"),
        ({"a": 2, "b": 0}, {"a": 1, "b": 1}, "the class folder 'b' is empty"),
    ],
)
def test_ready_splits_that_do_not_fit_are_refused(
    tmp_path: Path, train: dict[str, int], test: dict[str, int], message: str
) -> None:
    for part, counts in (("train", train), ("test", test)):
        (tmp_path / part).mkdir()
        class_folders(tmp_path / part, counts)
    with pytest.raises(InputError, match=message):
        opened(tmp_path)


def test_a_folder_that_cannot_be_listed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match="cannot be listed: Permission denied"):
        opened(tmp_path)


def file_list(folder: Path, rows: list[str], header: str = "file,label") -> Path:
    path = folder / "list.csv"
    path.write_text("\n".join([header, *rows] if header else rows), encoding="utf-8-sig")
    return path


@pytest.mark.parametrize("header", ["file,label", "Image, Class", ""])
def test_a_file_list_reads_pictures_beside_it(tmp_path: Path, header: str) -> None:
    rows = [f"{picture(tmp_path / 'p' / f'{n}.png', n)},{'ab'[n % 2]}" for n in range(4)]
    rows = [row.replace(f"{tmp_path}/", "") for row in rows]
    data = opened(file_list(tmp_path, rows, header))
    assert data.labels == ("a", "b")
    assert (len(data.train), len(data.test)) == (2, 2)
    assert (data.name, data.source) == ("list", "the file list.csv")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "there is no class"),
        (["0.png,a", "1.png,a"], "there is one class"),
        (["0.png,a", "1.png,a", "no.png,b", "2.png,b"], "no.png': no such file"),
        (["0.png,a", "1.png"], "line 3 is '1.png'; expected rows of two cells"),
        (["0.png,a", ",b"], "line 3 is ',b'"),
        (["0.png;a", "1.png;b"], "line 2 is '0.png;a'"),
        (['0.png,"a'], "line 2: unexpected end of data"),
    ],
)
def test_a_file_list_with_problems_is_refused(
    tmp_path: Path, rows: list[str], message: str
) -> None:
    for index in range(3):
        picture(tmp_path / f"{index}.png", index)
    with pytest.raises(InputError, match=re.escape(message)):
        opened(file_list(tmp_path, rows))


def test_the_source_for_the_manifest_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    data = opened(class_folders(tmp_path / "digits", {"a": 2, "b": 2}))
    assert data.source == "the folder digits"
