"""Regression on external features with the ARIMA_PLUS pipeline as its error.

y = X b + (trend + seasons + holidays + spikes + steps). b starts from least squares of the differences,
which no
wandering level disturbs, and is then estimated by generalised least squares: the series without its other
parts and the
columns of X are differenced and whitened by the trend's ARMA model, alternating with the pipeline
(Cochrane and Orcutt 1949; Hyndman and Athanasopoulos, Forecasting: Principles and Practice, section 10.1).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from sqlml.kernels import arma, series
from sqlml.kernels.series_clean import Regular, positions
from sqlml.kernels.types import F64, I64

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Regressed:
    """A fitted series with features.

    Attributes:
        fitted: the pipeline of y - X b; its `regular` holds y itself.
        beta: coefficients, shape (k,).
        features: X on the steps of the series, gaps filled, shape (n, k).
    """

    fitted: series.Fitted
    beta: F64
    features: F64


def fit(times: I64, values: F64, features: F64, settings: series.Settings, *, l2: float) -> Regressed:
    """Fit one series with features.

    Args:
        times: ascending, shape (m,).
        values: nan where missing, shape (m,).
        features: encoded and standardised, never nan, shape (m, k).
        l2: ridge penalty of b, added to the mean squared error times one half.

    Raises:
        ValueError: the series cannot be modelled.
    """
    whole = series.clean(times, values, settings)
    x = on_steps(times, features, whole)
    y = whole.values
    beta = _least_squares(np.diff(x, axis=0), np.diff(y), l2)
    for _ in range(ROUNDS):
        rest = dataclasses.replace(whole, values=y - x @ beta)
        parts = series.take_apart(rest, settings)
        model = series.model_trend(parts, settings)
        others = rest.values - parts.rest
        new = _generalised(x, y - others, model.d, model.phi, model.theta, model.has_constant, l2)
        if np.allclose(new, beta, rtol=1e-4, atol=1e-6 * float(np.abs(y).max() + 1e-300)):
            beta = new
            break
        beta = new
    final = series.fit_regular(
        dataclasses.replace(whole, values=y - x @ beta), dataclasses.replace(settings, additive=True)
    )
    return Regressed(dataclasses.replace(final, regular=whole), beta, x)


def on_steps(times: I64, features: F64, whole: Regular) -> F64:
    """Features averaged per step and interpolated over gaps, shape (n, k)."""
    n, k = len(whole.values), features.shape[1]
    at = positions(whole.frequency, whole.start, times)
    inside = (at >= 0) & (at < n)
    count = np.bincount(at[inside], minlength=n)
    out = np.empty((n, k))
    index = np.arange(n)
    known = count > 0
    for j in range(k):
        total = np.bincount(at[inside], weights=features[inside, j], minlength=n)
        out[:, j] = np.interp(index, index[known], total[known] / count[known])
    return out


def _least_squares(x: F64, y: F64, l2: float) -> F64:
    """Ridge regression with an intercept, shape (k,); collinear columns share their effect."""
    n = max(len(y), 1)
    xc, yc = x - x.mean(axis=0), y - y.mean()
    gram = xc.T @ xc / n
    ridge = l2 + 1e-10 * float(np.trace(gram)) / max(len(gram), 1)
    gram.flat[:: len(gram) + 1] += ridge + 1e-300
    return np.asarray(np.linalg.lstsq(gram, xc.T @ yc / n, rcond=None)[0], dtype=np.float64)


def _generalised(x: F64, y: F64, d: int, phi: F64, theta: F64, constant: bool, l2: float) -> F64:
    """Generalised least squares of the differenced series under an ARMA error, shape (k,)."""
    columns = [np.diff(y, d), *(np.diff(x[:, j], d) for j in range(x.shape[1]))]
    if constant:
        columns.append(np.ones(len(y) - d))
    white = arma.whiten(np.column_stack(columns), phi, theta)
    target, design = white[:, 0], white[:, 1 : 1 + x.shape[1]]
    if constant:
        one = white[:, -1:]
        scale = float(one[:, 0] @ one[:, 0])
        target = target - one[:, 0] * (float(one[:, 0] @ target) / scale)
        design = design - one @ (one.T @ design) / scale
    n = len(target)
    gram = design.T @ design / n
    gram.flat[:: len(gram) + 1] += l2 + 1e-10 * float(np.trace(gram)) / max(len(gram), 1) + 1e-300
    return np.asarray(np.linalg.lstsq(gram, design.T @ target / n, rcond=None)[0], dtype=np.float64)
