"""Which seasons a series has, their parts, and how they go on.

A season is present when its cycles resemble each other: the harmonics of the detrended series are computed
cycle by
cycle, and the intraclass correlation of their coefficients (Fisher 1925) is what two cycles have in common.
Periods of a
whole number of points are separated by STL; others (a year of days or weeks) by harmonics, each shrunk by
what its coefficient varies from cycle to cycle.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sqlml.kernels import decompose
from sqlml.kernels.series_clean import DAY, MEAN_MONTH, WEEK, Frequency
from sqlml.kernels.types import F64

LENGTHS = {
    "DAILY": float(DAY),
    "WEEKLY": float(WEEK),
    "MONTHLY": MEAN_MONTH,
    "QUARTERLY": 3 * MEAN_MONTH,
    "YEARLY": 12 * MEAN_MONTH,
}
#: The order in which AUTO looks for seasons: a month or quarter only counts when the year does not explain
# it.
AUTO_ORDER = ("DAILY", "WEEKLY", "YEARLY", "MONTHLY", "QUARTERLY")
HARMONICS = 10
WEAKEST = 0.05
# The waves of a season are the same for all series of one length; kept up to this length.
KEPT_POINTS = 5_000
# When a season is taken to grow with the level: how much the level changes (standard deviation of its logarithm),
# how the swings follow it, and in how many standard errors.
LEAST_CHANGE, LEAST_SLOPE, SURE = 0.15, 0.6, 5.0
# Smoothing of a phase's level and slope when a season is continued. With the slope they come near the
# printed forecasts
# of the service; the held-out tails of public series are better without a slope.
LEVEL_SMOOTHING = 0.5
SLOPE_SMOOTHING = 0.04


@dataclass(frozen=True, slots=True)
class Season:
    """One season of one series.

    Attributes:
        name: DAILY ... YEARLY.
        period: in points; not always whole.
        part: values in the history, shape (n,).
        level, slope: how it goes on. For a whole period the level of each of the next points and its change
        per cycle,
            shape (period,); else cosine and sine coefficients and an empty slope.
    """

    name: str
    period: float
    part: F64
    level: F64
    slope: F64


def period_of(name: str, frequency: Frequency) -> float:
    """Points per season."""
    if frequency.months and name in ("QUARTERLY", "YEARLY"):
        return {"QUARTERLY": 3, "YEARLY": 12}[name] / frequency.months
    return LENGTHS[name] / frequency.mean_step


def is_wave(period: float) -> bool:
    """Whether a season is made of harmonics, as its period is no whole number of points."""
    return not _is_whole(period)


def _is_whole(period: float) -> bool:
    return abs(period - round(period)) < 1e-6


def _cycles(n: int, period: float) -> int:
    return int((n + 1) / period)  # 730 days count as two years


def _detrended(y: F64, period: float) -> F64:
    window = decompose.next_odd(1.5 * period / (1 - 1.5 / decompose.SEASONAL_WINDOW))
    jump = max(1, math.ceil(window / 10))
    return y - decompose.loess(y, window, degree=1, jump=jump)


def _coefficients(x: F64, period: float, count: int) -> F64:
    """Complex harmonic coefficients by cycle, counted from the end, shape (cycles, count)."""
    n, cycles = len(x), _cycles(len(x), period)
    starts = [max(0, n - math.ceil((j + 1) * period)) for j in reversed(range(cycles))]
    waves = _waves(n, period, count) * (x * (2 / period))
    sums = np.add.reduceat(waves, starts, axis=1)[:, ::-1]
    return (sums[:count] - 1j * sums[count:]).T  # type: ignore[return-value]


def _waves(n: int, period: float, count: int) -> F64:
    """Cosines and sines of the first harmonics at the points 0 .. n - 1, shape (2 count, n)."""
    return _kept_waves(n, period, count) if n <= KEPT_POINTS else _new_waves(n, period, count)


def _new_waves(n: int, period: float, count: int) -> F64:
    angle = 2 * np.pi * np.outer(np.arange(1, count + 1), np.arange(n)) / period
    return np.concatenate([np.cos(angle), np.sin(angle)])


@functools.lru_cache(maxsize=16)
def _kept_waves(n: int, period: float, count: int) -> F64:
    waves = _new_waves(n, period, count)
    waves.setflags(write=False)
    return waves


def _harmonics(period: float) -> int:
    return max(1, min(HARMONICS, int(period / 2)))


def resemblance(y: F64, period: float) -> float:
    """Intraclass correlation of the cycles of a season: 0 for noise, 1 for an exact repetition."""
    if _cycles(len(y), period) < 2:
        return 0.0
    x = _detrended(y, period)
    c = _coefficients(x, period, _harmonics(period))
    cycles = len(c)
    mean = c.mean(axis=0)
    spread = float((np.abs(c - mean) ** 2).sum()) / (cycles - 1)  # variance of one cycle
    power = float((np.abs(mean) ** 2).sum())
    total = power + spread * (cycles - 1) / cycles
    return (power - spread / cycles) / total if total > 0 else 0.0


def is_present(y: F64, period: float) -> bool:
    """True when the cycles resemble each other by more than 2.5 standard errors of no resemblance."""
    cycles = _cycles(len(y), period)
    if cycles < 2 or period < 2:
        return False
    return resemblance(y, period) > max(WEAKEST, 2.5 / math.sqrt(cycles * _harmonics(period)))


def grows_with_level(y: F64, period: float) -> bool:
    """Whether the swings of the cycles of a positive series grow with their level, by regression of the logarithms.

    At least five cycles are needed, over which the level changes; the slope must be near proportion and certain.
    """
    m = round(period)
    cycles = len(y) // m if m >= 2 else 0
    if cycles < 5:
        return False
    grid = y[len(y) - cycles * m :].reshape(cycles, m)
    t = np.arange(m) - (m - 1) / 2
    rest = grid - grid.mean(axis=1, keepdims=True)
    rest = rest - np.outer(rest @ t / (t @ t), t)
    swing = np.log(rest.std(axis=1) + 1e-12 * np.abs(y).max())
    level = np.log(grid.mean(axis=1))
    x, z = level - level.mean(), swing - swing.mean()
    if level.std() < LEAST_CHANGE:
        return False
    slope = float(x @ z) / float(x @ x)
    error = z - slope * x
    deviation = math.sqrt(float(error @ error) / (cycles - 2) / float(x @ x))
    return slope > LEAST_SLOPE and slope > SURE * deviation


def find(y: F64, frequency: Frequency, wanted: Sequence[str] = ("AUTO",)) -> tuple[tuple[str, float], ...]:
    """Names and periods of the seasons to model, ascending by period.

    Args:
        wanted: ("AUTO",), ("NO_SEASONALITY",) or names. Seasons finer than two points, or with fewer than
        two cycles in
            the series, are left out.
    """
    n = len(y)
    if "NO_SEASONALITY" in wanted:
        return ()
    auto = "AUTO" in wanted
    found: list[tuple[str, float]] = []
    rest = y
    for name in AUTO_ORDER if auto else dict.fromkeys(wanted):
        period = period_of(name, frequency)
        if period < 2 - 1e-9 or _cycles(n, period) < 2 or (_is_whole(period) and n < 2 * period):
            continue
        if auto and not is_present(rest, period):
            continue
        found.append((name, period))
        if auto:
            rest = rest - _part(rest, period)[0]
    return tuple(sorted(found, key=lambda pair: pair[1]))


def separate(
    y: F64, seasons: Sequence[tuple[str, float]], *, sloped: bool, window: int = decompose.SEASONAL_WINDOW
) -> tuple[Season, ...]:
    """The parts of several seasons, from short to long and once more round.

    Args:
        sloped: each phase of a whole period goes on with its own slope, as in the service; else with its
        last level.
    """
    parts = np.zeros((len(seasons), len(y)))
    coefficients: list[F64] = [np.zeros(0)] * len(seasons)
    for _ in range(2 if len(seasons) > 1 else 1):
        for i, (_, period) in enumerate(seasons):
            others = parts.sum(axis=0) - parts[i]
            parts[i], coefficients[i] = _part(y - others, period, window)
    out = []
    for (name, period), part, c in zip(seasons, parts, coefficients, strict=True):
        level, slope = _onward(part, round(period), sloped) if _is_whole(period) else (c, np.zeros(0))
        out.append(Season(name, period, part, level, slope))
    return tuple(out)


def extend(period: float, level: F64, slope: F64, n: int, count: int) -> F64:
    """A season at the points n .. n + count - 1, shape (count,)."""
    h = np.arange(count)
    if _is_whole(period):
        m = round(period)
        return level[h % m] + slope[h % m] * (h // m + 1)
    if n == 0:  # the same for all series of one length
        k = len(level) // 2
        waves = _waves(count, period, k)
        total: F64 = level[:k] @ waves[:k] + level[k:] @ waves[k:]
        return total
    return _wave(level, period, n + h)


def _part(y: F64, period: float, window: int = decompose.SEASONAL_WINDOW) -> tuple[F64, F64]:
    if _is_whole(period):
        return decompose.stl(y, round(period), window), np.zeros(0)
    coefficients = _shrunk(y, period)
    return coefficients @ _waves(len(y), period, len(coefficients) // 2), coefficients


def _shrunk(y: F64, period: float) -> F64:
    """Cosine and sine coefficients, each pulled to 0 by its variance between cycles, shape (2 k,)."""
    k = _harmonics(period)
    n = len(y)
    x = _detrended(y, period)
    c = _coefficients(x, period, k)
    cycles = len(c)
    mean = c.mean(axis=0)
    noise = (np.abs(c - mean) ** 2).sum(axis=0) / max(cycles - 1, 1) / cycles
    # Neighbouring harmonics have similar noise: three together tell it better than one.
    padded = np.concatenate([noise[:1], noise, noise[-1:]])
    noise = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    share = np.clip(1.0 - noise / np.maximum(np.abs(mean) ** 2, 1e-300), 0.0, 1.0)
    # Least squares over all points, not only over whole cycles.
    solution = np.linalg.lstsq(_waves(n, period, k).T, x, rcond=None)[0]
    result: F64 = solution * np.concatenate([share, share])
    return result


def _wave(coefficients: F64, period: float, t: F64 | np.ndarray) -> F64:
    k = len(coefficients) // 2
    angle = 2 * np.pi * np.outer(np.arange(1, k + 1), t) / period
    result: F64 = coefficients[:k] @ np.cos(angle) + coefficients[k:] @ np.sin(angle)
    return result


def _onward(part: F64, m: int, sloped: bool) -> tuple[F64, F64]:
    """Level and slope of the next m points by Holt's double exponential smoothing of each phase."""
    cycles = min(len(part) // m, 200)
    grid = part[len(part) - cycles * m :].reshape(cycles, m)
    level, slope = grid[0].copy(), np.zeros(m)
    beta = SLOPE_SMOOTHING if sloped else 0.0
    for row in grid[1:]:
        before = level
        level = LEVEL_SMOOTHING * row + (1 - LEVEL_SMOOTHING) * (level + slope)
        slope = beta * (level - before) + (1 - beta) * slope
    return level, slope
