"""Series that are seldom: calendars, sizes, names of columns, limits of sums; where wrong settings stand."""

from __future__ import annotations

import numpy as np
import pytest

from sqlml.errors import Error, TrainingError
from sqlml.kernels import changes, reconcile, series
from sqlml.kernels.series_clean import LAST_TIME, detect_frequency, regular
from tests.functions.test_forecast import table

NAMES = {
    "trend": ("ML.FORECAST(MODEL m)", "ML.EXPLAIN_FORECAST(MODEL m)"),
    "forecast_value": ("ML.FORECAST(MODEL m)",),
    "AIC": ("ML.ARIMA_EVALUATE(MODEL m)", "ML.EVALUATE(MODEL m)"),
    "is_anomaly": ("ML.DETECT_ANOMALIES(MODEL m)",),
}


def create(con, options, query):
    con.execute(
        "CREATE OR REPLACE MODEL m OPTIONS(model_type='ARIMA_PLUS', time_series_timestamp_col='t',"
        f" time_series_data_col='y', horizon=20, {options}) AS {query}"
    )


@pytest.fixture
def weeks(con):
    """Four series of 60 days in two groups."""
    con.duckdb.execute("""CREATE TABLE weeks AS SELECT DATE '2024-01-01' + i::INT AS t, c, 'g' || (c // 2) AS g,
        20 + c + 5 * sin(i * 2 * pi() / 7) + (i * 7919 + c) % 13 / 4 AS y FROM range(60) AS a(i), range(4) AS b(c)""")
    return con


def stamps(dates):
    return np.array(dates, dtype="datetime64[us]").astype(np.int64)


def months(first, step, count):
    """Dates on one day of the month, its last day where it is shorter."""
    year, month, day = (int(x) for x in first.split("-"))
    begin = np.datetime64(f"{year}-{month:02d}", "M") + step * np.arange(count)
    lengths = ((begin + 1).astype("datetime64[D]") - begin.astype("datetime64[D]")).astype(int)
    return stamps(begin.astype("datetime64[D]") + np.minimum(day, lengths) - 1)


# ---------------------------------------------------------------- calendars


@pytest.mark.parametrize("first", ["2019-01-01", "2019-01-15", "2019-01-29", "2019-01-30", "2019-01-31"])
@pytest.mark.parametrize(
    ("step", "name"), [(1, "MONTHLY"), (2, "CUSTOM"), (3, "QUARTERLY"), (6, "CUSTOM"), (12, "YEARLY"), (24, "CUSTOM")]
)
def test_steps_of_whole_months_follow_the_calendar(first, step, name):
    times = months(first, step, 40)
    found = detect_frequency(times[:30])
    assert (found.name, found.months) == (name, step)
    whole = regular(times[:30], np.arange(30.0))
    assert not whole.filled.any() and np.array_equal(whole.times(30, 10), times[30:])


def test_first_and_last_working_days_are_monthly():
    first = np.arange("2015-01", "2020-01", dtype="datetime64[M]").astype("datetime64[D]")
    for times in (np.busday_offset(first, 0, roll="forward"), np.busday_offset(first, -1, roll="forward")):
        found = regular(stamps(times), np.arange(60.0))
        assert found.frequency.months == 1 and len(found.values) == 60


@pytest.mark.parametrize("days", [28, 30, 31, 365])
def test_steps_of_many_days_stay_days(days):
    times = stamps(np.datetime64("2015-01-03") + days * np.arange(30))
    assert (detect_frequency(times).months, detect_frequency(times).step) == (0, days * 86_400_000_000)


