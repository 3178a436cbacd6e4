"""Matrix factorisation by alternating least squares, for explicit and implicit feedback.

Explicit: minimise, over observed ratings r, the sum of (r - m - b_u - b_i - x_u y_i)^2
+ l2 (sum |x|^2 + |y|^2 + b^2), with m the mean rating (Koren, Bell & Volinsky 2009).
Implicit: minimise, over all pairs, the sum of c (p - x_u y_i)^2 + l2 (sum |x|^2 + |y|^2), with
p = 1 where r > 0 and c = 1 + alpha max(r, 0) (Hu, Koren & Volinsky 2008).

Each half-sweep is one small ridge problem per row. Rows with about the same number of ratings are
solved together: gather their factors into (rows, length, d), one batched product, one batched
solve. A piece fits the cache, pieces run on all cores, and the loss falls out of the second half.
With many factors a few steps of conjugate gradients from the last solution stand in for the exact
one (Takacs, Pilaszy & Tikk 2011): they need no normal matrices, and the loss still never rises.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlml.errors import DataError, OptionError, TrainingError
from sqlml.kernels.threads import cores, one_blas_thread

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

_PIECE = 2**19  # numbers gathered at a time: 2 MiB
_STRETCH = 1.25  # rows in one piece differ in length by at most this factor
_SOLVE = 4_000_000  # numbers in the normal matrices of a piece
_DIRECT = 40  # unknowns per row up to which the small problems are solved exactly
_STEPS = 3  # steps of conjugate gradients otherwise
_KEEP = 30_000_000  # ratings up to which the padded indexes are kept between sweeps


@dataclass(frozen=True, slots=True)
class Ratings:
    """Ratings sorted by row, in compressed rows: row j has entries indptr[j] .. indptr[j + 1].

    Args:
        indptr: (rows + 1,).
        indices: column of every rating (n,).
        values: the ratings (n,).
        columns: number of columns.
    """

    indptr: I64
    indices: I32
    values: F32
    columns: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    def transposed(self) -> Ratings:
        """The same ratings, sorted by column."""
        from scipy.sparse import csr_matrix

        m = csr_matrix((self.values, self.indices, self.indptr), shape=(self.rows, self.columns)).tocsc()
        return Ratings(m.indptr.astype(np.int64), m.indices.astype(np.int32), m.data, self.rows)


def ratings_of(users: NDArray[Any], items: NDArray[Any], values: NDArray[Any], shape: tuple[int, int]) -> Ratings:
    """Compressed rows from codes of users (n,) and items (n,), sorted by user or not.

    Raises `DataError` when a pair has two ratings or a rating is not finite.
    """
    if not np.isfinite(values).all():
        raise DataError("the ratings must be finite. Got NULL, NaN or an infinite value.")
    order = np.lexsort((items, users))
    u, i = users[order], items[order]
    if len(u) and np.any((u[1:] == u[:-1]) & (i[1:] == i[:-1])):
        raise DataError(
            "every pair of user and item must have one rating. Some pairs have several.",
            hint="SELECT user, item, AVG(rating) AS rating ... GROUP BY user, item",
        )
    indptr = np.concatenate([[0], np.cumsum(np.bincount(u, minlength=shape[0]))]).astype(np.int64)
    return Ratings(indptr, i.astype(np.int32), values[order].astype(np.float32), shape[1])


@dataclass(frozen=True, slots=True)
class Factors:
    """A factorisation. The score of a pair is intercept + b_u + b_i + x_u y_i.

    Args:
        users, items: factors (U, k), (I, k).
        user_bias, item_bias: (U,), (I,); 0 for implicit feedback.
        intercept: mean rating; 0 for implicit feedback.
        losses: per sweep: mean squared error (explicit), or the whole objective (implicit).
        converged: whether early stopping ended the training.
    """

    users: F32
    items: F32
    user_bias: F32
    item_bias: F32
    intercept: float
    losses: list[float]
    converged: bool

    def scores(self, users: NDArray[Any], items: NDArray[Any]) -> F64:
        """Scores of pairs of codes (n,), (n,). A code of -1 is unknown: its factors and bias are 0."""
        u, i = np.asarray(users), np.asarray(items)
        dot = np.empty(len(u))
        for at in range(0, len(u), 32_768):  # the gathered factors stay in the cache
            s = slice(at, at + 32_768)
            dot[s] = np.einsum("ij,ij->i", self.users[u[s]], self.items[i[s]], dtype=np.float64)
        both = (u >= 0) & (i >= 0)
        return np.asarray(
            self.intercept
            + np.where(both, dot, 0.0)
            + np.where(u >= 0, self.user_bias[u], 0.0)
            + np.where(i >= 0, self.item_bias[i], 0.0)
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """How to factorise; the names are those of the SQL options (`alpha` is WALS_ALPHA)."""

    num_factors: int = 10
    implicit: bool = False
    alpha: float = 40.0
    l2: float = 1.0
    max_iterations: int = 20
    early_stop: bool = True
    min_rel_progress: float = 0.01

    def __post_init__(self) -> None:
        if self.num_factors < 1:
            raise OptionError(f"NUM_FACTORS must be at least 1. Got {self.num_factors}.")


def default_factors(n: int) -> int:
    """The service's default for NUM_FACTORS: log2 of the number of ratings, from 2 to 200."""
    return int(min(200, max(2, round(math.log2(max(n, 1))))))


