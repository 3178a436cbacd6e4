"""Lloyd's algorithm on rows of plain numbers and one-hot codes, in Euclidean or cosine distance.

A row x has p plain numbers and one code per category; its matrix row is the numbers followed by one indicator
block per category. One pass over the rows gives a `Step`; `lloyd` needs nothing but a callable that makes
steps, so that it runs over SQL aggregates, over blocks in memory, and over a cluster alike.

Euclidean: |x - c|^2 = |x|^2 + (|c|^2 - 2 x.c); the bracket alone decides which center is nearest.
Cosine: the squared distance is 1 - cos(x, c) (the service's definition of the distance is its root), the
centers are directions, and a center moves to the direction of the sum of its unit rows (Dhillon and Modha 2001).

Seeding: random rows, or k-means++ with 2 + ln k candidates per center (Arthur and Vassilvitskii 2007).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sqlml.kernels.threads import cores, one_blas_thread
from sqlml.kernels.types import F64, I32, I64

#: Rows may be in double or in single precision.
Real = npt.NDArray[np.floating[Any]]

#: Scores of one block (centers x rows) that are held at a time: they should stay in the cache of a core.
SCORES = 1 << 18
#: A squared distance up to this counts as none, where a cluster has no radius to measure by.
ON_CENTER = 1e-10


@dataclass(frozen=True, slots=True)
class Geometry:
    """Which distance, and where the columns lie.

    Args:
        cosine: cosine instead of Euclidean distance.
        dense: number of plain columns p.
        levels: number of levels of each category; their indicator blocks follow the plain columns.
    """

    cosine: bool
    dense: int
    levels: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """Number of matrix columns."""
        return self.dense + sum(self.levels)

    def starts(self) -> list[int]:
        """First matrix column of each category."""
        found, at = [], self.dense
        for n in self.levels:
            found.append(at)
            at += n
        return found


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows.

    Args:
        X: (n, p): the plain numbers.
        codes: per category (n,): index of the level; -1 for a value without a level.
    """

    X: Real
    codes: tuple[I32, ...] = ()

    def __len__(self) -> int:
        return len(self.X)

    def take(self, at: slice | I64) -> Rows:
        """Some of the rows."""
        return Rows(self.X[at], tuple(c[at] for c in self.codes))


@dataclass(frozen=True, slots=True)
class Step:
    """What one pass over the rows with k centers gives, by nearest center (ties: the first).

    Args:
        counts: (k,): rows.
        sums: (k, width): sums of the rows.
        within: (k,): sums of squared distances.
        directions: (k, width): sums of the rows at unit length; cosine only.
    """

    counts: F64
    sums: F64
    within: F64
    directions: F64 | None = None

    def __add__(self, other: Step) -> Step:
        both = None
        if self.directions is not None and other.directions is not None:
            both = self.directions + other.directions
        return Step(self.counts + other.counts, self.sums + other.sums, self.within + other.within, both)

    @property
    def loss(self) -> float:
        """Mean squared distance to the nearest center."""
        return max(float(self.within.sum() / self.counts.sum()), 0.0)

    def radii(self) -> F64:
        """(k,): root mean square distance of the rows of each center; 0 without rows."""
        return np.sqrt(np.maximum(self.within, 0.0) / np.maximum(self.counts, 1.0))


# ---------------------------------------------------------------- distances


def dense_matrix(rows: Rows, geometry: Geometry) -> F64:
    """(n, width): the rows with their indicator blocks."""
    out = np.zeros((len(rows), geometry.width))
    out[:, : geometry.dense] = rows.X
    for code, start in zip(rows.codes, geometry.starts(), strict=True):
        good = code >= 0
        out[np.flatnonzero(good), start + code[good]] = 1.0
    return out


def square_norms(rows: Rows) -> Real:
    """(n,): |x|^2; every known level adds 1."""
    q = np.einsum("ij,ij->i", rows.X, rows.X)
    for code in rows.codes:
        q += code >= 0
    return q


def _products(rows: Rows, geometry: Geometry, weights: F64) -> Real:
    """(k, n): weights x for weights of shape (k, width), in the precision of the rows."""
    kind = rows.X.dtype
    out = weights[:, : geometry.dense].astype(kind) @ rows.X.T
    for code, start, n in zip(rows.codes, geometry.starts(), geometry.levels, strict=True):
        padded = np.zeros((len(weights), n + 1), dtype=kind)
        padded[:, :n] = weights[:, start : start + n]
        out += padded[:, code]
    return out


