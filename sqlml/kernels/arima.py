"""Automatic non-seasonal ARIMA: differencing by KPSS, order by AIC, exact maximum likelihood.

Differencing repeats the test of Kwiatkowski, Phillips, Schmidt and Shin (1992, J. Econometrics 54) at 5%,
with the
short lag window of Hyndman and Khandakar (2008, J. Stat. Software 27). Every order p + q <= max_order is
estimated by
conditional least squares and judged by its exact likelihood; those that can still win are taken to the exact
maximum.
AIC = -2 log-likelihood + 2 (p + q + constant + 1). The constant is the mean for d = 0, the drift for d = 1,
absent for d = 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sqlml.kernels import arma, arma_estimation
from sqlml.kernels.types import F64, I64, Bool

KPSS_CRITICAL = 0.463  # 5%, level stationarity
# A candidate whose conditional estimate is this much above the best AIC is not taken to the exact maximum.
NEAR = 10.0
# A drift is extrapolated without end: it must lower the AIC by this much below the best model without one.
DRIFT_GAIN = 2.0
# Log-likelihood that may be left out: of candidates that compete, and of the model that is kept.
COARSE, FINE = 1e-3, 1e-5
# A drift that adds less than this to the log-likelihood of every order hardly moves the other coefficients.
LITTLE = 1.0


@dataclass(frozen=True, slots=True)
class Candidates:
    """The orders tried, the chosen one first and the others ascending by AIC; all arrays have shape (m,)."""

    p: I64
    q: I64
    constant: Bool
    loglik: F64
    aic: F64
    variance: F64


@dataclass(frozen=True, slots=True)
class Arima:
    """A fitted model of one series y, shape (n,).

    Attributes:
        d: order of differencing.
        phi, theta: coefficients, shapes (p,) and (q,).
        has_constant: a mean (d = 0) or a drift (d = 1) was estimated.
        constant: its value, in units of the differenced series.
        variance: innovation variance.
        loglik, aic: of the differenced series; nan when the series has no noise at all.
        fitted: one-step predictions of y; the first d of them have no past and are 0, shape (n,).
        future: moving-average part of the first q forecasts, shape (q,).
        tail: last values of the differenced series less its constant, oldest first, shape (p,).
        levels: last value of y and of its first d - 1 differences, shape (d,).
        candidates: every order tried.
    """

    d: int
    phi: F64
    theta: F64
    has_constant: bool
    constant: float
    variance: float
    loglik: float
    aic: float
    fitted: F64
    future: F64
    tail: F64
    levels: F64
    candidates: Candidates


def kpss(y: F64) -> float:
    """KPSS statistic of level stationarity, Bartlett window of 3 sqrt(n) / 13 lags."""
    n = len(y)
    e = y - y.mean()
    lags = int(3 * math.sqrt(n) / 13)
    long_run = float(e @ e) / n
    for lag in range(1, lags + 1):
        long_run += 2 * (1 - lag / (lags + 1)) * float(e[lag:] @ e[:-lag]) / n
    if not long_run > 0:
        return 0.0
    partial = np.cumsum(e)
    return float(partial @ partial) / (n * n * long_run)


def differencing(y: F64, max_d: int = 2) -> int:
    """The smallest d <= max_d whose differences pass the KPSS test."""
    d, w = 0, y
    while d < max_d and len(w) >= 4 and np.ptp(w) > 1e-12 * (1e-300 + np.abs(w).max()):
        if kpss(w) <= KPSS_CRITICAL:
            break
        w = np.diff(w)
        d += 1
    return d


def search(
    y: F64,
    *,
    max_order: int = 5,
    min_order: int = 0,
    d: int | None = None,
    deseasoned: bool = False,
    everything: bool = False,
    corrected: bool = False,
) -> Arima:
    """The model of lowest AIC among all p + q in [min_order, max_order].

    Args:
        y: series without gaps, shape (n,), n >= 3.
        d: fixed order of differencing instead of the test.
        deseasoned: a season was removed from y; see `arma.admissible`.
        everything: take every candidate to its exact maximum, not only those near the best.
        corrected: compare by AIC + 2 k (k + 1) / (n - k - 1) for k parameters and n differences (Hurvich and Tsai 1989,
            Biometrika 76): the AIC itself takes too large orders in short series.

    Raises:
        ValueError: the series is too short or not finite.
    """
    _check(y)
    d = differencing(y) if d is None else d
    w = _difference(y, d)
    scale = _scale(w)
    if scale == 0.0:
        return _noiseless(y, w, d)
    w = w / scale
    means = {0: (True,), 1: (False, True)}.get(d, (False,))
    orders = [
        (p, total - p) for total in range(min_order, max_order + 1) for p in range(total, -1, -1) if total + 2 < len(w)
    ] or [(0, 0)]
    found: list[_Estimate] = []
    for mean in means:
        more = _with_mean(w, found) if mean and found and not everything else None
        found += _estimates(w, orders, mean, deseasoned, FINE if everything else COARSE) if more is None else more
    found = _refine(w, found, everything, deseasoned, corrected)
    return _finish(y, w, d, scale, found)


def fixed(y: F64, order: tuple[int, int, int], *, constant: bool) -> Arima:
    """The model of a given order (p, d, q); ``constant`` asks for the mean (d = 0) or the drift (d = 1)."""
    _check(y)
    p, d, q = order
    w = _difference(y, d)
    scale = _scale(w)
    if scale == 0.0:
        return _noiseless(y, w, d)
    if p + q + 2 > len(w):
        raise ValueError(f"ARIMA({p}, {d}, {q}) needs at least {p + q + d + 2} points.")
    w = w / scale
    found = _refine(w, list(_estimates(w, [(p, q)], constant, False, FINE)), True, False, False)
    return _finish(y, w, d, scale, found)


def forecast(model: Arima, horizon: int) -> tuple[F64, F64]:
    """Point forecasts and standard errors of the next ``horizon`` values, each of shape (horizon,)."""
    from scipy.signal import lfilter, lfiltic

    p, q = len(model.phi), len(model.theta)
    drive = np.zeros(horizon)
    drive[: min(q, horizon)] = model.future[:horizon]
    denominator = arma.monic(-model.phi)
    if p:
        start = lfiltic([1.0], denominator, model.tail[::-1])
        x, _ = lfilter([1.0], denominator, drive, zi=start)
    else:
        x = drive
    values = x + model.constant
    psi = arma.psi_weights(model.phi, model.theta, horizon)
    for level in model.levels[::-1]:
        values = level + np.cumsum(values)
        psi = np.cumsum(psi)
    return values, np.sqrt(model.variance * np.cumsum(psi * psi))


def predictions(model: Arima, y: F64) -> F64:
    """One-step predictions of a longer series by a model that was fitted to its end, shape (n,)."""
    w = _difference(y, model.d) - model.constant
    fitted = np.zeros(len(y))
    result = arma.exact(w, model.phi, model.theta, mean=False)
    fitted[model.d :] = y[model.d :] if result is None else y[model.d :] - result.innovations
    return fitted


@dataclass(frozen=True, slots=True)
class _Estimate:
    """One order's coefficients; `curvature` is that of the conditional log-likelihood, shape (p + q, p + q)."""

    phi: F64
    theta: F64
    mean: bool
    loglik: float
    variance: float
    curvature: F64

    @property
    def size(self) -> int:
        return len(self.phi) + len(self.theta)

    @property
    def parameters(self) -> int:
        return self.size + int(self.mean) + 1

    @property
    def aic(self) -> float:
        return -2.0 * self.loglik + 2.0 * self.parameters


