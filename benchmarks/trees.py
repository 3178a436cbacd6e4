"""Boosted trees on ten numeric columns, against xgboost scripts: Arrow -> QuantileDMatrix, and pandas -> DMatrix.

All hold out about 10,000 rows and compute the loss of both parts after every round. A second benchmark scores
every row with 100 trees, against `inplace_predict` on a matrix that is in memory already. A third trains
on more data than the database may keep in memory.

Memory of the training (3 million rows, two cores; half of the pandas script is 528 MB): 600 MB with XGBoost's
Python package, of which 165 MB are pandas, SciPy's statistics and scikit-learn, imported for classes that are not
used; 487 MB with its library alone. Every statement that reads the table ends with 245 MB of cached blocks, which
only a lower memory_limit would drop while it runs, and that would hold for what the query itself needs too.
malloc_trim gives nothing back. OMP_WAIT_POLICY makes no difference to trees that grow alone.

Scoring, as multiples of `inplace_predict` (1.55 to 1.75 s), with what was tried:

- the function in the query, ten arguments of 2,048 rows: 1.34 to 1.45. Processor time is 4.1 s against 3.0 s: 0.1 s
  for the scan, 0.3 s for DuckDB's Arrow arrays (0.2 ms a call; 0.12 ms with one argument), 0.2 s for Python's matrix,
  0.14 s because XGBoost walks all trees once per call to see how deep they are, the rest for turns of the interpreter;
- the same with one DOUBLE[] argument, whose memory is the matrix: 1.39 (the list costs what the matrix saves;
  `array_value` costs 1.4 s); with a struct: 1.39; with a matrix by columns: 1.42; with
  XGBoosterPredictFromColumnar on Arrow's buffers: 1.31 to 1.39. Without any work in the function it would be 1.2;
- the table read beside the query in blocks of 122,880 rows: 1.2 to 1.3 with XGBoost's own threads, which wait while
  rows are read; 1.05 to 1.2 with a thread per block, which is what is done where the plan has one scan and no filter.
"""

from __future__ import annotations

import pathlib
from typing import Any

from benchmarks import data
from benchmarks.harness import Benchmark, Median, Side, Target, Task

COLUMNS = ", ".join(data.FEATURES)
ROUNDS = 50
HELD = 10_000
CREATE = f"""
CREATE OR REPLACE MODEL trees
OPTIONS (model_type = 'boosted_tree_classifier', input_label_cols = ['yb'], max_iterations = {{rounds}},
         early_stop = FALSE) AS
SELECT {COLUMNS}, yb FROM t"""
FLOATS = ", ".join(f"{c}::FLOAT AS {c}" for c in data.FEATURES)
LABEL = "(yb = 'yes')::INTEGER AS label"
TESTED = "x0 > 1.0"
SCORED = "ML.PREDICT(MODEL trees, TABLE t), UNNEST(predicted_yb_probs) AS p"
PARAMETERS = {
    "objective": "binary:logistic", "eval_metric": "logloss", "tree_method": "hist", "max_depth": 6, "eta": 0.3,
    "nthread": 2,
}  # fmt: skip


def prepare(task: Task) -> None:
    """The database file."""
    data.database(task.folder, task.rows)


def setup_sqlml(task: Task) -> Any:
    """The imports, XGBoost's library (its Python package is not used), and a connection to the file."""
    import sqlml
    from sqlml.kernels.boosting import library

    library()
    return sqlml.connect(str(data.database(task.folder, task.rows)))


def run_sqlml(con: Any) -> None:
    """One statement."""
    con.execute(CREATE.format(rounds=ROUNDS))


def quality_sqlml(con: Any, result: None) -> dict[str, float]:
    """Area under the curve over a sixth of the rows."""
    query = f"SELECT roc_auc FROM ML.EVALUATE(MODEL trees, (SELECT {COLUMNS}, yb FROM t WHERE {TESTED}))"
    return {"roc_auc": con.execute(query).fetchone()[0]}


def setup_script(task: Task) -> Any:
    """The imports, a connection to the file, and the number of rows."""
    import duckdb
    import pandas  # noqa: F401
    import pyarrow  # noqa: F401
    import xgboost  # noqa: F401

    return duckdb.connect(str(data.database(task.folder, task.rows)), read_only=True), task.rows


def split(rows: int) -> tuple[str, str]:
    """Conditions for the rows to train on and the rows to hold out."""
    every = rows // HELD
    return f"hash({COLUMNS}) % {every} <> 0", f"hash({COLUMNS}) % {every} = 0"


def run_arrow(state: Any) -> Any:
    """Fetch as Arrow, quantise, train."""
    import xgboost as xgb

    con, rows = state
    matrices = []
    for condition in split(rows):
        table = con.sql(f"SELECT {FLOATS}, {LABEL} FROM t WHERE {condition}").to_arrow_table()
        y = table.column("label").to_numpy()
        ref = {"ref": matrices[0]} if matrices else {}
        matrices.append(xgb.QuantileDMatrix(table.select(list(data.FEATURES)), label=y, nthread=2, **ref))
    return fit(matrices)


def run_pandas(state: Any) -> Any:
    """Fetch as a frame, train."""
    import xgboost as xgb

    con, rows = state
    matrices = []
    for condition in split(rows):
        frame = con.execute(f"SELECT {COLUMNS}, {LABEL} FROM t WHERE {condition}").df()
        y = frame.pop("label")
        matrices.append(xgb.DMatrix(frame, label=y, nthread=2))
    return fit(matrices)


