"""ML.EXPLAIN_PREDICT: linear against ML.PREDICT, trees against xgboost's own contributions."""

from __future__ import annotations

import pathlib
from typing import Any

from benchmarks import data
from benchmarks.harness import Benchmark, Median, Side, Target, Task

FEATURES = ", ".join(data.FEATURES)
LINEAR = f"""
CREATE OR REPLACE MODEL flat OPTIONS (model_type = 'linear_reg', input_label_cols = ['y'],
  data_split_method = 'NO_SPLIT') AS SELECT {FEATURES}, c8, y FROM t"""
TREES = f"""
CREATE OR REPLACE MODEL trees OPTIONS (model_type = 'boosted_tree_regressor', input_label_cols = ['y'],
  data_split_method = 'NO_SPLIT', max_iterations = 100, early_stop = FALSE)
AS SELECT {FEATURES}, y FROM t LIMIT 100000"""


def path_of(task: Task) -> pathlib.Path:
    """The database that also holds the trained models."""
    return task.folder / f"explain-{task.rows}.duckdb"


def prepare(task: Task) -> None:
    """Copy the table and train both models."""
    import shutil

    import sqlml

    if not path_of(task).exists():
        shutil.copy(data.database(task.folder, task.rows), path_of(task))
    with sqlml.connect(str(path_of(task))) as con:
        con.execute(LINEAR)
        con.execute(TREES)


def setup(task: Task) -> Any:
    """A connection."""
    import sqlml

    return sqlml.connect(str(path_of(task)), read_only=True)


def rows_of(con: Any, sql: str) -> int:
    """Read a query to its end."""
    return int(con.execute(sql).arrow().num_rows)


def predict(con: Any) -> int:
    """Predictions of the linear model."""
    return rows_of(con, "SELECT * FROM ML.PREDICT(MODEL flat, TABLE t)")


def explain(con: Any) -> int:
    """Explanations of the linear model."""
    return rows_of(con, "SELECT * FROM ML.EXPLAIN_PREDICT(MODEL flat, TABLE t)")


def explain_trees(con: Any) -> int:
    """Explanations of 100 trees."""
    return rows_of(con, "SELECT * FROM ML.EXPLAIN_PREDICT(MODEL trees, TABLE t)")


def setup_xgboost(task: Task) -> Any:
    """The same booster, and the rows as DuckDB hands them over."""
    import xgboost as xgb

    con = setup(task)
    raw = con.duckdb.execute(
        "SELECT data FROM sqlml.arrays WHERE dtype = 'bytes' ORDER BY octet_length(data) DESC LIMIT 1"
    ).fetchone()[0]
    return xgb.Booster(model_file=bytearray(raw)), con


def contributions(state: Any) -> int:
    """Fetch, make a matrix, ask XGBoost."""
    import numpy as np
    import xgboost as xgb

    booster, con = state
    columns = con.duckdb.execute(f"SELECT {FEATURES} FROM t").fetchnumpy()
    matrix = xgb.DMatrix(np.column_stack([columns[f] for f in data.FEATURES]).astype(np.float32))
    return len(booster.predict(matrix, pred_contribs=True, validate_features=False))


def linear_ratio(medians: dict[str, Median]) -> float:
    """Explanations over predictions."""
    return medians["linear: explain"].seconds / medians["linear: predict"].seconds


def tree_ratio(medians: dict[str, Median]) -> float:
    """ML.EXPLAIN_PREDICT over pred_contribs."""
    return medians["trees: explain"].seconds / medians["trees: xgboost"].seconds


def counted(state: Any, result: int) -> dict[str, float]:
    """Rows that came."""
    return {"rows": float(result)}


BENCHMARK = Benchmark(
    title="ML.EXPLAIN_PREDICT",
    rows=1_000_000,
    sides=lambda rows: (
        Side("linear: predict", setup, predict, counted),
        Side("linear: explain", setup, explain, counted),
        Side("trees: explain", setup, explain_trees, counted),
        Side("trees: xgboost", setup_xgboost, contributions, counted),
    ),
    prepare=prepare,
    targets=(
        Target("linear: within 2 times of ML.PREDICT", linear_ratio, lambda v: v <= 2.0),
        Target("trees: within 1.2 times of pred_contribs", tree_ratio, lambda v: v <= 1.2),
    ),
)
