"""The holidays of the US against the table that the service prints, and against the calendar."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from sqlml.kernels import holidays, holidays_us

#: The service's table "Holiday data" for 2022 and 2023: name, dates, days before, days after.
PRINTED = [
    ("Christmas", "2022-12-25", "2023-12-25", 10, 1),
    ("MothersDay", "2022-05-08", "2023-05-14", 6, 1),
    ("NewYear", "2022-01-01", "2023-01-01", 5, 3),
    ("DaylightSavingEnd", "2022-11-06", "2023-11-05", 1, 1),
    ("DaylightSavingStart", "2022-03-13", "2023-03-12", 1, 1),
    ("Thanksgiving", "2022-11-24", "2023-11-23", 3, 5),
    ("Valentine", "2022-02-14", "2023-02-14", 3, 1),
    ("EasterMonday", "2022-04-18", "2023-04-10", 8, 1),
    ("Halloween", "2022-10-31", "2023-10-31", 1, 1),
    ("StPatrickDay", "2022-03-17", "2023-03-17", 1, 1),
    ("ColumbusDay", "2022-10-10", "2023-10-09", 1, 1),
    ("IndependenceDay", "2022-07-04", "2023-07-04", 1, 1),
    ("Juneteenth", "2022-06-19", "2023-06-19", 1, 1),
    ("LaborDay", "2022-09-05", "2023-09-04", 1, 1),
    ("MemorialDay", "2022-05-30", "2023-05-29", 1, 1),
    ("MLKDay", "2022-01-17", "2023-01-16", 1, 1),
    ("PresidentDay", "2022-02-21", "2023-02-20", 1, 1),
    ("Superbowl", "2022-02-13", "2023-02-05", 1, 1),
    ("VeteranDay", "2022-11-11", "2023-11-11", 1, 1),
]


def test_two_years_are_those_of_the_service():
    days = holidays.builtin(["US"], 2022, 2023)
    dates = [str(np.datetime64(int(d), "D")) for d in days.day]
    found = set(zip(days.region, days.name, dates, days.before.tolist(), days.after.tolist(), strict=True))
    wanted = {("US", n, day, b, a) for n, *both, b, a in PRINTED for day in both}
    assert len(wanted) == 38
    assert found == wanted


@pytest.mark.parametrize("year", [1999, 2006, 2007, 2020, 2021, 2024, 2030])
def test_federal_holidays_are_those_of_the_calendar(year):
    from holidays import country_holidays

    names = {
        "NewYear": "New Year's Day",
        "MLKDay": "Martin Luther King Jr. Day",
        "PresidentDay": "Washington's Birthday",
        "MemorialDay": "Memorial Day",
        "Juneteenth": "Juneteenth National Independence Day",
        "IndependenceDay": "Independence Day",
        "LaborDay": "Labor Day",
        "ColumbusDay": "Columbus Day",
        "VeteranDay": "Veterans Day",
        "Thanksgiving": "Thanksgiving Day",
        "Christmas": "Christmas Day",
    }
    ours = {n: day for n, day, _, _ in holidays_us.holidays_of(year, holidays.easter(year))}
    theirs = {title: day for day, title in country_holidays("US", years=year, observed=False).items()}
    assert {names[n]: day for n, day in ours.items() if n in names} == theirs


def test_clocks_and_games_change_their_rules():
    def named(year):
        return {n: day for n, day, _, _ in holidays_us.holidays_of(year, holidays.easter(year))}

    assert named(2006)["DaylightSavingStart"] == datetime.date(2006, 4, 2)
    assert named(2006)["DaylightSavingEnd"] == datetime.date(2006, 10, 29)
    assert [named(y)["Superbowl"].day for y in (2020, 2021, 2022, 2024, 2025)] == [2, 7, 13, 11, 9]
    assert "Juneteenth" not in named(2020)
