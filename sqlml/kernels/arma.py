"""ARMA likelihoods of one series: exact by a banded Cholesky factor, conditional by filters.

A model is ``phi(B) (w_t - mu) = theta(B) e_t`` with ``phi(B) = 1 - phi_1 B - ...`` and
``theta(B) = 1 + theta_1 B + ...``.

The exact likelihood uses Ansley (1979, Biometrika 66): with m = max(p, q) the transformed series
``z_t = w_t`` for t < m and ``z_t = phi(B) w_t`` afterwards has a covariance matrix of bandwidth
max(m - 1, q), whose Cholesky factor gives the one-step innovations and the determinant in O(n q^2).
It stays exact for a moving average with a unit root, where conditional sums of squares do not.

Conditional estimates start from Hannan and Rissanen (1982, Biometrika 69) and are polished by Gauss-Newton.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sqlml.kernels.types import F64

# Roots of phi and theta stay this far from 0. A root on the unit circle fits the hole that the removed
# season leaves in
# the spectrum, or an unneeded difference, with a likelihood out of proportion to what it forecasts.
SMALLEST_ROOT = 1.01
# Where a season was removed, complex roots of theta stay this far from 0: they would only fill that hole.
SMALLEST_COMPLEX_ROOT = 1.3
# Log-likelihood that a climb may gain beyond what its first slope promises; measured on simulated series.
SLACK = 1.5
_POWERS = [SMALLEST_ROOT**k for k in range(1, 64)]


@functools.cache
def _lapack() -> tuple[Any, Any]:
    """The banded Cholesky factorisation and the banded triangular solver of LAPACK."""
    from scipy.linalg import lapack

    return lapack.dpbtrf, lapack.dtbtrs


@functools.cache
def _filter() -> Any:
    """scipy's recursive filter, imported at its first use."""
    from scipy.signal import lfilter

    return lfilter


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Exact Gaussian likelihood at given coefficients, with mean and variance at their maximum.

    Attributes:
        value: log-likelihood.
        mean: generalised least-squares mean of w (0 when none was asked for).
        variance: innovation variance, the maximum-likelihood one (divisor n).
        innovations: one-step errors w_t - E[w_t | past], shape (n,).
        white: the same divided by their standard deviation over sigma, shape (n,).
        future: E[z_{n+h} | w] for h < q, the moving-average part of the forecasts, shape (q,).
    """

    value: float
    mean: float
    variance: float
    innovations: F64
    white: F64
    future: F64


def monic(coefficients: F64) -> F64:
    """The polynomial 1 + c_1 B + ... as its k + 1 coefficients."""
    full = np.empty(len(coefficients) + 1)
    full[0] = 1.0
    full[1:] = coefficients
    return full


def is_stable(coefficients: F64) -> bool:
    """True when every root of 1 - c_1 z - ... - c_k z^k is larger than SMALLEST_ROOT (Schur-Cohn)."""
    c = [v * r for v, r in zip(coefficients.tolist(), _POWERS, strict=False)]
    while c:
        last = c[-1]
        if not abs(last) < 1.0:
            return False
        k = len(c) - 1
        scale = 1.0 / (1.0 - last * last)
        c = [(c[i] + last * c[k - 1 - i]) * scale for i in range(k)]
    return True


def admissible(phi: F64, theta: F64, deseasoned: bool) -> bool:
    """Stationary, invertible and, where a season was removed, without complex roots of theta near 1."""
    if not (is_stable(phi) and is_stable(-theta)):
        return False
    if not deseasoned or len(theta) < 2:
        return True
    if is_stable(-theta * SMALLEST_COMPLEX_ROOT ** np.arange(1, len(theta) + 1)):
        return True  # every root is that large: saves the eigenvalues
    if len(theta) == 2:
        return bool(theta[0] ** 2 >= 4 * theta[1]) or bool(theta[1] * SMALLEST_COMPLEX_ROOT**2 <= 1)
    companion = np.diag(np.ones(len(theta) - 1), -1)
    companion[0] = -theta
    inverses = np.linalg.eigvals(companion)  # of the roots
    return not np.any((np.abs(inverses.imag) > 1e-6) & (np.abs(inverses) * SMALLEST_COMPLEX_ROOT > 1))


def stabilise(coefficients: F64) -> F64:
    """Shrink the roots' inverses geometrically until the polynomial is stable."""
    c = np.array(coefficients, dtype=np.float64)
    powers = np.arange(1, len(c) + 1)
    for _ in range(200):
        if is_stable(c):
            return c
        c = c * 0.95**powers
    return np.zeros_like(c)


