"""Holidays of regions, and their effect on a daily or weekly series.

Dates come from the `holidays` package, those of the US from the service's own table. The effect of a holiday on each
day of its window is the mean of what that day leaves above the local level, and counts only when it stands out from
the noise. Where holidays overlap, the total of a day is its largest positive plus its most negative effect, as the
service documents.
"""

from __future__ import annotations

import datetime
import functools
import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sqlml.kernels import holidays_us
from sqlml.kernels.changes import robust_scale, running_median
from sqlml.kernels.regions import GROUPS, REGIONS
from sqlml.kernels.types import F64, I64, Bool

#: Days before and after a holiday that may feel it; every other holiday has one of each.
WINDOWS = {"christmas": (10, 1), "thanksgiving": (3, 5)}
THRESHOLD = 3.0
LEVEL_WINDOW = 15


@dataclass(frozen=True, slots=True)
class Calendar:
    """Occurrences of holidays.

    Attributes:
        region, name: per occurrence.
        day: days since 1970-01-01, shape (m,).
        before, after: length of the window on either side, in days, shape (m,).
    """

    region: tuple[str, ...]
    name: tuple[str, ...]
    day: I64
    before: I64
    after: I64

    def __len__(self) -> int:
        return len(self.name)

    def names(self) -> tuple[str, ...]:
        """Different names, in order of first occurrence."""
        return tuple(dict.fromkeys(self.name))


