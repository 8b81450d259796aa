"""Reproducible splits of rows: the same on every machine and with every NumPy version.

Rows from files are split by the digest of their content. One bound for each class then identifies the
test rows, even in a folder that has changed since the training.

`numpy.random.RandomState` is used because NumPy guarantees its streams, unlike those of `default_rng`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptx.infer.errors import InputError

SPLIT_SEED = 42
TEST_FRACTION = 0.2

Rows = NDArray[np.int64]


def stratified_split(classes: NDArray[Any], *, seed: int = SPLIT_SEED) -> tuple[Rows, Rows]:
    """The training and the test rows, ascending; TEST_FRACTION of the rows of each class are test rows.

    A class of two or more rows has at least one in each split.
    """
    random = np.random.RandomState(seed)
    test = []
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        count = min(max(round(TEST_FRACTION * len(members)), 1), len(members) - 1)
        test.append(random.permutation(members)[:count])
    test_rows = np.sort(np.concatenate(test)).astype(np.int64)
    return np.setdiff1d(np.arange(len(classes)), test_rows), test_rows


class ContentSplit(NamedTuple):
    """The training and the test rows, ascending, and the bounds that separate them."""

    train: Rows
    test: Rows
    bounds: tuple[int, ...]  # for each class: a row is a test row if its digest is at most this


def split_by_content(
    classes: NDArray[Any],
    contents: Sequence[bytes],
    count: int,
    bounds: Sequence[int] | None = None,
) -> ContentSplit:
    """Split each class by digest: the TEST_FRACTION of its rows with the smallest are test rows.

    A class of two or more rows has at least one in each split. With the `bounds` of a
    previous split none of its training rows is a test row, even if rows were added or removed since; of
    new rows, the same fraction is.

    Args:
        classes: Int64 (rows,), in [0, count).
        contents: The content of each row. Equal rows are numbered, so that they can be in both splits.
        bounds: A digest for each class, in [0, 2**32).

    Raises:
        InputError: there are not `count` bounds, or no row is a test row by them.
    """
    digests = _digests(contents)
    class_bounds = _find_bounds(classes, digests, count) if bounds is None else tuple(bounds)
    if len(class_bounds) != count:
        raise InputError(
            f"the model was trained on {len(class_bounds)} classes, the data has {count}: give the data"
            " of this model",
            code="E-DATA",
        )
    in_test = digests <= np.array(class_bounds, np.int64)[classes]
    if bounds is not None and not in_test.any():
        raise InputError(
            "the model may have been trained on all rows of the data: add rows, or give a folder with"
            " the sub-folders train and test",
            code="E-DATA",
        )
    return ContentSplit(np.flatnonzero(~in_test), np.flatnonzero(in_test), class_bounds)


def _find_bounds(classes: NDArray[Any], digests: NDArray[np.int64], count: int) -> tuple[int, ...]:
    bounds = []
    for label in range(count):
        members = np.sort(digests[classes == label])
        rows = min(max(round(TEST_FRACTION * len(members)), 1), len(members) - 1)
        bounds.append(int(members[rows - 1]) if rows > 0 else int(TEST_FRACTION * 2**32))
    return tuple(bounds)


def _digests(contents: Sequence[bytes]) -> NDArray[np.int64]:
    """A 32-bit digest of each row's content and of the number of equal rows before it."""
    seen: Counter[bytes] = Counter()
    digests = np.empty(len(contents), np.int64)
    for row, content in enumerate(contents):
        key = blake2b(content, digest_size=16).digest()
        numbered = key + seen[key].to_bytes(8, "little")
        digests[row] = int.from_bytes(blake2b(numbered, digest_size=4).digest(), "little")
        seen[key] += 1
    return digests


def grouped_split(classes: NDArray[Any], groups: NDArray[Any]) -> tuple[Rows, Rows]:
    """The training and the test rows, ascending; rows of one group are in the same split.

    TEST_FRACTION of the groups of each class are test rows; a group has the class of its first row.
    """
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    _, test_groups = stratified_split(classes[first])
    in_test = np.isin(group_of, test_groups)
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def grouped_split_by_content(
    classes: NDArray[Any], groups: Sequence[str], count: int, bounds: Sequence[int] | None = None
) -> ContentSplit:
    """`split_by_content` for groups: rows of one group are in the same split.

    A group has the class of its first row.
    """
    names, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    contents = [name.encode("utf-8", "surrogatepass") for name in names.tolist()]
    _, test, class_bounds = split_by_content(classes[first], contents, count, bounds)
    in_test = np.isin(group_of, test)
    return ContentSplit(np.flatnonzero(~in_test), np.flatnonzero(in_test), class_bounds)


def stratified_folds(classes: NDArray[Any], count: int) -> tuple[tuple[Rows, Rows], ...]:
    """`count` pairs of training and test rows: each row is a test row exactly once."""
    random = np.random.RandomState(SPLIT_SEED)
    fold_of = np.empty(len(classes), np.int64)
    assigned = 0
    for label in np.unique(classes):
        members = random.permutation(np.flatnonzero(classes == label))
        # Continuing after the last fold of the previous class keeps the folds equal in size.
        fold_of[members] = (assigned + np.arange(len(members))) % count
        assigned += len(members)
    return tuple(
        (np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(count)
    )
