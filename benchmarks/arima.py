"""Daily series with a week and a year, forecast 30 days ahead; against statsmodels and linear growth in the
series.

statsmodels searches the same orders (all p + q <= 5, with and without drift) with its exact likelihood,
after the same
STL decomposition, on a few of the series: its time per series is compared. statsforecast pins another pandas
and is
compared outside this harness (see docs).
"""

from __future__ import annotations

from typing import Any

from benchmarks.harness import Benchmark, Median, Side, Target, Task

POINTS = 730
HORIZON = 30
REFERENCE = 4
TABLE = f"""
CREATE TABLE IF NOT EXISTS series AS
SELECT s AS id, DATE '2022-01-01' + t::INT AS day,
  100 + 5 * ((hash(s, t % 7) % 1000) / 1000.0) + 8 * sin(2 * pi() * t / 365.25 + s)
  + sum(((hash(s, t, 1) % 2000) / 1000.0 - 1) * 0.6) OVER (PARTITION BY s ORDER BY t)
  + ((hash(s, t, 2) % 2000) / 1000.0 - 1) * 3 AS y
FROM range({{rows}}) a(s), range({POINTS + HORIZON}) b(t)"""
CREATE = f"""
CREATE OR REPLACE MODEL forecasts
OPTIONS (model_type = 'ARIMA_PLUS', time_series_timestamp_col = 'day', time_series_data_col = 'y',
  time_series_id_col = 'id', horizon = {HORIZON}) AS
SELECT id, day, y FROM series WHERE day < DATE '2022-01-01' + {POINTS}"""
ERROR = f"""
SELECT AVG(mean_absolute_scaled_error) FROM ML.EVALUATE(MODEL forecasts,
  (SELECT id, day, y FROM series WHERE day >= DATE '2022-01-01' + {POINTS}), STRUCT(TRUE AS
  perform_aggregation))"""


def _path(task: Task) -> Any:
    return task.folder / f"series_{task.rows}.duckdb"


def prepare(task: Task) -> None:
    """The database file."""
    import duckdb

    with duckdb.connect(str(_path(task))) as con:
        con.execute(TABLE.format(rows=task.rows))


def setup_sqlml(task: Task) -> Any:
    """A connection to the file."""
    import sqlml

    con = sqlml.connect(str(_path(task)))
    con.execute("SET sqlml.dialect = 'duckdb'")
    return con


def run_sqlml(con: Any) -> None:
    """One statement."""
    con.execute(CREATE)


def quality_sqlml(con: Any, result: None) -> dict[str, float]:
    """Mean absolute scaled error over the held-out month."""
    return {"mase": con.execute(ERROR).fetchone()[0]}


def setup_statsmodels(task: Task) -> Any:
    """The first series, and the imports."""
    import duckdb
    import statsmodels.tsa.seasonal
    import statsmodels.tsa.statespace.sarimax  # noqa: F401

    with duckdb.connect(str(_path(task)), read_only=True) as con:
        found = con.execute(f"SELECT y FROM series WHERE id < {REFERENCE} ORDER BY id, day").fetchnumpy()["y"]
    return found.reshape(REFERENCE, POINTS + HORIZON)


def run_statsmodels(series: Any) -> Any:
    """STL, then every order of the trend; the best forecasts."""
    import warnings

    import numpy as np
    from statsmodels.tsa.seasonal import STL
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    out = []
    for y in series:
        part = STL(y[:POINTS], period=7).fit().seasonal
        best = None
        for total in range(6):
            for p in range(total + 1):
                for trend in (None, "t"):
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        model = SARIMAX(y[:POINTS] - part, order=(p, 1, total - p), trend=trend)
                        result = model.fit(disp=False)
                    if best is None or result.aic < best.aic:
                        best = result
        season = np.resize(part[-7:], HORIZON)
        out.append(best.forecast(HORIZON) + season)
    return np.array(out)


def quality_statsmodels(series: Any, forecasts: Any) -> dict[str, float]:
    """Mean absolute scaled error over the held-out month."""
    import numpy as np

    error = np.abs(forecasts - series[:, POINTS:]).mean(axis=1)
    return {"mase": float((error / np.abs(np.diff(series[:, :POINTS], axis=1)).mean(axis=1)).mean())}


def seconds(medians: dict[str, Median]) -> float:
    """Seconds of the whole statement."""
    return medians["sqlml"].seconds


def per_series(medians: dict[str, Median]) -> float:
    """How many times faster than statsmodels, per series."""
    ours, theirs = medians["sqlml"], medians["statsmodels"]
    return (theirs.seconds / REFERENCE) / (ours.seconds / ours.rows)


def growth(medians: dict[str, Median]) -> float:
    """Time per series of ten times as many series, against that of the benchmark's own."""
    ours, more = medians["sqlml"], medians["sqlml, ten times as many"]
    return (more.seconds / more.rows) / (ours.seconds / ours.rows)


def memory(medians: dict[str, Median]) -> float:
    """Peak memory of ten times as many series, in megabytes."""
    return medians["sqlml, ten times as many"].peak_mb


BENCHMARK = Benchmark(
    title=f"ARIMA_PLUS: daily series of {POINTS} points, 42 candidate orders each",
    rows=1_000,
    sides=lambda rows: (
        Side("sqlml", setup_sqlml, run_sqlml, quality_sqlml),
        Side("sqlml, ten times as many", setup_sqlml, run_sqlml, quality_sqlml, rows=10 * rows),
        Side("statsmodels", setup_statsmodels, run_statsmodels, quality_statsmodels),
    ),
    prepare=prepare,
    targets=(
        Target("1,000 series in under 60 s", seconds, lambda v: v < 60),
        Target("at least 10 times faster per series than statsmodels", per_series, lambda v: v >= 10),
        Target("time linear in the series (at most 1.2 times per series)", growth, lambda v: v <= 1.2),
        Target("at most 1 GiB for ten times as many", memory, lambda v: v <= 1074),
    ),
    repeat=1,
)
