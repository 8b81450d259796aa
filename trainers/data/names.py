"""Texts and their classes from a CSV file of two columns: the 20,050 surnames, or the user's file."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ptx.infer.artifact.files import read_bytes
from ptx.trainers.data.dataset import Dataset, Split, read_bundled
from ptx.trainers.data.pairs import CSV_LIMIT, class_problems, raise_problems, read_pairs
from ptx.trainers.data.split import grouped_split, grouped_split_by_content


def open_names() -> Dataset:
    """20,050 surnames of 18 languages, split 80/20 within each language; labels sorted by name.

    Some names occur several times, also in two languages. All rows of one name are in the same split, so
    that no test name was seen in training.
    """
    rows, groups, labels = _rows(read_bundled("names.csv"), "names.csv", None)
    train, test = grouped_split(rows.targets, np.array(groups))
    source = "surnames (S. Robertson)"
    return Dataset("names", "text", rows.take(train), rows.take(test), labels, source)


def open_texts(
    path: Path,
    labels: tuple[str, ...] | None,
    load_default: Callable[[], Dataset],
    options: Mapping[str, Any],
) -> Dataset:
    """A CSV file of `text,label` rows, split 80/20 within each class by the texts.

    Equal texts are in the same split.

    Raises:
        InputError: the file cannot be used; up to five problems are listed.
    """
    rows, groups, label_order = _rows(read_bytes(path, limit=CSV_LIMIT), str(path), labels)
    train, test, bounds = grouped_split_by_content(
        rows.targets, groups, len(label_order), options["split_bounds"]
    )
    return Dataset(
        path.stem,
        "text",
        rows.take(train),
        rows.take(test),
        label_order,
        f"the file {path.name}",
        split_bounds=bounds,
    )


def _rows(
    data: bytes, file: str, labels: tuple[str, ...] | None
) -> tuple[Split, list[str], tuple[str, ...]]:
    """The rows of a file, the group of each row (equal for equal texts), and the labels."""
    pairs = read_pairs(data, name=file)
    classes = [label for _, label in pairs]
    raise_problems(
        file, class_problems(classes, labels), "at least two classes of at least two rows each"
    )
    label_order = labels or tuple(sorted(set(classes)))
    index = {label: position for position, label in enumerate(label_order)}
    targets = np.array([index[label] for label in classes], np.int64)
    texts = np.array([text for text, _ in pairs], dtype=object)
    return Split({"text": texts}, targets), [_normalised(text) for text in texts], label_order


def _normalised(text: str) -> str:
    """The same string for texts that differ only in case or in the encoding of accents."""
    return unicodedata.normalize("NFKD", text).casefold()
