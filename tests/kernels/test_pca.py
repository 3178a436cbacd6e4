"""Principal components against closed forms and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from sqlml.kernels import pca


def matrix(n=500, width=8, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, width)) * np.arange(1, width + 1)
    X[:, 0] += X[:, 1]
    X -= X.mean(axis=0)
    return X, X.T @ X / (n - 1)


def test_all_components_equal_scikit_learn():
    from sklearn.decomposition import PCA

    X, a = matrix()
    ours, theirs = pca.full(a), PCA(svd_solver="full").fit(X)
    np.testing.assert_allclose(ours.values, theirs.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(np.abs(ours.vectors @ theirs.components_.T), np.eye(8), atol=1e-9)


def test_iterated_components_equal_all_components():
    _, a = matrix(2000, 60)
    whole = pca.full(a)
    found = pca.randomized(lambda v: a @ v, 60, 4, generator=np.random.default_rng(0))
    np.testing.assert_allclose(found.values, whole.values[:4], rtol=1e-8)
    np.testing.assert_allclose(found.vectors, whole.vectors[:4], atol=1e-4)


def test_iterations_of_a_matrix_of_low_rank():
    v = np.arange(1.0, 7.0)
    found = pca.randomized(lambda x: np.outer(v, v) @ x, 6, 3, generator=np.random.default_rng(0))
    assert found.values[0] == pytest.approx(v @ v)
    np.testing.assert_allclose(found.values[1:], 0.0, atol=1e-9)


def test_signs_do_not_depend_on_the_solver():
    turned = pca.signed(np.array([[0.6, -0.8], [0.8, 0.6], [-0.5, 0.5]]))
    np.testing.assert_allclose(turned, [[-0.6, 0.8], [0.8, 0.6], [0.5, -0.5]])


def test_enough_components():
    values = np.array([5.0, 3.0, 1.5, 0.5])
    assert pca.enough(values, 10.0, 0.5) == 1
    assert pca.enough(values, 10.0, 0.51) == 2
    assert pca.enough(values, 10.0, 0.95) == 3
    assert pca.enough(values[:2], 10.0, 0.95) == 2
