"""ARIMA_PLUS_XREG through SQL: weights, future features, explanations, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sqlml.errors import DataError, Error, SchemaError
from tests.models.test_arima_plus import create, rows, table


@pytest.fixture
def sales(con):
    """Two series that depend on a price and on a promotion, over 400 days."""
    con.duckdb.execute(
        "CREATE TABLE sales AS SELECT 's' || s AS id, DATE '2023-01-01' + i::INT AS day, price, promo,"
        " 50 + 3 * sin(2 * pi() * i / 7) - 2 * price + CASE promo WHEN 'big' THEN 9 WHEN 'small' THEN 4 ELSE 0 END"
        " + (hash(i, s) % 1000) / 2000.0 AS n FROM (SELECT *, (hash(s, i, 1) % 100) / 10.0 AS price,"
        " ['none', 'none', 'small', 'big'][(1 + hash(i, s, 2) % 4)::INT] AS promo FROM range(400) r(i),"
        " range(2) q(s))"
    )
    query = "SELECT * FROM sales WHERE day < DATE '2024-01-15'"
    create(con, "time_series_id_col='id'", query, kind="ARIMA_PLUS_XREG")
    return con


def test_weights_are_recovered(sales):
    found = table(sales, "SELECT * FROM ML.ARIMA_COEFFICIENTS(MODEL m)")
    price = [r["weight"] for r in found if r["processed_input"] == "price"]
    np.testing.assert_allclose(price, [-2, -2], atol=0.02)
    for row in found:
        if row["processed_input"] == "promo":
            weights = {c["category"]: c["weight"] for c in row["category_weights"]}
            assert weights["none"] == 0.0  # the most frequent category is the base
            assert weights["big"] == pytest.approx(9, abs=0.15) and weights["small"] == pytest.approx(4, abs=0.15)
    assert [r["processed_input"] for r in found if r["id"] == "s0"] == ["price", "promo", "__INTERCEPT__"]


def test_forecasts_follow_future_features(sales):
    future = "(SELECT * FROM sales WHERE day >= DATE '2024-01-15')"
    (a, b) = table(sales, f"SELECT * FROM ML.EVALUATE(MODEL m, {future}, STRUCT(TRUE AS perform_aggregation))")
    assert a["mean_absolute_error"] < 0.3 and b["mean_absolute_error"] < 0.3
    dear = "(SELECT * REPLACE (price + 1 AS price) FROM sales WHERE day >= DATE '2024-01-15')"
    query = "SELECT forecast_value FROM ML.FORECAST(MODEL m, STRUCT(5 AS horizon), {})"
    first, second = (np.array(rows(sales, query.format(x)))[:, 0].astype(float) for x in (future, dear))
    np.testing.assert_allclose(second - first, -2, atol=0.02)


def test_parts_with_features_add_up(sales):
    future = "(SELECT * FROM sales WHERE day >= DATE '2024-01-15')"
    for row in table(sales, f"SELECT * FROM ML.EXPLAIN_FORECAST(MODEL m, STRUCT(5 AS horizon), {future})"):
        parts = [
            v
            for k, v in row.items()
            if v is not None
            and (
                k in ("trend", "holiday_effect", "spikes_and_dips", "step_changes", "residual")
                or k.startswith(("seasonal_period_", "attribution_"))
            )
        ]
        assert math.fsum(parts) == pytest.approx(row["time_series_data"], rel=1e-9)


def test_features_must_be_given(sales):
    with pytest.raises(Error, match="future values of the features"):
        sales.execute("SELECT * FROM ML.FORECAST(MODEL m)")
    with pytest.raises(Error, match="promo"):
        sales.execute("SELECT * FROM ML.FORECAST(MODEL m, STRUCT(3 AS horizon), (SELECT id, day, price FROM sales))")
    with pytest.raises(DataError, match="after the history"):
        sales.execute(
            "SELECT * FROM ML.FORECAST(MODEL m, STRUCT(3 AS horizon), (SELECT * FROM sales WHERE day < DATE"
            " '2023-02-01'))"
        )
    with pytest.raises(SchemaError, match="at least one feature"):
        create(sales, "", "SELECT day, n FROM sales", name="x", kind="ARIMA_PLUS_XREG")


def test_steps_without_features_have_no_forecast(sales):
    some = "(SELECT * FROM sales WHERE day BETWEEN DATE '2024-01-15' AND DATE '2024-01-17' AND id = 's0')"
    assert len(rows(sales, f"SELECT * FROM ML.FORECAST(MODEL m, STRUCT(10 AS horizon), {some})")) == 3


def test_anomalies_with_features(sales):
    past = table(sales, "SELECT * FROM ML.DETECT_ANOMALIES(MODEL m)")
    assert 0 < np.mean([r["is_anomaly"] for r in past]) < 0.25
    odd = "(SELECT * REPLACE (n + 20 AS n) FROM sales WHERE day >= DATE '2024-01-15')"
    found = table(sales, f"SELECT * FROM ML.DETECT_ANOMALIES(MODEL m, STRUCT(0.95 AS anomaly_prob_threshold), {odd})")
    inside = [r for r in found if r["is_anomaly"] is not None]
    assert len(inside) == 40 and all(r["is_anomaly"] for r in inside)
    assert "price" in found[0] and "promo" in found[0]
