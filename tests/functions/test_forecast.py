"""The time-series functions through SQL: columns, identities, errors, published numbers."""

from __future__ import annotations

import math
import pathlib

import numpy as np
import pytest

from sqlml.errors import Error

VISITS = pathlib.Path(__file__).parents[1] / "data" / "daily_visits.csv"


@pytest.fixture
def visits(con):
    """Daily visits as `visits` (day, n) and, under two ids, as `two`."""
    con.duckdb.execute(f"CREATE TABLE visits AS SELECT day::DATE AS day, visits AS n FROM read_csv('{VISITS}')")
    con.duckdb.execute("CREATE TABLE two AS SELECT id, day, n FROM visits, (VALUES ('a'), ('b')) AS t(id)")
    return con


@pytest.fixture
def model(visits):
    """A model of `two` up to June 2017, with a horizon of 40."""
    visits.execute(
        "CREATE MODEL m OPTIONS(model_type='ARIMA_PLUS', time_series_timestamp_col='day', time_series_data_col='n',"
        " time_series_id_col='id', horizon=40, holiday_region='US') AS SELECT * FROM two WHERE day < DATE"
        " '2017-07-01'"
    )
    return visits


def rows(con, sql):
    return con.execute(sql).fetchall()


def table(con, sql):
    cursor = con.execute(sql)
    names = [d[0] for d in cursor.description]
    return [dict(zip(names, r, strict=True)) for r in cursor.fetchall()]


SERIES = "data_col => 'n', timestamp_col => 'day'"
PARTS = ("trend", "holiday_effect", "spikes_and_dips", "step_changes", "residual")


# ---------------------------------------------------------------- ML.FORECAST, ML.EXPLAIN_FORECAST


def test_default_forecast(model):
    found = table(model, "SELECT * FROM ML.FORECAST(MODEL m)")
    assert len(found) == 6 and {r["confidence_level"] for r in found} == {0.95}
    assert [r["forecast_timestamp"].day for r in found] == [1, 2, 3, 1, 2, 3]
    for r in found:
        low, high = r["prediction_interval_lower_bound"], r["prediction_interval_upper_bound"]
        assert (low + high) / 2 == pytest.approx(r["forecast_value"])
        assert (low, high) == (r["confidence_interval_lower_bound"], r["confidence_interval_upper_bound"])
        assert (high - low) / 2 == pytest.approx(1.959964 * r["standard_error"], rel=1e-6)


def test_the_default_horizon_is_at_most_the_stored_one(visits):
    visits.execute("""CREATE MODEL one OPTIONS (model_type = 'ARIMA_PLUS', time_series_timestamp_col = 't',
        time_series_data_col = 'y', horizon = 1) AS
        SELECT DATE_ADD(DATE '2024-01-01', INTERVAL i DAY) AS t, i * 2.0 AS y FROM UNNEST(GENERATE_ARRAY(0, 30)) AS i""")
    assert len(rows(visits, "SELECT * FROM ML.FORECAST(MODEL one)")) == 1
    explained = "SELECT * FROM ML.EXPLAIN_FORECAST(MODEL one) WHERE time_series_type = 'forecast'"
    assert len(rows(visits, explained)) == 1
    with pytest.raises(Error, match="HORIZON must be at most 1,"):
        visits.execute("SELECT * FROM ML.FORECAST(MODEL one, STRUCT(3 AS horizon))")


def test_horizon_beyond_the_stored_one(model):
    assert len(rows(model, "SELECT * FROM ML.FORECAST(MODEL m, STRUCT(40 AS horizon))")) == 80
    with pytest.raises(Error, match="HORIZON must be at most 40") as error:
        model.execute("SELECT * FROM ML.FORECAST(MODEL m, STRUCT(41 AS horizon))")
    assert "HORIZON=41" in str(error.value)


@pytest.mark.parametrize("setting", ["1.0 AS confidence_level", "-0.1 AS confidence_level", "0 AS horizon"])
def test_settings_out_of_range(model, setting):
    with pytest.raises(Error, match=setting.split()[-1].upper()):
        model.execute(f"SELECT * FROM ML.FORECAST(MODEL m, STRUCT({setting}))")


def test_no_input_for_a_model_without_features(model):
    with pytest.raises(Error, match="takes no input"):
        model.execute("SELECT * FROM ML.FORECAST(MODEL m, STRUCT(3 AS horizon), TABLE two)")