def psi_weights(phi: F64, theta: F64, count: int) -> F64:
    """The first ``count`` weights of theta(B) / phi(B), shape (count,)."""
    if count <= 8:  # a plain loop beats the call of the filter
        a, b = phi.tolist(), [1.0, *theta.tolist()]
        weights: list[float] = []
        for k in range(count):
            value = b[k] if k < len(b) else 0.0
            for i in range(min(k, len(a))):
                value += a[i] * weights[k - 1 - i]
            weights.append(value)
        return np.array(weights)
    impulse = np.zeros(count)
    impulse[0] = 1.0
    result: F64 = _filter()(monic(theta), monic(-phi), impulse)
    return result


def autocovariances(phi: F64, theta: F64, count: int) -> F64:
    """Autocovariances 0..count-1 of the process with unit innovation variance, shape (count,).

    Raises numpy.linalg.LinAlgError at a unit root.
    """
    p, q = len(phi), len(theta)
    full = monic(theta)
    psi = psi_weights(phi, theta, q + 1)
    size = max(count, p + 1)
    right = np.zeros(size)
    for k in range(min(q + 1, size)):
        right[k] = full[k:] @ psi[: q + 1 - k]
    rows = [[float(j == k) for j in range(p + 1)] for k in range(p + 1)]
    for k in range(p + 1):
        for i in range(1, p + 1):
            rows[k][abs(k - i)] -= float(phi[i - 1])
    gamma = np.empty(size)
    gamma[: p + 1] = np.linalg.solve(np.array(rows), right[: p + 1])
    for k in range(p + 1, size):
        gamma[k] = right[k] + sum(phi[i] * gamma[k - 1 - i] for i in range(p))
    return gamma[:count]


def _band(phi: F64, theta: F64, n: int) -> F64:
    """Lower band of the covariance of z, stored column by column: shape (n, bandwidth + 1)."""
    p, q = len(phi), len(theta)
    m = max(p, q) if p else 0
    width = max(m - 1, q, 0)
    full = monic(theta)
    row = np.zeros(width + 1)
    for k in range(q + 1):
        row[k] = full[k:] @ full[: q + 1 - k]
    band = np.empty((n, width + 1))
    band[:] = row
    if m:
        gamma = autocovariances(phi, theta, m)
        psi = psi_weights(phi, theta, q + 1)
        cross = np.zeros(width + 1)
        for k in range(1, q + 1):
            cross[k] = full[k:] @ psi[: q + 1 - k]
        for j in range(min(m, n)):
            inside = m - j
            band[j, :inside] = gamma[:inside]
            band[j, inside:] = cross[inside:]
    return band


def _transform(x: F64, phi: F64, m: int) -> F64:
    """z of the module text for the columns of x, shape (n, r), in Fortran order."""
    n = len(x)
    z = np.array(x, order="F")
    for i, value in enumerate(phi, start=1):
        z[m:] -= value * x[m - i : n - i]
    return z


def _whiten(x: F64, phi: F64, theta: F64) -> tuple[F64, F64, F64] | None:
    """Whitened columns (n, r), the factor's diagonal (n,) and band (n + q, width + 1); None if singular."""
    p, q = len(phi), len(theta)
    n = len(x)
    m = max(p, q) if p else 0
    z = _transform(x, phi, m)
    if p == 0 and q == 0:
        return z, np.ones(n), np.ones((n, 1))
    dpbtrf, dtbtrs = _lapack()
    rows = min(m, n) if q == 0 else n + q
    factor, status = dpbtrf(_band(phi, theta, rows).T, lower=1)
    if status:
        return None
    head = min(rows, n)
    solved, status = dtbtrs(factor[:, :head], z[:head], uplo="L")
    if status:
        return None
    white = solved if head == n else np.concatenate([solved, z[head:]])
    diagonal = np.ones(n)
    diagonal[:head] = factor[0, :head]
    return white, diagonal, factor.T


def whiten(x: F64, phi: F64, theta: F64) -> F64:
    """Columns of x, shape (n, r), divided by the Cholesky factor of the model's covariance (unit variance).

    Raises ValueError where the model has no covariance.
    """
    parts = _whiten(x, phi, theta)
    if parts is None:
        raise ValueError("The covariance of the ARMA model is singular.")
    return parts[0]


def exact_loglik(w: F64, ones: F64 | None, phi: F64, theta: F64, deseasoned: bool = False) -> float:
    """Exact log-likelihood, the value only; -inf outside the admissible region.

    Args:
        w: series as a column, shape (n, 1), or with a column of ones beside it, shape (n, 2).
        ones: not None says that the second column of w is the regressor of the mean.
    """
    if not admissible(phi, theta, deseasoned):
        return -math.inf
    parts = _whiten(w, phi, theta)
    if parts is None:
        return -math.inf
    white, diagonal, _ = parts
    a = white[:, 0]
    s = float(a @ a)
    if ones is not None:
        c = white[:, 1]
        s -= float(a @ c) ** 2 / float(c @ c)
    n = len(w)
    if not s > 0:
        return math.inf
    return -0.5 * n * (math.log(2 * math.pi * s / n) + 1) - float(np.log(diagonal[:n]).sum())


