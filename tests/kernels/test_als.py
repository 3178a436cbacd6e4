"""Alternating least squares against its normal equations, and the ranking metrics against loops."""

from __future__ import annotations

import numpy as np
import pytest

from sqlml.errors import DataError, OptionError
from sqlml.kernels.als import Factors, Settings, default_factors, factorize, ratings_of
from sqlml.kernels.ranking import greater_and_equal, ranking
from sqlml.kernels.threads import one_blas_thread


def triples(U=30, I=20, share=0.3, k=3, seed=0, implicit=False):  # noqa: E741
    """Ratings of a rank-k world: (users, items, values)."""
    rng = np.random.default_rng(seed)
    world = 3 + rng.standard_normal((U, k)) @ rng.standard_normal((k, I)) / np.sqrt(k)
    u, i = np.nonzero(rng.random((U, I)) < share)
    r = np.round(np.clip(world[u, i], 0, 5), 1)
    return (u, i, np.maximum(r - 2.5, 0)) if implicit else (u, i, r)


def reference(u, i, r, U, I, settings, items, sweeps):  # noqa: E741
    """The textbook loops in float64. Returns users, items, biases and the loss after every sweep."""
    k, l2 = settings.num_factors, settings.l2
    m = 0.0 if settings.implicit else r.mean()
    X, Y = np.zeros((U, k)), items.astype(np.float64)
    bu, bi = np.zeros(U), np.zeros(I)
    losses = []

    def half(X, Y, b, other_bias, own, other):
        for j in range(len(X)):
            at = other[own == j]
            if not len(at):
                continue
            F, v = Y[at], r[own == j]
            if settings.implicit:
                c = settings.alpha * np.maximum(v, 0)
                A = Y.T @ Y + F.T @ np.diag(c) @ F + l2 * np.eye(k)
                X[j] = np.linalg.solve(A, F.T @ ((1 + c) * (v > 0)))
            else:
                F = np.column_stack([F, np.ones(len(at))])
                x = np.linalg.solve(F.T @ F + l2 * np.eye(k + 1), F.T @ (v - m - other_bias[at]))
                X[j], b[j] = x[:k], x[k]

    for _ in range(sweeps):
        half(X, Y, bu, bi, u, i)
        half(Y, X, bi, bu, i, u)
        s = X @ Y.T
        if settings.implicit:
            R = np.zeros((U, I))
            R[u, i] = np.maximum(r, 0)
            c = 1 + settings.alpha * R
            losses.append((c * ((R > 0) - s) ** 2).sum() + l2 * ((X**2).sum() + (Y**2).sum()))
        else:
            losses.append(((r - m - bu[u] - bi[i] - s[u, i]) ** 2).mean())
    return X, Y, bu, bi, losses


def start(settings, I):  # noqa: E741
    k = settings.num_factors
    first = np.random.default_rng(7).standard_normal((I, k)).astype(np.float32)
    return first * np.float32(0.1 / np.sqrt(k))


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("l2", [0.1, 2.0])
def test_sweeps_are_those_of_the_normal_equations(implicit, l2):
    u, i, r = triples(implicit=implicit)
    settings = Settings(num_factors=4, implicit=implicit, l2=l2, max_iterations=6, early_stop=False, alpha=5.0)
    found = factorize(ratings_of(u, i, r, (30, 20)), settings, np.random.default_rng(7))
    X, Y, bu, bi, losses = reference(u, i, r, 30, 20, settings, start(settings, 20), 6)
    np.testing.assert_allclose(found.losses, losses, rtol=2e-4)
    np.testing.assert_allclose(found.users @ found.items.T, X @ Y.T, atol=5e-3)
    np.testing.assert_allclose(found.user_bias, bu, atol=5e-3)
    np.testing.assert_allclose(found.item_bias, bi, atol=5e-3)


def test_without_a_penalty_a_small_world_is_fitted_exactly():
    u, i, r = triples(U=12, I=10, share=0.5)
    settings = Settings(num_factors=10, l2=0.0, max_iterations=30, early_stop=False)
    found = factorize(ratings_of(u, i, r, (12, 10)), settings, np.random.default_rng(0))
    assert found.losses[-1] < 1e-4
    np.testing.assert_allclose(found.scores(u, i), r, atol=0.05)


@pytest.mark.parametrize("implicit", [False, True])
def test_many_factors_descend_to_the_same_loss(implicit):
    u, i, r = triples(U=150, I=120, implicit=implicit, k=6)
    shape = (150, 120)
    settings = Settings(num_factors=50, implicit=implicit, l2=3.0, max_iterations=30, early_stop=False)
    found = factorize(ratings_of(u, i, r, shape), settings, np.random.default_rng(7))
    *_, losses = reference(u, i, r, *shape, settings, start(settings, 120), 15)
    assert found.losses[-1] < 1.03 * losses[-1]
    if implicit:  # what is reported is what is minimised
        assert np.all(np.diff(found.losses) < 1e-4 * found.losses[0])


