"""Distances between distributions against closed forms and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from sqlml.kernels.drift import (
    Histogram,
    jensen_shannon,
    jensen_shannon_of_categories,
    jensen_shannon_of_histograms,
    l_infinity,
    rebucket,
)


def test_l_infinity() -> None:
    assert l_infinity({"a": 0.5, "b": 0.5}, {"a": 0.2, "c": 0.8}) == pytest.approx(0.8)
    assert l_infinity({}, {}) == 0.0


def test_jensen_shannon_is_the_square_of_scipys_distance() -> None:
    rng = np.random.default_rng(3)
    for k in (1, 2, 7, 30):
        p, q = rng.random(k), rng.random(k)
        assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-12)


def test_the_ends_of_the_scale() -> None:
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1.0
    assert jensen_shannon(np.array([2.0, 2.0]), np.array([1.0, 1.0])) == 0.0
    assert jensen_shannon(np.zeros(2), np.ones(2)) == 1.0
    assert jensen_shannon(np.zeros(2), np.zeros(2)) == 0.0
    assert jensen_shannon_of_categories({"a": 3}, {"b": 5}) == 1.0


def test_rebucket_spreads_mass_evenly() -> None:
    histogram = Histogram.even(0.0, 4.0, [8, 4])
    assert rebucket(histogram, np.array([0.0, 1.0, 2.0, 3.0, 4.0, 9.0])).tolist() == [4, 4, 2, 2, 0]


def test_histograms_on_one_grid_compare_like_their_counts() -> None:
    a, b = Histogram.even(0, 3, [1, 2, 3]), Histogram.even(0, 3, [3, 2, 1])
    assert jensen_shannon_of_histograms(a, b) == pytest.approx(jensen_shannon(a.counts, b.counts))


@pytest.mark.parametrize(("other", "expected"), [(5.0, 0.0), (6.0, 1.0)])
def test_constant_columns(other: float, expected: float) -> None:
    a, b = Histogram.even(5.0, 5.0, [0, 10]), Histogram.even(other, other, [0, 3])
    assert jensen_shannon_of_histograms(a, b) == expected


def test_a_constant_inside_a_range() -> None:
    a, b = Histogram.even(0.0, 10.0, [5] * 10), Histogram.even(5.0, 5.0, [0, 50])
    assert jensen_shannon_of_histograms(a, b) == pytest.approx(
        jensen_shannon(np.array([5.0] * 10), np.array([0.0] * 5 + [50.0] + [0.0] * 4))
    )