def _inverse_norms(q: Real) -> Real:
    """1 / |x|, 0 for a row of zeros."""
    return np.where(q > 0.0, 1.0 / np.sqrt(np.where(q > 0.0, q, 1.0)), 0.0).astype(q.dtype)


def directions(centers: F64) -> F64:
    """The centers at unit length; zeros stay."""
    return centers * np.asarray(_inverse_norms(np.einsum("ij,ij->i", centers, centers)))[:, None]


def square_distances(rows: Rows, centers: F64, geometry: Geometry) -> Real:
    """(k, n): squared distances of every row to every center, not below 0."""
    q = square_norms(rows)
    if geometry.cosine:
        return np.maximum(1.0 - _products(rows, geometry, directions(centers)) * _inverse_norms(q), 0.0)
    out = _products(rows, geometry, -2.0 * centers)
    out += np.einsum("ij,ij->i", centers, centers).astype(out.dtype)[:, None]
    out += q
    return np.maximum(out, 0.0, out=out)


def center_distances(centers: F64, cosine: bool) -> F64:
    """(k, k): distances between centers."""
    if cosine:
        unit = directions(centers)
        return np.sqrt(np.maximum(1.0 - unit @ unit.T, 0.0))
    return np.sqrt(((centers[:, None, :] - centers[None, :, :]) ** 2).sum(axis=2))


def normalized(squares: Real, radii: F64) -> Real:
    """(n,): smallest of distance / radius over the centers, for squared distances (k, n).

    A center whose rows all lie on it has radius 0: rows on it give 0, others nothing it could be measured by.
    """
    out = np.full(squares.shape[1], np.inf, dtype=squares.dtype)
    for j, r in enumerate(radii):
        if r > 0.0:
            np.minimum(out, np.sqrt(squares[j]) / r, out=out)
        else:
            out[squares[j] <= ON_CENTER] = 0.0
    return out


# ---------------------------------------------------------------- one pass


@dataclass(frozen=True, slots=True)
class Packed:
    """Rows as a pass wants them.

    Args:
        A: (n, p + 1): the plain numbers and a column of ones.
        codes: as in `Rows`.
        squares: (n,): |x|^2.
        inverse: (n,): 1 / |x|; None for Euclidean distance.
    """

    A: Real
    codes: tuple[I32, ...]
    squares: Real
    inverse: Real | None

    def __len__(self) -> int:
        return len(self.A)

    def rows(self) -> Rows:
        """The rows themselves."""
        return Rows(self.A[:, :-1], self.codes)

    def part(self, at: slice) -> Packed:
        """Some of the rows."""
        inverse = None if self.inverse is None else self.inverse[at]
        return Packed(self.A[at], tuple(c[at] for c in self.codes), self.squares[at], inverse)


def packed(rows: Rows, geometry: Geometry) -> Packed:
    """What does not change from pass to pass."""
    q = square_norms(rows)
    A = np.empty((len(rows), geometry.dense + 1), dtype=rows.X.dtype)
    A[:, :-1] = rows.X
    A[:, -1] = 1.0
    return Packed(A, rows.codes, q, _inverse_norms(q) if geometry.cosine else None)


