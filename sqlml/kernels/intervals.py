"""Normal probabilities and quantiles of forecast intervals: the service's approximation, and the exact ones.

The approximation is formula 7.1.27 of Abramowitz and Stegun (1964),
``erf(x) = 1 - (1 + a1 x + a2 x^2 + a3 x^3 + a4 x^4)^-4``. Printed intervals and anomaly probabilities of
BigQuery ML follow it to all digits: 1.956458 standard errors at 95%, where the exact quantile is 1.959964.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from sqlml.kernels.types import F64

COEFFICIENTS = (0.278393, 0.230389, 0.000972, 0.078108)


def erf_approximation(x: F64) -> F64:
    """erf of non-negative x by the approximation, error below 5e-4, same shape."""
    a1, a2, a3, a4 = COEFFICIENTS
    result: F64 = 1.0 - (1.0 + x * (a1 + x * (a2 + x * (a3 + x * a4)))) ** -4
    return result


def half_width(level: float, *, exact: bool) -> float:
    """Standard errors between the middle and the bounds of the central interval of probability ``level`` in
    [0, 1).

    Raises:
        ValueError: a level outside [0, 1).
    """
    if not 0.0 <= level < 1.0:
        raise ValueError(f"The level of an interval must be in [0, 1). Got {level}.")
    if exact:
        return NormalDist().inv_cdf(0.5 + level / 2)
    a1, a2, a3, a4 = COEFFICIENTS
    x = NormalDist().inv_cdf(0.5 + min(level, 1 - 1e-15) / 2) / math.sqrt(2)
    for _ in range(50):  # Newton on the increasing polynomial
        power = 1.0 + x * (a1 + x * (a2 + x * (a3 + x * a4)))
        slope = a1 + x * (2 * a2 + x * (3 * a3 + x * 4 * a4))
        step = (power - (1.0 - level) ** -0.25) / slope
        x -= step
        if abs(step) < 1e-15 * (1 + abs(x)):
            break
    return x * math.sqrt(2)


def anomaly_probability(distance: F64, *, exact: bool) -> F64:
    """P(|N(0, 1)| <= distance) for distances in standard errors, same shape; nan stays nan."""
    x = np.abs(distance) / math.sqrt(2)
    if not exact:
        return erf_approximation(x)
    from scipy.special import erf

    result: F64 = erf(x)
    return result
