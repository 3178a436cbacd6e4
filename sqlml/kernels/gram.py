"""Weighted cross-product matrices whose one-hot blocks stay sparse, and their linear systems.

The matrix X has q dense columns (the first may be the intercept) and one indicator block per category.
X' W X is kept in blocks: dense x dense, level x dense, level counts, and level x level for pairs of
categories. Nothing of size (rows)
or (levels x levels of one category) is ever formed.

Solver: the largest category is eliminated exactly (its own block is diagonal); the rest, up to
`DENSE_LIMIT` columns, by eigenvalues, which gives the minimum-norm solution of collinear systems (full one-hot
blocks plus intercept are collinear); above that preconditioned conjugate gradients from 0 (Hestenes and
Stiefel 1952), which on a consistent singular system converge to the minimum-norm solution in the scaled
coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sqlml.errors import TrainingError
from sqlml.kernels.types import F64, I64

DENSE_LIMIT = 1500
#: A category with more levels than this is eliminated rather than put into a dense matrix,
#: as long as its block against the rest has at most `ELIMINATE_CELLS` cells.
ELIMINATE = 64
ELIMINATE_CELLS = 20_000_000


@dataclass(frozen=True, slots=True)
class Gram:
    """X' W X in blocks.

    Args:
        dense: (q, q).
        levels: number of levels of each category.
        weight: per category, (levels,): total weight of each level.
        cross: per category, (levels, q): weighted sums of the dense columns within each level.
        pairs: (f, g) with f < g -> (row level, column level, weight), each (nnz,).
    """

    dense: F64
    levels: tuple[int, ...]
    weight: tuple[F64, ...]
    cross: tuple[F64, ...]
    pairs: dict[tuple[int, int], tuple[I64, I64, F64]]

    @property
    def size(self) -> int:
        """Number of columns of X: dense ones first, then the categories in order."""
        return len(self.dense) + sum(self.levels)

    def starts(self) -> list[int]:
        """First column of each category."""
        found, at = [], len(self.dense)
        for n in self.levels:
            found.append(at)
            at += n
        return found

    def diagonal(self) -> F64:
        """(size,): the diagonal."""
        return np.concatenate([np.diag(self.dense), *self.weight])

    def matrix(self) -> F64:
        """(size, size): the whole matrix."""
        full = np.zeros((self.size, self.size))
        q = len(self.dense)
        full[:q, :q] = self.dense
        starts = self.starts()
        for s, w, c in zip(starts, self.weight, self.cross, strict=True):
            at = np.arange(s, s + len(w))
            full[at, at] = w
            full[s : s + len(w), :q] = c
            full[:q, s : s + len(w)] = c.T
        for (f, g), (i, j, v) in self.pairs.items():
            full[starts[f] + i, starts[g] + j] = v
            full[starts[g] + j, starts[f] + i] = v
        return full

    def operator(self) -> Callable[[F64], F64]:
        """v -> (X' W X) v; above `DENSE_LIMIT` columns without forming the matrix."""
        if self.size <= DENSE_LIMIT:
            matrix = self.matrix()
            return lambda v: matrix @ v
        import scipy.sparse as sp

        q, starts = len(self.dense), self.starts()
        blocks = {
            k: sp.csr_matrix((v, (i, j)), shape=(self.levels[k[0]], self.levels[k[1]]))
            for k, (i, j, v) in self.pairs.items()
        }

        def apply(v: F64) -> F64:
            out = np.empty_like(v)
            out[:q] = self.dense @ v[:q]
            for s, w, c in zip(starts, self.weight, self.cross, strict=True):
                part = v[s : s + len(w)]
                out[:q] += c.T @ part
                out[s : s + len(w)] = w * part + c @ v[:q]
            for (f, g), block in blocks.items():
                a, b = starts[f], starts[g]
                out[a : a + block.shape[0]] += block @ v[b : b + block.shape[1]]
                out[b : b + block.shape[1]] += block.T @ v[a : a + block.shape[0]]
            return out

        return apply


def solve(gram: Gram, rhs: F64, ridge: F64) -> F64:
    """Solve (X' W X + diag(ridge)) b = rhs; minimum norm when singular.

    Args:
        gram: the blocks.
        rhs: (size,).
        ridge: (size,), not negative.
    """
    found = _solved(gram, rhs, ridge)
    found[gram.diagonal() + ridge == 0.0] = 0.0  # columns without a row, such as a dropped level
    return found


def _solved(gram: Gram, rhs: F64, ridge: F64) -> F64:
    if gram.levels and max(gram.levels) > ELIMINATE:
        rest = gram.size - max(gram.levels)
        if rest <= DENSE_LIMIT and rest * max(gram.levels) <= ELIMINATE_CELLS:
            return _eliminated(gram, rhs, ridge)
    if gram.size <= DENSE_LIMIT:
        return solve_dense(gram.matrix() + np.diag(ridge), rhs)
    return _conjugate_gradients(gram, rhs, ridge)


def solve_dense(a: F64, rhs: F64, rcond: float = 1e-11, diagonal: F64 | None = None) -> F64:
    """Minimum-norm solution of a symmetric positive semi-definite system.

    The matrix is scaled by the roots of `diagonal` (by default its own) first, so that `rcond` does not depend
    on units; the norm that is minimal is then that of the scaled solution.
    """
    d = np.sqrt(np.clip(np.diag(a) if diagonal is None else diagonal, 0.0, None))
    d[d == 0.0] = 1.0
    values, vectors = np.linalg.eigh(a / np.outer(d, d))
    if not np.isfinite(values).all():
        raise TrainingError("the sums of the training rows must be finite. Some product overflowed.")
    keep = values > rcond * max(values[-1], 0.0)
    inverse = np.where(keep, 1.0 / np.where(keep, values, 1.0), 0.0)
    return (vectors @ (inverse * (vectors.T @ (rhs / d)))) / d


def _eliminated(gram: Gram, rhs: F64, ridge: F64) -> F64:
    """Eliminate the largest category, whose own block is diagonal, and solve for the rest (Schur complement)."""
    f = int(np.argmax(gram.levels))
    q, starts, n = len(gram.dense), gram.starts(), gram.levels[f]
    rest = np.r_[0 : starts[f], starts[f] + n : gram.size]
    others = [g for g in range(len(gram.levels)) if g != f]
    place = dict(zip(others, np.cumsum([q, *(gram.levels[g] for g in others)]).tolist(), strict=False))
    cross = np.zeros((n, len(rest)))
    cross[:, :q] = gram.cross[f]
    for (a, b), (i, j, v) in gram.pairs.items():
        if a == f:
            cross[i, place[b] + j] = v
        elif b == f:
            cross[j, place[a] + i] = v
    pairs = {(others.index(a), others.index(b)): p for (a, b), p in gram.pairs.items() if f not in (a, b)}
    small = Gram(
        gram.dense,
        tuple(gram.levels[g] for g in others),
        tuple(gram.weight[g] for g in others),
        tuple(gram.cross[g] for g in others),
        pairs,
    )
    own = gram.weight[f] + ridge[starts[f] : starts[f] + n]
    inverse = np.where(own > 0.0, 1.0 / np.where(own > 0.0, own, 1.0), 0.0)
    part = rhs[starts[f] : starts[f] + n]
    full = small.matrix() + np.diag(ridge[rest])
    scaled = cross * inverse[:, None]
    found = solve_dense(full - cross.T @ scaled, rhs[rest] - scaled.T @ part, diagonal=np.diag(full))
    out = np.empty_like(rhs)
    out[rest] = found
    out[starts[f] : starts[f] + n] = inverse * (part - cross @ found)
    return out


def inverse_diagonal(a: F64) -> F64:
    """(size,): the diagonal of the inverse; NaN for columns that are collinear with others."""
    d = np.sqrt(np.clip(np.diag(a), 0.0, None))
    d[d == 0.0] = 1.0
    values, vectors = np.linalg.eigh(a / np.outer(d, d))
    keep = values > 1e-11 * max(values[-1], 0.0)
    free = (vectors[:, ~keep] ** 2).sum(axis=1) > 1e-8
    found = (vectors[:, keep] ** 2 / values[keep]).sum(axis=1) / d**2
    return np.where(free, np.nan, found)


def _conjugate_gradients(gram: Gram, rhs: F64, ridge: F64, tolerance: float = 1e-11, limit: int = 10_000) -> F64:
    q = len(gram.dense)
    diagonal = gram.diagonal() + ridge
    diagonal[diagonal <= 0.0] = 1.0
    apply = gram.operator()
    dense = gram.dense + np.diag(ridge[:q])
    scale = np.sqrt(np.where(np.diag(dense) > 0.0, np.diag(dense), 1.0))
    values, vectors = np.linalg.eigh(dense / np.outer(scale, scale))
    values = np.where(values > 1e-10 * values[-1], values, 1.0)

    def precondition(r: F64) -> F64:
        out = r / diagonal
        out[:q] = (vectors @ ((vectors.T @ (r[:q] / scale)) / values)) / scale
        return out

    b = np.zeros_like(rhs)
    r = rhs.copy()
    z = precondition(r)
    p, rho = z.copy(), float(r @ z)
    first = max(rho, 1e-300)
    for _ in range(limit):
        if rho <= tolerance**2 * first:
            return b
        ap = apply(p) + ridge * p
        curvature = float(p @ ap)
        if curvature <= 0.0:
            return b
        alpha = rho / curvature
        b += alpha * p
        r -= alpha * ap
        z = precondition(r)
        rho, old = float(r @ z), rho
        p = z + (rho / old) * p
    return b


def lasso(a: F64, rhs: F64, l1: F64, start: F64, tolerance: float = 1e-10, limit: int = 5000) -> F64:
    """Minimise b' A b / 2 - rhs' b + sum(l1 |b|) by cyclic coordinate descent (Friedman et al. 2010, eq. 5).

    Args:
        a: (d, d) symmetric positive semi-definite.
        rhs, l1, start: (d,).
    """
    b = start.copy()
    ab = a @ b
    diagonal = np.diag(a)
    scale = max(float(np.abs(rhs).max(initial=0.0)), 1e-300)
    for _ in range(limit):
        worst = 0.0
        for j in np.flatnonzero(diagonal > 0.0):
            g = rhs[j] - ab[j] + diagonal[j] * b[j]
            new = np.sign(g) * max(abs(g) - l1[j], 0.0) / diagonal[j]
            change = new - b[j]
            if change != 0.0:
                ab += a[:, j] * change
                b[j] = new
                worst = max(worst, abs(change) * diagonal[j])
        if worst <= tolerance * scale:
            return b
    return b