EMPTY = Calendar((), (), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class Effects:
    """Significant effects of one series.

    Attributes:
        name: index into `Calendar.names()`, shape (k,).
        offset: day of the window, 0 is the holiday itself, shape (k,).
        value: effect in units of the series, shape (k,).
    """

    name: I64
    offset: I64
    value: F64


NO_EFFECTS = Effects(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def column_name(title: str) -> str:
    """A holiday's name as a valid column name: letters, digits, underscores."""
    plain = unicodedata.normalize("NFKD", title.replace("'", "").replace("\u2019", ""))
    plain = plain.encode("ascii", "ignore").decode()
    name = re.sub(r"[^0-9A-Za-z]+", "_", plain).strip("_")
    return f"_{name}" if not name or name[0].isdigit() else name


def calendar(rows: Iterable[tuple[str, str, int, int, int]]) -> Calendar:
    """A calendar of (region, name, day, before, after), ordered by day."""
    ordered = sorted(set(rows), key=lambda r: (r[2], r[0], r[1]))
    numbers = np.array([r[2:] for r in ordered], dtype=np.int64).reshape(-1, 3)
    return Calendar(
        tuple(r[0] for r in ordered),
        tuple(r[1] for r in ordered),
        numbers[:, 0].copy(),
        numbers[:, 1].copy(),
        numbers[:, 2].copy(),
    )


def builtin(regions: Sequence[str], first_year: int, last_year: int, *, grouped: bool = False) -> Calendar:
    """The holidays of regions, each year from first to last.

    Args:
        grouped: the holidays of a group of countries are listed under the group, once each, instead of under the
            countries.

    Raises:
        ValueError: an unknown region (regions are case-sensitive).
    """
    rows: list[tuple[str, str, int, int, int]] = []
    years = range(max(1, first_year), min(9999, last_year) + 1)
    for region in regions:
        if region not in REGIONS:
            raise ValueError(f"{region!r} is not a holiday region.")
        if region == "GLOBAL":
            rows += [("GLOBAL", *entry) for entry in _global(years)]
        for code in GROUPS.get(region, (region,) if region != "GLOBAL" else ()):
            found = _country("RS" if code == "CS" else code, years)
            rows += [(region if grouped else code, *entry) for entry in found]
    return calendar(rows)


def is_builtin(region: str, name: str, day: int) -> bool:
    """Whether a day, counted from 1970-01-01, is a built-in holiday of that name in the region."""
    if region not in REGIONS:
        return False
    year = datetime.date.fromordinal(datetime.date(1970, 1, 1).toordinal() + day).year
    return (name, day) in _of_year(region, year)


@functools.lru_cache(maxsize=1000)
def _of_year(region: str, year: int) -> frozenset[tuple[str, int]]:
    found = builtin([region], year, year)
    return frozenset(zip(found.name, found.day.tolist(), strict=True))


def _windowed(title: str, day: Any) -> tuple[str, int, int, int]:
    name = column_name(title)
    window = next((w for word, w in WINDOWS.items() if name.lower() in (word, f"{word}_day")), (1, 1))
    return name, (day - type(day)(1970, 1, 1)).days, *window


def _country(code: str, years: range) -> list[tuple[str, int, int, int]]:
    if code == "US":
        every = (entry for year in years for entry in holidays_us.holidays_of(year, easter(year)))
        return [(name, (day - type(day)(1970, 1, 1)).days, before, after) for name, day, before, after in every]
    import holidays

    kind = holidays.country_holidays(code).__class__
    english = next((x for x in getattr(kind, "supported_languages", ()) if x.startswith("en")), None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the years that a country's tables do not reach have no holidays
        dates = holidays.country_holidays(code, years=years, observed=False, language=english)
    return [_windowed(title, day) for day, titles in sorted(dates.items()) for title in titles.split("; ")]


def _global(years: range) -> list[tuple[str, int, int, int]]:
    """Days that most regions keep: New Year, Easter, Labour Day, Christmas."""
    out = []
    for year in years:
        out += [
            _windowed("New Year", datetime.date(year, 1, 1)),
            _windowed("Easter", datetime.date(year, *easter(year))),
            _windowed("Labour Day", datetime.date(year, 5, 1)),
            _windowed("Christmas", datetime.date(year, 12, 25)),
        ]
    return out


def easter(year: int) -> tuple[int, int]:
    """Month and day of the western Easter Sunday (the anonymous Gregorian algorithm, Nature 1876)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return month, day + 1


def merge(given: Calendar, custom: Calendar) -> Calendar:
    """Both calendars; a custom (region, name) replaces the built-in one."""
    if not len(custom):
        return given
    taken = set(zip(custom.region, custom.name, strict=True))
    rows = [r for r in _rows(given) if (r[0], r[1]) not in taken]
    return calendar([*rows, *_rows(custom)])


def _rows(days: Calendar) -> list[tuple[str, str, int, int, int]]:
    return [
        (region, name, int(day), int(before), int(after))
        for region, name, day, before, after in zip(
            days.region, days.name, days.day, days.before, days.after, strict=True
        )
    ]


def _hits(days: Calendar, start: int, step: int, n: int) -> tuple[I64, I64, I64]:
    """Point, holiday index and offset of every window day that falls on the series' points 0..n-1."""
    index = {name: i for i, name in enumerate(days.names())}
    point, name, offset = [], [], []
    for title, day, before, after in zip(days.name, days.day, days.before, days.after, strict=True):
        reach = range(-int(before), int(after) + 1) if step == 1 else (0,)
        for move in reach:
            at = (int(day) + move - start) // step
            if 0 <= at < n:
                point.append(at)
                name.append(index[title])
                offset.append(move)
    return np.array(point, np.int64), np.array(name, np.int64), np.array(offset, np.int64)


def estimate(z: F64, days: Calendar, start: int, step: int) -> Effects:
    """Effects that stand out from the noise.

    Args:
        z: series without its season, shape (n,).
        days: the holidays; only those inside the series count.
        start: day of the first point, days since 1970-01-01.
        step: days between points: 1 or 7. In weekly data a holiday acts on the week that contains it.
    """
    n = len(z)
    point, name, offset = _hits(days, start, step, n)
    if not len(point) or n < 2 * LEVEL_WINDOW:
        return NO_EFFECTS
    rest = z - running_median(z, LEVEL_WINDOW)
    ordinary: Bool = np.ones(n, dtype=np.bool_)
    ordinary[point] = False
    scale = robust_scale(rest[ordinary]) if ordinary.sum() > n // 2 else robust_scale(rest)
    if scale <= 0:
        return NO_EFFECTS
    groups: dict[tuple[int, int], list[float]] = {}
    for at, who, move in zip(point, name, offset, strict=True):
        groups.setdefault((int(who), int(move)), []).append(float(rest[at]))
    found = []
    for (who, move), values in groups.items():
        mean = float(np.mean(values))
        if abs(mean) * np.sqrt(len(values)) > THRESHOLD * scale:
            # A few occurrences say little: pull their mean towards 0 by the noise that it holds.
            share = 1.0 - (scale / mean) ** 2 / len(values)
            found.append((who, move, mean * share))
    if not found:
        return NO_EFFECTS
    columns = list(zip(*found, strict=True))
    return Effects(np.array(columns[0]), np.array(columns[1]), np.array(columns[2], dtype=np.float64))


def apply(effects: Effects, days: Calendar, start: int, step: int, n: int) -> tuple[F64, dict[int, F64]]:
    """Total effect per point, shape (n,), and the effect of every single holiday by its index.

    Points 0..n-1 may reach into the future.
    """
    total = np.zeros(n)
    single: dict[int, F64] = {}
    if not len(effects.value):
        return total, single
    table = {(int(a), int(b)): float(v) for a, b, v in zip(effects.name, effects.offset, effects.value, strict=True)}
    for at, who, move in zip(*_hits(days, start, step, n), strict=True):
        value = table.get((int(who), int(move)))
        if value is not None:
            part = single.setdefault(int(who), np.zeros(n))
            part[at] = value if abs(value) > abs(part[at]) else part[at]
    if single:
        parts = np.array(list(single.values()))
        total = np.maximum(parts, 0.0).max(axis=0) + np.minimum(parts, 0.0).min(axis=0)
    return total, single
