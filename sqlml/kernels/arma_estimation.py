"""Estimates of one ARMA model: conditional least squares first, then the exact maximum.

Conditional estimates start from Hannan and Rissanen (1982, Biometrika 69) and are polished by Gauss-Newton; the exact
likelihood is climbed from there by BFGS, whose gradients are differences taken in one call.
"""

from __future__ import annotations

import math

import numpy as np

from sqlml.kernels.arma import admissible, exact_loglik, exact_logliks, monic, recursive_filter, stabilise
from sqlml.kernels.types import F64

# Log-likelihood that a climb may gain beyond what its first slope promises; measured on simulated series.
SLACK = 1.5
# Step of the differences that stand for a gradient.
STEP = 1e-5


def conditional(w: F64, phi: F64, theta: F64) -> tuple[F64, F64]:
    """Residuals (n - p,) with zero start, and their derivatives by (phi, theta), shape (p + q, n - p)."""
    p, q = len(phi), len(theta)
    lfilter = recursive_filter()
    n = len(w)
    rows = np.empty((p + 1, n - p))  # the residuals' input, and its derivatives by phi
    rows[p] = w[p:]
    for i in range(1, p + 1):
        rows[i - 1] = -w[p - i : n - i]
        rows[p] += phi[i - 1] * rows[i - 1]
    if not q:
        return rows[p], rows[:p]
    denominator = monic(theta)
    rows = lfilter((1.0,), denominator, rows)
    e = rows[p]
    filtered = lfilter((1.0,), denominator, e)
    jacobian = np.zeros((p + q, n - p))
    jacobian[:p] = rows[:p]
    for j in range(1, q + 1):
        np.negative(filtered[:-j], out=jacobian[p + j - 1, j:])
    return e, jacobian


def gauss_newton(
    w: F64, phi: F64, theta: F64, *, deseasoned: bool = False, steps: int = 8, tolerance: float = 1e-5
) -> tuple[F64, F64, F64]:
    """Conditional least squares from a stable start: (phi, theta, curvature of the log-likelihood).

    A step is halved until it stays stable and lowers the sum of squares. ``tolerance`` is twice the log-likelihood that
    the last step may promise.
    """
    p = len(phi)
    e, jacobian = conditional(w, phi, theta)
    x = np.concatenate([phi, theta])
    s = float(e @ e)
    curvature = np.eye(len(jacobian))
    for _ in range(steps):
        gram = jacobian @ jacobian.T
        gram.flat[:: len(gram) + 1] += 1e-8 * float(np.trace(gram)) + 1e-300
        curvature = gram * (len(e) / max(s, 1e-300))
        slope = jacobian @ e
        step = np.linalg.solve(gram, slope)
        if float(step @ slope) < tolerance * s / len(e):
            break
        scale = 1.0
        for _ in range(12):
            trial = x - scale * step
            if admissible(trial[:p], trial[p:], deseasoned):
                new_e, new_jacobian = conditional(w, trial[:p], trial[p:])
                new_s = float(new_e @ new_e)
                if new_s < s:
                    break
            scale *= 0.5
        else:
            break
        done = s - new_s < 0.01 * tolerance * s
        x, e, jacobian, s = trial, new_e, new_jacobian, new_s
        if done:
            break
    return x[:p], x[p:], curvature


class _Surface:
    """The exact log-likelihood of one series and order, with its slope."""

    def __init__(self, w: F64, p: int, q: int, mean: bool, deseasoned: bool) -> None:
        self._columns = np.column_stack([w, np.ones(len(w))]) if mean else w[:, None]
        self._ones = self._columns[:, -1] if mean else None
        self._p, self._k = p, p + q
        self._deseasoned = deseasoned

    def value(self, x: F64) -> float:
        """The value alone; -inf outside the admissible region."""
        return exact_loglik(self._columns, self._ones, x[: self._p], x[self._p :], self._deseasoned)

    def ascent(self, x: F64) -> tuple[float, F64]:
        """Value and gradient by forward differences; -inf outside the admissible region."""
        p, k = self._p, self._k
        if not admissible(x[:p], x[p:], self._deseasoned):
            return -math.inf, np.zeros(k)
        # So small a step may leave the region: the slope is there all the same.
        points = np.tile(x, (k + 1, 1))
        points[1:].flat[:: k + 1] += STEP
        found = exact_logliks(self._columns, self._ones, points[:, :p], points[:, p:])
        if found is not None and np.isfinite(found[0]).all():
            return float(found[0][0]), (found[0][1:] - found[0][0]) / STEP
        here = self.value(x)
        g = np.zeros(k)
        for i in range(k):
            for h in (STEP, -STEP):
                moved = x.copy()
                moved[i] += h
                there = exact_loglik(self._columns, self._ones, moved[:p], moved[p:])
                if math.isfinite(there):
                    g[i] = (there - here) / h
                    break
        return here, g


