"""The fixed splits: nothing lost, nothing twice, classes in proportion, the same everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptx.infer.errors import InputError
from ptx.trainers.data.split import (
    grouped_split,
    grouped_split_by_content,
    split_by_content,
    stratified_folds,
    stratified_split,
)

CLASSES = st.dictionaries(st.integers(0, 20), st.integers(2, 30), min_size=1, max_size=5).map(
    lambda counts: np.repeat(list(counts), list(counts.values()))
)


@given(CLASSES, st.integers(0, 2**32 - 1))
def test_each_row_is_on_one_side_and_each_class_on_both(
    classes: np.ndarray[tuple[int], np.dtype[np.int64]], seed: int
) -> None:
    train, test = stratified_split(classes, seed=seed)
    assert sorted([*train, *test]) == list(range(len(classes)))
    for label in np.unique(classes):
        rows = int((classes == label).sum())
        assert (classes[train] == label).any()
        assert abs((classes[test] == label).sum() - 0.2 * rows) <= max(0.5, 1 - 0.2 * rows)


@given(CLASSES, st.integers(2, 6))
def test_each_row_is_tested_in_exactly_one_fold(
    classes: np.ndarray[tuple[int], np.dtype[np.int64]], count: int
) -> None:
    folds = stratified_folds(classes, count)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(classes)))
    for train, test in folds:
        assert len(train) + len(test) == len(classes)
        assert not set(train) & set(test)
    for label in np.unique(classes):
        counts = [int((classes[test] == label).sum()) for _, test in folds]
        assert max(counts) - min(counts) <= 1
    sizes = [len(test) for _, test in folds]
    assert max(sizes) - min(sizes) <= 1


def test_the_split_is_the_same_on_every_machine() -> None:
    assert stratified_split(np.zeros(10))[1].tolist() == [1, 8]
    assert stratified_split(np.array([0, 1] * 10))[1].tolist() == [1, 2, 3, 16]


@pytest.mark.parametrize("rows", [2, 3])
def test_few_rows_leave_one_on_each_side(rows: int) -> None:
    train, test = stratified_split(np.zeros(rows))
    assert (len(train), len(test)) == (rows - 1, 1)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=2, max_size=60))
def test_a_group_is_on_one_side_of_a_split(rows: list[tuple[int, int]]) -> None:
    classes, groups = np.array(rows).T
    train, test = grouped_split(classes, groups)
    assert sorted([*train, *test]) == list(range(len(rows)))
    assert not set(groups[train]) & set(groups[test])


def test_a_grouped_split_gives_each_class_its_share_of_groups() -> None:
    classes, groups = np.repeat([0, 1], 100), np.arange(200) // 2
    _, test = grouped_split(classes, groups)
    assert np.bincount(classes[test]).tolist() == [20, 20]


Labelled = list[tuple[int, bytes]]
CONTENTS = st.lists(
    st.tuples(st.integers(0, 2), st.binary(min_size=1, max_size=3)), min_size=6, max_size=60
)


def split(rows: Labelled, bounds: tuple[int, ...] | None = None) -> tuple[Labelled, Labelled, Any]:
    """The rows of the training and of the test, and the bounds."""
    classes = np.array([label for label, _ in rows], np.int64)
    train, test, found = split_by_content(classes, [content for _, content in rows], 3, bounds)
    return [rows[row] for row in train], [rows[row] for row in test], found


@given(CONTENTS)
def test_a_split_by_content_has_the_proportions_of_a_stratified_one(rows: Labelled) -> None:
    train, test, _ = split(rows)
    assert sorted(train + test) == sorted(rows)
    for label in range(3):
        count = sum(row[0] == label for row in rows)
        if count > 1:
            tested = sum(row[0] == label for row in test)
            assert tested == min(max(round(0.2 * count), 1), count - 1)


@given(CONTENTS, CONTENTS, st.randoms(use_true_random=False))
def test_no_trained_row_is_tested_whatever_is_added_or_removed(
    rows: Labelled, more: Labelled, random: Any
) -> None:
    rows = list({content: (label, content) for label, content in rows}.values())
    train, test, bounds = split(rows)
    changed = random.sample(rows, random.randint(1, len(rows)))
    changed += [row for row in more if row[1] not in {content for _, content in rows}]
    try:
        _, tested, again = split(changed, bounds)
    except InputError:
        tested, again = [], bounds
    assert again == bounds
    assert not {content for _, content in tested} & {content for _, content in train}
    assert {row for row in changed if row in test} <= set(tested)


def test_bounds_of_other_classes_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        split_by_content(np.zeros(4, np.int64), [b"a", b"b", b"c", b"d"], 1, (1, 2))
    assert caught.value.code == "E-DATA"


def test_a_group_is_on_one_side_of_a_split_by_content() -> None:
    groups = [f"g{n // 3}" for n in range(60)]
    train, test, bounds = grouped_split_by_content(np.zeros(60, np.int64), groups, 1)
    assert len(test) == 12
    assert not {groups[row] for row in train} & {groups[row] for row in test}
    _, fewer, _ = grouped_split_by_content(np.zeros(30, np.int64), groups[30:], 1, bounds)
    assert {groups[30:][row] for row in fewer} == {groups[row] for row in test if row >= 30}