def _check(y: F64) -> None:
    if len(y) < 3:
        raise ValueError(f"The time series data is too short: {len(y)} points, at least 3 are needed.")
    if not np.isfinite(y).all():
        raise ValueError("The time series holds values that are not finite.")


def _difference(y: F64, d: int) -> F64:
    if len(y) <= d + 1:
        raise ValueError(f"Differencing {d} times needs at least {d + 2} points.")
    return np.diff(y, d) if d else y


def _scale(w: F64) -> float:
    """Standard deviation of w, or 0 when w is constant up to rounding."""
    deviation = float(w.std())
    return deviation if deviation > 1e-10 * float(np.abs(w).max() + 1e-290) else 0.0


def _estimates(
    w: F64, orders: list[tuple[int, int]], mean: bool, deseasoned: bool, tolerance: float
) -> list[_Estimate]:
    """Conditional estimates of every order, with their exact likelihoods."""
    x = w - w.mean() if mean else w
    columns = _columns(w, mean)
    highest = max(1, max(max(p, q) for p, q in orders))
    starts = arma_estimation.Starts(x, highest, deseasoned) if len(w) > 12 else None
    out = []
    for p, q in orders:
        phi, theta, curvature = np.zeros(p), np.zeros(q), np.eye(p + q)
        if p + q and len(w) > p + q + 4:
            if starts is not None:
                phi, theta = starts.of(p, q)
            phi, theta, curvature = arma_estimation.gauss_newton(
                x, phi, theta, deseasoned=deseasoned, tolerance=tolerance
            )
        row = _estimate(columns, mean, phi, theta, curvature)
        if not math.isfinite(row.loglik):
            row = _estimate(columns, mean, np.zeros(p), np.zeros(q), np.eye(p + q) * len(w))
        out.append(row)
    return out


