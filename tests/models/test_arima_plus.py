"""ARIMA_PLUS through SQL: options, hierarchies, failures, storage."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

import sqlml
from sqlml.errors import DataError, Error, NotSupportedError, OptionError, SchemaError, TrainingError

VISITS = pathlib.Path(__file__).parents[1] / "data" / "daily_visits.csv"


@pytest.fixture
def visits(con):
    """A connection with daily visits: `visits` (day, n), and `two` with the same series under two ids."""
    con.duckdb.execute(f"CREATE TABLE visits AS SELECT day::DATE AS day, visits AS n FROM read_csv('{VISITS}')")
    con.duckdb.execute("CREATE TABLE two AS SELECT id, day, n FROM visits, (VALUES ('a'), ('b')) AS t(id)")
    return con


def create(con, options="", query="SELECT day, n FROM visits", name="m", kind="ARIMA_PLUS"):
    extra = f", {options}" if options else ""
    return con.execute(
        f"CREATE OR REPLACE MODEL {name} OPTIONS(model_type='{kind}', time_series_timestamp_col='day',"
        f" time_series_data_col='n', horizon=20{extra}) AS {query}"
    )


def rows(con, sql):
    return con.execute(sql).fetchall()


def table(con, sql):
    cursor = con.execute(sql)
    names = [d[0] for d in cursor.description]
    return [dict(zip(names, r, strict=True)) for r in cursor.fetchall()]


def forecast(con, name="m", horizon=20):
    return np.array(
        [r[0] for r in rows(con, f"SELECT forecast_value FROM ML.FORECAST(MODEL {name}, STRUCT({horizon} AS horizon))")]
    )


# ---------------------------------------------------------------- options do something


def test_default_model_finds_the_week(visits):
    create(visits)
    (row,) = table(visits, "SELECT * FROM ML.ARIMA_EVALUATE(MODEL m, STRUCT(FALSE AS show_all_candidate_models))")
    assert row["seasonal_periods"] == ["WEEKLY"] and row["error_message"] is None
    assert len(rows(visits, "SELECT * FROM ML.ARIMA_EVALUATE(MODEL m)")) == 42


def test_old_name(visits):
    create(visits, kind="ARIMA")
    assert len(forecast(visits)) == 20


@pytest.mark.parametrize(
    ("option", "candidates"),
    [
        ("auto_arima_max_order=1", 6),
        ("auto_arima_max_order=2", 12),
        ("auto_arima_max_order=3, auto_arima_min_order=2", 14),
    ],
)
def test_orders_tried(visits, option, candidates):
    create(visits, option)
    assert len(rows(visits, "SELECT * FROM ML.ARIMA_EVALUATE(MODEL m)")) == candidates


def test_fixed_order_and_drift(visits):
    create(visits, "auto_arima=FALSE, non_seasonal_order=(1, 1, 2), include_drift=TRUE")
    (row,) = table(visits, "SELECT * FROM ML.ARIMA_EVALUATE(MODEL m)")
    assert (row["non_seasonal_p"], row["non_seasonal_d"], row["non_seasonal_q"]) == (1, 1, 2)
    assert row["has_drift"] is True
    assert row["AIC"] == pytest.approx(-2 * row["log_likelihood"] + 2 * 5)
    (found,) = table(visits, "SELECT * FROM ML.ARIMA_COEFFICIENTS(MODEL m)")
    assert len(found["ar_coefficients"]) == 1 and len(found["ma_coefficients"]) == 2
    assert found["intercept_or_drift"] != 0


@pytest.mark.parametrize(
    "option",
    [
        "seasonalities=['NO_SEASONALITY']",
        "time_series_length_fraction=0.3",
        "time_series_length_fraction=0.01, min_time_series_length=60",
        "max_time_series_length=40",
        "auto_arima_max_order=1",
        "data_frequency='WEEKLY'",
        "forecast_limit_upper_bound=2000.0",
        "forecast_limit_lower_bound=2600.0",
    ],
)
def test_options_change_the_forecast(visits, option):
    create(visits)
    before = forecast(visits)
    create(visits, option)
    assert not np.allclose(before, forecast(visits), rtol=1e-6)


def test_cleaning_options_change_the_explanation(visits):
    visits.duckdb.execute("UPDATE visits SET n = 60000 WHERE day = DATE '2017-03-01'")
    visits.duckdb.execute("UPDATE visits SET n = n + 30000 WHERE day < DATE '2016-12-01'")
    create(visits)
    (row,) = table(visits, "SELECT * FROM ML.ARIMA_EVALUATE(MODEL m) LIMIT 1")
    assert row["has_spikes_and_dips"] and row["has_step_changes"]
    create(visits, "clean_spikes_and_dips=FALSE, adjust_step_changes=FALSE")
    (row,) = table(visits, "SELECT * FROM ML.ARIMA_EVALUATE(MODEL m) LIMIT 1")
    assert not row["has_spikes_and_dips"] and not row["has_step_changes"]


def test_limits_hold_for_bounds_too(visits):
    create(visits, "forecast_limit_lower_bound=2000.0, forecast_limit_upper_bound=2500.0")
    found = table(visits, "SELECT * FROM ML.FORECAST(MODEL m, STRUCT(20 AS horizon, 0.99 AS confidence_level))")
    for row in found:
        for name in ("forecast_value", "prediction_interval_lower_bound", "prediction_interval_upper_bound"):
            assert 2000 < row[name] < 2500


def test_negative_values_with_a_lower_bound_of_zero(con):
    con.duckdb.execute(
        "CREATE TABLE t AS SELECT DATE '2024-01-01' + i::INT AS day, 3 * sin(i) + random() AS n FROM range(200) r(i)"
    )
    create(con, "forecast_limit_lower_bound=0.0", "SELECT * FROM t")
    assert (forecast(con) > 0).all()
    kept = rows(con, "SELECT min(time_series_data) FROM ML.EXPLAIN_FORECAST(MODEL m)")[0][0]
    assert kept > 0  # the values at or below the bound were dropped and bridged


def test_smoothing_is_cosmetic(visits):
    create(visits)
    plain, before = forecast(visits), rows(visits, "SELECT trend FROM ML.EXPLAIN_FORECAST(MODEL m)")
    create(visits, "trend_smoothing_window_size=7")
    assert np.array_equal(plain, forecast(visits))
    after = rows(visits, "SELECT trend FROM ML.EXPLAIN_FORECAST(MODEL m)")
    assert after[10][0] == pytest.approx(np.mean([r[0] for r in before[7:14]]))


def test_without_decomposition(visits):
    create(visits)
    whole = forecast(visits)
    create(visits, "decompose_time_series=FALSE")
    assert np.array_equal(whole, forecast(visits))
    (row,) = table(visits, "SELECT * FROM ML.ARIMA_EVALUATE(MODEL m, STRUCT(FALSE AS show_all_candidate_models))")
    assert row["has_step_changes"] is None and row["seasonal_periods"] == ["WEEKLY"]
    for call in ("ML.EXPLAIN_FORECAST(MODEL m)", "ML.DETECT_ANOMALIES(MODEL m)"):
        with pytest.raises(NotSupportedError, match="DECOMPOSE_TIME_SERIES"):
            visits.execute(f"SELECT * FROM {call}")


def test_fidelity_changes_the_interval(visits):
    visits.execute("SET sqlml.fidelity = 'bigquery'")
    create(visits)
    row = table(visits, "SELECT * FROM ML.FORECAST(MODEL m, STRUCT(1 AS horizon, 0.95 AS confidence_level))")[0]
    half = row["prediction_interval_upper_bound"] - row["forecast_value"]
    assert half / row["standard_error"] == pytest.approx(1.956458, abs=1e-6)


# ---------------------------------------------------------------- holidays


def test_holidays_are_found_and_forecast(con):
    con.duckdb.execute(
        "CREATE TABLE t AS SELECT DATE '2020-01-01' + i::INT AS day, 100 + (hash(i) % 1000) / 250.0"
        " + CASE WHEN month(day) = 12 AND day(day) = 25 THEN 80 ELSE 0 END AS n FROM range(1080) r(i)"
    )
    con.execute(
        "CREATE MODEL h OPTIONS(model_type='ARIMA_PLUS', time_series_timestamp_col='day', time_series_data_col='n',"
        " holiday_region='US', horizon=30) AS SELECT * FROM t"
    )
    found = table(con, "SELECT * FROM ML.EXPLAIN_FORECAST(MODEL h, STRUCT(30 AS horizon))")
    named = {r["time_series_timestamp"].date().isoformat(): r for r in found}
    assert named["2021-12-25"]["holiday_effect_Christmas"] == pytest.approx(80, rel=0.1)
    assert named["2022-12-25"]["time_series_type"] == "forecast"
    assert named["2022-12-25"]["holiday_effect"] == pytest.approx(80, rel=0.1)
    assert named["2022-12-25"]["time_series_data"] > 160
    info = table(con, "SELECT * FROM ML.HOLIDAY_INFO(MODEL h) WHERE holiday_name = 'Christmas'")
    assert {(r["region"], r["preholiday_days"], r["postholiday_days"]) for r in info} == {("US", 10, 1)}
    (row,) = table(con, "SELECT * FROM ML.ARIMA_EVALUATE(MODEL h) LIMIT 1")
    assert row["has_holiday_effect"]


def test_a_custom_holiday_replaces_the_built_in_one_of_its_name(con):
    con.duckdb.execute(
        "CREATE TABLE t AS SELECT DATE '2016-01-01' + i::INT AS day, (hash(i) % 1000) / 250.0 AS n FROM range(1000) r(i)"
    )
    con.execute(
        "CREATE MODEL h OPTIONS(model_type='ARIMA_PLUS', time_series_timestamp_col='day', time_series_data_col='n',"
        " holiday_region='US') AS (training_data AS (SELECT * FROM t), custom_holiday AS ("
        " SELECT 'US' AS region, 'EasterMonday' AS holiday_name, primary_date, 1 AS preholiday_days, 1 AS"
        " postholiday_days FROM UNNEST([DATE('2016-03-28'), DATE('2017-04-17'), DATE('2018-04-02')]) AS primary_date))"
    )
    info = table(
        con, "SELECT * FROM ML.HOLIDAY_INFO(MODEL h) WHERE holiday_name = 'EasterMonday' ORDER BY primary_date"
    )
    assert [r["primary_date"].isoformat() for r in info] == ["2016-03-28", "2017-04-17", "2018-04-02"]
    assert {(r["preholiday_days"], r["postholiday_days"]) for r in info} == {(1, 1)}
    named = table(con, "SELECT DISTINCT holiday_name AS n FROM ML.HOLIDAY_INFO(MODEL h)")
    assert {"Christmas", "NewYear", "Halloween"} <= {r["n"] for r in named}


def test_custom_holidays(con):
    con.duckdb.execute(
        "CREATE TABLE t AS SELECT DATE '2020-01-01' + i::INT AS day, 100 + (hash(i) % 1000) / 250.0"
        " + CASE WHEN i % 100 = 50 THEN -40 ELSE 0 END AS n FROM range(800) r(i)"
    )
    con.execute(
        "CREATE MODEL h OPTIONS(model_type='ARIMA_PLUS', time_series_timestamp_col='day', time_series_data_col='n',"
        " horizon=60) AS (training_data AS (SELECT * FROM t), custom_holiday AS ("
        " SELECT 'X' AS region, 'Sale' AS holiday_name, DATE_ADD(DATE '2020-01-01', INTERVAL 50 + 100 * k DAY)"
        " AS primary_date,"
        " 2 AS preholiday_days, 1 AS postholiday_days FROM UNNEST(GENERATE_ARRAY(0, 8)) AS k))"
    )
    values = dict(
        rows(
            con,
            "SELECT DATE_DIFF(DATE(forecast_timestamp), DATE '2020-01-01', DAY), forecast_value FROM"
            " ML.FORECAST(MODEL h, STRUCT(60 AS horizon))",
        )
    )
    assert values[850] == pytest.approx(values[849] - 40, abs=8)
    assert rows(con, "SELECT DISTINCT preholiday_days, postholiday_days FROM ML.HOLIDAY_INFO(MODEL h)") == [(2, 1)]


@pytest.mark.parametrize(
    ("holiday", "message"),
    [
        ("SELECT 'X' AS region, 'a b' AS holiday_name, DATE '2020-02-01' AS primary_date", "valid column name"),
        ("SELECT 'X' AS region, 'a' AS holiday_name", "primary_date"),
        (
            "SELECT 'X' AS region, 'a' AS holiday_name, DATE '2020-02-01' AS primary_date, 0 AS preholiday_days",
            "window",
        ),
        (
            "SELECT 'X' AS region, 'a' AS holiday_name, DATE_ADD(DATE '2020-02-01', INTERVAL k DAY) AS"
            " primary_date FROM UNNEST([1, 2]) AS k",
            "overlap",
        ),
        (
            "SELECT 'X' AS region, 'a' AS holiday_name, DATE '2020-02-05' AS primary_date, 1 AS preholiday_days"
            " UNION ALL SELECT 'X', 'b', DATE '2020-02-06', 5",
            "the window of the custom holiday a must not lie inside that of b",
        ),
        (
            "SELECT 'X' AS region, 'a' AS holiday_name, DATE '2020-02-05' AS primary_date"
            " UNION ALL SELECT 'X', 'b', DATE '2020-02-05'",
            "the window of the custom holiday b must not lie inside that of a",
        ),
    ],
)
def test_bad_custom_holidays(visits, holiday, message):
    with pytest.raises(Error, match=message):
        visits.execute(
            "CREATE MODEL h OPTIONS(model_type='ARIMA_PLUS', time_series_timestamp_col='day',"
            f" time_series_data_col='n') AS (training_data AS (SELECT * FROM visits), custom_holiday AS ({holiday}))"
        )


def test_windows_that_overlap_in_part_or_lie_in_other_regions(visits):
    visits.execute(
        "CREATE MODEL partly OPTIONS(model_type='ARIMA_PLUS', time_series_timestamp_col='day',"
        " time_series_data_col='n') AS (training_data AS (SELECT * FROM visits), custom_holiday AS ("
        " SELECT 'X' AS region, 'a' AS holiday_name, DATE '2020-02-05' AS primary_date UNION ALL"
        " SELECT 'X', 'b', DATE '2020-02-06' UNION ALL SELECT 'Y', 'c', DATE '2020-02-05'))"
    )


# ---------------------------------------------------------------- many series


def test_equal_series_give_equal_numbers(visits):
    create(visits, "time_series_id_col='id'", "SELECT * FROM two")
    found = table(visits, "SELECT * FROM ML.FORECAST(MODEL m)")
    assert next(iter(found[0])) == "id" and len(found[0]) == 9 and len(found) == 6
    assert [r["forecast_value"] for r in found[:3]] == [r["forecast_value"] for r in found[3:]]
    assert len(rows(visits, "SELECT * FROM ML.ARIMA_EVALUATE(MODEL m)")) == 2
    assert (
        len(rows(visits, "SELECT * FROM ML.ARIMA_EVALUATE(MODEL m, STRUCT(TRUE AS show_all_candidate_models))")) == 84
    )


def test_a_series_alone_and_among_others(visits):
    create(visits)
    alone = forecast(visits)
    create(visits, "time_series_id_col='id'", "SELECT * FROM two")
    among = forecast(visits)[:20]
    np.testing.assert_allclose(alone, among, rtol=0.02)  # one series has every order refined, many the near ones


def test_several_and_array_ids(visits):
    query = "SELECT id, [1, 2] AS k, day, n FROM two"
    create(visits, "time_series_id_col=['id', 'k']", query)
    (row, *_) = table(visits, "SELECT * FROM ML.FORECAST(MODEL m)")
    assert row["id"] == "a" and row["k"] == [1, 2]


def test_a_failed_series_has_its_reason(visits):
    query = (
        "SELECT * FROM two UNION ALL SELECT 'c', DATE '2020-01-01', 5 UNION ALL"
        " SELECT 'd', DATE_ADD(DATE '2020-01-01', INTERVAL i DAY), NULL FROM UNNEST(GENERATE_ARRAY(1, 9)) AS i"
    )
    assert "2 of 4 series" in str(create(visits, "time_series_id_col='id'", query).messages[0][1])
    found = {r["id"]: r for r in table(visits, "SELECT * FROM ML.ARIMA_EVALUATE(MODEL m)")}
    assert "too short" in found["c"]["error_message"] and "too short" in found["d"]["error_message"]
    assert found["c"]["AIC"] is None and found["a"]["error_message"] is None
    assert rows(visits, "SELECT DISTINCT id FROM ML.FORECAST(MODEL m) ORDER BY 1") == [("a",), ("b",)]
    assert len(rows(visits, "SELECT * FROM ML.ARIMA_COEFFICIENTS(MODEL m)")) == 2


def test_hierarchy_adds_up(con):
    con.duckdb.execute(
        "CREATE TABLE t AS SELECT 'r' || (s // 2) AS region, 's' || s AS store, DATE '2024-01-01' + i::INT AS day,"
        " 100 * (s + 1) + 10 * sin(2 * pi() * i / 7) + (hash(i, s) % 1000) / 100.0 AS n"
        " FROM range(120) r(i), range(4) q(s)"
    )
    create(
        con,
        "time_series_id_col=['region', 'store'], hierarchical_time_series_cols=['region', 'store']",
        "SELECT * FROM t",
    )
    found = rows(
        con, "SELECT region, store, forecast_timestamp, forecast_value FROM ML.FORECAST(MODEL m, STRUCT(5 AS horizon))"
    )
    assert len(found) == (4 + 2 + 1) * 5
    for region in ("r0", "r1", None):
        for at in {r[2] for r in found}:
            parent = [r[3] for r in found if r[0] == region and r[1] is None and r[2] == at]
            children = [r[3] for r in found if r[1] is not None and region in (None, r[0]) and r[2] == at]
            assert parent[0] == pytest.approx(sum(children), rel=1e-12)


# ---------------------------------------------------------------- data as it comes


def test_duplicates_gaps_nulls_and_order(visits):
    create(visits)
    whole = forecast(visits)
    query = (
        "SELECT day, n FROM (SELECT day, n + 5 AS n FROM visits UNION ALL SELECT day, n - 5 FROM visits"
        " UNION ALL SELECT day, NULL FROM visits UNION ALL SELECT NULL, 7) ORDER BY hash(n)"
    )
    create(visits, "", query)
    np.testing.assert_allclose(whole, forecast(visits), rtol=1e-9)
    create(visits, "", "SELECT * FROM visits WHERE day NOT BETWEEN DATE '2017-01-05' AND DATE '2017-01-07'")
    gap = table(
        visits,
        "SELECT * FROM ML.EXPLAIN_FORECAST(MODEL m) WHERE time_series_timestamp BETWEEN '2017-01-04' AND '2017-01-08'",
    )
    values = [r["time_series_data"] for r in gap]
    np.testing.assert_allclose(np.diff(values), np.diff(values)[0])


@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP", "TIMESTAMPTZ"])
def test_time_types_agree(visits, kind):
    visits.duckdb.execute(f"CREATE TABLE typed AS SELECT day::{kind} AS day, n FROM visits")
    create(visits, "", "SELECT * FROM typed")
    create(visits, "", "SELECT * FROM visits", name="other")
    assert np.array_equal(forecast(visits), forecast(visits, "other"))
    at = rows(visits, "SELECT min(forecast_timestamp) FROM ML.FORECAST(MODEL m)")[0][0]
    assert at.strftime("%Y-%m-%d %H:%M") == "2017-08-02 00:00"


def test_constant_series(con):
    con.duckdb.execute("CREATE TABLE t AS SELECT DATE '2024-01-01' + i::INT AS day, 7 AS n FROM range(60) r(i)")
    create(con, "", "SELECT * FROM t")
    found = table(con, "SELECT * FROM ML.FORECAST(MODEL m)")
    assert all(r["forecast_value"] == 7 and r["standard_error"] == 0 for r in found)
    (row,) = table(con, "SELECT * FROM ML.ARIMA_EVALUATE(MODEL m)")
    assert row["log_likelihood"] is None and row["variance"] == 0
    assert not any(r[0] for r in rows(con, "SELECT is_anomaly FROM ML.DETECT_ANOMALIES(MODEL m)"))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM visits LIMIT 2", "too short"),
        ("SELECT DATE '2024-01-01' AS day, n FROM visits LIMIT 9", "all its timestamps are equal"),
        ("SELECT day, 'inf'::DOUBLE AS n FROM visits", "infinite"),
        ("SELECT day, NULL::INT AS n FROM visits", "too short"),
        ("SELECT * FROM visits WHERE FALSE", "must return rows"),
        (
            "SELECT TIMESTAMP_ADD(TIMESTAMP '2024-01-01', INTERVAL i SECOND) AS day, i AS n FROM"
            " UNNEST(GENERATE_ARRAY(1, 9)) AS i",
            "minute or more",
        ),
    ],
)
def test_unusable_data(visits, query, message):
    with pytest.raises((TrainingError, DataError), match=message):
        create(visits, "", query)


@pytest.mark.parametrize("n", [3, 4, 5, 8, 13])
def test_short_series_are_forecast(visits, n):
    create(visits, "", f"SELECT * FROM visits ORDER BY day LIMIT {n}")
    assert np.isfinite(forecast(visits)).all()


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("auto_arima=FALSE", "NON_SEASONAL_ORDER must be given"),
        ("non_seasonal_order=(1, 1, 1)", "only with AUTO_ARIMA=FALSE"),
        ("auto_arima=FALSE, non_seasonal_order=(1, 3, 1)", "d from 0 to 2"),
        ("auto_arima=FALSE, non_seasonal_order=(6, 1, 1)", "from 0 to 5"),
        ("auto_arima=FALSE, non_seasonal_order=(1, 0, 1), include_drift=TRUE", "INCLUDE_DRIFT"),
        ("include_drift=TRUE", "INCLUDE_DRIFT"),
        ("auto_arima_max_order=2, auto_arima_min_order=2", "AUTO_ARIMA_MIN_ORDER"),
        ("auto_arima_max_order=6", "from 1 to 5"),
        ("max_time_series_length=30, time_series_length_fraction=0.5", "MAX_TIME_SERIES_LENGTH"),
        ("min_time_series_length=30", "MIN_TIME_SERIES_LENGTH"),
        ("time_series_length_fraction=1.0", "less than 1"),
        ("holiday_region='us'", "HOLIDAY_REGION"),
        ("holiday_region=['US', 'Atlantis']", "Atlantis"),
        ("seasonalities=['AUTO', 'WEEKLY']", "alone"),
        ("seasonalities=['FORTNIGHTLY']", "SEASONALITIES"),
        ("forecast_limit_lower_bound=5.0, forecast_limit_upper_bound=4.0", "less than"),
        ("hierarchical_time_series_cols=['day']", "HIERARCHICAL_TIME_SERIES_COLS"),
        ("data_frequency='FORTNIGHTLY'", "DATA_FREQUENCY"),
        ("horizon=0", "given once"),
        ("time_series_id_col='day'", "TIME_SERIES_ID_COL"),
        ("time_series_id_col='nothing'", "TIME_SERIES_ID_COL"),
    ],
)
def test_wrong_options(visits, option, message):
    with pytest.raises(Error, match=message):
        create(visits, option)


def test_fixed_orders_are_for_one_series(visits):
    with pytest.raises(OptionError, match="AUTO_ARIMA must be TRUE"):
        create(visits, "time_series_id_col='id', auto_arima=FALSE, non_seasonal_order=(1,1,1)", "SELECT * FROM two")


def test_columns_that_no_option_names(visits):
    with pytest.raises(SchemaError, match="also has id"):
        create(visits, "", "SELECT * FROM two")


def test_missing_and_wrong_columns(visits):
    with pytest.raises(OptionError, match="TIME_SERIES_DATA_COL must be given"):
        visits.execute(
            "CREATE MODEL x OPTIONS(model_type='ARIMA_PLUS', time_series_timestamp_col='day') AS SELECT * FROM visits"
        )
    with pytest.raises(SchemaError, match="numeric"):
        create(visits, "", "SELECT day, n::VARCHAR AS n FROM visits")
    with pytest.raises(SchemaError, match="TIMESTAMP, DATE or DATETIME"):
        create(visits, "", "SELECT day::VARCHAR AS day, n FROM visits")
    with pytest.raises(Error, match="TRANSFORM"):
        visits.execute(
            "CREATE MODEL x TRANSFORM(day, n) OPTIONS(model_type='ARIMA_PLUS', time_series_timestamp_col='day',"
            " time_series_data_col='n') AS SELECT * FROM visits"
        )


# ---------------------------------------------------------------- storage, progress


def test_a_stored_model_answers_the_same(tmp_path):
    path = str(tmp_path / "x.duckdb")
    with sqlml.connect(path) as con:
        con.duckdb.execute(f"CREATE TABLE visits AS SELECT day::DATE AS day, visits AS n FROM read_csv('{VISITS}')")
        create(con, "holiday_region='US'")
        before = rows(con, "SELECT * FROM ML.EXPLAIN_FORECAST(MODEL m)")
    with sqlml.connect(path) as con:
        assert repr(rows(con, "SELECT * FROM ML.EXPLAIN_FORECAST(MODEL m)")) == repr(before)


def test_training_info(visits):
    create(visits)
    (row,) = table(visits, "SELECT * FROM ML.TRAINING_INFO(MODEL m)")
    assert list(row) == ["training_run", "iteration", "duration_ms"] and row["duration_ms"] >= 0


@pytest.mark.parametrize("ids", ["id", "['id', 'k']"])
def test_scans_by_ranges_of_ids_read_the_same(visits, monkeypatch, ids):
    query = (
        "SELECT id, k, day, n + IF(id = 'b', 100, 0) + k AS n FROM (SELECT id, day, n FROM two UNION ALL"
        " SELECT NULL, day, n FROM visits), UNNEST([1, 2]) AS k"
    )
    columns = ids if "k" in ids else "'id'"
    query = query if "k" in ids else f"SELECT id, day, avg(n) AS n FROM ({query}) GROUP BY id, day"
    create(visits, f"time_series_id_col={columns}, auto_arima_max_order=1", query)
    whole = rows(visits, "SELECT * FROM ML.FORECAST(MODEL m)")
    monkeypatch.setattr("sqlml.models.time_series.SCAN_ROWS", 400)
    create(visits, f"time_series_id_col={columns}, auto_arima_max_order=1", query)
    assert rows(visits, "SELECT * FROM ML.FORECAST(MODEL m)") == whole
    assert len(whole) == (18 if "k" in ids else 9)
