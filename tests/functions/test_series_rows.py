"""Answers about many series are made while they are read: what is asked for, and the same rows as all at once."""

from __future__ import annotations

import pytest

from sqlml.errors import Error
from sqlml.functions import forecast, forecast_errors, series_rows

SERIES = """
CREATE TABLE many AS SELECT s AS id, CASE WHEN s % 4 < 3 THEN 'group ' || (s % 4) END AS "the group", [s % 2, 7] AS pair,
  TIMESTAMP '2020-01-01' + INTERVAL (t) DAY AS day, s + t % 7 + (hash(s, t) % 100) / 50.0 AS n
FROM range(12) a(s), range(50) b(t)"""
CREATE = (
    "CREATE MODEL m OPTIONS(model_type='ARIMA_PLUS', time_series_timestamp_col='day', time_series_data_col='n',"
    " time_series_id_col=['id', 'the group', 'pair'], horizon=5, auto_arima_max_order=1) AS SELECT * FROM many"
)
EXPLAIN = "ML.EXPLAIN_FORECAST(MODEL m, STRUCT(5 AS horizon))"
ANOMALIES = "ML.DETECT_ANOMALIES(MODEL m)"
#: Condition, and the series that need be made for it; None for all.
CONDITIONS = [
    ("id = 7", {7}),
    ("id IN (2, 9) AND time_series_type = 'forecast'", {2, 9}),
    ("id > 9 AND trend IS NOT NULL", {10, 11}),
    ("`the group` = 'group 1' AND id < 6", {1, 5}),
    ("`the group` IS NULL", {3, 7, 11}),
    ("`the group` IS NULL AND id IS NULL", set()),
    ("`the group` <> 'group 0' AND `the group` > 'group 1'", {2, 6, 10}),
    ("(id = 3 OR id = 4) AND residual > 0", {3, 4}),
    ("id = 3 OR trend > 5", None),
    ("trend > 5 AND time_series_timestamp > TIMESTAMP '2020-02-10'", None),
    ("MOD(id, 5) = 1", None),
    ("id = (SELECT MAX(id) FROM many)", None),
    ("pair[OFFSET(0)] = 1", None),
    ("id = -5", set()),
]


@pytest.fixture
def model(con):
    """A model of twelve series."""
    con.duckdb.execute(SERIES)
    con.execute(CREATE)
    return con


@pytest.fixture
def made(monkeypatch):
    """Numbers of the series that were explained."""
    found: set[int] = set()
    plain = forecast.explained

    def explained(trained, state, i, *rest):
        found.add(i)
        return plain(trained, state, i, *rest)

    monkeypatch.setattr(forecast, "explained", explained)
    return found


def lazily(monkeypatch):
    monkeypatch.setattr(series_rows, "LAZY_POINTS", 0)
    monkeypatch.setattr(series_rows, "TOGETHER", 100)
    monkeypatch.setattr(series_rows, "GROUP", 4)


def rows(con, sql):
    return con.execute(sql).fetchall()


@pytest.mark.parametrize(("condition", "needed"), CONDITIONS)
def test_a_filter_costs_the_series_that_may_pass(model, made, monkeypatch, condition, needed):
    query = f"SELECT * FROM {EXPLAIN} WHERE {condition}"
    few = f"SELECT trend, id, residual FROM {EXPLAIN} WHERE {condition}"
    expected, expected_few = rows(model, query), rows(model, few)
    assert made == set(range(12))
    made.clear()
    lazily(monkeypatch)
    assert repr(rows(model, query)) == repr(expected)
    assert repr(rows(model, few)) == repr(expected_few)
    assert made == (set(range(12)) if needed is None else needed)


@pytest.mark.parametrize("source", [EXPLAIN, ANOMALIES])
def test_the_order_and_the_values_are_those_of_one_table(model, monkeypatch, source):
    queries = (
        f"SELECT * FROM {source}",
        f"SELECT id, `the group`, pair FROM {source}",
        f"SELECT COUNT(*), COUNT(`the group`) FROM {source}",
        f"SELECT a.id, COUNT(*) FROM {source} AS a JOIN {source} AS b USING (id) WHERE a.id = 4 GROUP BY a.id",
        f"WITH x AS (SELECT * FROM {source}) SELECT (SELECT COUNT(*) FROM x WHERE id = 3), (SELECT MIN(id) FROM x)",
    )
    expected = [rows(model, q) for q in queries]
    lazily(monkeypatch)
    assert [repr(rows(model, q)) for q in queries] == [repr(e) for e in expected]


def test_what_is_not_asked_for_is_not_made(model, made, monkeypatch):
    lazily(monkeypatch)
    assert rows(model, f"SELECT COUNT(*) FROM {EXPLAIN}") == [(12 * 55,)]
    assert rows(model, f"SELECT COUNT(*) FROM {EXPLAIN} WHERE time_series_type = 'forecast'") == [(12 * 5,)]
    assert not made
    verdicts = []
    plain = forecast_errors._verdict
    monkeypatch.setattr(forecast_errors, "_verdict", lambda *given: verdicts.append(1) or plain(*given))
    assert rows(model, f"SELECT COUNT(*) FROM {ANOMALIES} WHERE id = 3") == [(50,)]
    assert not verdicts
    assert rows(model, f"SELECT COUNT(*) FROM {ANOMALIES} WHERE is_anomaly IS NOT NULL AND id = 3") == [(50,)]
    assert len(verdicts) == 1


def test_a_table_of_the_rows_is_made_and_trained_on(model, monkeypatch):
    expected = rows(model, f"SELECT id, SUM(trend) FROM {EXPLAIN} GROUP BY id ORDER BY id")
    lazily(monkeypatch)
    model.execute(f"CREATE TABLE kept AS SELECT * FROM {EXPLAIN}")
    assert rows(model, "SELECT id, SUM(trend) FROM kept GROUP BY id ORDER BY id") == expected
    model.execute(
        "CREATE MODEL line OPTIONS(model_type='LINEAR_REG', input_label_cols=['time_series_data']) AS"
        f" SELECT id, trend, time_series_data FROM {EXPLAIN} WHERE time_series_type = 'history'"
    )
    assert len(rows(model, "SELECT * FROM ML.WEIGHTS(MODEL line)")) == 3


def test_an_error_while_rows_are_made_is_told(model, monkeypatch):
    lazily(monkeypatch)

    def broken(*given):
        raise MemoryError("no room")

    monkeypatch.setattr(forecast, "explained", broken)
    with pytest.raises(Error, match="no room"):
        rows(model, f"SELECT * FROM {EXPLAIN}")
    monkeypatch.undo()
    assert rows(model, f"SELECT COUNT(*) FROM {EXPLAIN}") == [(12 * 55,)]
