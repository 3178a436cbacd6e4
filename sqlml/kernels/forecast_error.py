"""What makes forecasts wronger than the innovation variance says: short histories and noise that grows.

The variance of an ARIMA forecast (Box and Jenkins 1970) takes the coefficients, the shocks so far and the variance as
known. Here the last shocks keep the variance that a finite series leaves them, the mean or drift is unknown, as in
generalised least squares, the variance is that of its degrees of freedom, its distribution is Student's, and
where the errors of the last third of the history are larger than those before, they tell the noise to come.
"""

from __future__ import annotations

import math

import numpy as np

from sqlml.kernels import arma
from sqlml.kernels.arima import Arima
from sqlml.kernels.types import F64

#: Fewest errors that make a "last third".
RECENT = 8
NORMAL_95 = 1.959964


def standard_error(model: Arima, errors: F64, known: F64) -> F64:
    """Standard errors of the next h forecasts of a model fitted to n points, shape (h,).

    Args:
        errors: one-step errors of the history, shape (n,).
        known: standard errors when everything but the shocks to come is known, shape (h,).
    """
    n = len(errors) - model.d
    if not model.variance > 0:
        return known
    unknown = estimation_variance(model, n, len(known))
    used = len(model.phi) + len(model.theta) + int(model.has_constant)
    free = max(n - used, 1)
    scale = math.sqrt(n / free * recent_growth(errors[model.d :])) * student(free - 1)
    result: F64 = scale * np.sqrt(known**2 + model.variance * unknown)
    return result


def estimation_variance(model: Arima, n: int, horizon: int) -> F64:
    """Variance of forecasts by what n differences leave unknown, in innovation variances, shape (horizon,).

    The shocks of the past matter to a moving average; an unknown mean (d = 0) or drift (d = 1) is counted
    whether the model has one or takes it as 0.
    """
    phi, theta, d = model.phi, model.theta, model.d
    found = arma.unknowns(phi, theta, n)
    if found is None:
        return np.zeros(horizon)
    shocks, future, information = found
    q = len(theta)
    impulse = np.zeros(horizon)
    impulse[0] = 1.0
    response = arma.recursive_filter()([1.0], arma.monic(-phi), impulse)
    for _ in range(d):
        response = np.cumsum(response)
    later = np.zeros((horizon, q))
    for i in range(min(q, horizon)):
        later[i:, i] = response[: horizon - i]
    total: F64 = np.einsum("hi,ij,hj->h", later, shocks, later)
    if d <= 1:
        moved = 1.0 - _continued(phi, future, horizon)
        total = total + (np.cumsum(moved) if d else moved) ** 2 / information
    return np.maximum(total, 0.0)


def recent_growth(errors: F64) -> float:
    """Mean square of the last third of the errors over that of all, at least 1."""
    mean = float(errors @ errors) / len(errors)
    last = errors[-max(RECENT, len(errors) // 3) :]
    return max(1.0, float(last @ last) / len(last) / mean) if mean > 0 else 1.0


def student(freedom: int) -> float:
    """The 97.5% point of Student's distribution over the normal one.

    The series of Abramowitz and Stegun 26.7.5: within 1% from 2 degrees of freedom, the least that are counted.
    """
    z, v = NORMAL_95, float(max(freedom, 2))
    terms = (
        (z**3 + z) / (4 * v),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3),
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4),
    )
    return 1.0 + sum(terms) / z


def _continued(phi: F64, future: F64, horizon: int) -> F64:
    """Forecasts of a series of ones by a model without a mean, shape (horizon,)."""
    from scipy.signal import lfiltic

    drive = np.zeros(horizon)
    drive[: min(len(future), horizon)] = future[:horizon]
    if not len(phi):
        return drive
    denominator = arma.monic(-phi)
    start = lfiltic([1.0], denominator, np.ones(len(phi)))
    result: F64 = arma.recursive_filter()([1.0], denominator, drive, zi=start)[0]
    return result
