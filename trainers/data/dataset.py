"""What every data source gives: a training and a test split as plain NumPy arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RowKind:
    """One line of KINDS."""

    noun: str  # for messages
    form: str  # what rows hold, with the sizes of one
    files: str  # what holds such rows of one's own
    opener: str | None = None  # "module:function", called with (path, labels, own, form)
    folders: bool = False  # a folder holds them too
    varies: bool = False  # the named data sets of this kind differ in their sizes


KINDS = {
    "image": RowKind(
        "pictures",
        "pictures of {}×{}",
        "a folder of class folders or a CSV file of file,label rows",
        "ptx.trainers.data.folder:open_pictures",
        folders=True,
    ),
    "columns": RowKind(
        "numbers",
        "numbers, {} a row",
        "a CSV file of numbers whose last column is the target",
        "ptx.trainers.data.tables:open_own_table",
        varies=True,
    ),
    "text": RowKind(
        "texts",
        "texts",
        "a CSV file of text,label rows",
        "ptx.trainers.data.names:open_texts",
    ),
    "sequence": RowKind("sequences", "sequences of symbols", "a named data set"),
}
"""What the rows of a data set hold, by the name that stands in `Split.inputs`."""


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of a data set: raw inputs, as they are before the model's preprocessing, and targets.

    `inputs` has one entry, named by the kind of the data set:

    - `image`: uint8 (rows, height, width), light ink on a dark ground
    - `columns`: float32 (rows, features)
    - `text`: object (rows,) of `str`
    - `sequence`: int64 (rows, time), indices into the labels

    `targets`: int64 (rows,) class indices; float32 (rows, 1) for regression; int64 (rows, time)
    where each step of a sequence has its own class.

    Attributes:
        fitted: Pictures: they have been through the model's preprocessing already.
    """

    inputs: dict[str, NDArray[Any]]
    targets: NDArray[Any]
    fitted: bool = False

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
        kind: A key of KINDS.
        labels: The class names by index; () for regression.
        source: One line for the manifest: where the content came from, without paths of this
            machine.
        resize_mode: Pictures: the key of RESIZE_MODES that brings others to the form of these.
        columns: Tables: the names of the inputs, as the header of the file has them.
        split_bounds: Rows from files: what tells the test rows, of each class; see `split_by_content`.
        note: Tables: what was assumed about the columns.
    """

    name: str
    kind: str
    train: Split
    test: Split
    labels: tuple[str, ...]
    source: str
    resize_mode: str | None = None
    columns: tuple[str, ...] = ()
    split_bounds: tuple[int, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind
        assert set(self.train.inputs) == set(self.test.inputs) == {self.kind}

    @property
    def sha256(self) -> str:
        """The digest of the content, independent of the file it was read from.

        Hashed in this order: the labels, one a line; then the training and the test split, each
        as its inputs followed by its targets. An array counts as one line `dtype shape`, then its
        elements in C order, little-endian; text as UTF-8, one a line.
        """
        digest = hashlib.sha256()
        for label in self.labels:
            digest.update(f"{label}\n".encode())
        for split in (self.train, self.test):
            for values in (split.inputs[self.kind], split.targets):
                digest.update(f"{values.dtype.name} {values.shape}\n".encode())
                digest.update(_content(values))
        return digest.hexdigest()


def read_bundled(name: str) -> bytes:
    """The content of a file of the package."""
    return resources.files("ptx.trainers.bundled").joinpath(name).read_bytes()


def _content(values: NDArray[Any]) -> bytes | memoryview:
    if values.dtype == object:
        return "".join(f"{value}\n" for value in values).encode()
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data