def test_parts_add_up(model):
    found = table(model, "SELECT * FROM ML.EXPLAIN_FORECAST(MODEL m, STRUCT(30 AS horizon, 0.8 AS confidence_level))")
    assert len(found) == 2 * (334 + 30)
    for r in found:
        parts = [v for k, v in r.items() if v is not None and (k in PARTS or k.startswith("seasonal_period_"))]
        assert math.fsum(parts) == pytest.approx(r["time_series_data"], rel=1e-12)
        past = r["time_series_type"] == "history"
        assert (r["prediction_interval_lower_bound"] is None) == past == (r["confidence_level"] is None)
        assert (r["residual"] is not None) == past
        if not past:
            assert r["time_series_adjusted_data"] == pytest.approx(r["time_series_data"])


def test_explanation_and_forecast_agree(model):
    a = rows(model, "SELECT id, forecast_value, standard_error FROM ML.FORECAST(MODEL m, STRUCT(9 AS horizon))")
    b = rows(
        model,
        "SELECT id, time_series_data, standard_error FROM ML.EXPLAIN_FORECAST(MODEL m, STRUCT(9 AS horizon))"
        " WHERE time_series_type = 'forecast'",
    )
    assert a == b


def test_forecasts_can_be_joined(model):
    found = rows(
        model,
        "SELECT COUNT(*) FROM ML.FORECAST(MODEL m, STRUCT(20 AS horizon)) f JOIN two t"
        " ON f.id = t.id AND DATE(f.forecast_timestamp) = t.day",
    )
    assert found == [(40,)]


# ---------------------------------------------------------------- ML.EVALUATE


def test_metrics_are_those_of_the_forecasts(model):
    later = "(SELECT * FROM two WHERE day >= DATE '2017-07-01')"
    found = table(
        model, f"SELECT * FROM ML.EVALUATE(MODEL m, {later}, STRUCT(TRUE AS perform_aggregation, 20 AS horizon))"
    )
    assert [r["id"] for r in found] == ["a", "b"]
    f = np.array(rows(model, "SELECT forecast_value FROM ML.FORECAST(MODEL m, STRUCT(20 AS horizon)) WHERE id = 'a'"))[
        :, 0
    ]
    y = np.array(rows(model, "SELECT n FROM visits WHERE day >= DATE '2017-07-01' ORDER BY day LIMIT 20"))[:, 0]
    past = np.array(rows(model, "SELECT n FROM visits WHERE day < DATE '2017-07-01' ORDER BY day"))[:, 0]
    e, (r, _) = np.abs(f - y), found
    assert r["mean_absolute_error"] == pytest.approx(e.mean())
    assert r["mean_squared_error"] == pytest.approx((e**2).mean())
    assert r["root_mean_squared_error"] == pytest.approx(math.sqrt((e**2).mean()))
    assert r["mean_absolute_percentage_error"] == pytest.approx(100 * (e / y).mean())
    assert r["symmetric_mean_absolute_percentage_error"] == pytest.approx(100 * (2 * e / (y + f)).mean())
    assert r["mean_absolute_scaled_error"] == pytest.approx(e.mean() / np.abs(np.diff(past)).mean())


def test_errors_by_time(model):
    later = "(SELECT * FROM two WHERE day >= DATE '2017-06-30')"
    found = table(model, f"SELECT * FROM ML.EVALUATE(MODEL m, {later}, STRUCT(FALSE AS perform_aggregation))")
    assert list(found[0]) == [
        *("id", "day", "n", "forecasted_n", "lower_bound", "upper_bound"),
        *("absolute_error", "absolute_percentage_error"),
    ]
    assert found[0]["forecasted_n"] is None and found[0]["lower_bound"] is None
    assert found[1]["absolute_error"] == pytest.approx(abs(found[1]["n"] - found[1]["forecasted_n"]))
    assert found[1]["absolute_percentage_error"] == pytest.approx(found[1]["absolute_error"] / found[1]["n"])


def test_evaluation_without_data_describes_the_fit(model):
    found = table(model, "SELECT * FROM ML.EVALUATE(MODEL m)")
    assert len(found) == 2 and "aic" in found[0] and "error_message" not in found[0]
    with pytest.raises(Error, match="only together with input"):
        model.execute("SELECT * FROM ML.EVALUATE(MODEL m, STRUCT(TRUE AS perform_aggregation))")


