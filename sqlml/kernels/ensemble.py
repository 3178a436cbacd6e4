"""Choosing and weighing members of an ensemble by what they predict for rows that none of them was trained on.

Source: Caruana et al. 2004, "Ensemble Selection from Libraries of Models" (greedy, with replacement, bagged).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sqlml.kernels.types import F64

#: Larger is better: label (n,) numbers or class indices, prediction (n,) or (n, k).
Objective = Callable[[F64, F64], float]
_EPSILON = 1e-15
_HEDGE, _HEDGED_ROWS = 0.25, 1000


def rmse(y: F64, p: F64) -> float:
    """Minus the root of the mean squared error."""
    return -float(np.sqrt(np.mean((y - p) ** 2)))


def mae(y: F64, p: F64) -> float:
    """Minus the mean absolute error."""
    return -float(np.mean(np.abs(y - p)))


def rmsle(y: F64, p: F64) -> float:
    """Minus the root of the mean squared difference of ln(1 + x); numbers below 0 count as 0."""
    return -float(np.sqrt(np.mean((np.log1p(np.maximum(y, 0.0)) - np.log1p(np.maximum(p, 0.0))) ** 2)))


def log_loss(y: F64, p: F64) -> float:
    """Minus the mean log loss; p is (n,) of class 1, or (n, k)."""
    own = p[np.arange(len(y)), y.astype(np.int64)] if p.ndim == 2 else np.where(y == 1.0, p, 1.0 - p)
    return float(np.mean(np.log(np.maximum(own, _EPSILON))))


def _ranked(y: F64, p: F64) -> tuple[F64, F64]:
    """Cumulated (true, false) positives at each distinct score, from the highest."""
    order = np.argsort(-p, kind="stable")
    scores, hits = p[order], y[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    return np.cumsum(hits)[last], np.cumsum(1.0 - hits)[last]


def au_roc(y: F64, p: F64) -> float:
    """Area under the ROC curve; 0.5 when one class is missing."""
    tp, fp = _ranked(y, p)
    if tp[-1] == 0.0 or fp[-1] == 0.0:
        return 0.5
    x, v = np.concatenate([[0.0], fp]) / fp[-1], np.concatenate([[0.0], tp]) / tp[-1]
    return float(np.sum(np.diff(x) * (v[1:] + v[:-1]) / 2.0))


def au_prc(y: F64, p: F64) -> float:
    """Average precision; 0 without a positive row."""
    tp, fp = _ranked(y, p)
    if tp[-1] == 0.0:
        return 0.0
    return float(np.sum(np.diff(np.concatenate([[0.0], tp])) / tp[-1] * tp / (tp + fp)))


def precision_at_recall(recall: float) -> Objective:
    """The best precision among thresholds with at least this recall."""

    def value(y: F64, p: F64) -> float:
        tp, fp = _ranked(y, p)
        good = tp >= recall * tp[-1]
        return float((tp / (tp + fp))[good].max()) if good.any() else 0.0

    return value


def recall_at_precision(precision: float) -> Objective:
    """The best recall among thresholds with at least this precision."""

    def value(y: F64, p: F64) -> float:
        tp, fp = _ranked(y, p)
        good = tp / (tp + fp) >= precision
        return float((tp / tp[-1])[good].max()) if good.any() and tp[-1] > 0.0 else 0.0

    return value


def select(predictions: Sequence[F64], y: F64, objective: Objective, start: int = 3, steps: int = 30) -> F64:
    """(members,) weights that add up to 1: at each step, the member that helps the mean most is added.

    Starts at the `start` best members, for the single best one is often best by luck; ends when no
    member helps any more.
    """
    counts = np.zeros(len(predictions))
    order = np.argsort([-objective(y, p) for p in predictions], kind="stable")[:start]
    counts[order] = 1.0
    total = np.sum([predictions[i] for i in order], axis=0)
    best = objective(y, total / len(order))
    for _ in range(steps - len(order)):
        values = [objective(y, (total + p) / (counts.sum() + 1.0)) for p in predictions]
        chosen = int(np.argmax(values))
        if values[chosen] <= best:
            break
        best = values[chosen]
        counts[chosen] += 1.0
        total = total + predictions[chosen]
    return counts / counts.sum()


def bagged(
    predictions: Sequence[F64], y: F64, objective: Objective, generator: np.random.Generator, bags: int = 20
) -> F64:
    """(members,) weights that add up to 1: the mean over selections from random halves of the library.

    A member that is nearly perfect on few rows by luck is in half of the bags only, so others keep a say; without
    bags it would be alone, and wrong without a doubt elsewhere. Shares below one in a hundred are dropped.
    """
    n = len(predictions)
    if n < 4:
        return select(predictions, y, objective)
    weights = np.zeros(n)
    for _ in range(bags):
        chosen = np.sort(generator.permutation(n)[: (n + 1) // 2])
        weights[chosen] += select([predictions[i] for i in chosen], y, objective) / bags
    weights[weights < 0.01] = 0.0
    return np.asarray(weights / weights.sum())


def hedged(weights: F64, groups: Sequence[str], rows: int) -> F64:
    """(members,) weights of which a part goes to the best member of each group in equal shares.

    Few rows cannot tell a member that is right from one that was lucky and is sure of itself; groups (model types)
    err in other places. The part is a quarter up to a thousand rows and falls as 1 / rows beyond.

    Args:
        weights: add up to 1; the best members come first.
        groups: the group of each member.
        rows: number of rows that chose the weights.
    """
    first = [groups.index(g) for g in dict.fromkeys(groups)]
    part = _HEDGE * min(1.0, _HEDGED_ROWS / max(rows, 1))
    found = (1.0 - part) * weights
    found[first] += part / len(first)
    return np.asarray(found)
