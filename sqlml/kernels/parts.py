"""The additive parts of a stored series over its history and its forecast, in the units of the data.

A series whose season grows with its level is modelled in logarithms. Its parts are then steps on the way
from the trend to
the whole: trend = exp(T), season = exp(T + S) - exp(T), and so on, so that they add up as those of any other
series do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sqlml.kernels.forecasts import Forecasts
from sqlml.kernels.holidays import Calendar
from sqlml.kernels.series import smooth
from sqlml.kernels.types import F64


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of n points of history and h of forecast.

    Attributes:
        data: the series and its forecast, shape (n + h,).
        trend, adjusted: shape (n + h,); adjusted is the sum of trend, seasons, holidays and attributions.
        seasons: by name, shape (n + h,).
        holiday: total effect, shape (n + h,), or None.
        single: effect of each holiday alone, by its index.
        steps, spikes: history only, shape (n,), or None.
        sigma: standard deviation of the one-step errors of the history, shape (n,).
    """

    data: F64
    trend: F64
    adjusted: F64
    seasons: dict[str, F64]
    holiday: F64 | None
    single: dict[int, F64]
    steps: F64 | None
    spikes: F64 | None
    sigma: F64


def parts_of(
    record: Forecasts, i: int, calendar: Calendar, h: int, *, window: int = 1, attributions: F64 | None = None
) -> Parts:
    """The parts of series i.

    Args:
        h: steps of the forecast.
        window: moving average over the trend of the history.
        attributions: sum of the effects of features, shape (n + h,).
    """
    n = record.count(i)
    data = np.concatenate([record.data[record.points(i)], record.forecast[i, :h]])
    seasons = {record.season_name[row]: record.season(row, n, h) for row in record.seasons_of(i)}
    holiday, single = record.holiday(i, calendar, n, h) or (None, {})
    known = sum(seasons.values(), np.zeros(n + h))
    known = known if holiday is None else known + holiday
    known = known if attributions is None else known + attributions
    steps, spikes = record.steps(i), record.spikes(i)
    scaled = np.log(data) if record.log[i] else data
    past = smooth(record.trend[record.points(i)], window)
    sigma = np.full(n, np.sqrt(record.variance[i]))
    # In the forecast the trend is what the other parts leave, so that they add up.
    trend = np.concatenate([past, scaled[n:] - known[n:]])
    if not record.log[i]:
        return Parts(data, trend, known + trend, seasons, holiday, single, steps, spikes, sigma)
    first = int(record.d[i])
    removed = sum((x[:first] for x in (steps, spikes) if x is not None), np.zeros(first))
    trend[:first] = scaled[:first] - known[:first] - removed  # no past: nothing is left over
    level = np.exp(trend)
    found, at = {}, trend
    for name, part in seasons.items():
        found[name] = np.exp(at + part) - np.exp(at)
        at = at + part
    alone = {k: np.exp(at + part) - np.exp(at) for k, part in single.items()}
    if holiday is not None:
        holiday, at = np.exp(at + holiday) - np.exp(at), at + holiday
    adjusted, here = np.exp(at), at[:n]
    if steps is not None:
        steps, here = np.exp(here + steps) - np.exp(here), here + steps
    if spikes is not None:
        spikes = np.exp(here + spikes) - np.exp(here)
    return Parts(data, level, adjusted, found, holiday, alone, steps, spikes, sigma * adjusted[:n])
