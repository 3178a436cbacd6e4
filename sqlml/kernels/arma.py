"""ARMA likelihoods of one series: exact by a banded Cholesky factor, conditional by filters.

A model is ``phi(B) (w_t - mu) = theta(B) e_t`` with ``phi(B) = 1 - phi_1 B - ...`` and
``theta(B) = 1 + theta_1 B + ...``.

The exact likelihood uses Ansley (1979, Biometrika 66): with m = max(p, q) the transformed series
``z_t = w_t`` for t < m and ``z_t = phi(B) w_t`` afterwards has a covariance matrix of bandwidth
max(m - 1, q), whose Cholesky factor gives the one-step innovations and the determinant in O(n q^2).
It stays exact for a moving average with a unit root, where conditional sums of squares do not.
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
_POWERS = [SMALLEST_ROOT**k for k in range(1, 64)]


@functools.cache
def _lapack() -> tuple[Any, Any, Any]:
    """The banded Cholesky factorisation, the banded triangular solver and the eigenvalues of LAPACK."""
    from scipy.linalg import lapack

    return lapack.dpbtrf, lapack.dtbtrs, lapack.dgeev


@functools.cache
def recursive_filter() -> Any:
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
    real, imaginary, *_ = _lapack()[2](companion, compute_vl=0, compute_vr=0)  # of the roots' inverses
    return not any(
        abs(b) > 1e-6 and math.hypot(a, b) * SMALLEST_COMPLEX_ROOT > 1
        for a, b in zip(real.tolist(), imaginary.tolist(), strict=True)
    )


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
    result: F64 = recursive_filter()(monic(theta), monic(-phi), impulse)
    return result


def autocovariances(phi: F64, theta: F64, count: int) -> F64:
    """Autocovariances 0..count-1 of the process with unit innovation variance, shape (count,).

    Raises numpy.linalg.LinAlgError at a unit root.
    """
    return _covariances(phi[None], theta[None], monic(theta)[None], count)[0][0]


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
    dpbtrf, dtbtrs, _ = _lapack()
    rows = min(m, n) if q == 0 else n + q
    factor, status = dpbtrf(_bands(phi[None], theta[None], rows)[0].T, lower=1, overwrite_ab=1)
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
    found = exact_logliks(w, ones, phi[None], theta[None])
    return -math.inf if found is None else float(found[0][0])


def exact_logliks(columns: F64, ones: F64 | None, phi: F64, theta: F64) -> tuple[F64, F64] | None:
    """Exact log-likelihoods and variances of one series at several points, shapes (b,); None where one is singular.

    The systems of all points are one banded system of independent blocks: one factorisation serves them.

    Args:
        columns, ones: as in `exact_loglik`.
        phi: shape (b, p).
        theta: shape (b, q).
    """
    b, p = phi.shape
    n, q = len(columns), theta.shape[1]
    m = max(p, q) if p else 0
    rows = min(m, n) if q == 0 else n
    x = columns.T
    z = np.empty((len(x), b, n))
    z[:] = x[:, None]
    for i in range(1, p + 1):
        z[:, :, m:] -= phi[:, i - 1, None] * x[:, None, m - i : n - i]
    determinant: F64 | float = 0.0
    if rows:
        dpbtrf, dtbtrs, _ = _lapack()
        factor, status = dpbtrf(_bands(phi, theta, rows).reshape(b * rows, -1).T, lower=1, overwrite_ab=1)
        if status:
            return None
        head = z if rows == n else np.ascontiguousarray(z[:, :, :rows])
        solved, status = dtbtrs(factor, head.reshape(len(z), b * rows).T, uplo="L", overwrite_b=1)
        if status:
            return None
        z[:, :, :rows] = solved.T.reshape(len(z), b, rows)
        determinant = np.log(factor[0].reshape(b, rows)).sum(axis=1)
    s = np.einsum("bn,bn->b", z[0], z[0])
    if ones is not None:
        s -= np.einsum("bn,bn->b", z[0], z[1]) ** 2 / np.einsum("bn,bn->b", z[1], z[1])
    if not (s > 0).all():
        return np.full(b, math.inf), s / n
    return -0.5 * n * (np.log((2 * math.pi / n) * s) + 1) - determinant, s / n


def _bands(phi: F64, theta: F64, rows: int) -> F64:
    """Lower bands of the covariance of z at several points, column by column: shape (b, rows, bandwidth + 1).

    Each ends with zeros, so that it has nothing in common with the next.
    """
    b, p = phi.shape
    q = theta.shape[1]
    m = max(p, q) if p else 0
    width = max(m - 1, q, 0)
    full = np.concatenate([np.ones((b, 1)), theta], axis=1)
    row = np.zeros((b, width + 1))
    for k in range(q + 1):
        row[:, k] = (full[:, k:] * full[:, : q + 1 - k]).sum(axis=1)
    band = np.empty((b, rows, width + 1))
    band[:] = row[:, None]
    if m:
        gamma, cross = _covariances(phi, theta, full, m)
        for j in range(min(m, rows)):
            band[:, j, : m - j] = gamma[:, : m - j]
            band[:, j, m - j :] = cross[:, m - j : width + 1]
    for j in range(1, width + 1):
        band[:, max(rows - j, 0), j:] = 0.0
    return band


def _covariances(phi: F64, theta: F64, full: F64, m: int) -> tuple[F64, F64]:
    """Autocovariances 0 .. m - 1 and those of w_t with the shocks' part k later, per point."""
    b, p = phi.shape
    q = theta.shape[1]
    psi = np.ones((b, q + 1))
    for k in range(1, q + 1):
        psi[:, k] = theta[:, k - 1]
        for i in range(min(k, p)):
            psi[:, k] += phi[:, i] * psi[:, k - 1 - i]
    right = np.zeros((b, max(m, p, q) + 1))
    for k in range(q + 1):
        right[:, k] = (full[:, k:] * psi[:, : q + 1 - k]).sum(axis=1)
    system = np.eye(p + 1) - (phi @ _yule_walker(p)).reshape(b, p + 1, p + 1)
    gamma = np.empty((b, max(m, p + 1)))
    gamma[:, : p + 1] = np.linalg.solve(system, right[:, : p + 1, None])[:, :, 0]
    for k in range(p + 1, m):
        gamma[:, k] = right[:, k] + (phi * gamma[:, k - p : k][:, ::-1]).sum(axis=1)
    return gamma[:, :m], right