def factorize(
    ratings: Ratings,
    settings: Settings,
    generator: np.random.Generator,
    *,
    evaluation: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None,
    report: Callable[..., None] | None = None,
    poll: Callable[[], None] | None = None,
) -> Factors:
    """Alternate over users and items until the loss stops falling.

    Args:
        ratings: users x items; columns and rows without ratings get zero factors.
        evaluation: codes and ratings of held-out pairs, for the evaluation loss (explicit only).
        report: called as report(iteration, loss, eval_loss=...) after each sweep; may raise to cancel.
        poll: called within a sweep, at most five times a second; may raise to cancel.

    Raises:
        DataError: no ratings, or (implicit) none above 0.
        TrainingError: the factors are not finite.
    """
    n = len(ratings.values)
    if not n:
        raise DataError("the training query must return at least one rating. Got none.")
    if settings.implicit and not (ratings.values > 0).any():
        raise DataError("implicit feedback must have a rating greater than 0. Every rating is 0 or less.")
    intercept = 0.0 if settings.implicit else float(ratings.values.mean(dtype=np.float64))
    k = settings.num_factors
    items = generator.standard_normal((ratings.columns, k)).astype(np.float32)
    items *= np.float32(0.1 / np.sqrt(k))
    solver = _Solver(ratings, settings, intercept, poll)
    users = np.zeros((ratings.rows, k), np.float32)
    user_bias, item_bias = np.zeros(ratings.rows, np.float32), np.zeros(ratings.columns, np.float32)
    losses: list[float] = []
    converged = False
    with one_blas_thread(), ThreadPoolExecutor(cores()) as pool:
        for sweep in range(settings.max_iterations):
            users, user_bias, _ = solver.half(0, items, item_bias, (users, user_bias), pool)
            items, item_bias, observed = solver.half(1, users, user_bias, (items, item_bias), pool)
            losses.append(solver.loss(users, items, observed))
            if not np.isfinite(losses[-1]):
                raise TrainingError(f"L2_REG must be greater for these data. Got {settings.l2}.")
            now = Factors(users, items, user_bias, item_bias, intercept, losses, False)
            if report is not None:
                report(sweep, losses[-1], eval_loss=_eval_loss(now, evaluation, settings))
            if settings.early_stop and sweep and _stalled(losses, settings.min_rel_progress):
                converged = True
                break
    return Factors(users, items, user_bias, item_bias, intercept, losses, converged)


