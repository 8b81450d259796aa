"""A data set: a training and a test split as plain NumPy arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RowType:
    """What the rows of a data set are, and which files they are read from.

    Attributes:
        plural: For messages.
        description: For messages: a format string for the sizes of a row.
        accepted_files: For messages.
        loader: "module:function", called with (path, labels, load_default, options); None if such rows
            cannot be read from files.
        accepts_folder: Whether the loader accepts a folder, too.
        variable_width: Whether the named data sets of this type differ in their number of columns.
    """

    plural: str
    description: str
    accepted_files: str
    loader: str | None = None
    accepts_folder: bool = False
    variable_width: bool = False


ROW_TYPES = {
    "image": RowType(
        "images",
        "images of {}×{}",
        "a folder of class folders or a CSV file of file,label rows",
        "ptx.trainers.data.folder:open_images",
        accepts_folder=True,
    ),
    "columns": RowType(
        "numbers",
        "numbers, {} a row",
        "a CSV file of numbers whose last column is the target",
        "ptx.trainers.data.tables:open_table",
        variable_width=True,
    ),
    "text": RowType(
        "texts",
        "texts",
        "a CSV file of text,label rows",
        "ptx.trainers.data.names:open_texts",
    ),
    "sequence": RowType("sequences", "sequences of symbols", "a named data set"),
}
"""The types of rows by their key in `Split.inputs`."""


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of a data set: raw inputs, as they are before the model's preprocessing, and targets.

    `inputs` has one entry, with the row type of the data set as its key:

    - `image`: uint8 (rows, height, width), a light foreground on a dark background
    - `columns`: float32 (rows, features)
    - `text`: object (rows,) of `str`
    - `sequence`: int64 (rows, time), indices into the labels

    `targets`: int64 (rows,) class indices; float32 (rows, 1) for regression; int64 (rows, time)
    for a class at each step of a sequence.

    Attributes:
        already_resized: Images: whether they have been resized as in prediction.
    """

    inputs: dict[str, NDArray[Any]]
    targets: NDArray[Any]
    already_resized: bool = False

    def __post_init__(self) -> None:
        for name, values in self.inputs.items():
            assert len(values) == len(self.targets), f"{name}: {len(values)} rows of inputs"

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: NDArray[np.integer[Any]]) -> Split:
        """The rows at these positions, in this order, as a new split."""
        return replace(
            self,
            inputs={name: values[rows] for name, values in self.inputs.items()},
            targets=self.targets[rows],
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named data set with its fixed training and test split.

    Attributes:
        row_type: A key of ROW_TYPES.
        labels: The class names by index; () for regression.
        source: One line for the manifest: the origin of the content, without local paths.
        resize_mode: Images: how other images are resized to be like these: a key of RESIZE_MODES.
        columns: Tables: the names of the inputs in the header of the file.
        split_bounds: Rows from files: for each class the largest digest of a test row; see
            `split_by_content`.
        note: Tables: what was assumed about the columns.
    """

    name: str
    row_type: str
    train: Split
    test: Split
    labels: tuple[str, ...]
    source: str
    resize_mode: str | None = None
    columns: tuple[str, ...] = ()
    split_bounds: tuple[int, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        assert self.row_type in ROW_TYPES, self.row_type
        assert set(self.train.inputs) == set(self.test.inputs) == {self.row_type}

    @property
    def sha256(self) -> str:
        """The digest of the content, independent of the files it was read from.

        Hashed in this order: the labels, one a line; then the training and the test split, each
        as its inputs followed by its targets. An array counts as one line `dtype shape`, then its
        elements in C order, little-endian; text as UTF-8, one a line.
        """
        digest = hashlib.sha256()
        for label in self.labels:
            digest.update(f"{label}\n".encode())
        for split in (self.train, self.test):
            for values in (split.inputs[self.row_type], split.targets):
                digest.update(f"{values.dtype.name} {values.shape}\n".encode())
                digest.update(_content(values))
        return digest.hexdigest()


def read_bundled(name: str) -> bytes:
    """The content of a file in `ptx.trainers.bundled`."""
    return resources.files("ptx.trainers.bundled").joinpath(name).read_bytes()


def _content(values: NDArray[Any]) -> bytes | memoryview:
    if values.dtype == object:
        return "".join(f"{value}\n" for value in values).encode()
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data
