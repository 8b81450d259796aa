"""Fixed random splits of rows, the same on every machine and with every NumPy.

`numpy.random.RandomState` is used because its streams are frozen by NumPy's policy, which those of
`default_rng` are not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def grouped_split(classes: NDArray[Any], groups: NDArray[Any]) -> tuple[Rows, Rows]:
    """The training and the test rows, ascending; rows of one group are on the same side.

    Each class gives TEST_SHARE of its groups to the test; a group counts for the class of its first row.
    """
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    _, test_groups = stratified_split(classes[first])
    in_test = np.isin(group_of, test_groups)
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


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