def test_order_of_the_input_does_not_matter():
    u, i, r = triples()
    shuffle = np.random.default_rng(3).permutation(len(u))
    settings = Settings(num_factors=3, max_iterations=3)
    a = factorize(ratings_of(u, i, r, (30, 20)), settings, np.random.default_rng(0))
    b = factorize(ratings_of(u[shuffle], i[shuffle], r[shuffle], (30, 20)), settings, np.random.default_rng(0))
    np.testing.assert_array_equal(a.users, b.users)
    np.testing.assert_array_equal(a.items, b.items)


def test_transposing_swaps_rows_and_columns():
    u, i, r = triples()
    there = ratings_of(u, i, r, (30, 20)).transposed()
    back = ratings_of(i, u, r, (20, 30))
    np.testing.assert_array_equal(there.indptr, back.indptr)
    np.testing.assert_array_equal(there.indices, back.indices)
    np.testing.assert_array_equal(there.values, back.values)


def test_rows_of_very_different_lengths():
    rng = np.random.default_rng(0)
    u = np.concatenate([np.zeros(400, int), np.arange(1, 301)])
    i = np.concatenate([np.arange(400), rng.integers(0, 400, 300)])
    r = rng.random(700)
    settings = Settings(num_factors=2, max_iterations=3, early_stop=False, l2=0.5)
    found = factorize(ratings_of(u, i, r, (302, 400)), settings, np.random.default_rng(7))
    *_, losses = reference(u, i, r, 302, 400, settings, start(settings, 400), 3)
    np.testing.assert_allclose(found.losses, losses, rtol=1e-3)
    assert not found.users[301].any()  # a user without ratings


def test_early_stop_and_reports():
    u, i, r = triples(U=80, I=60)
    seen = []
    settings = Settings(num_factors=3, max_iterations=200, min_rel_progress=0.05)
    held = (u[::9], i[::9], r[::9])
    found = factorize(
        ratings_of(u, i, r, (80, 60)),
        settings,
        np.random.default_rng(0),
        evaluation=held,
        report=lambda n, loss, eval_loss: seen.append((n, loss, eval_loss)),
    )
    assert found.converged and 1 < len(seen) < 200
    assert (seen[-2][1] - seen[-1][1]) / seen[-2][1] < 0.05
    assert seen[-1][2] == pytest.approx(((found.scores(u, i)[::9] - r[::9]) ** 2).mean(), rel=1e-4)


def test_unknown_codes_fall_back_to_the_biases():
    found = Factors(
        np.ones((2, 2), np.float32),
        np.ones((3, 2), np.float32),
        np.array([0.5, 1.0], np.float32),
        np.array([0.1, 0.2, 0.3], np.float32),
        4.0,
        [],
        False,
    )
    np.testing.assert_allclose(
        found.scores(np.array([0, -1, 1, -1]), np.array([2, 1, -1, -1])), [6.8, 4.2, 5.0, 4.0], rtol=1e-6
    )


def test_bad_ratings_are_sentences():
    with pytest.raises(DataError, match="every pair of user and item must have one rating"):
        ratings_of(np.array([0, 1, 0]), np.array([2, 0, 2]), np.ones(3), (2, 3))
    with pytest.raises(DataError, match="finite"):
        ratings_of(np.array([0]), np.array([0]), np.array([np.nan]), (1, 1))
    nothing = ratings_of(np.zeros(0, int), np.zeros(0, int), np.zeros(0), (0, 0))
    with pytest.raises(DataError, match="at least one rating"):
        factorize(nothing, Settings(), np.random.default_rng(0))
    zeros = ratings_of(np.array([0]), np.array([0]), np.zeros(1), (1, 1))
    with pytest.raises(DataError, match="greater than 0"):
        factorize(zeros, Settings(implicit=True), np.random.default_rng(0))
    with pytest.raises(OptionError):
        Settings(num_factors=0)


def test_default_number_of_factors():
    assert default_factors(1) == 2
    assert default_factors(1_000_000) == 20
    assert default_factors(2**210) == 200


