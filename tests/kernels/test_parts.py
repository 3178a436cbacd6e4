"""Series whose season grows with their level: modelled in logarithms, explained in the units of the data."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sqlml.kernels import forecasts, holidays, parts, seasons, series
from sqlml.kernels.series_clean import Frequency, step_times

MONTHLY = Frequency("MONTHLY", months=1)


def growing(n=144, seed=0):
    """Monthly values that grow by 1% a month and swing in proportion."""
    t = np.arange(n)
    noise = np.exp(0.02 * np.random.default_rng(seed).normal(size=n))
    return 100 * np.exp(0.01 * t + 0.25 * np.sin(2 * np.pi * t / 12)) * noise


def steady(n=144, seed=0):
    """Monthly values that grow, with the same swing every year."""
    t = np.arange(n)
    return 100 + 2 * t + 20 * np.sin(2 * np.pi * t / 12) + np.random.default_rng(seed).normal(size=n)


def times(n):
    return step_times(MONTHLY, 0, 0, n)


def test_growth_of_the_swings_is_told_from_growth_of_the_level():
    assert all(seasons.grows_with_level(growing(seed=s), 12.0) for s in range(10))
    assert not any(seasons.grows_with_level(steady(seed=s), 12.0) for s in range(10))
    assert not seasons.grows_with_level(growing(40), 12.0)


def test_logarithms_only_where_they_help_and_may():
    y = growing()
    best = series.Settings(horizon=24)
    assert series.fit(times(144), y, best).log
    assert not series.fit(times(144), steady(), best).log
    assert not series.fit(times(144), y - y.min(), best).log
    assert not series.fit(times(144), y, series.Settings(horizon=24, fidelity="bigquery")).log
    assert not series.fit(times(144), y, series.Settings(horizon=24, additive=True)).log
    assert not series.fit(times(144), y, series.Settings(horizon=24, seasonalities=("NO_SEASONALITY",))).log


def test_forecasts_keep_growing():
    y = growing(168)
    found = series.fit(times(144), y[:144], series.Settings(horizon=24))
    plain = series.fit(times(144), y[:144], series.Settings(horizon=24, additive=True))
    error, other = (np.abs(f.forecast - y[144:]).mean() for f in (found, plain))
    assert error < 0.06 * y[144:].mean() and error < other
    inside = np.abs(found.forecast - y[144:]) < 1.96 * found.standard_error
    assert inside.mean() > 0.9


def record(y):
    return forecasts.pack([series.fit(times(len(y)), y, series.Settings(horizon=12))], 12)


@pytest.mark.parametrize("make", [growing, steady])
def test_parts_add_up(make):
    found = parts.parts_of(record(make()), 0, holidays.EMPTY, 12)
    total = found.trend + sum(found.seasons.values())
    np.testing.assert_allclose(total, found.adjusted, rtol=1e-12)
    np.testing.assert_allclose(found.adjusted[144:], found.data[144:], rtol=1e-12)
    residual = found.data[:144] - found.adjusted[:144]
    assert np.abs(residual[1:]).mean() < 0.1 * found.data.mean()
    assert (found.sigma > 0).all()


def test_a_spike_is_a_part_of_its_own():
    y = growing()
    y[70] *= 1.6
    stored = record(y)
    assert stored.log[0]
    found = parts.parts_of(stored, 0, holidays.EMPTY, 12)
    assert found.spikes is not None and found.spikes[70] == pytest.approx(y[70] * 0.375, rel=0.15)
    assert np.count_nonzero(np.abs(found.spikes) > 1e-9) == 1
    rest = y - found.adjusted[:144] - found.spikes
    assert abs(rest[70]) < 0.1 * y[70]


def test_limits_hold_in_logarithms_too():
    found = series.fit(times(144), growing(), series.Settings(horizon=24, lower=0.0, upper=450.0))
    assert found.log and (found.forecast > 0).all() and (found.forecast < 450).all()


def test_through_sql(con):
    con.duckdb.execute(
        "CREATE TABLE t AS SELECT DATE '2010-01-01' + to_months(i::INT) AS day, 100 * exp(0.01 * i"
        " + 0.25 * sin(2 * pi() * i / 12)) * (1 + (hash(i) % 1000) / 20000.0) AS n FROM range(144) r(i)"
    )
    con.execute(
        "CREATE MODEL m OPTIONS(model_type='ARIMA_PLUS', time_series_timestamp_col='day', time_series_data_col='n')"
        " AS SELECT * FROM t"
    )
    cursor = con.execute("SELECT * FROM ML.EXPLAIN_FORECAST(MODEL m, STRUCT(12 AS horizon))")
    names = [d[0] for d in cursor.description]
    for row in cursor.fetchall():
        r = dict(zip(names, row, strict=True))
        found = [r["trend"], r["seasonal_period_yearly"], r["residual"], r["step_changes"], r["spikes_and_dips"]]
        assert math.fsum(v for v in found if v is not None) == pytest.approx(r["time_series_data"], rel=1e-9)
    flags = con.execute("SELECT is_anomaly FROM ML.DETECT_ANOMALIES(MODEL m)").fetchall()
    assert sum(f[0] for f in flags) < 20