def _with_mean(w: F64, plain: list[_Estimate]) -> list[_Estimate] | None:
    """Estimates with a mean at the coefficients of those without one; None when it matters to any of them.

    One order alone does not tell: a root near 1 takes the place of a mean.
    """
    columns = _columns(w, True)
    out = []
    for row in plain:
        other = _estimate(columns, True, row.phi, row.theta, row.curvature)
        if not other.loglik < row.loglik + LITTLE:
            return None
        out.append(other)
    return out


def _columns(w: F64, mean: bool) -> F64:
    """The series, and with a mean its regressor beside it."""
    return np.column_stack([w, np.ones(len(w))]) if mean else w[:, None]


def _estimate(columns: F64, mean: bool, phi: F64, theta: F64, curvature: F64) -> _Estimate:
    """The exact likelihood at given coefficients; -inf where it does not exist."""
    try:
        found = arma.exact_logliks(columns, columns[:, -1] if mean else None, phi[None], theta[None])
    except np.linalg.LinAlgError:
        found = None
    value, variance = (-math.inf, math.nan) if found is None else (float(found[0][0]), float(found[1][0]))
    return _Estimate(phi, theta, mean, value, variance, curvature)


def _refine(w: F64, found: list[_Estimate], everything: bool, deseasoned: bool, corrected: bool) -> list[_Estimate]:
    """Take the estimates that can still win to the exact maximum; the winner first, the others by AIC."""

    def price(row: _Estimate) -> float:
        k = row.parameters
        return 2.0 * k + (2.0 * k * (k + 1) / max(len(w) - k - 1, 0.1) if corrected else 0.0)

    def cost(row: _Estimate) -> float:
        return price(row) - 2.0 * row.loglik

    best = {True: math.inf, False: math.inf}
    out = []
    # First those without a drift: one with a drift only wins if it is better by DRIFT_GAIN than the best of them.
    for row in sorted(found, key=lambda row: (row.mean, cost(row))):
        bar = min(best[True], best[False] - DRIFT_GAIN) if row.mean else best[False]
        if everything or cost(row) < bar + NEAR:
            needed = -math.inf
            if not everything and math.isfinite(bar):
                needed = (price(row) - bar) / 2  # the log-likelihood that draws level
            row = _climbed(w, row, deseasoned, needed, FINE if everything else COARSE)
            best[row.mean] = min(best[row.mean], cost(row))
        out.append(row)
    # A tie (two orders whose extra coefficients vanish) goes to the smaller order.
    out.sort(key=lambda row: (round(cost(row), 6), row.size))
    if out[0].mean and any(not row.mean for row in out):
        plain = next(i for i, row in enumerate(out) if not row.mean)
        if cost(out[plain]) < cost(out[0]) + DRIFT_GAIN:
            out.insert(0, out.pop(plain))
    if not everything:
        out[0] = _climbed(w, out[0], deseasoned, -math.inf, FINE)
    if corrected:
        out[1:] = sorted(out[1:], key=lambda row: (round(row.aic, 6), row.size))
    return out


