"""Nearest points against a full sort of all distances."""

from __future__ import annotations

import numpy as np
import pytest

from sqlml.kernels import neighbours
from sqlml.kernels.neighbours import nearest


def brute(X, E, k, measure):
    """By the definition, one pair after the other."""
    found = []
    for x in X:
        if measure == "euclidean":
            distance = [float(np.sqrt(np.sum((x - e) ** 2))) for e in E]
        else:
            distance = [float(np.mean(x != e)) for e in E]
        found.append(sorted((d, i) for i, d in enumerate(distance))[:k])
    return np.array([[i for _, i in row] for row in found]), np.array([[d for d, _ in row] for row in found])


@pytest.mark.parametrize("k", [1, 3, 50, 90])
@pytest.mark.parametrize("measure", ["euclidean", "share"])
def test_the_nearest_are_those_of_a_full_sort(measure, k, monkeypatch):
    monkeypatch.setattr(neighbours, "_CELLS", 400)  # several blocks
    rng = np.random.default_rng(3)
    if measure == "euclidean":
        X, E = rng.normal(size=(41, 4)) + 1e4, rng.normal(size=(50, 4)) + 1e4
    else:  # many ties
        X, E = rng.integers(0, 3, (41, 5)), rng.integers(0, 3, (50, 5))
    index, distance = nearest(X, E, k, measure)
    want, far = brute(X, E, k, measure)
    assert index.shape == (41, min(k, 50))
    np.testing.assert_array_equal(index, want)
    np.testing.assert_allclose(distance, far, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("measure", ["euclidean", "share"])
def test_a_point_is_its_own_nearest_and_no_rows_are_fine(measure):
    E = np.arange(30.0).reshape(10, 3) * 1e6
    index, distance = nearest(E, E, 1, measure)
    assert index[:, 0].tolist() == list(range(10)) and not distance.any()
    index, distance = nearest(E[:0], E, 2, measure)
    assert index.shape == distance.shape == (0, 2)