def _stalled(losses: list[float], min_rel_progress: float) -> bool:
    return losses[-2] - losses[-1] < min_rel_progress * abs(losses[-2])


def _eval_loss(
    now: Factors, evaluation: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None, settings: Settings
) -> float | None:
    if evaluation is None or not len(evaluation[2]):
        return None
    users, items, r = evaluation
    s = now.scores(users, items)
    if not settings.implicit:
        return float(np.mean((r - s) ** 2))
    c = 1 + settings.alpha * np.maximum(r, 0)  # over the held-out pairs only
    return float(np.sum(c * ((r > 0) - s) ** 2))


class _Solver:
    """Half-sweeps over ratings kept in both orders."""

    def __init__(self, ratings: Ratings, settings: Settings, intercept: float, poll: Callable[[], None] | None):
        self.settings, self.intercept, self.poll = settings, intercept, poll
        self._told = -1.0
        d = settings.num_factors + (not settings.implicit)
        keep = len(ratings.values) <= _KEEP
        self.sides = [_Pieces(r, d, keep=keep) for r in (ratings, ratings.transposed())]
        self.n = len(ratings.values)

    def half(
        self, side: int, other: F32, bias: F32, last: tuple[F32, F32], pool: ThreadPoolExecutor
    ) -> tuple[F32, F32, float]:
        """Factors (rows, k), biases (rows,) of one side given the other, and the loss over observed pairs.

        `last` are the factors and biases of this side before.
        """
        implicit, l2, k = self.settings.implicit, self.settings.l2, self.settings.num_factors
        pieces = self.sides[side]
        F = other if implicit else np.column_stack([other, np.ones(len(other), np.float32)])
        d = F.shape[1]
        base = F.T.astype(np.float64) @ F if implicit else np.zeros((d, d))
        base[np.diag_indices(d)] += l2
        padded = np.vstack([F, np.zeros((1, d), np.float32)])
        shift = np.append(bias, np.float32(0)) + np.float32(self.intercept)
        exact = l2 < 1e-3
        direct = exact or d <= _DIRECT
        before = last[0] if implicit else np.column_stack(last)
        out = np.zeros((pieces.rows, d), np.float32)

        def run(piece: slice) -> float:
            rows, index, values = pieces.take(piece)
            G = padded[index]
            known = index < len(F)
            weight = None
            if implicit:
                weight = np.float32(self.settings.alpha) * np.maximum(values, 0)
                target = np.where(values > 0, 1 + weight, 0)
            else:
                target = np.where(known, values - shift[index], 0)
            b = np.matmul(target[:, None, :], G)[:, 0]
            x = _solve(G, weight, b, base, exact=exact) if direct else _descend(G, weight, b, base, before[rows])
            out[rows] = x
            s = np.matmul(G, x[:, :, None])[:, :, 0]
            if weight is not None:
                error = (1 + weight) * ((values > 0) - s) ** 2 - s * s
            else:
                error = (target - s) ** 2
            return float(error.sum(where=known, dtype=np.float64))

        jobs = [pool.submit(run, piece) for piece in pieces]
        observed = 0.0
        try:
            for job in jobs:
                observed += job.result()
                self._tell()
        finally:
            for job in jobs:
                job.cancel()
        if implicit:
            return out, np.zeros(pieces.rows, np.float32), observed
        return np.ascontiguousarray(out[:, :k]), np.ascontiguousarray(out[:, k]), observed

    def _tell(self) -> None:
        now = time.monotonic()
        if self.poll is not None and now - self._told > 0.2:
            self._told = now
            self.poll()

    def loss(self, users: F32, items: F32, observed: float) -> float:
        """The loss that is reported, from that over the observed pairs."""
        if not self.settings.implicit:
            return observed / self.n
        X, Y = users.astype(np.float64), items.astype(np.float64)
        everywhere = float(((X.T @ X) * (Y.T @ Y)).sum())
        return observed + everywhere + self.settings.l2 * float((X * X).sum() + (Y * Y).sum())