def exact(w: F64, phi: F64, theta: F64, *, mean: bool) -> Likelihood | None:
    """Everything about the exact likelihood at (phi, theta), or None where it does not exist.

    Args:
        w: series, shape (n,).
        mean: estimate a mean by generalised least squares.
    """
    n, q = len(w), len(theta)
    columns = np.column_stack([w, np.ones(n)]) if mean else w[:, None]
    parts = _whiten(columns, phi, theta)
    if parts is None:
        return None
    whites, diagonal, factor = parts
    white = whites[:, 0]
    mu = 0.0
    if mean:
        c = whites[:, 1]
        mu = float(c @ white) / float(c @ c)
        white = white - mu * c
    s = float(white @ white)
    variance = s / n
    value = math.inf
    if s > 0:
        value = -0.5 * n * (math.log(2 * math.pi * variance) + 1) - float(np.log(diagonal).sum())
    future = np.zeros(q)
    for h in range(q):
        for back in range(h + 1, min(q, n + h) + 1):
            t = n + h - back
            future[h] += factor[t, back] * white[t]
    return Likelihood(value, mu, variance, diagonal * white, white, future)


def conditional(w: F64, phi: F64, theta: F64) -> tuple[F64, F64]:
    """Residuals (n - p,) with zero start, and their derivatives by (phi, theta), shape (p + q, n - p)."""
    p, q = len(phi), len(theta)
    lfilter = _filter()
    n = len(w)
    u = w[p:].copy()
    for i in range(1, p + 1):
        u -= phi[i - 1] * w[p - i : n - i]
    denominator = monic(theta)
    e = lfilter((1.0,), denominator, u) if q else u
    jacobian = np.zeros((p + q, n - p))
    if p:
        for i in range(1, p + 1):
            jacobian[i - 1] = w[p - i : n - i]
        jacobian[:p] = -lfilter((1.0,), denominator, jacobian[:p]) if q else -jacobian[:p]
    if q:
        filtered = lfilter((1.0,), denominator, e)
        for j in range(1, q + 1):
            jacobian[p + j - 1, j:] = -filtered[:-j]
    return e, jacobian


def gauss_newton(w: F64, phi: F64, theta: F64, *, deseasoned: bool = False, steps: int = 8) -> tuple[F64, F64, F64]:
    """Conditional least squares from a stable start: (phi, theta, curvature of the log-likelihood).

    A step is halved until it stays stable and lowers the sum of squares.
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
        step = np.linalg.solve(gram, jacobian @ e)
        gain = float(step @ (jacobian @ e))
        if gain < 1e-5 * s / len(e):
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
        done = s - new_s < 1e-7 * s
        x, e, jacobian, s = trial, new_e, new_jacobian, new_s
        if done:
            break
    return x[:p], x[p:], curvature


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
) -> tuple[F64, F64]:
    """Climb the exact likelihood by BFGS from a conditional estimate; forward differences, step 1e-5.

    Args:
        curvature: positive definite guess of the negative Hessian, shape (p + q, p + q).
        needed: a log-likelihood; the climb ends when four times the gain that the slope promises, and 1.5,
            stay below it.
    """
    p, k = len(phi), len(phi) + len(theta)
    if k == 0:
        return phi, theta
    columns = np.column_stack([w, np.ones(len(w))]) if mean else w[:, None]
    ones = columns[:, -1] if mean else None

    def gradient(x: F64, here: float) -> F64:
        g = np.empty(k)
        for i in range(k):
            for h in (1e-5, -1e-5):
                moved = x.copy()
                moved[i] += h
                # So small a step may leave the region where a season was removed: the slope is there all the same.
                there = exact_loglik(columns, ones, moved[:p], moved[p:])
                if math.isfinite(there):
                    break
            g[i] = (there - here) / h if math.isfinite(there) else 0.0
        return g

    x = np.concatenate([phi, theta])
    here = exact_loglik(columns, ones, x[:p], x[p:], deseasoned)
    if not math.isfinite(here):
        return phi, theta
    inverse = np.linalg.pinv(curvature)
    g = gradient(x, here)
    for _ in range(steps):
        direction = inverse @ g
        slope = float(direction @ g)
        if slope < 1e-5 or here + 2.0 * slope + SLACK < needed:
            break
        scale, there = 1.0, -math.inf
        for _ in range(25):
            moved = x + scale * direction
            there = exact_loglik(columns, ones, moved[:p], moved[p:], deseasoned)
            if there > here + 1e-4 * scale * slope:
                break
            scale *= 0.5
        else:
            break
        new_g = gradient(moved, there)
        s, y = moved - x, g - new_g
        sy = float(s @ y)
        if sy > 1e-12:
            left = np.eye(k) - np.outer(s, y) / sy
            inverse = left @ inverse @ left.T + np.outer(s, s) / sy
        small = there - here < 1e-5
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
