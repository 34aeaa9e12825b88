"""Bootstrap intervals. Run: pytest tests/unit/scoring/test_bootstrap.py"""

import numpy as np
import pytest

from cogment_pipe.scoring.bootstrap import interval


def test_equal_arguments_give_equal_bounds():
    """Promise: bounds are a function of values, seed and purpose."""
    values = np.arange(50) % 3 == 0
    assert interval(values, seed=1, purpose="a") == interval(values, seed=1, purpose="a")
    assert interval(values, seed=1, purpose="a") != interval(values, seed=2, purpose="a")


def test_width_is_that_of_the_normal_approximation():
    """Promise: for many coin flips the interval is about 1.96 standard errors to each side."""
    values = np.arange(1000) % 2
    low, high = interval(values, seed=0, purpose="x", resamples=4000)
    assert (low, high) == pytest.approx((0.469, 0.531), abs=0.004)
    assert interval([1.0] * 7, seed=0, purpose="x") == (1.0, 1.0)


def test_groups_are_resampled_as_wholes():
    """Promise: with groups, the interval is that of the mean of group means."""
    values = [1, 1, 1, 1, 0, 0]
    groups = ["a", "a", "a", "a", "b", "c"]
    bounds = interval(values, seed=0, purpose="x", groups=groups)
    assert bounds == interval([1, 0, 0], seed=0, purpose="x")


def test_no_values_is_an_error():
    """Promise: nothing is never reported as a number."""
    with pytest.raises(ValueError, match="at least one value"):
        interval([], seed=0, purpose="x")