def brute_force(f, users, items, ratings):
    """The definitions of `Ranking`, one user and one item at a time."""
    precisions, gains, numerator, denominator, errors = [], [], 0.0, 0.0, []
    for user in np.unique(users):
        scores = f.users[user].astype(float) @ f.items.T.astype(float)
        at = items[users == user]
        r = ratings[users == user]
        rank = {j: 1 + sum(scores > scores[j]) for j in at}
        relevant = [j for j, v in zip(at, r, strict=True) if v > 0]
        if relevant:
            ranks = sorted(rank[j] for j in relevant)
            precisions.append(np.mean([(n + 1) / v for n, v in enumerate(ranks)]))
        order = sorted(range(len(at)), key=lambda j: -scores[at[j]])
        best = sorted(r, reverse=True)
        ideal = sum(v / np.log2(2 + p) for p, v in enumerate(best))
        if ideal > 0:
            gains.append(sum(r[j] / np.log2(2 + p) for p, j in enumerate(order)) / ideal)
        for j, v in zip(at, r, strict=True):
            numerator += v * (rank[j] - 1) / (len(scores) - 1)
            denominator += v
        preferred = np.isin(np.arange(len(scores)), relevant)
        errors.extend((preferred - scores) ** 2)
    return np.mean(precisions), np.mean(errors), np.mean(gains), numerator / denominator


def test_ranking_metrics_are_their_definitions():
    u, i, r = triples(implicit=True)
    f = factorize(ratings_of(u, i, r, (30, 20)), Settings(num_factors=3, implicit=True), np.random.default_rng(0))
    found = ranking(f, u, i, r)
    expected = brute_force(f, u, i, r)
    values = [getattr(found, name) for name in found.__slots__]
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    assert found.average_rank < 0.5


def test_ranking_without_scores_is_chance():
    f = Factors(
        np.zeros((2, 1), np.float32),
        np.zeros((5, 1), np.float32),
        np.zeros(2, np.float32),
        np.zeros(5, np.float32),
        0.0,
        [],
        False,
    )
    found = ranking(f, np.array([0, 1, -1]), np.array([1, 4, 0]), np.array([2.0, 1.0, 9.0]))
    assert found.average_rank == 0.5
    assert found.mean_average_precision == pytest.approx(1 / 3)
    assert np.isnan(ranking(f, np.array([-1]), np.array([0]), np.array([1.0])).average_rank)


@pytest.mark.parametrize("m", [1, 8, 9, 200])
@pytest.mark.parametrize("n", [300, 32_768, 32_769, 100_000])
def test_counts_of_greater_and_equal_scores(n: int, m: int):
    rng = np.random.default_rng(n + m)
    many = rng.standard_normal(n)
    for scores in (
        many,
        many.round(1),
        3.5 + 1e-6 * many,
        np.exp(8 * many),
        3e38 * np.sign(many),
        1e-40 * many,
        0 * many,
    ):
        s = scores.astype(np.float32)
        v = s[rng.integers(0, n, m)]
        above, equal = greater_and_equal(s, v)
        assert above.tolist() == [(s > x).sum() for x in v]
        assert equal.tolist() == [(s == x).sum() for x in v]


def test_ranking_of_a_sample_of_users():
    rng = np.random.default_rng(5)
    f = Factors(
        rng.standard_normal((900, 3)).astype(np.float32),
        rng.standard_normal((40, 3)).astype(np.float32),
        np.zeros(900, np.float32),
        np.zeros(40, np.float32),
        0.0,
        [],
        True,
    )
    chosen = f.users @ f.items.T + rng.standard_normal((900, 40)) > 1.5
    u, i = np.nonzero(chosen)
    r = np.ones(len(u))
    exact, some = ranking(f, u, i, r), ranking(f, u, i, r, most=300 * 40)
    assert some == ranking(f, u, i, r, most=300 * 40)
    assert some.mean_squared_error == exact.mean_squared_error
    assert some.average_rank != exact.average_rank
    for name in ("mean_average_precision", "normalized_discounted_cumulative_gain", "average_rank"):
        assert getattr(some, name) == pytest.approx(getattr(exact, name), rel=0.1)
    assert ranking(f, u, i, r, most=900 * 40) == exact


def test_blas_gets_its_threads_back():
    controller = pytest.importorskip("threadpoolctl").ThreadpoolController()

    def counts():
        return [lib.num_threads for lib in controller.lib_controllers if lib.user_api == "blas"]

    before = counts()
    with one_blas_thread():
        with one_blas_thread():
            pass
        assert set(counts()) == {1}
    assert counts() == before


def test_poll_can_cancel_within_a_sweep():
    u, i, r = triples()
    calls = []

    def poll():
        calls.append(1)
        raise KeyboardInterrupt

    reports = []
    with pytest.raises(KeyboardInterrupt):
        factorize(
            ratings_of(u, i, r, (30, 20)), Settings(num_factors=3), np.random.default_rng(0),
            report=lambda *a, **k: reports.append(a), poll=poll,
        )  # fmt: skip
    assert len(calls) == 1 and not reports
