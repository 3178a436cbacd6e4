"""Least squares on ten numeric and two categorical columns, against DuckDB -> scikit-learn."""

from __future__ import annotations

from typing import Any

from benchmarks import data
from benchmarks.harness import Benchmark, Median, Side, Target, Task

COLUMNS = ", ".join([*data.FEATURES, *data.CATEGORIES, "y"])
CREATE = f"""
CREATE OR REPLACE MODEL mass
OPTIONS (model_type = 'linear_reg', input_label_cols = ['y'], data_split_method = 'NO_SPLIT') AS
SELECT {COLUMNS} FROM t"""
ERROR = "SELECT AVG((y - predicted_y) * (y - predicted_y)) FROM ML.PREDICT(MODEL mass, TABLE t)"


def prepare(task: Task) -> None:
    """The database file."""
    data.database(task.folder, task.rows)


def setup_sqlml(task: Task) -> Any:
    """A connection to the file."""
    import sqlml

    return sqlml.connect(str(data.database(task.folder, task.rows)))


def run_sqlml(con: Any) -> None:
    """One statement."""
    con.execute(CREATE)


def quality_sqlml(con: Any, result: None) -> dict[str, float]:
    """Mean squared error over the training rows."""
    return {"mean_squared_error": con.execute(ERROR).fetchone()[0]}


def setup_sklearn(task: Task) -> Any:
    """The imports and a connection to the file."""
    import duckdb
    import numpy  # noqa: F401
    import pandas  # noqa: F401
    import scipy.sparse  # noqa: F401
    import sklearn.linear_model
    import sklearn.preprocessing  # noqa: F401

    return duckdb.connect(str(data.database(task.folder, task.rows)), read_only=True)


def design(frame: Any) -> Any:
    """Standardised numbers, an intercept, and one-hot categories, sparse."""
    import numpy as np
    from scipy import sparse
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = StandardScaler(copy=False).fit_transform(frame[list(data.FEATURES)].to_numpy())
    levels = OneHotEncoder(dtype=np.float64).fit_transform(frame[list(data.CATEGORIES)])
    return sparse.hstack([sparse.csr_array(numbers), levels], format="csr")


def run_sklearn(con: Any) -> Any:
    """Fetch, encode, solve. Of scikit-learn's solvers for sparse designs this is the fastest exact one."""
    from sklearn.linear_model import Ridge

    frame = con.execute(f"SELECT {COLUMNS} FROM t").df()
    y = frame.pop("y").to_numpy()
    X = design(frame)
    return Ridge(alpha=1e-8, solver="sparse_cg", tol=1e-8).fit(X, y), X, y


def quality_sklearn(con: Any, result: Any) -> dict[str, float]:
    """Mean squared error over the training rows."""
    import numpy as np

    model, X, y = result
    return {"mean_squared_error": float(np.mean((y - model.predict(X)) ** 2))}


def speedup(medians: dict[str, Median]) -> float:
    """How many times faster sqlml is."""
    return medians["scikit-learn"].seconds / medians["sqlml"].seconds


def memory_share(medians: dict[str, Median]) -> float:
    """sqlml's peak memory as a share of the other's."""
    return medians["sqlml"].peak_mb / medians["scikit-learn"].peak_mb


def worse_by(name: str) -> Any:
    """By how much, relatively, sqlml's loss is above the other's (negative: below)."""

    def measure(medians: dict[str, Median]) -> float:
        ours, theirs = medians["sqlml"].quality[name], medians["scikit-learn"].quality[name]
        return (ours - theirs) / theirs

    return measure


BENCHMARK = Benchmark(
    title="linear regression: 10 numeric columns, categories of 8 and 1,000 levels",
    rows=10_000_000,
    sides=lambda rows: (
        Side("sqlml", setup_sqlml, run_sqlml, quality_sqlml),
        Side("scikit-learn", setup_sklearn, run_sklearn, quality_sklearn),
    ),
    prepare=prepare,
    targets=(
        Target("at least 15 times faster", speedup, lambda v: v >= 15),
        Target("at most a quarter of the peak memory", memory_share, lambda v: v <= 0.25),
        Target("error no worse (1e-6 relative)", worse_by("mean_squared_error"), lambda v: v <= 1e-6),
    ),
)