def test_nothing_is_forecast_behind_the_year_9999(con):
    create(
        con,
        "decompose_time_series=TRUE",
        """SELECT DATE_ADD(DATE '9960-01-01', INTERVAL i YEAR) AS t,
        MOD(i * 7919, 13) / 2 AS y FROM UNNEST(GENERATE_ARRAY(0, 37)) AS i""",
    )
    sql = "SELECT EXTRACT(YEAR FROM {}) AS year FROM {}(MODEL m, STRUCT(20 AS horizon)) ORDER BY 1 DESC"
    assert [r["year"] for r in table(con, sql.format("forecast_timestamp", "ML.FORECAST"))] == [9999, 9998]
    assert len(table(con, sql.format("time_series_timestamp", "ML.EXPLAIN_FORECAST"))) == 40
    trend = """SELECT t FROM ML.TREND((SELECT DATE_ADD(DATE '9960-01-01', INTERVAL i YEAR) AS t, MOD(i * 7919, 13) AS y
        FROM UNNEST(GENERATE_ARRAY(0, 37)) AS i), data_col => 'y', timestamp_col => 't', horizon => 5)"""
    assert len(table(con, trend)) == 40
    assert np.datetime64(LAST_TIME, "us") == np.datetime64("9999-12-31T23:59:59.999999")


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("size", [1e300, 1.7e308, 1e-300])
def test_values_out_of_range_are_refused(con, size):
    with pytest.raises(TrainingError, match="between 1e-140 and 1e140"):
        create(
            con,
            "auto_arima=TRUE",
            f"""SELECT DATE_ADD(DATE '2024-01-01', INTERVAL i DAY) AS t,
            {size!r} * (1 - MOD(i * 7919, 13) / 20) AS y FROM UNNEST(GENERATE_ARRAY(0, 30)) AS i""",
        )


@pytest.mark.parametrize("size", [1e130, 1e-130])
def test_large_and_small_values_are_forecast_alike(size):
    times = stamps(np.datetime64("2024-01-01") + np.arange(60))
    values = 10 + np.arange(60) * 7919 % 13 / 5
    one, other = (series.fit(times, values * x, series.Settings(horizon=5)) for x in (1.0, size))
    assert other.forecast / size == pytest.approx(one.forecast, rel=1e-4)
    assert other.standard_error / size == pytest.approx(one.standard_error, rel=1e-3)


# ---------------------------------------------------------------- names of columns


@pytest.mark.parametrize("name", NAMES)
def test_an_id_may_have_the_name_of_an_output(weeks, name):
    create(weeks, f"time_series_id_col='{name}'", f"SELECT t, y, c AS {name} FROM weeks")
    for call in NAMES[name]:
        found = weeks.execute(f"SELECT * FROM {call}")
        titles = [d[0] for d in found.description]
        rows = found.fetchall()
        assert titles[0] == name and {r[0] for r in rows} == {0, 1, 2, 3}
        if name in ("trend", "forecast_value") and f"{name}_1" in titles:
            assert all(10 < r[titles.index(f"{name}_1")] < 40 for r in rows)


def test_columns_that_pass_through_keep_their_values(weeks):
    create(weeks, "time_series_id_col='c'", "SELECT t, y, c FROM weeks WHERE t < '2024-02-20'")
    found = table(
        weeks,
        """SELECT * FROM ML.DETECT_ANOMALIES(MODEL m, STRUCT(0.9 AS anomaly_prob_threshold),
        (SELECT t, y, c, 7 AS lower_bound, 8 AS __time, 9 AS __y FROM weeks WHERE t >= '2024-02-20'))""",
    )
    assert {(r["lower_bound_1"], r["__time"], r["__y"]) for r in found} == {(7, 8, 9)}
    assert all(r["lower_bound"] < r["upper_bound"] and r["lower_bound"] != 7 for r in found)


def test_data_may_have_the_name_of_an_output(weeks):
    found = table(
        weeks,
        """SELECT * FROM ML.TREND((SELECT t, y AS trend FROM weeks WHERE c = 0),
        data_col => 'trend', timestamp_col => 't')""",
    )
    assert len({r["trend"] for r in found}) > 10 and any(r["trend"] != r["trend_1"] for r in found)


# ---------------------------------------------------------------- sums


def test_limits_of_sums_are_sums_of_limits(weeks):
    create(
        weeks,
        "time_series_id_col=['g', 'c'], hierarchical_time_series_cols=['g', 'c'], forecast_limit_lower_bound=0,"
        " forecast_limit_upper_bound=32",
        "SELECT t, y, g, c FROM weeks",
    )
    found = table(weeks, "SELECT * FROM ML.FORECAST(MODEL m, STRUCT(20 AS horizon, 0.999999 AS confidence_level))")
    sizes = {(g is not None) + (c is not None): k for g, c, k in ((None, None, 4), ("g", None, 2), ("g", 1, 1))}
    for r in found:
        k = sizes[(r["g"] is not None) + (r["c"] is not None)]
        low, high = r["prediction_interval_lower_bound"], r["prediction_interval_upper_bound"]
        assert 0 < low < r["forecast_value"] < high < 32 * k
    assert max(r["prediction_interval_upper_bound"] for r in found if r["g"] is None) > 64


