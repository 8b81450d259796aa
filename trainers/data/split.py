"""Fixed random splits of rows, the same on every machine and with every NumPy.

Rows from files are split by the digest of their content: what a training held out is then known of a
folder that has changed since, by one bound for each class.

`numpy.random.RandomState` is used because its streams are frozen by NumPy's policy, which those of
`default_rng` are not.
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
TEST_SHARE = 0.2

Rows = NDArray[np.int64]


def stratified_split(classes: NDArray[Any], *, seed: int = SPLIT_SEED) -> tuple[Rows, Rows]:
    """The training and the test rows, ascending; each class gives TEST_SHARE of its rows to the test.

    A class of at least two rows has at least one on each side.
    """
    random = np.random.RandomState(seed)
    test = []
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        count = min(max(round(TEST_SHARE * len(members)), 1), len(members) - 1)
        test.append(random.permutation(members)[:count])
    test_rows = np.sort(np.concatenate(test)).astype(np.int64)
    return np.setdiff1d(np.arange(len(classes)), test_rows), test_rows


class ContentSplit(NamedTuple):
    """The training and the test rows, ascending, and what tells them apart."""

    train: Rows
    test: Rows
    bounds: tuple[int, ...]  # of each class: rows whose digest is at most this are of the test


def split_by_content(
    classes: NDArray[Any],
    contents: Sequence[bytes],
    count: int,
    bounds: Sequence[int] | None = None,
) -> ContentSplit:
    """Each class gives TEST_SHARE of its rows to the test, those with the smallest digests.

    A class of at least two rows has at least one on each side. With the `bounds` of a former split no
    row of its training part is a test row, whatever was added or removed since; of rows that it did not
    have, the same share is.

    Args:
        classes: Int64 (rows,), in [0, count).
        contents: Of each row. Equal rows are numbered, so that two of them may be divided.
        bounds: One for each class, in [0, 2**32).

    Raises:
        InputError: there are not `count` bounds, or no row lies within them.
    """
    digests = _digests(contents)
    found = _find_bounds(classes, digests, count) if bounds is None else tuple(bounds)
    if len(found) != count:
        raise InputError(
            f"the split of the training is of {len(found)} classes, the data has {count}: give the"
            " data of this model",
            code="E-DATA",
        )
    in_test = digests <= np.array(found, np.int64)[classes]
    if bounds is not None and not in_test.any():
        raise InputError(
            "all rows of the data may have been trained on: add rows, or give a folder with the"
            " sub-folders train and test",
            code="E-DATA",
        )
    return ContentSplit(np.flatnonzero(~in_test), np.flatnonzero(in_test), found)


def _find_bounds(classes: NDArray[Any], digests: NDArray[np.int64], count: int) -> tuple[int, ...]:
    bounds = []
    for label in range(count):
        members = np.sort(digests[classes == label])
        rows = min(max(round(TEST_SHARE * len(members)), 1), len(members) - 1)
        bounds.append(int(members[rows - 1]) if rows > 0 else int(TEST_SHARE * 2**32))
    return tuple(bounds)


def _digests(contents: Sequence[bytes]) -> NDArray[np.int64]:
    """32 bits of each row's content, and of how many equal rows stand before it."""
    seen: Counter[bytes] = Counter()
    digests = np.empty(len(contents), np.int64)
    for row, content in enumerate(contents):
        key = blake2b(content, digest_size=16).digest()
        numbered = key + seen[key].to_bytes(8, "little")
        digests[row] = int.from_bytes(blake2b(numbered, digest_size=4).digest(), "little")
        seen[key] += 1
    return digests


def grouped_split(classes: NDArray[Any], groups: NDArray[Any]) -> tuple[Rows, Rows]:
    """The training and the test rows, ascending; rows of one group are on the same side.

    Each class gives TEST_SHARE of its groups to the test; a group counts for the class of its first row.
    """
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    _, test_groups = stratified_split(classes[first])
    in_test = np.isin(group_of, test_groups)
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def grouped_split_by_content(
    classes: NDArray[Any], groups: Sequence[str], count: int, bounds: Sequence[int] | None = None
) -> ContentSplit:
    """As `split_by_content`, of groups: each is on one side, and of the class of its first row."""
    names, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    contents = [name.encode("utf-8", "surrogatepass") for name in names.tolist()]
    _, test, found = split_by_content(classes[first], contents, count, bounds)
    in_test = np.isin(group_of, test)
    return ContentSplit(np.flatnonzero(~in_test), np.flatnonzero(in_test), found)


def stratified_folds(classes: NDArray[Any], count: int) -> tuple[tuple[Rows, Rows], ...]:
    """`count` pairs of training and test rows: each row is in exactly one test part."""
    random = np.random.RandomState(SPLIT_SEED)
    fold_of = np.empty(len(classes), np.int64)
    given = 0
    for label in np.unique(classes):
        members = random.permutation(np.flatnonzero(classes == label))
        # Dealing on where the class before stopped keeps the folds of equal size.
        fold_of[members] = (given + np.arange(len(members))) % count
        given += len(members)
    return tuple(
        (np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(count)
    )
