"""A number within its range, and everything that is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ptx.infer import UsageError
from ptx.infer.ranges import Range

INTEGER, ANY = Range(1, 1024), Range(0.001, 60, integer=False)


@pytest.mark.parametrize("value", [1, 1024, np.int64(7)])
def test_both_ends_of_whole_numbers_are_in_the_range(value: Any) -> None:
    INTEGER.check("threads", value)


@pytest.mark.parametrize("value", [0.001, 1, 60, 60.0, np.float32(0.5)])
def test_both_ends_of_any_numbers_are_in_the_range(value: Any) -> None:
    ANY.check("seconds", value)


@pytest.mark.parametrize("value", [0, 1025, -1, 10**19, 1.0, float("nan"), "4", None, True])
def test_what_is_no_whole_number_of_the_range_is_refused_by_name(value: Any) -> None:
    with pytest.raises(UsageError, match=r"threads is .*; expected an integer from 1 to 1024"):
        INTEGER.check("threads", value)


@pytest.mark.parametrize("value", [0, 60.1, float("nan"), float("inf"), -1, 1e18, "1", True])
def test_what_is_no_number_of_the_range_is_refused_by_name(value: Any) -> None:
    with pytest.raises(UsageError, match=r"seconds is .*; expected a number from 0.001 to 60"):
        ANY.check("seconds", value)