def test_a_null_id_is_not_a_sum():
    tree = reconcile.hierarchy([("a", "x", "1"), ("a", None, "2"), ("a", None, "3")], [0, 1, 2])
    members = [(key, tree.of(node).tolist()) for node, key in enumerate(tree.keys)]
    assert members == [
        (("a", "x", None), [0]),
        (("a", None, None), [1, 2]),
        (("a", None, None), [0, 1, 2]),
        ((None, None, None), [0, 1, 2]),
    ]


# ---------------------------------------------------------------- features, carets


def test_future_rows_of_one_step_are_averaged(con):
    con.execute("""CREATE TABLE f AS SELECT DATE_ADD(DATE '2024-01-01', INTERVAL i DAY) AS t, i,
        MOD(i * 7919, 13) * 1.0 AS x FROM UNNEST(GENERATE_ARRAY(0, 80)) AS i""")
    con.execute("""CREATE MODEL x OPTIONS(model_type='ARIMA_PLUS_XREG', time_series_timestamp_col='t',
        time_series_data_col='y') AS SELECT t, 3 * x + MOD(i, 5) AS y, x FROM f WHERE i < 60""")
    call = "SELECT forecast_value FROM ML.FORECAST(MODEL x, STRUCT(9 AS horizon), ({}))"
    plain = con.execute(call.format("SELECT t, x FROM f WHERE i >= 60")).fetchall()
    twice = "SELECT t, x + d AS x FROM f, UNNEST([2.0, -2.0]) AS d WHERE i >= 60 ORDER BY {}"
    for order in ("x", "x DESC"):
        assert con.execute(call.format(twice.format(order))).fetchall() == pytest.approx(np.array(plain))


def test_rows_without_features_have_no_forecast_in_explanations_either(con):
    con.execute("""CREATE MODEL x OPTIONS(model_type='ARIMA_PLUS_XREG', time_series_timestamp_col='t',
        time_series_data_col='y') AS SELECT DATE_ADD(DATE '2024-01-01', INTERVAL i DAY) AS t, MOD(i * 7919, 13) AS y,
        MOD(i, 5) AS x FROM UNNEST(GENERATE_ARRAY(0, 59)) AS i""")
    future = "(SELECT DATE '2024-03-02' AS t, 3 AS x)"
    for name in ("ML.FORECAST", "ML.EXPLAIN_FORECAST"):
        found = con.execute(f"SELECT * FROM {name}(MODEL x, STRUCT(9 AS horizon), {future})").fetchall()
        assert len(found) == (1 if name == "ML.FORECAST" else 61)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        ("ML.FORECAST(MODEL m, STRUCT(21 AS horizon))", "21"),
        ("ML.EVALUATE(MODEL m, TABLE weeks, STRUCT(0.9 AS confidence_level))", "0.9"),
        ("ML.TREND(TABLE weeks, data_col => 'z', timestamp_col => 't')", "'z'"),
        ("ML.TREND(TABLE weeks, data_col => 'g', timestamp_col => 't')", "'g'"),
        ("ML.TREND(TABLE weeks, data_col => 'y', timestamp_col => 'c')", "'c'"),
        ("ML.SEASONALITY(TABLE weeks, data_col => 'y', timestamp_col => 't', seasonalities => ['WEKLY'])", "'WEKLY'"),
    ],
)
def test_the_caret_is_under_the_setting(weeks, call, word):
    create(weeks, "time_series_id_col='c'", "SELECT t, y, c FROM weeks")
    text = f"SELECT * FROM {call}"
    with pytest.raises(Error) as error:
        weeks.execute(text)
    assert text[error.value.span.start : error.value.span.end] == word


# ---------------------------------------------------------------- spikes, the beginning of the trend


def weekly(n=400):
    """A season of seven days, a slow wave and a little noise."""
    i = np.arange(n)
    return 100 + 10 * np.sin(2 * np.pi * i / 7) + 5 * np.sin(i / 60) + np.random.default_rng(5).normal(0, 1, n)


@pytest.mark.parametrize("fidelity", ["best", "bigquery"])
def test_spikes_are_told_from_the_days_of_other_weeks(fidelity):
    values = weekly()
    values[[90, 200, 300]] += [150, -120, 200]
    times = stamps(np.datetime64("2024-01-01") + np.arange(400))
    found = series.fit(times, values, series.Settings(horizon=5, fidelity=fidelity))
    assert np.flatnonzero(found.spikes).tolist() == [90, 200, 300]
    assert found.spikes[[90, 200, 300]] == pytest.approx([150, -120, 200], abs=8)