def test_evaluation_checks_its_input(model):
    with pytest.raises(Error, match="column n"):
        model.execute("SELECT * FROM ML.EVALUATE(MODEL m, (SELECT id, day FROM two))")
    with pytest.raises(Error, match="id column"):
        model.execute("SELECT * FROM ML.EVALUATE(MODEL m, (SELECT 1 AS id, day, n FROM two))")
    with pytest.raises(Error, match="THRESHOLD"):
        model.execute("SELECT * FROM ML.EVALUATE(MODEL m, TABLE two, STRUCT(0.5 AS threshold))")


# ---------------------------------------------------------------- ML.DETECT_ANOMALIES


def test_anomalies_of_the_history(visits):
    visits.duckdb.execute("UPDATE visits SET n = 20000 WHERE day = DATE '2017-03-01'")
    visits.execute(
        "CREATE MODEL s OPTIONS(model_type='ARIMA_PLUS', time_series_timestamp_col='day', time_series_data_col='n')"
        " AS SELECT * FROM visits"
    )
    found = table(visits, "SELECT * FROM ML.DETECT_ANOMALIES(MODEL s, STRUCT(0.99 AS anomaly_prob_threshold))")
    assert list(found[0]) == ["day", "n", "is_anomaly", "lower_bound", "upper_bound", "anomaly_probability"]
    assert len(found) == 366
    (spike,) = [r for r in found if r["n"] == 20000]
    assert spike["is_anomaly"] and spike["anomaly_probability"] > 0.999999
    assert np.mean([r["is_anomaly"] for r in found]) < 0.15
    for r in found:
        inside = r["lower_bound"] <= r["n"] <= r["upper_bound"]
        assert inside != r["is_anomaly"]


def test_anomalies_of_new_data(model):
    new = "(SELECT *, 'x' AS note FROM two WHERE day >= DATE '2017-06-30' "
    new += "UNION ALL SELECT 'z', DATE '2017-07-02', 5, 'x')"
    found = table(model, f"SELECT * FROM ML.DETECT_ANOMALIES(MODEL m, STRUCT(0.9 AS anomaly_prob_threshold), {new})")
    assert list(found[0])[-1] == "note"
    unknown = [r for r in found if r["is_anomaly"] is None]
    assert {(r["id"], r["day"].date().isoformat()) for r in unknown} == {
        ("a", "2017-06-30"), ("b", "2017-06-30"), ("z", "2017-07-02")
    }  # fmt: skip
    assert all(r["anomaly_probability"] is None and r["lower_bound"] is None for r in unknown)
    with pytest.raises(Error, match="ANOMALY_PROB_THRESHOLD must be given"):
        model.execute("SELECT * FROM ML.DETECT_ANOMALIES(MODEL m, TABLE two)")


# ---------------------------------------------------------------- ML.TREND, ML.SEASONALITY, ML.DETECT_CHANGE_POINTS


def test_published_trend_and_season(visits):
    visits.execute("SET sqlml.fidelity = 'bigquery'")
    season = rows(visits, f"SELECT weekly FROM ML.SEASONALITY(TABLE visits, {SERIES}) ORDER BY day LIMIT 3")
    np.testing.assert_allclose([r[0] for r in season], [169.611938, 287.033273, 445.140878], rtol=1e-3)
    trend = rows(visits, f"SELECT trend FROM ML.TREND(TABLE visits, {SERIES}) ORDER BY day LIMIT 3")
    np.testing.assert_allclose([r[0] for r in trend], [663.582618, 1108.537726, 1615.043236], rtol=2e-3)


def test_trend_columns_and_horizon(visits):
    found = table(visits, f"SELECT * FROM ML.TREND(TABLE two, {SERIES}, id_cols => ['id'], horizon => 5)")
    assert list(found[0]) == ["id", "day", "time_series_type", "n", "trend", "status"]
    assert len(found) == 2 * 371 and sum(r["time_series_type"] == "forecast" for r in found) == 10
    assert {r["status"] for r in found} == {""}
    rough = rows(visits, f"SELECT trend FROM ML.TREND(TABLE visits, {SERIES}, smoothing_window_size => 1)")
    even = rows(visits, f"SELECT trend FROM ML.TREND(TABLE visits, {SERIES}, smoothing_window_size => 5)")
    assert even[10][0] == pytest.approx(np.mean([r[0] for r in rough[8:13]]))


