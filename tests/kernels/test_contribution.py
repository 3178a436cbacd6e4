"""Contribution analysis against printed examples, closed forms and sums over partitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from sqlml.kernels import contribution as kernel

#: (T, C, rows of test, control, difference, unexpected difference); the service's printed examples.
PRINTED = [
    (
        (428068179.0, 396472956.0),
        [
            (52327307, 38864734, 13462573, 11491923),
            (49521322, 41746773, 7774549, 4971158),
            (84681073, 77259259, 7421814, 1571126),
            (23915100, 17252174, 6662926, 5528662),
        ],
    ),
    (
        (230372400.0, 216802833.0),
        [
            (50788320, 43857330, 6930990, 5247510),
            (25824531, 27001845, -1177314, -3275264),
            (35528047, 34155473, 1372574, -908292),
        ],
    ),
]


@pytest.mark.parametrize(("total", "rows"), PRINTED)
def test_summable_gives_the_printed_examples(total, rows):
    table = np.array(rows, dtype=float)
    found = kernel.summable(table[:, 0], table[:, 1], total)
    np.testing.assert_array_equal(found["difference"], table[:, 2])
    np.testing.assert_allclose(found["unexpected_difference"], table[:, 3], atol=0.5)


def test_relative_numbers_and_supports_of_the_printed_example():
    (total, rows), _ = PRINTED
    table = np.array(rows, dtype=float)
    found = kernel.summable(table[:, 0], table[:, 1], total)
    # Three digits are printed, and cut rather than rounded.
    np.testing.assert_allclose(found["relative_difference"], [0.346, 0.186, 0.096, 0.386], atol=1e-3)
    np.testing.assert_allclose(found["relative_unexpected_difference"], [0.281, 0.111, 0.018, 0.3], atol=1e-3)
    support = kernel.shares(table[:, 0], table[:, 1], *total)
    np.testing.assert_allclose(support, [0.122, 0.115, 0.197, 0.055], atol=1e-3)


def test_the_whole_population_grew_as_expected_of_nothing():
    found = kernel.summable(np.array([30.0]), np.array([20.0]), (30.0, 20.0))
    assert found["unexpected_difference"] == found["difference"] == 10.0
    assert found["relative_unexpected_difference"] == found["relative_difference"] == 0.5


def test_ratio_over_complement_gives_the_printed_example():
    test = np.array([[50, 100], [75, 200], [1, 10]], dtype=float)
    found = kernel.ratio(test, test, test.sum(axis=0), test.sum(axis=0))
    np.testing.assert_allclose(found["metric_test_over_complement"][[0, 2]], [1.3815789473684212, 0.24])


@pytest.mark.parametrize("grown", [0.5, 1.0, 1.0 + 1e-9, 1.0005, 3.0])
def test_aumann_shapley_is_the_integral_along_the_path(grown):
    rng = np.random.default_rng(3)
    control = rng.uniform(1.0, 5.0, (4, 2))
    test = control * rng.uniform(0.5, 2.0, (4, 2))
    test[:, 1] *= grown * control[:, 1].sum() / test[:, 1].sum()
    T, C = test.sum(axis=0), control.sum(axis=0)
    found = kernel.aumann_shapley(test - control, T, C)
    assert found.sum() == pytest.approx(T[0] / T[1] - C[0] / C[1], rel=1e-9)

    def slope(t, i):
        a, b = C + t * (T - C)
        return (test - control)[i, 0] / b - (test - control)[i, 1] * a / b**2

    np.testing.assert_allclose(found, [quad(slope, 0, 1, args=(i,))[0] for i in range(4)], rtol=1e-8)


def test_redundant_keeps_the_more_specific_segment():
    codes = np.array([[0, -1, -1], [0, 1, -1], [0, 1, 2], [1, -1, -1]], np.int32)
    values = np.array([[5.0], [5.0], [4.0], [5.0]])
    assert kernel.redundant(codes, values, True).tolist() == [True, False, False, False]


def test_redundant_skips_a_level_when_numbers_are_negative():
    codes = np.array([[0, -1, -1], [0, 1, -1], [0, 1, 2]], np.int32)
    values = np.array([[5.0], [7.0], [5.0]])
    assert kernel.redundant(codes, values, True).tolist() == [False, False, False]
    assert kernel.redundant(codes, values, False).tolist() == [True, False, False]
