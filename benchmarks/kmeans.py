"""Ten Lloyd steps with eight centers over ten numbers, against DuckDB -> scikit-learn from the same start.

A third side trains under a small memory limit: the rows are then not kept, every step reads them again, and
memory must not grow with the rows (they lie in a Parquet file, without DuckDB's cache of file contents).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks import data
from benchmarks.harness import Benchmark, Median, Side, Target, Task

COLUMNS = ", ".join(data.FEATURES)
STEPS = 10
CENTERS = 8
STARTS = f"SELECT {COLUMNS} FROM t WHERE x0 > 0 ORDER BY x0 LIMIT {CENTERS}"
LIMIT = "800MB"


def prepare(task: Task) -> None:
    """The database file and the Parquet file."""
    data.database(task.folder, task.rows)
    data.parquet(task.folder, task.rows)


def statement(starts: Sequence[Sequence[float]]) -> str:
    """CREATE MODEL from these rows."""
    largest = max(row[0] for row in starts)
    return f"""
    CREATE OR REPLACE MODEL clusters OPTIONS (
      model_type = 'kmeans', num_clusters = {CENTERS}, max_iterations = {STEPS}, early_stop = FALSE,
      kmeans_init_method = 'CUSTOM', kmeans_init_col = 'start') AS
    SELECT {COLUMNS}, x0 > 0 AND x0 <= {largest!r} AS start FROM t"""


def setup_sqlml(task: Task) -> Any:
    """A connection to the file, and where to start."""
    import sqlml

    con = sqlml.connect(str(data.database(task.folder, task.rows)))
    return con, con.duckdb.execute(STARTS).fetchall()


def setup_small(task: Task) -> Any:
    """A connection with little memory, whose table `t` is the Parquet file."""
    import sqlml

    con = sqlml.connect()
    path = str(data.parquet(task.folder, task.rows)).replace("'", "''")
    con.duckdb.execute("SET enable_external_file_cache = false").fetchall()
    con.duckdb.execute(f"SET memory_limit = '{LIMIT}'").fetchall()
    con.duckdb.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet('{path}')").fetchall()
    return con, con.duckdb.execute(STARTS).fetchall()


def run_sqlml(state: Any) -> None:
    """One statement."""
    con, starts = state
    con.execute(statement(starts))


def quality_sqlml(state: Any, result: None) -> dict[str, float]:
    """Mean squared distance over the rows, and the steps that were made."""
    con, _ = state
    distance = con.execute("SELECT mean_squared_distance FROM ML.EVALUATE(MODEL clusters, TABLE t)").fetchone()[0]
    steps = con.execute("SELECT COUNT(*) FROM ML.TRAINING_INFO(MODEL clusters)").fetchone()[0]
    return {"mean_squared_distance": distance, "steps": steps}


def setup_sklearn(task: Task) -> Any:
    """The imports, a connection to the file, and where to start."""
    import duckdb
    import pandas  # noqa: F401
    import sklearn.cluster
    import sklearn.preprocessing  # noqa: F401

    con = duckdb.connect(str(data.database(task.folder, task.rows)), read_only=True)
    return con, con.execute(STARTS).fetchall()


def run_sklearn(state: Any) -> Any:
    """Fetch, scale, cluster."""
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import StandardScaler

    con, starts = state
    scaler = StandardScaler(copy=False)
    X = scaler.fit_transform(con.execute(f"SELECT {COLUMNS} FROM t").df().to_numpy())
    first = scaler.transform(np.array(starts))
    return KMeans(CENTERS, init=first, n_init=1, max_iter=STEPS, tol=0.0, copy_x=False).fit(X), len(X)


def quality_sklearn(state: Any, result: Any) -> dict[str, float]:
    """The same in the units of the sample deviation."""
    model, rows = result
    return {"mean_squared_distance": model.inertia_ / rows * (rows - 1) / rows, "steps": model.n_iter_}


def speedup(medians: dict[str, Median]) -> float:
    """How many times faster sqlml is."""
    return medians["scikit-learn"].seconds / medians["sqlml"].seconds


def memory_share(medians: dict[str, Median]) -> float:
    """sqlml's peak memory as a share of the other's."""
    return medians["sqlml"].peak_mb / medians["scikit-learn"].peak_mb


def difference(medians: dict[str, Median]) -> float:
    """Relative difference of the two mean squared distances."""
    name = "mean_squared_distance"
    ours, theirs = (medians[side].quality[name] for side in ("sqlml", "scikit-learn"))
    return abs(ours - theirs) / theirs


def growth(medians: dict[str, Median]) -> float:
    """Peak memory of the small side at all rows over that at a third, less one."""
    return medians[f"sqlml in {LIMIT}"].peak_mb / medians[f"sqlml in {LIMIT}, a third"].peak_mb - 1


BENCHMARK = Benchmark(
    title=f"k-means: {STEPS} steps, {CENTERS} centers, 10 numeric columns",
    rows=3_000_000,
    sides=lambda rows: (
        Side("sqlml", setup_sqlml, run_sqlml, quality_sqlml),
        Side("scikit-learn", setup_sklearn, run_sklearn, quality_sklearn),
        Side(f"sqlml in {LIMIT}", setup_small, run_sqlml, quality_sqlml),
        Side(f"sqlml in {LIMIT}, a third", setup_small, run_sqlml, quality_sqlml, rows // 3),
    ),
    prepare=prepare,
    targets=(
        Target("at least 1.5 times faster", speedup, lambda v: v >= 1.5),
        Target("less peak memory", memory_share, lambda v: v < 1.0),
        Target("equal mean squared distance (1e-6 relative)", difference, lambda v: v <= 1e-6),
        Target(f"in {LIMIT}: three times the rows, at most 15 % more memory", growth, lambda v: v <= 0.15),
    ),
)