def test_step_changes_in_the_trend(visits):
    visits.duckdb.execute("UPDATE visits SET n = n + 30000 WHERE day < DATE '2016-12-01'")
    plain = rows(visits, f"SELECT max(trend) FROM ML.TREND(TABLE visits, {SERIES})")[0][0]
    level = rows(visits, f"SELECT max(trend) FROM ML.TREND(TABLE visits, {SERIES}, adjust_step_changes => TRUE)")[0][0]
    assert plain > 30000 > 10000 > level


def test_season_columns(visits):
    found = table(visits, f"SELECT * FROM ML.SEASONALITY(TABLE visits, {SERIES}, horizon => 7)")
    assert list(found[0]) == [
        *("day", "time_series_type", "n", "yearly", "quarterly", "monthly", "weekly", "daily", "status")
    ]
    assert found[0]["yearly"] is None and found[-1]["weekly"] is not None
    some = table(visits, f"SELECT * FROM ML.SEASONALITY(TABLE visits, {SERIES}, seasonalities => ['MONTHLY'])")
    assert list(some[0]) == ["day", "time_series_type", "n", "monthly", "status"]
    assert some[0]["monthly"] is not None
    with pytest.raises(Error, match="SEASONALITIES"):
        visits.execute(f"SELECT * FROM ML.SEASONALITY(TABLE visits, {SERIES}, seasonalities => ['FORTNIGHTLY'])")


def test_published_change_points(visits):
    visits.execute("SET sqlml.fidelity = 'bigquery'")
    found = table(visits, f"SELECT * FROM ML.DETECT_CHANGE_POINTS(TABLE visits, {SERIES})")
    days = [(r["begin_timestamp"].date().isoformat(), r["end_timestamp"].date().isoformat()) for r in found]
    assert days == [("2016-10-04", "2016-10-20"), ("2016-12-06", "2016-12-22")]
    metrics = found[0]["metrics"]
    assert set(metrics) == {"avg", "min", "max", "stddev", "count"} and metrics["count"] == 17
    values = np.array(rows(visits, "SELECT n FROM visits WHERE day BETWEEN DATE '2016-10-04' AND DATE '2016-10-20'"))[
        :, 0
    ]
    assert metrics["avg"] == pytest.approx(values.mean()) and metrics["stddev"] == pytest.approx(values.std(ddof=1))


@pytest.mark.parametrize("name", ["TREND", "SEASONALITY", "DETECT_CHANGE_POINTS"])
def test_a_failed_series_has_a_status(visits, name):
    found = table(visits, f"SELECT * FROM ML.{name}((SELECT * FROM visits LIMIT 2), {SERIES})")
    assert len(found) == 1 and "too short" in found[0]["status"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("timestamp_col => 'day'", "DATA_COL"),
        ("data_col => 'm', timestamp_col => 'day'", "DATA_COL must name a column"),
        ("data_col => 'day', timestamp_col => 'day'", "numeric"),
        ("data_col => 'n', timestamp_col => 'n'", "TIMESTAMP, DATE or DATETIME"),
        (f"{SERIES}, id_cols => ['day']", "ID_COLS"),
        (f"{SERIES}, horizon => 10001", "HORIZON"),
    ],
)
def test_wrong_arguments(visits, arguments, message):
    with pytest.raises(Error, match=message):
        visits.execute(f"SELECT * FROM ML.TREND(TABLE visits, {arguments})")


# ---------------------------------------------------------------- AI.*


def test_ai_forecast(visits):
    found = table(visits, f"SELECT * FROM AI.FORECAST(TABLE two, {SERIES}, id_cols => ['id'], horizon => 4)")
    assert list(found[0]) == [
        *("id", "forecast_timestamp", "forecast_value", "confidence_level", "prediction_interval_lower_bound"),
        *("prediction_interval_upper_bound", "ai_forecast_status"),
    ]
    assert len(found) == 8 and {r["ai_forecast_status"] for r in found} == {None}
    end = f"SELECT * FROM AI.FORECAST(TABLE visits, {SERIES}, forecast_end_timestamp => TIMESTAMP '2017-08-05')"
    until = table(visits, end)
    assert [r["forecast_timestamp"].day for r in until] == [2, 3, 4, 5]
    assert until[0]["forecast_value"] == pytest.approx(found[0]["forecast_value"], rel=0.02)