@functools.lru_cache(maxsize=32)
def _yule_walker(p: int) -> F64:
    """Which autocovariance each coefficient multiplies in each equation, shape (p, (p + 1)^2)."""
    places = np.zeros((p, p + 1, p + 1))
    for i in range(1, p + 1):
        for k in range(p + 1):
            places[i - 1, k, abs(k - i)] += 1.0
    flat = places.reshape(p, -1)
    flat.setflags(write=False)
    return flat


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
    return Likelihood(value, mu, variance, diagonal * white, white, _future(factor, white, q))


def _future(factor: F64, white: F64, q: int) -> F64:
    """Expectations of the next q values of z, shape (q,)."""
    n = len(white)
    future = np.zeros(q)
    for h in range(q):
        for back in range(h + 1, min(q, n + h) + 1):
            t = n + h - back
            future[h] += factor[t, back] * white[t]
    return future


def unknowns(phi: F64, theta: F64, n: int) -> tuple[F64, F64, float] | None:
    """What a series of n points leaves unknown, in units of the innovation variance; None where it cannot be told.

    Returns:
        The covariance of the next q values of z (see the module text) beyond that of the shocks to come, shape
        (q, q); the expected next q values of z for a series of ones, shape (q,); the inverse variance of the mean.
    """
    q = len(theta)
    parts = _whiten(np.ones((n, 1)), phi, theta)
    if parts is None:
        return None
    whites, _, factor = parts
    known, full = np.zeros((q, q)), monic(theta)
    found = np.zeros((q, q))
    for i in range(q):
        for j in range(i + 1):
            found[i, j], known[i, j] = factor[n + j, i - j], full[i - j]
    ones = whites[:, 0]
    return found @ found.T - known @ known.T, _future(factor, ones, q), float(ones @ ones)
