"""Quantiles, against NumPy's."""

import numpy as np
import pytest

from ptx.infer.digits.thresholds import median, quantile


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1001])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_a_quantile_is_numpys(size: int, dtype: str) -> None:
    values = np.random.default_rng(size).uniform(0, 255, (size, 2)).astype(dtype)
    for share in (0.0, 0.2, 0.5, 0.75, 0.9, 1.0):
        expected = np.quantile(values.astype(np.float64), share)
        assert quantile(values, share) == pytest.approx(expected, rel=1e-12)
    assert median(values) == pytest.approx(np.median(values.astype(np.float64)), rel=1e-12)


def test_the_values_stay_in_their_order() -> None:
    values = np.array([3, 1, 2], np.uint8)
    assert median(values) == 2
    assert values.tolist() == [3, 1, 2]