def test_ai_forecast_with_history(visits):
    found = table(
        visits,
        f"SELECT * FROM AI.FORECAST(TABLE visits, {SERIES}, horizon => 2, output_historical_time_series => TRUE)",
    )
    assert len(found) == 368
    assert list(found[0])[:3] == ["time_series_type", "time_series_timestamp", "time_series_data"]
    assert found[0]["confidence_level"] is None and found[-1]["confidence_level"] == 0.95
    assert [r["time_series_type"] for r in found[-3:]] == ["history", "forecast", "forecast"]


def test_ai_forecast_of_too_little(visits):
    (row,) = table(visits, f"SELECT * FROM AI.FORECAST((SELECT * FROM visits LIMIT 2), {SERIES})")
    assert row["ai_forecast_status"] == "The time series data is too short."
    assert row["forecast_value"] is None and row["forecast_timestamp"] is None


def test_timesfm_is_answered_by_another_method(visits):
    cursor = visits.execute(f"SELECT * FROM AI.FORECAST(TABLE visits, {SERIES}, model => 'TimesFM 2.0')")
    assert "ARIMA_PLUS" in str(cursor.messages[0][1]) and "TimesFM" in str(cursor.messages[0][1])
    cursor = visits.execute(f"SELECT * FROM AI.FORECAST(TABLE visits, {SERIES})")
    assert str(cursor.messages[0][1]) == "AI.FORECAST used the ARIMA_PLUS method."
    with pytest.raises(Error, match="CONTEXT_WINDOW"):
        visits.execute(f"SELECT * FROM AI.FORECAST(TABLE visits, {SERIES}, context_window => 100)")
    with pytest.raises(Error, match="MODEL"):
        visits.execute(f"SELECT * FROM AI.FORECAST(TABLE visits, {SERIES}, model => 'other')")


def test_context_window_uses_the_end(visits):
    visits.duckdb.execute("CREATE TABLE late AS SELECT * FROM visits ORDER BY day DESC LIMIT 64")
    a = rows(visits, f"SELECT forecast_value FROM AI.FORECAST(TABLE visits, {SERIES}, context_window => 64)")
    assert a == rows(visits, f"SELECT forecast_value FROM AI.FORECAST(TABLE late, {SERIES})")


PAST = "(SELECT * FROM two WHERE day < DATE '2017-07-01')"
LATER = "(SELECT * FROM two WHERE day >= DATE '2017-07-01')"


def test_ai_evaluate(visits):
    found = table(visits, f"SELECT * FROM AI.EVALUATE({PAST}, {LATER}, {SERIES}, id_cols => ['id'])")
    assert [r["id"] for r in found] == ["a", "b"] and found[0]["ai_evaluate_status"] is None
    assert found[0]["root_mean_squared_error"] == pytest.approx(math.sqrt(found[0]["mean_squared_error"]))
    assert 0 < found[0]["mean_absolute_percentage_error"] < 20
    with pytest.raises(Error, match="second table"):
        visits.execute(f"SELECT * FROM AI.EVALUATE({PAST}, {SERIES})")


def test_ai_detect_anomalies(visits):
    by_table = table(visits, f"SELECT * FROM AI.DETECT_ANOMALIES({PAST}, {LATER}, {SERIES}, id_cols => ['id'])")
    assert list(by_table[0]) == [
        *("id", "time_series_timestamp", "time_series_data", "is_anomaly", "lower_bound", "upper_bound"),
        *("anomaly_probability", "ai_detect_anomalies_status"),
    ]
    count = f"SELECT * FROM AI.DETECT_ANOMALIES(TABLE two, {SERIES}, id_cols => ['id'], target_last_n_points => 32)"
    start = (
        f"SELECT * FROM AI.DETECT_ANOMALIES(TABLE two, {SERIES}, id_cols => ['id'],"
        " target_start_timestamp => TIMESTAMP '2017-06-30')"
    )
    assert table(visits, count) == by_table == table(visits, start)
    with pytest.raises(Error, match="exactly one"):
        visits.execute(f"SELECT * FROM AI.DETECT_ANOMALIES(TABLE two, {SERIES}, id_cols => ['id'])")
