"""From rows (time, value) to an evenly spaced series: frequency, duplicates, gaps.

Times are microseconds since 1970-01-01 UTC. Steps of whole minutes to weeks are fixed; months, quarters and
years
follow the calendar. Values that fall on the same step are averaged; missing steps are interpolated
linearly between their neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sqlml.kernels.types import F64, I64, Bool

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
FIXED = {"PER_MINUTE": MINUTE, "HOURLY": HOUR, "DAILY": DAY, "WEEKLY": WEEK}
MONTHS = {"MONTHLY": 1, "QUARTERLY": 3, "YEARLY": 12}
MEAN_MONTH = 30.436875 * DAY
#: The last microsecond of the year 9999, where TIMESTAMP ends.
LAST_TIME = 253_402_300_799_999_999
# A grid this much longer than its points would be almost all interpolation.
SPARSEST = 200


@dataclass(frozen=True, slots=True)
class Frequency:
    """A step of ``step`` microseconds, or of ``months`` months (``month_end``: on their last days)."""

    name: str
    step: int = 0
    months: int = 0
    month_end: bool = False

    @property
    def mean_step(self) -> float:
        """Average length of the step in microseconds."""
        return self.months * MEAN_MONTH if self.months else float(self.step)


@dataclass(frozen=True, slots=True)
class Regular:
    """An evenly spaced series.

    Attributes:
        start: time of the first point, microseconds.
        values: shape (n,).
        filled: True where the value was interpolated, shape (n,).
    """

    frequency: Frequency
    start: int
    values: F64
    filled: Bool

    def times(self, first: int = 0, count: int | None = None) -> I64:
        """Times of the points first .. first + count - 1; they may lie behind the end."""
        return step_times(self.frequency, self.start, first, len(self.values) if count is None else count)


def detect_frequency(times: I64) -> Frequency:
    """The most common distance between neighbours, named where it has a name.

    Args:
        times: ascending, shape (n,); repeated times are ignored.

    Raises:
        ValueError: fewer than two different times, or a step below a minute.
    """
    distinct = np.unique(times)
    if len(distinct) < 2:
        raise ValueError("The frequency of the time series cannot be found: all its timestamps are equal.")
    gaps = np.diff(distinct)
    lengths, counts = np.unique(gaps, return_counts=True)
    common = int(lengths[np.argmax(counts)])
    months = _calendar_step(distinct, gaps)
    if months:
        name = next((n for n, count in MONTHS.items() if count == months), "CUSTOM")
        return Frequency(name, months=months, month_end=_month_end(distinct))
    for name, step in FIXED.items():
        if common == step:
            return Frequency(name, step=step)
    if common < MINUTE:
        raise ValueError("The step of the time series must be a minute or more. Average its rows by minute first.")
    return Frequency("CUSTOM", step=common)


def _calendar_step(times: I64, gaps: I64) -> int:
    """The step in months of times that follow the calendar, 0 for others.

    They fall on one day of the month, its last day where it is shorter; or, like the first working day, on varying
    days but never twice on one step.
    """
    days = float(np.median(gaps)) / DAY
    step = round(days / MEAN_MONTH * DAY)
    if step < 1 or abs(days - step * MEAN_MONTH / DAY) > 3.5:
        return 0
    months, day, clock = _parts(times)
    last = _month_length(months) - 1
    kept, counts = np.unique(day, return_counts=True)
    shares = [float(((day == d) | ((day == last) & (last < d))).mean()) for d in kept[counts == counts.max()]]
    on_one_day = max(*shares, float((day == last).mean())) > 0.9
    varying = len(times) > 3 and bool((gaps != gaps[0]).any()) and not clock.any()
    once = len(np.unique((months - months[0]) // step)) == len(times)
    return step if on_one_day or (varying and once and step in MONTHS.values()) else 0


def named_frequency(name: str, times: I64) -> Frequency:
    """The step of a DATA_FREQUENCY value other than AUTO_FREQUENCY."""
    if name in MONTHS:
        return Frequency(name, months=MONTHS[name], month_end=_month_end(np.unique(times)))
    return Frequency(name, step=FIXED[name])


def _parts(times: I64) -> tuple[I64, I64, I64]:
    """Months since 1970, day of the month from 0, and microseconds of the day."""
    stamp = times.astype("datetime64[us]")
    months = stamp.astype("datetime64[M]")
    days = stamp.astype("datetime64[D]")
    return (
        months.astype(np.int64),
        (days - months.astype("datetime64[D]")).astype(np.int64),
        (stamp - days.astype("datetime64[us]")).astype(np.int64),
    )


def _month_length(months: I64) -> I64:
    start = months.astype("datetime64[M]").astype("datetime64[D]")
    stop = (months + 1).astype("datetime64[M]").astype("datetime64[D]")
    length: I64 = (stop - start).astype(np.int64)
    return length


def _month_end(times: I64) -> bool:
    months, day, _ = _parts(times)
    return bool((day == _month_length(months) - 1).all()) and bool((day > 26).all())


def positions(frequency: Frequency, start: int, times: I64) -> I64:
    """Number of the step that each time falls on: the nearest, or the calendar month that contains it."""
    if frequency.months:
        first, _, _ = _parts(np.array([start], dtype=np.int64))
        months, _, _ = _parts(times)
        return np.asarray((months - first[0]) // frequency.months, dtype=np.int64)
    return np.asarray(np.floor_divide(times - start + frequency.step // 2, frequency.step), dtype=np.int64)


def step_times(frequency: Frequency, start: int, first: int, count: int) -> I64:
    """Times of ``count`` steps from number ``first``, shape (count,)."""
    index = np.arange(first, first + count, dtype=np.int64)
    if not frequency.months:
        return start + index * frequency.step
    month, day, clock = _parts(np.array([start], dtype=np.int64))
    months = month[0] + index * frequency.months
    length = _month_length(months)
    on = length - 1 if frequency.month_end else np.minimum(day[0], length - 1)
    begin = months.astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
    times: I64 = begin + on * DAY + clock[0]
    return times


def regular(times: I64, values: F64, frequency: str = "AUTO_FREQUENCY", *, longest: int = 1_000_000) -> Regular:
    """An evenly spaced series from rows.

    Args:
        times: ascending, shape (n,), microseconds.
        values: shape (n,); nan is a missing value.
        frequency: AUTO_FREQUENCY, or the name of a step.
        longest: most points allowed after filling.

    Raises:
        ValueError: no values, infinite values, one timestamp only, or far too many gaps.
    """
    if np.isinf(values).any():
        raise ValueError("The time series holds infinite values.")
    known = ~np.isnan(values)
    if not known.any():
        raise ValueError("The time series has no values.")
    times, values = times[known], values[known]
    found = detect_frequency(times) if frequency == "AUTO_FREQUENCY" else named_frequency(frequency, times)
    start = int(times[0])
    at = positions(found, start, times)
    at -= at[0]
    n = int(at[-1]) + 1
    if n > SPARSEST * len(np.unique(at)):
        raise ValueError(f"The time series has too many gaps: {len(times)} values over {n} {found.name} steps.")
    if n > longest:
        raise ValueError(
            f"The time series must have at most {longest} points. It has {n}, those between its values too."
        )
    count = np.bincount(at, minlength=n)
    total = np.bincount(at, weights=values, minlength=n)
    filled = count == 0
    mean = np.divide(total, count, out=np.zeros(n), where=~filled)
    if filled.any():
        index = np.arange(n)
        mean[filled] = np.interp(index[filled], index[~filled], mean[~filled])
    return Regular(found, start, mean, filled)