def maximise(
    w: F64,
    phi: F64,
    theta: F64,
    curvature: F64,
    *,
    mean: bool,
    deseasoned: bool = False,
    needed: float = -math.inf,
    steps: int = 12,
    tolerance: float = 1e-5,
) -> tuple[F64, F64]:
    """Climb the exact likelihood by BFGS from a conditional estimate.

    Args:
        curvature: positive definite guess of the negative Hessian, shape (p + q, p + q).
        needed: a log-likelihood; the climb ends when twice the slope along the step, and SLACK, stay below it.
        tolerance: log-likelihood that the last step may promise or bring.
    """
    p, k = len(phi), len(phi) + len(theta)
    if k == 0:
        return phi, theta
    surface = _Surface(w, p, k - p, mean, deseasoned)
    x = np.concatenate([phi, theta])
    here, g = surface.ascent(x)
    if not math.isfinite(here):
        return phi, theta
    inverse = np.linalg.pinv(curvature)
    for _ in range(steps):
        direction = inverse @ g
        slope = float(direction @ g)
        if slope < tolerance or here + 2.0 * slope + SLACK < needed:
            break
        moved = x + direction
        there, new_g = surface.ascent(moved)
        scale = 1.0
        while not there > here + 1e-4 * scale * slope and scale > 1e-7:
            scale *= 0.5
            moved = x + scale * direction
            there = surface.value(moved)
        if not there > here + 1e-4 * scale * slope:
            break
        if scale < 1.0:
            there, new_g = surface.ascent(moved)
        s, y = moved - x, g - new_g
        sy = float(s @ y)
        if sy > 1e-12:
            left = np.eye(k) - np.outer(s, y) / sy
            inverse = left @ inverse @ left.T + np.outer(s, s) / sy
        small = there - here < tolerance
        x, here, g = moved, there, new_g
        if small:
            break
    return x[:p], x[p:]


def long_residuals(w: F64, order: int) -> F64:
    """Residuals of a long autoregression by least squares, the first ``order`` set to 0, shape (n,)."""
    n = len(w)
    if order < 1 or n <= 2 * order:
        return w.copy()
    lags = np.empty((order, n - order))
    for i in range(1, order + 1):
        lags[i - 1] = w[order - i : n - i]
    gram = lags @ lags.T
    gram.flat[:: order + 1] += 1e-10 * float(np.trace(gram)) + 1e-300
    a = np.linalg.solve(gram, lags @ w[order:])
    e = np.zeros(n)
    e[order:] = w[order:] - a @ lags
    return e


class Starts:
    """Hannan-Rissanen starting values of every order of one series, from one Gram matrix."""

    def __init__(self, w: F64, max_order: int, deseasoned: bool = False) -> None:
        self._deseasoned = deseasoned
        n = len(w)
        order = min(int(8 * math.log10(max(n, 10))), n // 5)
        e = long_residuals(w, order)
        first = min(order + max_order, n - 1)
        rows = [w[first - i : n - i] for i in range(1, max_order + 1)]
        rows += [e[first - i : n - i] for i in range(1, max_order + 1)]
        lags = np.array(rows)
        self._gram = lags @ lags.T
        self._right = lags @ w[first:]
        self._max_order = max_order

    def of(self, p: int, q: int) -> tuple[F64, F64]:
        """Admissible starting values (phi, theta) of order (p, q)."""
        pick = [*range(p), *range(self._max_order, self._max_order + q)]
        gram = self._gram[np.ix_(pick, pick)].copy()
        gram.flat[:: len(pick) + 1] += 1e-6 * float(np.trace(gram)) + 1e-300
        x = np.asarray(np.linalg.solve(gram, self._right[pick]), dtype=np.float64)
        phi, theta = stabilise(x[:p]), -stabilise(-x[p:])
        powers = np.arange(1, q + 1)
        while not admissible(phi, theta, self._deseasoned):
            theta = theta * 0.95**powers
        return phi, theta