def _climbed(w: F64, row: _Estimate, deseasoned: bool, needed: float, tolerance: float) -> _Estimate:
    """The estimate at the exact maximum, or where the climb towards it ended."""
    phi, theta = arma_estimation.maximise(
        w,
        row.phi,
        row.theta,
        row.curvature,
        mean=row.mean,
        deseasoned=deseasoned,
        needed=needed,
        tolerance=tolerance,
    )
    climbed = _estimate(_columns(w, row.mean), row.mean, phi, theta, row.curvature)
    return climbed if climbed.loglik >= row.loglik else row


def _finish(y: F64, w: F64, d: int, scale: float, found: list[_Estimate]) -> Arima:
    shift = len(w) * math.log(scale)  # log-likelihoods were taken of w / scale
    best = found[0]
    result = arma.exact(w, best.phi, best.theta, mean=best.mean)
    if result is None:
        raise ValueError("The likelihood of the time series has no maximum.")
    p = len(best.phi)
    constant = result.mean * scale
    fitted = np.zeros(len(y))
    fitted[d:] = y[d:] - result.innovations * scale
    n = len(w)
    return Arima(
        d=d,
        phi=best.phi,
        theta=best.theta,
        has_constant=best.mean,
        constant=constant,
        variance=result.variance * scale * scale,
        loglik=best.loglik - shift,
        aic=best.aic + 2 * shift,
        fitted=fitted,
        future=result.future * scale,
        tail=(w[n - p :] - result.mean) * scale,
        levels=_levels(y, d),
        candidates=_candidates(shift, scale, found),
    )


def _candidates(shift: float, scale: float, found: list[_Estimate]) -> Candidates:
    """In units of the data: w was divided by its scale."""
    return Candidates(
        p=np.array([len(row.phi) for row in found], dtype=np.int64),
        q=np.array([len(row.theta) for row in found], dtype=np.int64),
        constant=np.array([row.mean for row in found], dtype=np.bool_),
        loglik=np.array([row.loglik for row in found]) - shift,
        aic=np.array([row.aic for row in found]) + 2 * shift,
        variance=np.array([row.variance for row in found]) * scale * scale,
    )


def _levels(y: F64, d: int) -> F64:
    return np.array([np.diff(y, i)[-1] for i in range(d)])


def _noiseless(y: F64, w: F64, d: int) -> Arima:
    """A constant series, or one whose differences are constant: continued without error."""
    constant = float(w.mean())
    fitted = np.zeros(len(y))
    fitted[d:] = y[d:]
    nothing = np.zeros(0)
    candidates = Candidates(
        p=np.zeros(1, np.int64),
        q=np.zeros(1, np.int64),
        constant=np.array([d < 2 and (d == 0 or constant != 0.0)]),
        loglik=np.array([math.nan]),
        aic=np.array([math.nan]),
        variance=np.zeros(1),
    )
    return Arima(
        d=d,
        phi=nothing,
        theta=nothing,
        has_constant=bool(candidates.constant[0]),
        constant=constant,
        variance=0.0,
        loglik=math.nan,
        aic=math.nan,
        fitted=fitted,
        future=nothing,
        tail=nothing,
        levels=_levels(y, d),
        candidates=candidates,
    )
