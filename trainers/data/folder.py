"""Images from the user's files: a folder of class folders, or a CSV file of `file,label` rows.

Every image is resized by the code that prediction uses. All problems are collected before an error is
raised, so that they can be corrected together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptx.infer.artifact.files import read_bytes
from ptx.infer.errors import InputError, quote
from ptx.trainers.data.dataset import Dataset, Split
from ptx.trainers.data.pairs import CSV_LIMIT, class_problems, raise_problems, read_pairs
from ptx.trainers.data.split import split_by_content

if TYPE_CHECKING:
    from PIL.Image import Image

FILE_LIMIT = 64 << 20  # bytes
IGNORED_FILES = {"thumbs.db", "desktop.ini"}  # Windows writes these into folders

Size = tuple[int, int]  # (height, width), as in the manifest
ReadPixels = Callable[["Image"], NDArray[Any]]  # the pixels of a decoded image
LabelledFiles = list[tuple[Path, str]]


class ImageLoader(NamedTuple):
    """How images are read, resized and split."""

    read: ReadPixels
    resize_mode: str | None  # the key of RESIZE_MODES that `read` uses
    split_bounds: Sequence[int] | None  # of a previous split


def open_images(
    path: Path,
    labels: tuple[str, ...] | None,
    load_default: Callable[[], Dataset],
    options: Mapping[str, Any],
) -> Dataset:
    """The images of a folder or of a CSV file.

    The sub-folders of a folder are the classes, named by their labels. With sub-folders `train` and
    `test`, each of class folders, these are the two splits; otherwise the images are split 80/20
    within each class, by the content of the files. Hidden files are ignored. A CSV file has
    `file,label` rows; file names are relative to its folder. Without `labels` the labels are those of
    the (training) images, sorted. The option `read` computes the pixels of an image; without it
    images are resized to the option `size` by `resize_mode`.

    Raises:
        InputError: a row, image, class or label cannot be used; up to five problems are listed.
    """
    loader = _make_loader(
        options["resize_mode"], options["size"], options["read"], options["split_bounds"]
    )
    if not path.is_dir():
        rows = read_pairs(read_bytes(path, limit=CSV_LIMIT), name=str(path))
        files = [(path.parent / file, label) for file, label in rows]
        return _split_dataset(path, files, [], loader, labels)
    if (path / "train").is_dir() and (path / "test").is_dir():
        return _open_presplit(path, loader, labels)
    return _split_dataset(path, *_list_files(path), loader, labels)


def _split_dataset(
    path: Path,
    files: LabelledFiles,
    problems: list[str],
    loader: ImageLoader,
    labels: tuple[str, ...] | None,
) -> Dataset:
    classes = [label for _, label in files]
    images, contents = _read(files, loader.read, problems)
    problems += class_problems(classes, labels)
    _raise(path, problems)
    label_order = labels or tuple(sorted(set(classes)))
    rows = _split(images, classes, label_order)
    train, test, bounds = split_by_content(
        rows.targets, contents, len(label_order), loader.split_bounds
    )
    name, source = _parse_name(path)
    return Dataset(
        name,
        "image",
        rows.take(train),
        rows.take(test),
        label_order,
        source,
        loader.resize_mode,
        split_bounds=bounds,
    )


def _open_presplit(folder: Path, loader: ImageLoader, labels: tuple[str, ...] | None) -> Dataset:
    train, problems = _list_files(folder / "train")
    test, test_problems = _list_files(folder / "test")
    problems += test_problems
    label_order = labels or tuple(sorted({label for _, label in train}))
    for name, files in (("train", train), ("test", test)):
        counts = Counter(label for _, label in files)
        problems += [
            f"the label {quote(label)} in {name} is unknown"
            for label in sorted(counts)
            if label not in label_order
        ]
        if len(counts) < 2:
            problems.append(f"{name} has {'one class' if counts else 'no class'}")
    splits = [(_read(files, loader.read, problems)[0], files) for files in (train, test)]
    _raise(folder, problems)
    train_split, test_split = (
        _split(images, [label for _, label in files], label_order) for images, files in splits
    )
    name, source = _parse_name(folder)
    return Dataset(name, "image", train_split, test_split, label_order, source, loader.resize_mode)


def _list_files(folder: Path) -> tuple[LabelledFiles, list[str]]:
    """The files of the class folders, sorted, and the problems of the folders."""
    labelled: LabelledFiles = []
    problems = []
    for class_folder in _entries(folder):
        if not class_folder.is_dir():
            continue
        files = _entries(class_folder)
        if not files:
            problems.append(f"the class folder {quote(class_folder.name)} is empty")
        for path in files:
            if path.is_dir():
                problems.append(f"{quote(path)} is a folder in a class folder")
            else:
                labelled.append((path, class_folder.name))
    return labelled, problems


def _entries(folder: Path) -> list[Path]:
    """The visible entries of the folder, sorted by name."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(
            f"{quote(folder)} cannot be listed: {error.strerror}; expected a folder of images",
            code="E-IN-PERM",
        ) from error
    return [
        path
        for path in entries
        if not path.name.startswith(".") and path.name.lower() not in IGNORED_FILES
    ]


def _make_loader(
    resize_mode: str, size: Size, read: ReadPixels | None, split_bounds: Sequence[int] | None
) -> ImageLoader:
    from ptx.infer.images.resize import RESIZE_MODES

    if read is not None:
        return ImageLoader(read, None, split_bounds)
    height, width = size
    return ImageLoader(
        lambda image: RESIZE_MODES[resize_mode](image, (width, height)), resize_mode, split_bounds
    )


def _read(
    files: LabelledFiles, read: ReadPixels, problems: list[str]
) -> tuple[list[NDArray[Any]], list[bytes]]:
    """The resized images and the digests of their files.

    Errors of images that cannot be used are added to `problems`.
    """
    from ptx.infer.images.decode import decode

    images, contents = [], []
    for path, _ in files:
        try:
            data = read_bytes(path, limit=FILE_LIMIT)
            images.append(read(decode(data, name=str(path))))
            contents.append(blake2b(data).digest())
        except InputError as error:
            problems.append(str(error))
    return images, contents


def _split(images: list[NDArray[Any]], classes: list[str], labels: tuple[str, ...]) -> Split:
    index = {label: position for position, label in enumerate(labels)}
    targets = np.array([index[label] for label in classes], np.int64)
    return Split({"image": np.stack(images)}, targets, already_resized=True)


def _parse_name(path: Path) -> tuple[str, str]:
    """The data set's name and source, for the manifest, without the local path."""
    name = path.resolve().name
    return (name, f"the folder {name}") if path.is_dir() else (path.stem, f"the file {name}")


def _raise(path: Path, problems: list[str]) -> None:
    expected = (
        "class folders or file,label rows with at least two classes of at least two images each"
    )
    raise_problems(str(path), problems, expected)