def fit(matrices: list[Any]) -> Any:
    """Train, with the loss of both parts after every round."""
    import xgboost as xgb

    evals = [(m, str(i)) for i, m in enumerate(matrices)]
    return xgb.train(PARAMETERS, matrices[0], ROUNDS, evals=evals, verbose_eval=False)


def quality_script(state: Any, booster: Any) -> dict[str, float]:
    """Area under the curve over the same rows."""
    import xgboost as xgb
    from sklearn.metrics import roc_auc_score

    con, _ = state
    frame = con.execute(f"SELECT {COLUMNS}, {LABEL} FROM t WHERE {TESTED}").df()
    y = frame.pop("label")
    return {"roc_auc": float(roc_auc_score(y, booster.predict(xgb.DMatrix(frame))))}


def time_share(medians: dict[str, Median]) -> float:
    """Our time as a multiple of the best script's."""
    return medians["sqlml"].seconds / medians["Arrow script"].seconds


def memory_share(medians: dict[str, Median]) -> float:
    """Our peak memory as a share of the pandas script's."""
    return medians["sqlml"].peak_mb / medians["pandas script"].peak_mb


def auc_difference(medians: dict[str, Median]) -> float:
    """The best script's area under the curve less ours."""
    return medians["Arrow script"].quality["roc_auc"] - medians["sqlml"].quality["roc_auc"]


BENCHMARK = Benchmark(
    title="boosted trees: 10 numeric columns, 50 rounds of depth 6",
    rows=3_000_000,
    sides=lambda rows: (
        Side("sqlml", setup_sqlml, run_sqlml, quality_sqlml),
        Side("Arrow script", setup_script, run_arrow, quality_script),
        Side("pandas script", setup_script, run_pandas, quality_script),
    ),
    prepare=prepare,
    targets=(
        Target("at most 1.1 times the time of Arrow -> QuantileDMatrix", time_share, lambda v: v <= 1.1),
        Target("at most half the peak memory of the pandas script", memory_share, lambda v: v <= 0.5),
        Target("area under the curve no worse (0.001)", auc_difference, lambda v: v <= 0.001),
    ),
)


# ---------------------------------------------------------------- prediction


def setup_predict(task: Task) -> Any:
    """A model of 100 trees."""
    con = setup_sqlml(task)
    query = CREATE.format(rounds=100).replace("FROM t", "FROM t LIMIT 200000")
    con.execute(query)
    return con


def run_predict(con: Any) -> Any:
    """Score every row inside the database."""
    query = f"SELECT AVG(p.prob), COUNT(*) FROM {SCORED} WHERE p.label = 'yes'"
    return con.execute(query).fetchone()


def quality_predict(con: Any, result: Any) -> dict[str, float]:
    """The mean probability."""
    return {"mean": result[0], "rows": result[1]}


def setup_inplace(task: Task) -> Any:
    """The same booster, and a matrix in memory."""
    import numpy as np
    import xgboost as xgb

    con = setup_predict(task)
    session = con._session
    catalog, dataset = session.current()
    booster = xgb.Booster(model_file=bytearray(session.catalog(catalog).load(dataset, "trees").state.booster))
    booster.set_param({"nthread": 2})
    table = con.duckdb.sql(f"SELECT {FLOATS} FROM t").to_arrow_table()
    return booster, np.column_stack([table.column(c).to_numpy() for c in data.FEATURES])


def run_inplace(state: Any) -> Any:
    """Score every row of the matrix."""
    booster, X = state
    p = booster.inplace_predict(X)
    return float(p.mean()), len(p)


PREDICT = Benchmark(
    title="ML.PREDICT with 100 trees, 10 numeric columns",
    rows=3_000_000,
    sides=lambda rows: (
        Side("sqlml", setup_predict, run_predict, quality_predict),
        Side("inplace_predict", setup_inplace, run_inplace, quality_predict),
    ),
    prepare=prepare,
    targets=(
        Target(
            "at most 1.2 times inplace_predict on a ready matrix",
            lambda m: m["sqlml"].seconds / m["inplace_predict"].seconds,
            lambda v: v <= 1.2,
        ),
    ),
)


# ---------------------------------------------------------------- more rows than memory


def parquet(task: Task) -> pathlib.Path:
    """Ten numbers and a label per row: a gibibyte and more as numbers."""
    return data.parquet(task.folder, task.rows)


def setup_small(task: Task) -> Any:
    """A connection that may keep half of the data; the table is a Parquet file."""
    import sqlml
    from sqlml.kernels.boosting import library

    library()
    con = sqlml.connect()
    path = str(parquet(task)).replace("'", "''")
    con.duckdb.execute("SET memory_limit = '512MiB'").fetchall()
    con.duckdb.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet('{path}')").fetchall()
    return con


def run_small(con: Any) -> None:
    """One statement, few rounds."""
    con.execute(CREATE.format(rounds=5))


LIMITED = Benchmark(
    title="boosted trees on 1.1 GiB of numbers under memory_limit = 512 MiB, 5 rounds",
    rows=14_000_000,
    sides=lambda rows: (Side("sqlml", setup_small, run_small, lambda con, _: quality_sqlml(con, None)),),
    prepare=lambda task: (parquet(task), None)[1],
    repeat=1,
)
