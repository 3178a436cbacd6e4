"""Daily series with a week and a year, forecast 30 days ahead, against statsmodels and statsforecast; linear growth.

Every side uses two processes. statsmodels searches the same orders (all p + q <= 5, with and without drift)
with its exact likelihood, after the same STL decomposition, on a few of the series. Where
`SQLML_STATSFORECAST` names a Python that has statsforecast (see `benchmarks/statsforecast_side.py`), it forecasts some
of the series by MSTL of a week and a year with AutoARIMA, and by AutoARIMA with a season of 7. Times per series are
compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import statsforecast_side
from benchmarks.harness import Benchmark, Median, Side, Target, Task

POINTS = 730
HORIZON = 30
REFERENCE = 4
#: Series that statsforecast forecasts, by model.
MSTL_SERIES, AUTO_SERIES = 24, 4
PROCESSES = 2
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


def _series(task: Task) -> Any:
    """The series of a side that has few, shape (rows, points)."""
    import duckdb

    with duckdb.connect(str(_path(task)), read_only=True) as con:
        found = con.execute("SELECT y FROM series ORDER BY id, day").fetchnumpy()["y"]
    return found.reshape(task.rows, POINTS + HORIZON)


def setup_statsmodels(task: Task) -> Any:
    """The first series, and processes that have statsmodels."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn"))
    list(pool.map(_imported, range(2 * PROCESSES)))
    return _series(task), pool


def _imported(_: int) -> None:
    import time

    import statsmodels.tsa.seasonal
    import statsmodels.tsa.statespace.sarimax  # noqa: F401

    time.sleep(0.2)  # so that each process takes one


def run_statsmodels(state: Any) -> Any:
    """STL, then every order of the trend; the best forecasts."""
    import numpy as np

    series, pool = state
    return np.array(list(pool.map(search_statsmodels, series)))


def search_statsmodels(y: Any) -> Any:
    """The forecast of one series."""
    import warnings

    import numpy as np
    from statsmodels.tsa.seasonal import STL
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    part = STL(y[:POINTS], period=7).fit().seasonal
    best: Any = None
    for total in range(6):
        for p in range(total + 1):
            for trend in (None, "t"):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model = SARIMAX(y[:POINTS] - part, order=(p, 1, total - p), trend=trend)
                    result = model.fit(disp=False)
                if best is None or result.aic < best.aic:
                    best = result
    return best.forecast(HORIZON) + np.resize(part[-7:], HORIZON)


def quality_statsmodels(state: Any, forecasts: Any) -> dict[str, float]:
    """Mean absolute scaled error over the held-out month."""
    state[1].shutdown()
    return _scaled(state[0], forecasts)


def _scaled(series: Any, forecasts: Any) -> dict[str, float]:
    import numpy as np

    error = np.abs(np.asarray(forecasts) - series[:, POINTS:]).mean(axis=1)
    return {"mase": float((error / np.abs(np.diff(series[:, :POINTS], axis=1)).mean(axis=1)).mean())}


def statsforecast_sides() -> tuple[Side, ...]:
    """statsforecast's two ways, where there is a Python for it."""
    path = statsforecast_side.python()
    if path is None:
        return ()

    def side(name: str, model: str, periods: list[int], count: int) -> Side:
        def setup(task: Task) -> Any:
            import numpy as np

            series = _series(task)
            file = task.folder / f"statsforecast_{task.rows}.npy"
            np.save(file, series[:, :POINTS])
            request = {"do": "many", "model": model, "periods": periods, "steps": HORIZON, "jobs": PROCESSES}
            return series, statsforecast_side.Reference(path), {**request, "file": str(file)}

        def run(state: Any) -> Any:
            return state[1].ask(state[2])

        def quality(state: Any, forecasts: Any) -> dict[str, float]:
            state[1].close()
            return _scaled(state[0], forecasts)

        return Side(name, setup, run, quality, rows=count)

    return (
        side("statsforecast MSTL", "mstl", [7, 365], MSTL_SERIES),
        side("statsforecast AutoARIMA", "autoarima", [7], AUTO_SERIES),
    )


def seconds(medians: dict[str, Median]) -> float:
    """Seconds of 1,000 series."""
    return medians["sqlml"].seconds * 1_000 / medians["sqlml"].rows


def times_faster(name: str) -> Callable[[dict[str, Median]], float]:
    """How many times faster than another side, per series."""

    def measure(medians: dict[str, Median]) -> float:
        ours, theirs = medians["sqlml"], medians[name]
        return (theirs.seconds / theirs.rows) / (ours.seconds / ours.rows)

    return measure


def growth(medians: dict[str, Median]) -> float:
    """Time per series of ten times as many series, against that of the benchmark's own."""
    ours, more = medians["sqlml"], medians["sqlml, ten times as many"]
    return (more.seconds / more.rows) / (ours.seconds / ours.rows)


def memory(medians: dict[str, Median]) -> float:
    """Peak memory of ten times as many series, in megabytes."""
    return medians["sqlml, ten times as many"].peak_mb


COMPARED: tuple[Target, ...] = (
    Target(
        "no slower per series than statsforecast's MSTL with AutoARIMA",
        times_faster("statsforecast MSTL"),
        lambda v: v >= 1,
    ),
    Target(
        "no slower per series than statsforecast's AutoARIMA with a season of 7",
        times_faster("statsforecast AutoARIMA"),
        lambda v: v >= 1,
    ),
)
if statsforecast_side.python() is None:
    COMPARED = ()

BENCHMARK = Benchmark(
    title=f"ARIMA_PLUS: daily series of {POINTS} points, 42 candidate orders each",
    rows=1_000,
    sides=lambda rows: (
        Side("sqlml", setup_sqlml, run_sqlml, quality_sqlml),
        Side("sqlml, ten times as many", setup_sqlml, run_sqlml, quality_sqlml, rows=10 * rows),
        Side("statsmodels", setup_statsmodels, run_statsmodels, quality_statsmodels, rows=REFERENCE),
        *statsforecast_sides(),
    ),
    prepare=prepare,
    targets=(
        Target("1,000 series in under 60 s", seconds, lambda v: v < 60),
        Target("at least 10 times faster per series than statsmodels", times_faster("statsmodels"), lambda v: v >= 10),
        Target("time linear in the series (at most 1.2 times per series)", growth, lambda v: v <= 1.2),
        Target("at most 1 GiB for ten times as many", memory, lambda v: v <= 1074),
        *COMPARED,
    ),
    repeat=1,
)
