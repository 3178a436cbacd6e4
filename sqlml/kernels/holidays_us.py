"""The holidays of the region US, with the names, dates and windows of the service.

Source: the table "Holiday data" on the service's page of CREATE MODEL for time series, which prints 2022 and 2023.
Other years follow the calendar rules of these days.
"""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Iterator

#: (name, month, day, days before, days after)
FIXED = (
    ("NewYear", 1, 1, 5, 3),
    ("Valentine", 2, 14, 3, 1),
    ("StPatrickDay", 3, 17, 1, 1),
    ("IndependenceDay", 7, 4, 1, 1),
    ("Halloween", 10, 31, 1, 1),
    ("VeteranDay", 11, 11, 1, 1),
    ("Christmas", 12, 25, 10, 1),
)
#: (name, month, weekday, which one of the month, days before, days after); -1 is the last one.
MOVING = (
    ("MLKDay", 1, calendar.MONDAY, 3, 1, 1),
    ("PresidentDay", 2, calendar.MONDAY, 3, 1, 1),
    ("MothersDay", 5, calendar.SUNDAY, 2, 6, 1),
    ("MemorialDay", 5, calendar.MONDAY, -1, 1, 1),
    ("LaborDay", 9, calendar.MONDAY, 1, 1, 1),
    ("ColumbusDay", 10, calendar.MONDAY, 2, 1, 1),
    ("Thanksgiving", 11, calendar.THURSDAY, 4, 3, 5),
)


def weekday_of(year: int, month: int, weekday: int, which: int) -> datetime.date:
    """The first (1), second (2), ... or last (-1) of a weekday in a month."""
    days = [week[weekday] for week in calendar.monthcalendar(year, month) if week[weekday]]
    return datetime.date(year, month, days[which - 1 if which > 0 else which])


def holidays_of(year: int, easter: tuple[int, int]) -> Iterator[tuple[str, datetime.date, int, int]]:
    """Name, date and window of the holidays of a year; `easter` is the month and day of Easter Sunday."""
    for name, month, day, before, after in FIXED:
        yield name, datetime.date(year, month, day), before, after
    for name, month, weekday, which, before, after in MOVING:
        yield name, weekday_of(year, month, weekday, which), before, after
    yield "EasterMonday", datetime.date(year, *easter) + datetime.timedelta(days=1), 8, 1
    if year >= 2021:
        yield "Juneteenth", datetime.date(year, 6, 19), 1, 1
    # The clocks' rule of 2007, and the one before it.
    start, end = ((3, 2), (11, 1)) if year >= 2007 else ((4, 1), (10, -1))
    yield "DaylightSavingStart", weekday_of(year, start[0], calendar.SUNDAY, start[1]), 1, 1
    yield "DaylightSavingEnd", weekday_of(year, end[0], calendar.SUNDAY, end[1]), 1, 1
    # The game moved to the second Sunday in 2022. The service lists the first one for 2023, and so do we.
    late = year == 2022 or year >= 2024
    yield "Superbowl", weekday_of(year, 2, calendar.SUNDAY, 2 if late else 1), 1, 1
