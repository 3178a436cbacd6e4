"""K-means kernels against brute force and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from sqlml.kernels import kmeans as K  # noqa: N812


def rows(n=400, seed=0, kind=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)) + rng.integers(0, 3, size=(n, 1)) * 2.0
    codes = (rng.integers(-1, 3, n).astype(np.int32), rng.integers(0, 2, n).astype(np.int32))
    return K.Rows(X.astype(kind), codes), K.Geometry(False, 3, (3, 2)), K.Geometry(True, 3, (3, 2))


def brute_distances(X, centers, cosine):
    if not cosine:
        return ((X[:, None, :] - centers[None]) ** 2).sum(axis=2)
    norm = np.linalg.norm(X, axis=1)[:, None] * np.linalg.norm(centers, axis=1)[None]
    return 1.0 - X @ centers.T / norm


@pytest.mark.parametrize("cosine", [False, True])
def test_a_step_is_what_brute_force_gives(cosine):
    r, *geometries = rows()
    geo = geometries[cosine]
    X = K.dense_matrix(r, geo)
    centers = X[:5] + 0.1
    d = brute_distances(X, centers, cosine)
    nearest = d.argmin(axis=1)
    found = K.step(K.packed(r, geo), centers, geo)
    np.testing.assert_allclose(found.counts, np.bincount(nearest, minlength=5))
    np.testing.assert_allclose(found.within, np.bincount(nearest, d.min(axis=1), 5), rtol=1e-12)
    np.testing.assert_allclose(found.sums, [X[nearest == j].sum(axis=0) for j in range(5)], atol=1e-12)
    np.testing.assert_allclose(K.square_distances(r, centers, geo), d.T, atol=1e-12)
    if cosine:
        unit = X / np.linalg.norm(X, axis=1)[:, None]
        np.testing.assert_allclose(found.directions, [unit[nearest == j].sum(axis=0) for j in range(5)], atol=1e-12)


def test_equal_centers_do_not_count_a_row_twice():
    r, geo, _ = rows(50)
    centers = np.vstack([K.dense_matrix(r, geo)[:2]] * 2)
    found = K.step(K.packed(r, geo), centers, geo)
    assert found.counts.sum() == 50
    assert (found.counts[2:] == 0).all()
    plain = K.Geometry(False, 3)
    found = K.step(K.packed(K.Rows(r.X), plain), centers[:, :3], plain)
    assert found.counts.sum() == 50
    assert (found.counts[2:] == 0).all()


def test_lloyd_equals_scikit_learn():
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(1)
    X = rng.normal(size=(3000, 6))
    geo = K.Geometry(False, 6)
    start = X[:7]
    blocks = [K.packed(K.Rows(part), geo) for part in np.array_split(X, 5)]
    ours = K.lloyd(K.Passes(lambda: blocks, geo), start, max_iterations=12, min_progress=None)
    theirs = KMeans(7, init=start, n_init=1, max_iter=12, tol=0.0, algorithm="lloyd").fit(X)
    np.testing.assert_allclose(ours.centers, theirs.cluster_centers_, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.last.within.sum(), theirs.inertia_, rtol=1e-12)


def test_passes_do_not_depend_on_blocks_or_threads():
    r, geo, _ = rows(5000)
    centers = K.dense_matrix(r, geo)[:4]
    whole = K.step(K.packed(r, geo), centers, geo)
    for size, threads in ((5000, 1), (700, 1), (700, 3)):
        parts = [K.packed(r.take(slice(at, at + size)), geo) for at in range(0, 5000, size)]
        found = K.Passes(lambda parts=parts: parts, geo, threads)(centers)
        np.testing.assert_allclose(found.sums, whole.sums, rtol=1e-12)
        np.testing.assert_array_equal(found.counts, whole.counts)


def test_single_precision_is_near():
    r, geo, _ = rows(20000)
    centers = K.dense_matrix(r, geo)[:4]
    low = K.step(K.packed(K.Rows(r.X.astype(np.float32), r.codes), geo), centers, geo)
    high = K.step(K.packed(r, geo), centers, geo)
    np.testing.assert_allclose(low.loss, high.loss, rtol=1e-6)


def test_the_stop_rule_moves_once_more_after_little_progress():
    losses = iter([100.0, 80.0, 79.9, 79.8, 79.7])

    def one_pass(centers):
        return K.Step(np.ones(2), centers * 2.0 + 1.0, np.full(2, next(losses)))

    fit = K.lloyd(one_pass, np.ones((2, 1)), max_iterations=20, min_progress=0.01)
    assert fit.iterations == 3
    assert fit.last.loss == pytest.approx(79.8)


def test_clusters_without_rows_stay_where_they_are():
    found = K.Step(np.array([2.0, 0.0]), np.array([[4.0], [0.0]]), np.zeros(2))
    np.testing.assert_array_equal(K.moved(found, np.array([[1.0], [9.0]])), [[2.0], [9.0]])
    assert found.radii().tolist() == [0.0, 0.0]


def test_davies_bouldin_by_hand():
    centers = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    radii = np.array([1.0, 2.0, 0.0])
    # Clusters 0 and 2 lie on each other and are not compared.
    expected = (3 / 5 + 3 / 5 + 2 / 5) / 3
    assert K.davies_bouldin(centers, radii, False) == pytest.approx(expected)


def test_normalized_distances():
    squares = np.array([[4.0, 0.0, 9.0], [1.0, 1e-12, 4.0]])
    np.testing.assert_allclose(K.normalized(squares, np.array([2.0, 0.5])), [1.0, 0.0, 1.5])
    np.testing.assert_allclose(K.normalized(squares, np.array([2.0, 0.0])), [1.0, 0.0, 1.5])
    assert np.isinf(K.normalized(squares, np.zeros(2))[[0, 2]]).all()


def test_seeding_finds_separated_groups():
    rng = np.random.default_rng(3)
    middle = rng.normal(size=(6, 4)) * 50
    X = np.repeat(middle, 100, axis=0) + rng.normal(size=(600, 4)) * 0.1
    geo = K.Geometry(False, 4)
    for seed in range(5):
        start = K.plus_plus(K.Rows(X), 6, geo, generator=np.random.default_rng(seed))
        assert len(np.unique(brute_distances(start, middle, False).argmin(axis=1))) == 6


def test_random_rows_differ_and_more_draws_are_no_worse():
    X = np.repeat(np.arange(4.0)[:, None], 5, axis=0)
    geo = K.Geometry(False, 1)
    one = K.random_rows(K.Rows(X), 4, geo, draws=1, generator=np.random.default_rng(0))
    assert sorted(one[:, 0]) == [0.0, 1.0, 2.0, 3.0]
    r, geo, _ = rows(500)
    ready = K.packed(r, geo)

    def loss(draws):
        start = K.random_rows(r, 5, geo, draws=draws, generator=np.random.default_rng(0))
        return K.lloyd(lambda c: K.step(ready, c, geo), start, max_iterations=4, min_progress=None).last.loss

    assert loss(8) <= loss(1)


def test_a_share_of_rows_depends_on_content_alone():
    r, _, _ = rows(20000)
    order = np.random.default_rng(5).permutation(20000)
    some = set(K.share(r, 10).tolist())
    again = {int(order[i]) for i in K.share(r.take(order), 10)}
    assert some == again
    assert 1500 < len(some) < 2500
