"""Objectives against scikit-learn, and greedy selection of members."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from sqlml.kernels import ensemble


@pytest.fixture
def scores():
    rng = np.random.default_rng(1)
    y = (rng.random(400) < 0.3).astype(float)
    p = np.clip(np.round(0.3 * y + 0.7 * rng.random(400), 2), 0.01, 0.99)  # with ties
    return y, p


def test_objectives_agree_with_scikit_learn(scores):
    y, p = scores
    assert ensemble.au_roc(y, p) == pytest.approx(metrics.roc_auc_score(y, p))
    assert ensemble.au_prc(y, p) == pytest.approx(metrics.average_precision_score(y, p))
    assert -ensemble.log_loss(y, p) == pytest.approx(metrics.log_loss(y, p))
    assert -ensemble.log_loss(y, np.column_stack([1 - p, p])) == pytest.approx(metrics.log_loss(y, p))
    assert -ensemble.rmse(y, p) == pytest.approx(metrics.root_mean_squared_error(y, p))
    assert -ensemble.mae(y, p) == pytest.approx(metrics.mean_absolute_error(y, p))
    assert -(ensemble.rmsle(y, p) ** 2) == pytest.approx(-metrics.mean_squared_log_error(y, p))
    precision, recall, _ = metrics.precision_recall_curve(y, p)
    for level in (0.2, 0.5, 0.9):
        assert ensemble.precision_at_recall(level)(y, p) == pytest.approx(precision[recall >= level].max())
        assert ensemble.recall_at_precision(level)(y, p) == pytest.approx(
            recall[precision >= level].max() if (precision[:-1] >= level).any() else 0.0
        )


def test_errors_that_cancel_are_combined():
    rng = np.random.default_rng(2)
    y = rng.normal(size=500)
    noise = rng.normal(size=500)
    members = [y + noise, y - noise, y + 3.0 * rng.normal(size=500), y + 5.0]
    weights = ensemble.select(members, y, ensemble.rmse)
    assert weights.sum() == pytest.approx(1.0)
    mixed = sum(w * m for w, m in zip(weights, members, strict=True))
    assert ensemble.rmse(y, mixed) > max(ensemble.rmse(y, m) for m in members) / 2
    assert weights[3] < 0.1 and weights[:2].min() > 0.3


def test_one_member_has_all_the_weight():
    y = np.arange(5.0)
    assert ensemble.select([y], y, ensemble.mae).tolist() == [1.0]


def test_bags_do_not_leave_everything_to_a_lucky_member():
    rng = np.random.default_rng(3)
    y = rng.normal(size=1000)
    lucky = np.where(np.arange(1000) < 20, y, 10.0)  # perfect on the rows that choose, useless elsewhere
    members = [lucky, *(y + rng.normal(size=1000) for _ in range(11))]
    chosen = [m[:20] for m in members]
    alone = ensemble.select(chosen, y[:20], ensemble.rmse)
    weights = ensemble.bagged(chosen, y[:20], ensemble.rmse, np.random.default_rng(0))
    assert weights.sum() == pytest.approx(1.0) and weights.min() >= 0.0 and (weights > 0).sum() > 3
    assert weights[0] < alone[0]

    def rest(w):
        return ensemble.rmse(y[20:], sum(v * m[20:] for v, m in zip(w, members, strict=True)))

    assert rest(weights) > rest(alone)
    again = ensemble.bagged(chosen, y[:20], ensemble.rmse, np.random.default_rng(0))
    np.testing.assert_array_equal(again, weights)
    assert ensemble.bagged(chosen[:1], y[:20], ensemble.rmse, rng).tolist() == [1.0]


def test_a_part_of_the_weight_goes_to_the_best_of_each_group():
    weights = np.array([0.0, 0.9, 0.1, 0.0])
    found = ensemble.hedged(weights, ["net", "net", "trees", "linear"], 800)
    np.testing.assert_allclose(found, [0.25 / 3, 0.675, 0.075 + 0.25 / 3, 0.25 / 3])
    np.testing.assert_allclose(ensemble.hedged(weights, ["a"] * 4, 10_000), [0.025, 0.8775, 0.0975, 0.0])
    assert ensemble.hedged(np.ones(1), ["a"], 5).tolist() == [1.0]
