"""How well scores of user-item pairs rank the items: the metrics of implicit feedback."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlml.kernels.als import Factors
from sqlml.kernels.threads import cores, one_blas_thread
from sqlml.kernels.types import F32, I64

#: Pairs of users and items that are ranked; beyond, a sample of users.
MOST = 1_000_000_000
_BLOCK = 2**22  # scores held at a time and core
_FEW = 8  # values that are compared one by one
_SHORT = 2**15  # scores that are sorted as a whole
_INTERVALS = 2**16


@dataclass(frozen=True, slots=True)
class Ranking:
    """Metrics of a ranking; NaN when there is nothing to rank.

    Args:
        mean_average_precision: mean over users of the mean over their relevant items (rating > 0) of
            (relevant items ranked up to it) / (its rank among all items).
        mean_squared_error: over all items of the users seen: (preference - score)^2 with preference
            1 where a rating > 0 is given and 0 elsewhere.
        normalized_discounted_cumulative_gain: mean over users of DCG / best DCG of the items they
            rated, with gain = rating and discount 1 / log2(1 + position).
        average_rank: sum of rating * percentile rank among all items / sum of ratings; 0 is the top,
            1 the bottom, 0.5 what chance gives (Hu, Koren & Volinsky 2008).
    """

    mean_average_precision: float
    mean_squared_error: float
    normalized_discounted_cumulative_gain: float
    average_rank: float


def ranking(
    factors: Factors, users: NDArray[Any], items: NDArray[Any], ratings: NDArray[Any], *, most: int = MOST
) -> Ranking:
    """Metrics of the rated pairs (codes (n,), (n,) and ratings (n,)).

    Pairs with an unknown user or item (code -1) cannot be ranked and are left out. Ratings below 0
    count as 0. Equal scores are ranked as if the pair came last among them half of the time.
    Where users x items are more than `most`, the ranks are those of as many users as that allows
    (100 at least), drawn with a fixed seed; the squared error is always that of all.
    """
    known = (users >= 0) & (items >= 0)
    # The order of the pairs within a user does not matter, so one sort of single numbers will do.
    order = np.argsort(users[known], kind="stable")
    u, i = users[known][order], items[known][order]
    r = np.maximum(np.asarray(ratings, np.float64)[known][order], 0.0)
    if not len(u):
        return Ranking(*[float("nan")] * 4)
    names = np.unique(u)
    error = _squared_error(factors, names, factors.scores(u, i), r > 0)
    ranked = max(100, most // max(1, len(factors.items)))
    if len(names) > ranked:
        some = np.zeros(len(factors.users), np.bool_)
        some[np.random.default_rng(0).choice(names, ranked, replace=False)] = True
        kept = some[u]
        u, i, r = u[kept], i[kept], r[kept]
    starts = np.flatnonzero(np.append(True, u[1:] != u[:-1]))
    counts = np.diff(np.append(starts, len(u)))
    who = np.repeat(np.arange(len(starts), dtype=np.float64), counts)
    rank = _ranks(factors, u, i)
    by_rank = np.argsort(who * (len(factors.items) + 2) + rank)
    percentile = (rank - 1) / max(1, len(factors.items) - 1)
    total = r.sum()
    return Ranking(
        _average_precision(who[by_rank], rank[by_rank], r[by_rank] > 0),
        error,
        _gain(who, starts, counts, r, by_rank),
        float((r * percentile).sum() / total) if total > 0 else float("nan"),
    )


def rating_metrics(r: NDArray[Any], s: NDArray[Any]) -> tuple[float, float, float, float, float, float]:
    """Metrics of scores s (n,) for ratings r (n,).

    Mean absolute, mean squared and mean squared log error (NaN where a value is -1 or less), median
    absolute error (the lower one of two), r2 and explained variance.
    """
    r, s = np.asarray(r, np.float64), np.asarray(s, np.float64)
    e = r - s
    spread = float(r.var())
    nan = float("nan")
    logs = nan if min(r.min(), s.min()) <= -1 else float(np.mean((np.log1p(r) - np.log1p(s)) ** 2))
    return (
        float(np.abs(e).mean()),
        float((e * e).mean()),
        logs,
        float(np.sort(np.abs(e))[(len(e) - 1) // 2]),
        1.0 - float((e * e).mean()) / spread if spread > 0 else nan,
        1.0 - float(e.var()) / spread if spread > 0 else nan,
    )


def _ranks(factors: Factors, u: NDArray[Any], i: NDArray[Any]) -> NDArray[np.float64]:
    """Rank, from 1, of each pair's item among all items of its user (u sorted)."""
    rank = np.empty(len(u))
    names, first = np.unique(u, return_index=True)
    ends = np.append(first[1:], len(u))
    step = max(1, _BLOCK // max(1, len(factors.items)))

    def some(a: int) -> None:
        b = min(a + step, len(names))
        scores = factors.users[names[a:b]] @ factors.items.T
        scores += factors.item_bias
        for j in range(a, b):
            s = slice(first[j], ends[j])
            above, equal = greater_and_equal(scores[j - a], scores[j - a, i[s]])
            rank[s] = 1 + above + (equal - 1) / 2

    with one_blas_thread(), ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(some, range(0, len(names), step)):
            pass
    return rank


def greater_and_equal(scores: F32, values: F32) -> tuple[I64, I64]:
    """How many of the scores (n,) are greater than, and equal to, each of the values (m,).

    Few values are compared one by one; for more, those of many scores that are near a value are sorted.
    """
    if len(values) <= _FEW:
        above = [np.count_nonzero(scores > v) for v in values]
        return np.array(above, np.int64), np.array([np.count_nonzero(scores == v) for v in values], np.int64)
    close, beyond = (np.sort(scores), 0) if len(scores) <= _SHORT else _near(scores, values)
    ends = np.searchsorted(close, values, side="right")
    return beyond + len(close) - ends, ends - np.searchsorted(close, values, side="left")


def _near(scores: F32, values: F32) -> tuple[F32, I64]:
    """The scores that lie in one interval with a value, in order; and per value how many others are greater.

    The intervals have equal widths. Both roundings keep the order, so equal numbers share an interval.
    """
    low = scores.min()
    with np.errstate(over="ignore"):
        width = scores.max() - low
    if not 1e-30 < width < 1e38:  # all are nearly equal, or too far apart to scale
        return np.sort(scores), np.zeros(len(values), np.int64)
    scale = np.float32((_INTERVALS - 1) / width)
    place = ((scores - low) * scale).astype(np.int32)
    own = ((values - low) * scale).astype(np.int32)
    near = np.zeros(_INTERVALS, np.bool_)
    near[own] = True
    counts = np.bincount(place, minlength=_INTERVALS)
    counts[near] = 0
    return np.sort(scores[near[place]]), counts[::-1].cumsum()[::-1][own]


def _average_precision(who: NDArray[np.float64], rank: NDArray[np.float64], relevant: NDArray[np.bool_]) -> float:
    """`who` are the users' numbers; the pairs are in order of user and rank."""
    who, rank = who[relevant], rank[relevant]
    if not len(who):
        return float("nan")
    starts = np.flatnonzero(np.append(True, who[1:] != who[:-1]))
    counts = np.diff(np.append(starts, len(who)))
    hits = np.arange(1, len(who) + 1) - np.repeat(starts, counts)
    precision = np.minimum(hits / rank, 1.0)
    return float((np.add.reduceat(precision, starts) / counts).mean())


def _squared_error(
    factors: Factors, names: NDArray[Any], s: NDArray[np.float64], preferred: NDArray[np.bool_]
) -> float:
    X, Y = factors.users[names].astype(np.float64), factors.items.astype(np.float64)
    everywhere = float(((X.T @ X) * (Y.T @ Y)).sum())
    rated = float(((preferred - s) ** 2 - s**2).sum())
    return max(0.0, everywhere + rated) / (len(X) * len(Y))


def _gain(
    who: NDArray[np.float64],
    starts: NDArray[Any],
    counts: NDArray[Any],
    r: NDArray[np.float64],
    by_rank: NDArray[Any],
) -> float:
    position = np.arange(1, len(r) + 1) - np.repeat(starts, counts)
    discount = 1.0 / np.log2(1.0 + position)
    best_first = np.argsort(who - r / (1.001 * max(float(r.max()), 1e-300)))
    made = np.add.reduceat(r[by_rank] * discount, starts)
    best = np.add.reduceat(r[best_first] * discount, starts)
    some = best > 0
    return float((made[some] / best[some]).mean()) if some.any() else float("nan")
