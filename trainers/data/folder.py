"""Pictures of one's own: a folder of class folders, or a CSV file of `file,label` rows.

Every picture is brought to the model's form by the code that prediction uses. All problems are
collected first, so that a large folder is corrected in one go.
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

PICTURE_LIMIT = 64 << 20  # bytes in one file
LITTER = {"thumbs.db", "desktop.ini"}  # put into folders by Windows

Size = tuple[int, int]  # (height, width), as in the manifest
ReadPixels = Callable[["Image"], NDArray[Any]]  # the pixels of a decoded picture
Pictures = list[tuple[Path, str]]  # files and their labels


class Form(NamedTuple):
    """What pictures are brought to, and how they are split."""

    read: ReadPixels
    resize_mode: str | None  # the key of RESIZE_MODES that does so
    split_bounds: Sequence[int] | None  # of a former split


def open_pictures(
    path: Path, labels: tuple[str, ...] | None, own: Callable[[], Dataset], form: Mapping[str, Any]
) -> Dataset:
    """The pictures of a folder, or of a CSV file.

    The sub-folders of a folder are the classes, named by their labels. With sub-folders `train` and
    `test`, each of class folders, these are the two splits; otherwise the pictures are split 80/20
    within each class, by the content of the files. Hidden files are passed over. A CSV file has
    `file,label` rows; relative file names count from its own folder. Without `labels` the labels are
    those of the (training) pictures, sorted. `read` of the form makes the pixels of a picture; without
    it they are fitted to its `size` in the manner of its `resize_mode`.

    Raises:
        InputError: a row, a picture, a class or a label cannot be used; up to five problems are named.
    """
    way = _form(form["resize_mode"], form["size"], form["read"], form["split_bounds"])
    if not path.is_dir():
        rows = read_pairs(read_bytes(path, limit=CSV_LIMIT), name=str(path))
        pictures = [(path.parent / file, label) for file, label in rows]
        return _split_dataset(path, pictures, [], way, labels)
    if (path / "train").is_dir() and (path / "test").is_dir():
        return _open_presplit(path, way, labels)
    return _split_dataset(path, *_list_pictures(path), way, labels)


def _split_dataset(
    path: Path,
    pictures: Pictures,
    problems: list[str],
    form: Form,
    labels: tuple[str, ...] | None,
) -> Dataset:
    classes = [label for _, label in pictures]
    images, contents = _read(pictures, form.read, problems)
    problems += class_problems(classes, labels)
    _raise(path, problems)
    known = labels or tuple(sorted(set(classes)))
    rows = _split(images, classes, known)
    train, test, bounds = split_by_content(rows.targets, contents, len(known), form.split_bounds)
    name, source = _parse_name(path)
    return Dataset(
        name,
        "image",
        rows.take(train),
        rows.take(test),
        known,
        source,
        form.resize_mode,
        split_bounds=bounds,
    )


def _open_presplit(folder: Path, form: Form, labels: tuple[str, ...] | None) -> Dataset:
    train, problems = _list_pictures(folder / "train")
    test, test_problems = _list_pictures(folder / "test")
    problems += test_problems
    known = labels or tuple(sorted({label for _, label in train}))
    for part, pictures in (("train", train), ("test", test)):
        counts = Counter(label for _, label in pictures)
        problems += [
            f"the label {quote(label)} in {part} is unknown"
            for label in sorted(counts)
            if label not in known
        ]
        if len(counts) < 2:
            problems.append(f"{part} has {'one class' if counts else 'no class'}")
    splits = [(_read(part, form.read, problems)[0], part) for part in (train, test)]
    _raise(folder, problems)
    first, second = (_split(images, [label for _, label in part], known) for images, part in splits)
    name, source = _parse_name(folder)
    return Dataset(name, "image", first, second, known, source, form.resize_mode)


def _list_pictures(folder: Path) -> tuple[Pictures, list[str]]:
    """The files of the class folders, sorted, and what is wrong with the folders."""
    pictures: Pictures = []
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
                pictures.append((path, class_folder.name))
    return pictures, problems


def _entries(folder: Path) -> list[Path]:
    """What the folder shows, sorted by name."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(
            f"{quote(folder)} cannot be listed: {error.strerror}; expected a folder of pictures",
            code="E-IN-PERM",
        ) from error
    return [
        path
        for path in entries
        if not path.name.startswith(".") and path.name.lower() not in LITTER
    ]


def _form(
    resize_mode: str, size: Size, read: ReadPixels | None, split_bounds: Sequence[int] | None
) -> Form:
    from ptx.infer.picture.resize import RESIZE_MODES

    if read is not None:
        return Form(read, None, split_bounds)
    height, width = size
    return Form(
        lambda image: RESIZE_MODES[resize_mode](image, (width, height)), resize_mode, split_bounds
    )


def _read(
    pictures: Pictures, read: ReadPixels, problems: list[str]
) -> tuple[list[NDArray[Any]], list[bytes]]:
    """The pictures in the model's form and the digests of their files.

    Those that cannot be used are added to `problems`.
    """
    from ptx.infer.picture.decode import decode

    images, contents = [], []
    for path, _ in pictures:
        try:
            data = read_bytes(path, limit=PICTURE_LIMIT)
            images.append(read(decode(data, name=str(path))))
            contents.append(blake2b(data).digest())
        except InputError as error:
            problems.append(str(error))
    return images, contents


def _split(images: list[NDArray[Any]], classes: list[str], labels: tuple[str, ...]) -> Split:
    index = {label: position for position, label in enumerate(labels)}
    targets = np.array([index[label] for label in classes], np.int64)
    return Split({"image": np.stack(images)}, targets, fitted=True)


def _parse_name(path: Path) -> tuple[str, str]:
    """The data set's name and source, for the manifest: without the path on this machine."""
    name = path.resolve().name
    return (name, f"the folder {name}") if path.is_dir() else (path.stem, f"the file {name}")


def _raise(path: Path, problems: list[str]) -> None:
    expected = "class folders or file,label rows with two classes or more of two pictures or more"
    raise_problems(str(path), problems, expected)
