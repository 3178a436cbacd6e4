"""Metrics from counts: confusion matrices, ROC curves, areas.

Definitions are the service's: binary metrics are those of the positive label; with more labels precision,
recall and F1 are computed per label and averaged without weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sqlml.kernels.types import F64, I64


@dataclass(frozen=True, slots=True)
class ScoreCounts:
    """Rows by score, for one label against the rest.

    Args:
        score: (m,) distinct scores, ascending.
        positives, negatives: (m,) rows of each score.
    """

    score: F64
    positives: F64
    negatives: F64


def roc_auc(counts: ScoreCounts) -> float:
    """Area under the ROC curve, ties counted half (Mann-Whitney U); NaN when a side is empty."""
    p, n = float(counts.positives.sum()), float(counts.negatives.sum())
    if p == 0.0 or n == 0.0:
        return float("nan")
    below = np.concatenate([[0.0], np.cumsum(counts.negatives)[:-1]])
    return float((counts.positives * (below + 0.5 * counts.negatives)).sum() / (p * n))


def binary_metrics(tp: float, fp: float, tn: float, fn: float) -> tuple[float, float, float, float]:
    """(precision, recall, accuracy, F1) of the positive label; precision is NaN when nothing is predicted positive."""
    precision = tp / (tp + fp) if tp + fp else float("nan")
    recall = tp / (tp + fn) if tp + fn else 0.0
    total = tp + fp + tn + fn
    f1 = 2.0 * tp / (2.0 * tp + fp + fn) if tp else 0.0
    return precision, recall, (tp + tn) / total if total else float("nan"), f1


def macro_metrics(confusion: F64) -> tuple[float, float, float, float]:
    """(precision, recall, accuracy, F1), macro averages over the labels that occur.

    Args:
        confusion: (k, k): rows by actual label, columns by predicted label.
    """
    right = np.diag(confusion)
    actual, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    there = (actual > 0) | (predicted > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(predicted > 0, right / predicted, 0.0)
        recall = np.where(actual > 0, right / actual, 0.0)
        f1 = np.where(right > 0, 2.0 * right / (actual + predicted), 0.0)
    total = confusion.sum()
    accuracy = float(right.sum() / total) if total else float("nan")
    if not there.any():
        return float("nan"), float("nan"), accuracy, float("nan")
    return float(precision[there].mean()), float(recall[there].mean()), accuracy, float(f1[there].mean())


def quantile_thresholds(counts: ScoreCounts, parts: int = 100) -> F64:
    """The distinct scores at the 0th, 1st ... 100th percentile of the rows, descending."""
    weight = counts.positives + counts.negatives
    total = weight.sum()
    if total == 0:
        return np.zeros(0)
    rank = np.maximum(np.ceil(np.linspace(0.0, 1.0, parts + 1) * total), 1.0)
    at = np.searchsorted(np.cumsum(weight), rank - 0.5)
    return np.unique(counts.score[np.minimum(at, len(counts.score) - 1)])[::-1]


def curve(counts: ScoreCounts, thresholds: F64) -> tuple[I64, I64, I64, I64]:
    """(tp, fp, tn, fn), each (t,): a row is predicted positive when its score is the threshold or above.

    A recorded answer of the service has 1 true positive in the row of the highest threshold: the row that has this
    score counts, so every threshold that is a score has a precision.
    """
    above = np.searchsorted(counts.score, thresholds, side="left")
    positives = np.concatenate([np.cumsum(counts.positives[::-1])[::-1], [0.0]])
    negatives = np.concatenate([np.cumsum(counts.negatives[::-1])[::-1], [0.0]])
    tp, fp = positives[above], negatives[above]
    fn, tn = counts.positives.sum() - tp, counts.negatives.sum() - fp
    tp_, fp_, tn_, fn_ = (np.rint(v).astype(np.int64) for v in (tp, fp, tn, fn))
    return tp_, fp_, tn_, fn_