def _solve(G: F32, weight: F32 | None, b: F32, base: F64, *, exact: bool) -> F32:
    """Solutions (m, d) of (G' diag(weight) G + base) x = b for G (m, L, d).

    `exact` is for problems without a ridge: float64, with 1e-10 of the mean diagonal added.
    """
    A = np.matmul((G if weight is None else G * weight[:, :, None]).transpose(0, 2, 1), G)
    if not exact:
        return np.linalg.solve(A + base.astype(np.float32), b[:, :, None])[:, :, 0]
    M = A.astype(np.float64) + base
    d = M.shape[1]
    tiny = 1e-10 * np.trace(M, axis1=1, axis2=2) / d + 1e-30
    M[:, np.arange(d), np.arange(d)] += tiny[:, None]
    return np.linalg.solve(M, b.astype(np.float64)[:, :, None])[:, :, 0].astype(np.float32)


def _descend(G: F32, weight: F32 | None, b: F32, base: F64, x: F32) -> F32:
    """The same solutions, approached from x (m, d) by conjugate gradients."""
    base32 = base.astype(np.float32)

    def times(v: F32) -> F32:
        s = np.matmul(G, v[:, :, None])[:, :, 0]
        if weight is not None:
            s *= weight
        return v @ base32 + np.matmul(s[:, None, :], G)[:, 0]

    rest = b - times(x)
    p, size = rest.copy(), (rest * rest).sum(1)
    for _ in range(_STEPS):
        q = times(p)
        step = size / np.maximum((p * q).sum(1), np.float32(1e-30))
        x = x + step[:, None] * p
        rest -= step[:, None] * q
        size, before = (rest * rest).sum(1), size
        p = rest + (size / np.maximum(before, np.float32(1e-30)))[:, None] * p
    return x


class _Pieces:
    """Rows of similar length, padded to rectangles: iterates over slices of the order by length."""

    def __init__(self, ratings: Ratings, d: int, *, keep: bool):
        self.rows = ratings.rows
        self._ratings, self._d, self._keep = ratings, d, keep
        lengths = np.diff(ratings.indptr)
        order = np.argsort(lengths, kind="stable")
        self._order = order[np.searchsorted(lengths[order], 1) :]  # rows without ratings stay 0
        self._lengths = lengths[self._order]
        self._slices = list(self._cut())
        self._kept: dict[int, tuple[I64, I32, F32]] = {}

    def __iter__(self) -> Iterator[slice]:
        # The longest rows first, so that no core waits for one at the end.
        return iter(self._slices[::-1])

    def _cut(self) -> Iterator[slice]:
        start, n = 0, len(self._order)
        most = max(1, _SOLVE // (self._d * self._d))
        while start < n:
            window = self._lengths[start : start + most]
            alike = int(np.searchsorted(window, max(4, _STRETCH * window[0]), side="right"))
            cost = np.arange(1, alike + 1) * window[:alike] * self._d
            size = max(1, int(np.searchsorted(cost, _PIECE, side="right")))
            yield slice(start, start + size)
            start += size

    def take(self, piece: slice) -> tuple[I64, I32, F32]:
        """Rows (m,), column indexes (m, L) padded with `columns`, and ratings (m, L) padded with 0."""
        if piece.start in self._kept:
            return self._kept[piece.start]
        r = self._ratings
        rows, lengths = self._order[piece], self._lengths[piece]
        at = r.indptr[rows][:, None] + np.arange(lengths[-1])
        inside = np.arange(lengths[-1]) < lengths[:, None]
        at = np.where(inside, at, 0)
        index = np.where(inside, r.indices[at], np.int32(r.columns))
        found = rows, index, np.where(inside, r.values[at], np.float32(0))
        if self._keep:
            self._kept[piece.start] = found
        return found