def step(rows: Packed, centers: F64, geometry: Geometry) -> Step:
    """One pass over rows in memory."""
    n = max(256, SCORES // len(centers))
    total = nothing(len(centers), geometry)
    for at in range(0, len(rows), n):
        total = total + _step(rows.part(slice(at, at + n)), centers, geometry)
    return total


def nothing(k: int, geometry: Geometry) -> Step:
    """The step of no rows."""
    zeros = np.zeros((k, geometry.width))
    return Step(np.zeros(k), zeros, np.zeros(k), zeros.copy() if geometry.cosine else None)


def _step(rows: Packed, centers: F64, geometry: Geometry) -> Step:
    if geometry.cosine:
        weights, constants = -directions(centers), np.zeros(len(centers))
    else:
        weights, constants = -2.0 * centers, np.einsum("ij,ij->i", centers, centers)
    scores = _scores(rows, geometry, weights, constants)
    if rows.inverse is not None:
        scores *= rows.inverse
    least = scores.min(axis=0)
    belongs = scores == least
    nearest = None
    if geometry.levels or np.count_nonzero(belongs) != len(rows):
        nearest = scores.argmin(axis=0)  # a row as near to two centers belongs to the first
        belongs = nearest == np.arange(len(centers))[:, None]
    member = belongs.astype(rows.A.dtype)
    whole = 1.0 if geometry.cosine else rows.squares
    squares = least + whole
    # What cancellation leaves of a row that lies on its center is noise, negative or not.
    squares[squares < 8.0 * float(np.finfo(squares.dtype).eps) * whole] = 0.0
    within = (member @ squares).astype(np.float64)
    sums, counts = _sums(rows, geometry, nearest, member, None)
    if rows.inverse is None:
        return Step(counts, sums, within)
    return Step(counts, sums, within, _sums(rows, geometry, nearest, member * rows.inverse, rows.inverse)[0])


def _scores(rows: Packed, geometry: Geometry, weights: F64, constants: F64) -> Real:
    """(k, n): weights x + constants, in the precision of the rows."""
    kind = rows.A.dtype
    out: Real = np.column_stack([weights[:, : geometry.dense], constants]).astype(kind) @ rows.A.T
    for code, start, n in zip(rows.codes, geometry.starts(), geometry.levels, strict=True):
        padded = np.zeros((len(weights), n + 1), dtype=kind)
        padded[:, :n] = weights[:, start : start + n]
        out += padded[:, code]
    return out


def _sums(rows: Packed, geometry: Geometry, nearest: I64 | None, member: Real, weight: Real | None) -> tuple[F64, F64]:
    """(k, width), (k,): weighted sums of the rows by nearest center, and of their weights."""
    k = len(member)
    found = (member @ rows.A).astype(np.float64)
    out = np.zeros((k, geometry.width))
    out[:, : geometry.dense] = found[:, :-1]
    for code, start, n in zip(rows.codes, geometry.starts(), geometry.levels, strict=True):
        assert nearest is not None
        levels = np.bincount(nearest * (n + 1) + code + 1, weights=weight, minlength=k * (n + 1))
        out[:, start : start + n] = levels.reshape(k, n + 1)[:, 1:]
    return out, found[:, -1]


class Passes:
    """Steps over blocks of rows on all cores; the blocks are added in their order, so that runs repeat.

    Args:
        blocks: called for every pass; gives the rows block by block.
        geometry: of the rows.
        threads: cores to use; by default those of this process.
    """

    def __init__(self, blocks: Callable[[], Iterable[Packed]], geometry: Geometry, threads: int | None = None):
        self.blocks = blocks
        self.geometry = geometry
        self.threads = threads or cores()

    def __call__(self, centers: F64) -> Step:
        total = nothing(len(centers), self.geometry)
        waiting = []
        # Each block is small for BLAS: whole blocks go to the cores instead.
        with one_blas_thread(), ThreadPoolExecutor(self.threads) as pool:
            for rows in self.blocks():
                waiting.append(pool.submit(step, rows, centers, self.geometry))
                if len(waiting) > 2 * self.threads:
                    total = total + waiting.pop(0).result()
            for done in waiting:
                total = total + done.result()
        return total


# ---------------------------------------------------------------- iterations


@dataclass(frozen=True, slots=True)
class Fit:
    """Centers (k, width), what the last pass found with them, and the number of updates."""

    centers: F64
    last: Step
    iterations: int


def moved(found: Step, centers: F64) -> F64:
    """The next centers: the mean of their rows (the mean direction for cosine); without rows they stay."""
    if found.directions is not None:
        unit = directions(found.directions)
        there = np.einsum("ij,ij->i", unit, unit) > 0.5
        return np.where(there[:, None], unit, centers)
    means = found.sums / np.maximum(found.counts, 1.0)[:, None]
    return np.where((found.counts > 0.0)[:, None], means, centers)


def lloyd(
    one_pass: Callable[[F64], Step],
    centers: F64,
    *,
    max_iterations: int,
    min_progress: float | None,
    report: Callable[[int, Step], None] = lambda i, found: None,
) -> Fit:
    """Alternate between assigning the rows and moving the centers.

    Args:
        one_pass: centers -> Step over all rows; called once more than there are updates.
        centers: (k, width): where to start.
        max_iterations: most updates.
        min_progress: after a pass whose loss is lower than that of the pass before by a smaller share, move the
            centers once more and stop (this is where the service stops); None to go on until they stand still.
        report: called after every update (from 0) with the pass over the new centers.
    """
    found = one_pass(centers)
    before, done = math.inf, 0
    for i in range(max_iterations):
        following = moved(found, centers)
        still = bool(np.array_equal(following, centers))
        slow = min_progress is not None and before - found.loss < min_progress * before
        before, centers = found.loss, following
        found = one_pass(centers)
        done = i + 1
        report(i, found)
        if still or found.loss == 0.0 or (slow and i > 0):
            break
    return Fit(centers, found, done)


def davies_bouldin(centers: F64, radii: F64, cosine: bool) -> float:
    """Mean over clusters of the largest (S_i + S_j) / |c_i - c_j|, S the root mean square radii.

    Centers are those given, not recomputed ones; pairs of equal centers are left out.
    """
    apart = center_distances(centers, cosine)
    both = radii[:, None] + radii[None, :]
    ratio = np.divide(both, apart, out=np.zeros_like(apart), where=apart > 0.0)
    np.fill_diagonal(ratio, 0.0)
    return float(ratio.max(axis=1).mean())


# ---------------------------------------------------------------- seeding


def distinct(rows: Rows) -> I64:
    """Index of the first row of each set of equal rows, ascending."""
    keys = np.column_stack([rows.X, *rows.codes])
    if keys.shape[1] == 0:
        return np.arange(min(len(rows), 1))
    _, first = np.unique(keys, axis=0, return_index=True)
    return np.sort(first)


def random_rows(
    rows: Rows, k: int, geometry: Geometry, *, draws: int, generator: np.random.Generator, iterations: int = 4
) -> F64:
    """(k, width): k different rows; of several draws the one that is best after a few iterations.

    The first draw is the first k different rows.
    """
    places = distinct(rows)
    candidates = [places[:k]]
    candidates += [generator.choice(places, k, replace=False) for _ in range(draws - 1)]
    starts = [dense_matrix(rows.take(np.asarray(c)), geometry) for c in candidates]
    if draws == 1:
        return starts[0]
    ready = packed(rows, geometry)

    def one_pass(centers: F64) -> Step:
        return step(ready, centers, geometry)

    with one_blas_thread():
        losses = [lloyd(one_pass, s, max_iterations=iterations, min_progress=None).last.loss for s in starts]
    return starts[int(np.argmin(losses))]


def plus_plus(rows: Rows, k: int, geometry: Geometry, *, generator: np.random.Generator) -> F64:
    """(k, width): rows drawn with probability proportional to their squared distance from those drawn before."""
    n, trials = len(rows), 2 + int(math.log(k))
    centers = dense_matrix(rows.take(np.array([generator.integers(n)])), geometry)
    nearest = np.asarray(square_distances(rows, centers, geometry)[0], dtype=np.float64)
    for _ in range(1, k):
        total = nearest.sum()
        at = np.searchsorted(np.cumsum(nearest), generator.random(trials) * total)
        tried = dense_matrix(rows.take(np.minimum(at, n - 1)), geometry)
        closer = np.minimum(nearest, square_distances(rows, tried, geometry))
        best = int(np.argmin(closer.sum(axis=1)))
        nearest = np.asarray(closer[best], dtype=np.float64)
        centers = np.vstack([centers, tried[best]])
    return centers


def share(rows: Rows, one_in: int) -> I64:
    """Index of about one in so many rows, chosen by their content alone: by a multiplicative hash of the bits."""
    X = np.asarray(rows.X)
    whole = np.uint64 if X.dtype == np.float64 else np.uint32
    factors = np.random.default_rng(0).integers(1, 2**63, X.shape[1] + len(rows.codes), dtype=np.uint64) | np.uint64(1)
    mixed = np.zeros(len(rows), dtype=np.uint64)
    for column, factor in zip([*X.T, *rows.codes], factors, strict=True):
        bits = np.ascontiguousarray(column).view(whole if column.dtype == X.dtype else np.uint32)
        mixed += bits * factor
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    return np.flatnonzero((mixed >> np.uint64(33)) % np.uint64(one_in) == 0)


def order_of(rows: Rows, keys: Sequence[F64] = ()) -> I64:
    """An order of the rows that depends on nothing but their content: by the keys, then the numbers, then the codes."""
    columns = [*keys, *np.asarray(rows.X, dtype=np.float64).T, *rows.codes]
    return np.lexsort(columns[::-1]) if columns else np.arange(len(rows))