def test_the_trend_begins_with_the_data():
    times = stamps(np.datetime64("2024-01-01") + np.arange(400))
    values = weekly() + np.arange(400)
    found = series.fit(times, values, series.Settings(horizon=5))
    others = sum(s.part for s in found.seasons) + found.spikes + found.steps
    assert found.model.d and found.trend[0] == pytest.approx(values[0] - others[0])
    assert series.smooth(found.trend, 31)[0] == pytest.approx(found.trend[0], abs=20)
    service = series.fit(times, values, series.Settings(horizon=5, fidelity="bigquery"))
    assert service.trend[0] == 0


@pytest.mark.parametrize("feature", ["'c'", "TRUE", "b'x'", "TIME(1, 2, 3)"])
def test_a_feature_that_never_varies(con, feature):
    con.execute(f"""CREATE MODEL x OPTIONS(model_type='ARIMA_PLUS_XREG', time_series_timestamp_col='t',
        time_series_data_col='y') AS SELECT DATE_ADD(DATE '2024-01-01', INTERVAL i DAY) AS t, MOD(i * 7919, 13) AS y,
        {feature} AS x FROM UNNEST(GENERATE_ARRAY(0, 59)) AS i""")
    for days in (["2024-03-01", "2024-03-02"], ["2024-03-02"]):
        future = f"(SELECT t, {feature} AS x FROM UNNEST(CAST({days} AS ARRAY<DATE>)) AS t)"
        found = con.execute(f"SELECT * FROM ML.FORECAST(MODEL x, STRUCT(9 AS horizon), {future})").fetchall()
        assert [str(r[0])[:10] for r in found] == days and all(np.isfinite(r[1]) for r in found)


@pytest.mark.parametrize(
    ("text", "word", "message"),
    [
        ("SELECT * FROM ML.FORECAST(m, STRUCT(3 AS horizon))", "m", "m must be named as a MODEL"),
        ("SELECT * FROM ML.FORECAST(d.s.m, STRUCT(3 AS horizon))", "d.s.m", "d.s.m must be named as a MODEL"),
        ("SELECT * FROM ML.TREND(weeks, data_col => 'y', timestamp_col => 't')", "weeks", "must be named as a TABLE"),
        ("SELECT * FROM ML.FORECAST(MODEL m, ...)", "...", "must not stand here"),
        ("CREATE MODEL m OPTIONS(holiday_region='US',...) AS SELECT 1", "...", "must not stand here"),
        (
            "SELECT * FROM ML.TREND(TABLE weeks, data_col => 'y', timestamp_col => 't', horizon => 3, horizon => 4)",
            None,
            "HORIZON must be given once",
        ),
    ],
)
def test_what_was_left_out_or_written_twice(weeks, text, word, message):
    with pytest.raises(Error, match=message) as error:
        weeks.execute(text)
    assert word is None or text[error.value.span.start : error.value.span.end] == word


def test_the_limits_on_points_are_told():
    times = stamps(np.datetime64("2024-01-01") + np.arange(30))
    with pytest.raises(ValueError, match="at most 20 points"):
        regular(times, np.arange(30.0), longest=20)
    with pytest.raises(ValueError, match="too many gaps: 30 values over 41761 PER_MINUTE steps"):
        regular(times, np.arange(30.0), "PER_MINUTE")


# ---------------------------------------------------------------- steps without noise


@pytest.mark.parametrize(
    ("values", "begins"),
    [
        (lambda i: np.where(i < 100, 10.0, 50.0), [100]),
        (lambda i: i + np.where(i < 100, 0.0, 50.0), [100]),
        (lambda i: np.where(i < 100, 0.0, np.where(i < 150, 5.0, 2.0)), [100, 150]),
        (lambda i: 1.0 * i, []),
        (lambda i: np.where(i == 60, 1000.0, 10.0), []),
        (lambda i: np.where(i * 7919 % 23 == 0, 3.0, 0.0), []),
        (lambda i: np.where(i * 7919 % 7 < 3, 1.0, 0.0), []),
    ],
)
def test_steps_of_series_without_noise(values, begins):
    found = changes.steps(values(np.arange(200)), 8.0)
    assert found.begin.tolist() == begins


def test_one_hint_for_a_time_that_is_text(con):
    with pytest.raises(Error, match="t is STRING") as error:
        create(con, "auto_arima=TRUE", "SELECT '2024-01-01' AS t, 1 AS y")
    assert error.value.hint == "write CAST(t AS DATE) AS t."
