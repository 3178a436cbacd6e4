"""Date and time functions: the value of each, as BigQuery's documentation and calendar arithmetic give it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlml.errors import NotSupportedError, ParseError
from sqlml.translate import translate

D, T = dt.date, dt.datetime
UTC = dt.UTC


def at(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


CASES: list[tuple[str, Any]] = [
    ("EXTRACT(DAYOFWEEK FROM DATE '2020-01-05')", 1),
    ("EXTRACT(DAYOFWEEK FROM DATE '2020-01-04')", 7),
    ("EXTRACT(WEEK FROM DATE '2020-01-04')", 0),
    ("EXTRACT(WEEK FROM DATE '2020-01-05')", 1),
    ("EXTRACT(WEEK(MONDAY) FROM DATE '2020-01-06')", 1),
    ("EXTRACT(WEEK(TUESDAY) FROM DATE '2020-01-06')", 0),
    ("EXTRACT(ISOWEEK FROM DATE '2017-01-01')", 52),
    ("EXTRACT(ISOYEAR FROM DATE '2017-01-01')", 2016),
    ("EXTRACT(DAYOFYEAR FROM DATE '2020-12-31')", 366),
    ("EXTRACT(QUARTER FROM DATE '2020-05-31')", 2),
    ("EXTRACT(DATE FROM TIMESTAMP '2020-01-01 23:30:00 America/New_York')", D(2020, 1, 2)),
    ("EXTRACT(DATE FROM TIMESTAMP '2020-01-02 04:30:00 UTC' AT TIME ZONE 'America/New_York')", D(2020, 1, 1)),
    ("EXTRACT(HOUR FROM TIMESTAMP '2020-01-02 04:30:00+00' AT TIME ZONE '+05:30')", 10),
    ("EXTRACT(TIME FROM DATETIME '2020-01-02 03:04:05')", dt.time(3, 4, 5)),
    ("EXTRACT(MICROSECOND FROM DATETIME '2020-01-02 03:04:05.678901')", 678901),
    ("EXTRACT(MILLISECOND FROM DATETIME '2020-01-02 03:04:05.678901')", 678),
    # boundaries for DATE_DIFF, whole units for TIMESTAMP_DIFF
    ("DATE_DIFF(DATE '2010-07-07', DATE '2008-12-25', DAY)", 559),
    ("DATE_DIFF(DATE '2017-10-15', DATE '2017-10-14', WEEK)", 1),
    ("DATE_DIFF(DATE '2017-10-15', DATE '2017-10-14', ISOWEEK)", 0),
    ("DATE_DIFF(DATE '2017-10-16', DATE '2017-10-15', WEEK(MONDAY))", 1),
    ("DATE_DIFF(DATE '2017-12-18', DATE '2017-12-17', WEEK)", 0),
    ("DATE_DIFF(DATE '2017-12-30', DATE '2014-12-30', YEAR)", 3),
    ("DATE_DIFF(DATE '2017-12-30', DATE '2014-12-30', ISOYEAR)", 2),
    ("DATE_DIFF('2020-03-01', '2020-02-01', MONTH)", 1),
    ("DATETIME_DIFF(DATETIME '2017-10-15 00:00:00', DATETIME '2017-10-14 23:59:59', DAY)", 1),
    ("TIMESTAMP_DIFF(TIMESTAMP '2017-10-15 00:00:00', TIMESTAMP '2017-10-14 23:59:59', DAY)", 0),
    ("TIMESTAMP_DIFF(TIMESTAMP '2010-07-07 10:20:00+00', TIMESTAMP '2008-12-25 15:30:00+00', HOUR)", 13410),
    ("TIMESTAMP_DIFF(TIMESTAMP '2018-08-14', TIMESTAMP '2018-10-14', DAY)", -61),
    ("TIMESTAMP_DIFF('2001-02-01 01:00:00', '2001-02-01 00:00:01', HOUR)", 0),
    ("TIMESTAMP_DIFF('2001-02-01 00:00:01', '2001-02-01 01:30:00', HOUR)", -1),
    ("TIME_DIFF(TIME '15:30:00', TIME '14:35:00', MINUTE)", 55),
    # truncation keeps the type
    ("DATE_TRUNC(DATE '2020-01-08', WEEK)", D(2020, 1, 5)),
    ("DATE_TRUNC(DATE '2020-01-08', WEEK(MONDAY))", D(2020, 1, 6)),
    ("DATE_TRUNC(DATE '2020-01-05', ISOWEEK)", D(2019, 12, 30)),
    ("DATE_TRUNC(DATE '2020-01-05', WEEK(SATURDAY))", D(2020, 1, 4)),
    ("DATE_TRUNC(DATE '2015-06-15', ISOYEAR)", D(2014, 12, 29)),
    ("DATE_TRUNC('2020-05-17', QUARTER)", D(2020, 4, 1)),
    ("DATETIME_TRUNC(DATETIME '2020-01-08 12:34:56', WEEK)", T(2020, 1, 5)),
    ("TIMESTAMP_TRUNC(TIMESTAMP '2020-01-08 12:34:56', HOUR)", at(2020, 1, 8, 12)),
    ("TIMESTAMP_TRUNC(TIMESTAMP '2008-12-25 15:30:00+00', DAY, 'America/Los_Angeles')", at(2008, 12, 25, 8)),
    ("TIME_TRUNC(TIME '15:34:56', HOUR)", dt.time(15)),
    ("LAST_DAY(DATE '2008-02-10')", D(2008, 2, 29)),
    ("LAST_DAY(DATE '2008-11-10', WEEK(SUNDAY))", D(2008, 11, 15)),
    ("LAST_DAY(DATE '2008-11-10', QUARTER)", D(2008, 12, 31)),
    ("LAST_DAY(DATE '2008-11-10', YEAR)", D(2008, 12, 31)),
    # moving
    ("DATE_ADD(DATE '2020-01-31', INTERVAL 1 MONTH)", D(2020, 2, 29)),
    ("DATE_ADD('2020-01-31', INTERVAL 1 DAY)", D(2020, 2, 1)),
    ("DATE_SUB(DATE '2020-03-01', INTERVAL 2 WEEK)", D(2020, 2, 16)),
    ("DATE_ADD(DATE '2020-01-31', INTERVAL -1 QUARTER)", D(2019, 10, 31)),
    ("DATE_ADD(DATE '2020-02-29', INTERVAL 1 YEAR)", D(2021, 2, 28)),
    ("DATE '2020-01-05' + 3", D(2020, 1, 8)),
    ("DATE '2020-01-05' - 5", D(2019, 12, 31)),
    ("TIMESTAMP_ADD(TIMESTAMP '2020-01-01 00:00:00+00', INTERVAL 90 MINUTE)", at(2020, 1, 1, 1, 30)),
    (
        "TIMESTAMP_SUB(TIMESTAMP '2020-01-01', INTERVAL 1500 MILLISECOND)",
        at(2019, 12, 31, 23, 59, 58, 500000),
    ),
    ("DATETIME_ADD(DATETIME '2020-01-01 00:00:00', INTERVAL 1 QUARTER)", T(2020, 4, 1)),
    ("DATETIME_SUB(DATE '2020-01-01', INTERVAL 1 SECOND)", T(2019, 12, 31, 23, 59, 59)),
    ("TIME_ADD(TIME '23:30:00', INTERVAL 45 MINUTE)", dt.time(0, 15)),
    ("DATETIME '2020-01-31 00:00:00' + INTERVAL '1-2 3' YEAR TO DAY", T(2021, 4, 3)),
    ("DATETIME '2020-01-31 00:00:00' - INTERVAL '1:30' HOUR TO MINUTE", T(2020, 1, 30, 22, 30)),
    ("DATE '2020-01-31' + MAKE_INTERVAL(month => 1, day => 1)", T(2020, 3, 1)),
    # constructors
    ("DATE(2020, 2, 29)", D(2020, 2, 29)),
    ("DATE(DATETIME '2020-02-29 12:00:00')", D(2020, 2, 29)),
    ("DATE(TIMESTAMP '2020-01-01 03:00:00+00', 'America/Los_Angeles')", D(2019, 12, 31)),
    ("TIMESTAMP('2020-01-01 00:00:00')", at(2020, 1, 1)),
    ("TIMESTAMP('2020-01-01')", at(2020, 1, 1)),
    ("TIMESTAMP('2020-01-01 00:00:00+08')", at(2019, 12, 31, 16)),
    ("TIMESTAMP('2020-01-01T00:00:00Z')", at(2020, 1, 1)),
    ("TIMESTAMP('2008-12-25 15:30:00', 'America/Los_Angeles')", at(2008, 12, 25, 23, 30)),
    ("TIMESTAMP(DATETIME '2020-01-01 00:00:00', '-03:00')", at(2020, 1, 1, 3)),
    ("TIMESTAMP(DATE '2020-01-01')", at(2020, 1, 1)),
    ("DATETIME(2020, 1, 2, 3, 4, 5)", T(2020, 1, 2, 3, 4, 5)),
    ("DATETIME(DATE '2020-01-02')", T(2020, 1, 2)),
    ("DATETIME(DATE '2020-01-02', TIME '03:04:05')", T(2020, 1, 2, 3, 4, 5)),
    ("DATETIME(TIMESTAMP '2008-12-25 05:30:00+00', 'America/Los_Angeles')", T(2008, 12, 24, 21, 30)),
    ("TIME(15, 30, 0)", dt.time(15, 30)),
    ("TIME(DATETIME '2008-12-25 15:30:00')", dt.time(15, 30)),
    (
        "DATETIME(DATE '2020-01-02', q) = DATETIME '2020-01-02 03:00:00' FROM (SELECT TIME '03:00:00' AS q)",
        True,
    ),
    # epochs
    ("UNIX_SECONDS(TIMESTAMP '2008-12-25 15:30:00+00')", 1230219000),
    ("UNIX_SECONDS(TIMESTAMP '1969-12-31 23:59:58.500+00')", -2),
    ("UNIX_MILLIS(TIMESTAMP '1970-01-01 00:00:00.001801+00')", 1),
    ("UNIX_MICROS(TIMESTAMP '1970-01-01 00:00:00.0018+00')", 1800),
    ("UNIX_DATE(DATE '2008-12-25')", 14238),
    ("DATE_FROM_UNIX_DATE(14238)", D(2008, 12, 25)),
    ("TIMESTAMP_SECONDS(1230219000)", at(2008, 12, 25, 15, 30)),
    ("TIMESTAMP_MILLIS(1230219000123)", at(2008, 12, 25, 15, 30, 0, 123000)),
    ("TIMESTAMP_MICROS(1230219000123456)", at(2008, 12, 25, 15, 30, 0, 123456)),
    # formats
    ("FORMAT_DATE('%x', DATE '2008-12-25')", "12/25/08"),
    ("FORMAT_DATE('%b-%d-%Y', DATE '2008-12-05')", "Dec-05-2008"),
    ("FORMAT_DATE('%e|%C|%g|%Q|%j|%u|%w|%A', DATE '2008-12-05')", " 5|20|08|4|340|5|5|Friday"),
    ("FORMAT_DATE('Q%Q 100%% %F', DATE '2020-04-05')", "Q2 100% 2020-04-05"),
    ("FORMAT_DATETIME('%c', DATETIME '2008-12-25 15:30:00')", "Thu Dec 25 15:30:00 2008"),
    (
        "FORMAT_TIMESTAMP('%Y-%m-%d %H:%M:%S', TIMESTAMP '2050-12-25 15:30:55+00', 'Asia/Tokyo')",
        "2050-12-26 00:30:55",
    ),
    (
        "FORMAT_TIMESTAMP('%F %T%Ez %z %Z', TIMESTAMP '2020-01-01 00:00:00+00')",
        "2020-01-01 00:00:00+00:00 +0000 UTC",
    ),
    ("FORMAT_TIMESTAMP('%H%Ez', TIMESTAMP '2020-07-01 00:00:00+00', 'America/New_York')", "20-04:00"),
    ("FORMAT_TIMESTAMP('%E3S|%E*S|%E0S|%s', TIMESTAMP '1970-01-01 00:00:07.25+00')", "07.250|07.25|07|7"),
    ("FORMAT_TIME('%R %P', TIME '15:30:00')", "15:30 pm"),
    ("PARSE_DATE('%x', '12/25/08')", D(2008, 12, 25)),
    ("PARSE_DATE('%Y%m%d', '20081225')", D(2008, 12, 25)),
    ("PARSE_DATE('%m-%d', '03-05')", D(1970, 3, 5)),
    ("PARSE_DATE('%e %h %Y', '5 Mar 2020')", D(2020, 3, 5)),
    ("PARSE_DATETIME('%Y-%m-%d %H:%M:%S', '1998-10-18 13:45:55')", T(1998, 10, 18, 13, 45, 55)),
    ("PARSE_DATETIME('%Y-%m-%d %H:%M:%E*S', '1998-10-18 13:45:55.25')", T(1998, 10, 18, 13, 45, 55, 250000)),
    ("PARSE_DATETIME('%Y-%m-%d %H:%M:%E*S', '1998-10-18 13:45:55')", T(1998, 10, 18, 13, 45, 55)),
    ("PARSE_TIMESTAMP('%a %b %e %H:%M:%S %Y', 'Thu Dec 25 07:30:00 2008')", at(2008, 12, 25, 7, 30)),
    ("PARSE_TIMESTAMP('%F %T', '2020-01-01 00:00:00', 'America/New_York')", at(2020, 1, 1, 5)),
    ("PARSE_TIMESTAMP('%F %T%Ez', '2020-01-01 00:00:00+0200')", at(2019, 12, 31, 22)),
    ("PARSE_TIMESTAMP('%s', '1230219000')", at(2008, 12, 25, 15, 30)),
    ("PARSE_TIME('%I:%M:%S %p', '2:23:38 pm')", dt.time(14, 23, 38)),
    ("CAST(DATE '2018-01-30' AS STRING FORMAT 'YYYY/MM/DD')", "2018/01/30"),
    ("CAST(DATE '2018-01-30' AS STRING FORMAT 'DD MON YYYY')", "30 JAN 2018"),
    ("CAST(TIMESTAMP '2018-01-30 10:20:30+00' AS STRING)", "2018-01-30 10:20:30+00"),
    ("STRING(TIMESTAMP '2008-12-25 15:30:00+00', 'America/Los_Angeles')", "2008-12-25 07:30:00-08"),
    # series
    ("GENERATE_DATE_ARRAY('2016-10-05', '2016-10-08')", [D(2016, 10, d) for d in (5, 6, 7, 8)]),
    ("GENERATE_DATE_ARRAY('2016-10-10', '2016-10-05', INTERVAL -3 DAY)", [D(2016, 10, 10), D(2016, 10, 7)]),
    ("GENERATE_DATE_ARRAY('2016-10-10', '2016-10-05')", []),
    (
        "GENERATE_DATE_ARRAY('2020-01-31', '2020-05-31', INTERVAL 1 MONTH)",
        [D(2020, 1, 31), D(2020, 2, 29), D(2020, 3, 31), D(2020, 4, 30), D(2020, 5, 31)],
    ),
    ("ARRAY_LENGTH(GENERATE_DATE_ARRAY('2016-01-01', '2020-12-31', INTERVAL 1 QUARTER))", 20),
    ("GENERATE_DATE_ARRAY('2016-10-05', NULL)", None),
    (
        "GENERATE_TIMESTAMP_ARRAY('2016-10-05 00:00:00', '2016-10-05 02:30:00', INTERVAL 1 HOUR)",
        [at(2016, 10, 5, h) for h in (0, 1, 2)],
    ),
    ("DATE_BUCKET(DATE '2020-01-08', INTERVAL 7 DAY, DATE '2020-01-01')", D(2020, 1, 8)),
    ("TIMESTAMP_BUCKET(TIMESTAMP '2020-01-01 01:59:00+00', INTERVAL 1 HOUR)", at(2020, 1, 1, 1)),
]


@pytest.mark.parametrize("expression, expected", CASES, ids=[c[0] for c in CASES])
def test_value(value: Callable[[str], Any], expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_now_is_the_current_moment(value: Callable[[str], Any]) -> None:
    before = dt.datetime.now(UTC)
    found = value("CURRENT_TIMESTAMP()")
    assert abs((found - before).total_seconds()) < 60
    assert value("CURRENT_TIMESTAMP AS current_timestamp") is not None
    assert value("CURRENT_DATE() = DATE(CURRENT_TIMESTAMP())") is True
    assert value("DATETIME_DIFF(CURRENT_DATETIME('+05:00'), CURRENT_DATETIME('UTC'), HOUR)") == 5


def test_types_are_those_of_the_service(columns: Callable[[str], list[tuple[str, str]]]) -> None:
    found = dict(
        columns(
            "SELECT DATE_TRUNC(d, MONTH) AS a, DATE_ADD(d, INTERVAL 1 MONTH) AS b, TIMESTAMP_TRUNC(ts, DAY) AS c,"
            " DATE_DIFF(d, d, WEEK) AS e, EXTRACT(YEAR FROM d) AS f, DATETIME_ADD(dt, INTERVAL 1 DAY) AS g"
            " FROM (SELECT DATE '2020-01-05' AS d, TIMESTAMP '2020-01-05' AS ts, DATETIME '2020-01-05 00:00:00' AS dt)"
        )
    )
    assert found == {
        "a": "DATE",
        "b": "DATE",
        "c": "TIMESTAMP WITH TIME ZONE",
        "e": "BIGINT",
        "f": "BIGINT",
        "g": "TIMESTAMP",
    }


@settings(max_examples=40, deadline=None)
@given(a=st.dates(D(1900, 1, 1), D(2100, 1, 1)), b=st.dates(D(1900, 1, 1), D(2100, 1, 1)), day=st.integers(0, 6))
def test_weeks_against_python(database: Any, a: dt.date, b: dt.date, day: int) -> None:
    """Weeks that begin on any day, counted by Python's calendar."""
    names = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")

    def start(d: dt.date) -> dt.date:
        return d - dt.timedelta(days=(d.isoweekday() - day) % 7)

    sql = translate(
        f"SELECT DATE_DIFF(DATE '{a}', DATE '{b}', WEEK({names[day]})), DATE_TRUNC(DATE '{a}', WEEK({names[day]})),"
        f" EXTRACT(WEEK({names[day]}) FROM DATE '{a}')"
    )
    [(weeks, first, number)] = database.cursor().execute(sql).fetchall()
    assert weeks == (start(a) - start(b)).days // 7
    assert first == start(a)
    january = D(a.year, 1, 1)
    first_start = start(january) if start(january) == january else start(january) + dt.timedelta(days=7)
    assert number == ((start(a) - first_start).days // 7 + 1 if a >= first_start else 0)


def test_a_format_can_be_a_parameter(run: Callable[..., Any]) -> None:
    assert run("SELECT FORMAT_DATE(@f, DATE '2020-01-02')", {"f": "%F"}) == [("2020-01-02",)]


def test_unknown_parts_and_formats_are_refused() -> None:
    with pytest.raises(ParseError, match="FORTNIGHT must be a date part"):
        translate("SELECT DATE_TRUNC(d, FORTNIGHT) FROM t")
    with pytest.raises(NotSupportedError, match="%i in the format of FORMAT_DATE"):
        translate("SELECT FORMAT_DATE('%i', d) FROM t")
    with pytest.raises(NotSupportedError, match="the format of FORMAT_DATE must be a string that is written out"):
        translate("SELECT FORMAT_DATE(f, d) FROM t")
    with pytest.raises(ParseError, match="FORTNIGHT must be a unit"):
        translate("SELECT DATE_ADD(d, INTERVAL 1 FORTNIGHT) FROM t")
