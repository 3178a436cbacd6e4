"""Counts at thresholds, against scikit-learn and brute force."""

from __future__ import annotations

import numpy as np

from sqlml.kernels.metrics import ScoreCounts, curve, quantile_thresholds


def counts_of(score: np.ndarray, y: np.ndarray) -> ScoreCounts:
    values, at = np.unique(score, return_inverse=True)
    positives = np.bincount(at, weights=y, minlength=len(values))
    return ScoreCounts(values, positives, np.bincount(at, minlength=len(values)) - positives)


def test_the_curve_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(7)
    score, y = rng.integers(0, 40, 500) / 40.0, rng.integers(0, 2, 500)
    fpr, tpr, thresholds = roc_curve(y, score, drop_intermediate=False)
    tp, fp, tn, fn = curve(counts_of(score, y), thresholds[1:])  # the first is infinity
    np.testing.assert_allclose(tp / (tp + fn), tpr[1:])
    np.testing.assert_allclose(fp / (fp + tn), fpr[1:])


def test_every_default_threshold_has_a_precision() -> None:
    rng = np.random.default_rng(8)
    score, y = rng.normal(size=10_114), (rng.random(10_114) < 0.012).astype(int)
    counts = counts_of(score, y)
    thresholds = quantile_thresholds(counts)
    tp, fp, tn, fn = curve(counts, thresholds)
    assert thresholds[0] == score.max() and tp[0] + fp[0] == 1  # as in the recorded answer: 1 row at the top
    assert (tp[1] + fp[1], tp[2] + fp[2]) == (102, 203)  # 1% and 2% of the rows, and the one that has the score
    assert tp[-1] + fp[-1] == 10_114 and tn[-1] + fn[-1] == 0
    for i in (0, 1, 50, -1):
        assert tp[i] == np.sum((score >= thresholds[i]) & (y == 1))
