"""Seasonal-trend decomposition by loess (STL) for several periods, and how a season goes on.

STL is the procedure of Cleveland, Cleveland, McRae and Terpenning (1990, J. Official Statistics 6) without
robustness
weights: seasonal window 7 of degree 0, two inner iterations, every other window and jump as R's ``stl``
derives them
from the period. Loess on a regular grid is a fixed linear map, so its weights are computed once per length.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sqlml.kernels.types import F64, I64

SEASONAL_WINDOW = 7
INNER_ITERATIONS = 2


@dataclass(frozen=True, slots=True)
class Seasons:
    """Parts of a series by period.

    Attributes:
        periods: the periods in points, ascending, shape (k,).
        parts: one seasonal part per period, shape (k, n).
        rest: the series less its parts, shape (n,).
    """

    periods: I64
    parts: F64
    rest: F64


def next_odd(x: float) -> int:
    """The smallest odd integer >= ceil(x)."""
    k = math.ceil(x)
    return k if k % 2 else k + 1


@functools.lru_cache(maxsize=64)
def _loess_weights(n: int, q: int, degree: int, jump: int, margin: int) -> tuple[I64, I64, F64]:
    """Points of evaluation (m,), first neighbour of each (m,) and weights (m, min(q, n)) of a loess smoother.

    ``margin`` = 1 adds one point before and one behind the series (as the cycle-subseries need them).
    """
    width = min(q, n)
    points = np.arange(0, n, jump)
    if points[-1] != n - 1:
        points = np.append(points, n - 1)
    if margin:
        points = np.concatenate([[-1], points, [n]])
    left = np.clip(points - (q - 1) // 2, 0, n - width)
    position = left[:, None] + np.arange(width)
    distance = np.abs(position - points[:, None])
    reach = np.maximum(points - left, left + width - 1 - points).astype(np.float64)
    if q > n:
        reach += (q - n) // 2
    reach = np.maximum(reach, 1e-300)[:, None]
    weights = np.where(distance <= 0.001 * reach, 1.0, (1 - (distance / reach) ** 3) ** 3)
    weights[distance > 0.999 * reach] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    if degree:
        centre = (weights * position).sum(axis=1, keepdims=True)
        spread = (weights * (position - centre) ** 2).sum(axis=1, keepdims=True)
        tilt = (points[:, None] - centre) * (position - centre) / np.maximum(spread, 1e-300)
        # As in the original, a slope is only fitted where the points are spread widely enough.
        weights = np.where(np.sqrt(spread) > 0.001 * (n - 1), weights * (1 + tilt), weights)
    for array in (points, left, weights):
        array.setflags(write=False)
    return points, left, weights


def loess(y: F64, window: int, *, degree: int, jump: int = 1, margin: int = 0) -> F64:
    """Loess of equally spaced values along the last axis, shape (..., n) to (..., n + 2 margin).

    Args:
        window: number of neighbours; above n it widens the kernel as in Cleveland's code.
        jump: evaluate every jump-th point and the last, interpolate between.
        margin: 1 also extrapolates one point on either side.
    """
    n = y.shape[-1]
    points, left, weights = _loess_weights(n, window, degree, jump, margin)
    width = weights.shape[1]
    view = np.lib.stride_tricks.sliding_window_view(y, width, axis=-1)
    smooth: F64 = np.einsum("...mw,mw->...m", view[..., left, :], weights)
    if jump == 1:
        return smooth
    grid = np.arange(-margin, n + margin)
    if smooth.ndim == 1:
        return np.interp(grid, points, smooth)
    return np.apply_along_axis(lambda row: np.interp(grid, points, row), -1, smooth)


def _moving_average(y: F64, window: int) -> F64:
    total = np.cumsum(np.concatenate([[0.0], y]))
    mean: F64 = (total[window:] - total[:-window]) / window
    return mean


def _smooth_cycles(y: F64, period: int, window: int) -> F64:
    """Each cycle-subseries smoothed and extended by one cycle on either side, shape (n + 2 period,)."""
    n = len(y)
    out = np.empty(n + 2 * period)
    full, extra = divmod(n, period)
    jump = math.ceil(window / 10)
    # Subseries come in at most two lengths: each is smoothed as one block.
    for start, stop, length in ((0, extra, full + 1), (extra, period, full)):
        if start == stop:
            continue
        columns = np.arange(start, stop)
        index = columns[:, None] + period * np.arange(length)
        smooth = loess(y[index], window, degree=0, jump=jump, margin=1)
        out[columns[:, None] + period * np.arange(length + 2)] = smooth
    return out


def stl(y: F64, period: int, window: int = SEASONAL_WINDOW) -> F64:
    """The seasonal part of y, shape (n,); needs 2 <= period <= n / 2.

    Args:
        window: cycles that are smoothed together; the larger, the steadier the season.

    Raises:
        ValueError: fewer than two whole periods.
    """
    n = len(y)
    if period < 2 or n < 2 * period:
        raise ValueError(f"A season of {period} points needs at least {2 * period} points. Got {n}.")
    trend_window = next_odd(math.ceil(1.5 * period / (1 - 1.5 / window)))
    low_window = next_odd(period)
    trend = np.zeros(n)
    seasonal = np.zeros(n)
    for _ in range(INNER_ITERATIONS):
        cycles = _smooth_cycles(y - trend, period, window)
        low = _moving_average(_moving_average(_moving_average(cycles, period), period), 3)
        low = loess(low, low_window, degree=1, jump=math.ceil(low_window / 10))
        seasonal = cycles[period : period + n] - low
        trend = loess(y - seasonal, trend_window, degree=1, jump=math.ceil(trend_window / 10))
    return seasonal


def decompose(y: F64, periods: Sequence[int], *, rounds: int = 2) -> Seasons:
    """Several seasonal parts, by going round the periods from short to long (as MSTL does).

    Periods with fewer than two whole cycles are left out.
    """
    usable = sorted({int(m) for m in periods if 2 <= m <= len(y) // 2})
    parts = np.zeros((len(usable), len(y)))
    for _ in range(rounds if len(usable) > 1 else 1):
        for i, period in enumerate(usable):
            others = parts.sum(axis=0) - parts[i]
            parts[i] = stl(y - others, period)
    return Seasons(np.array(usable, dtype=np.int64), parts, y - parts.sum(axis=0))
