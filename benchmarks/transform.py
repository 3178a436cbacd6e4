"""Ten preprocessing functions, fitted and applied: TRANSFORM against hand-written SQL and scikit-learn.

Every side learns the statistics from the table, applies them to every row, and keeps the result: the
SQL sides in a table, scikit-learn in its arrays.
"""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks import data
from benchmarks.harness import Benchmark, Median, Side, Target, Task

CREATE = """
CREATE OR REPLACE MODEL prep
TRANSFORM (
  ML.STANDARD_SCALER(x0) OVER() AS a,
  ML.MIN_MAX_SCALER(x1) OVER() AS b,
  ML.MAX_ABS_SCALER(x2) OVER() AS c,
  ML.ROBUST_SCALER(x3) OVER() AS d,
  ML.IMPUTER(x4, 'mean') OVER() AS e,
  ML.BUCKETIZE(x5, [-1.5, -0.5, 0.5, 1.5]) AS f,
  ML.QUANTILE_BUCKETIZE(x6, 5) OVER() AS g,
  ML.ONE_HOT_ENCODER(c8) OVER() AS h,
  ML.LABEL_ENCODER(c1000) OVER() AS i,
  ML.POLYNOMIAL_EXPAND(STRUCT(x7, x8), 2) AS j)
OPTIONS (model_type = 'transform_only') AS
SELECT x0, x1, x2, x3, x4, x5, x6, x7, x8, c8, c1000 FROM t"""
# Only the columns that are transformed: others would pass through, which the other sides do not do.
APPLY = """CREATE OR REPLACE TABLE done AS SELECT * FROM ML.TRANSFORM(MODEL prep,
  (SELECT x0, x1, x2, x3, x4, x5, x6, x7, x8, c8, c1000 FROM t))"""
BY_HAND = """
CREATE OR REPLACE TABLE done AS
WITH s AS (
  SELECT avg(x0) AS m0, stddev_samp(x0) AS s0, min(x1) AS l1, max(x1) AS h1, max(abs(x2)) AS a2,
         quantile_disc(x3, [0.25, 0.5, 0.75]) AS q3, avg(x4) AS m4, quantile_disc(x6, [0.2, 0.4, 0.6, 0.8]) AS q6
  FROM t),
c8s AS (SELECT c8, row_number() OVER (ORDER BY c8) AS code FROM t GROUP BY c8 HAVING count(*) >= 5),
items AS (SELECT c1000, row_number() OVER (ORDER BY c1000) AS code FROM t GROUP BY c1000 HAVING count(*) >= 5)
SELECT (x0 - m0) / s0 AS a, (x1 - l1) / (h1 - l1) AS b, x2 / a2 AS c, (x3 - q3[2]) / (q3[3] - q3[1]) AS d,
       coalesce(x4, m4) AS e,
       CASE WHEN x5 < -1.5 THEN 'bin_1' WHEN x5 < -0.5 THEN 'bin_2' WHEN x5 < 0.5 THEN 'bin_3'
            WHEN x5 < 1.5 THEN 'bin_4' ELSE 'bin_5' END AS f,
       CASE WHEN x6 < q6[1] THEN 'bin_1' WHEN x6 < q6[2] THEN 'bin_2' WHEN x6 < q6[3] THEN 'bin_3'
            WHEN x6 < q6[4] THEN 'bin_4' ELSE 'bin_5' END AS g,
       [{'index': coalesce(c8s.code, 0), 'value': 1.0::DOUBLE}] AS h,
       coalesce(items.code, 0) AS i,
       x7 AS j_x7, x7 * x7 AS j_x7_x7, x7 * x8 AS j_x7_x8, x8 AS j_x8, x8 * x8 AS j_x8_x8
FROM t CROSS JOIN s LEFT JOIN c8s ON t.c8 = c8s.c8 LEFT JOIN items ON t.c1000 = items.c1000"""
CHECK = (
    "SELECT sum(a + b + c + d + e + j_x7_x8) AS numbers, sum(i + h[1].index) AS codes,"
    " sum(CAST(f[5:] AS INTEGER) * CAST(g[5:] AS INTEGER)) AS bins FROM done"
)
NAMES = ("numbers", "codes", "bins")


def path_of(task: Task) -> pathlib.Path:
    """The database with the table."""
    return data.database(task.folder, task.rows)


def prepare(task: Task) -> None:
    """Make the table."""
    path_of(task)


def setup(task: Task) -> Any:
    """A connection in memory with the table read once."""
    import sqlml

    con = sqlml.connect(config={"temp_directory": tempfile.gettempdir()})
    con.duckdb.execute(f"ATTACH '{path_of(task)}' AS source (READ_ONLY)")
    con.duckdb.execute("CREATE VIEW t AS SELECT * FROM source.t")
    con.duckdb.execute("SELECT " + ", ".join(f"sum({x})" for x in data.FEATURES) + ", max(c8), max(c1000) FROM t")
    con.duckdb.fetchall()
    return con


def run_transform(con: Any) -> None:
    """Fit and apply through SQL."""
    con.execute(CREATE)
    con.execute(APPLY)


def run_clause(con: Any) -> None:
    """Fit and apply only: without the statistics for ML.FEATURE_INFO and skew checks that a model keeps."""
    from sqlml.database import Database
    from sqlml.relation import LocalRelation
    from sqlml.schema import quote_name
    from sqlml.transform import plan_transform

    database: Database = con._database
    clause = CREATE[CREATE.index("(") + 1 : CREATE.index("OPTIONS")].rstrip()[:-1]
    columns = database.describe("SELECT * FROM t")
    fitted = plan_transform(clause, 0, columns).fit(LocalRelation(database, "t", columns))
    items = ", ".join(f"{sql} AS {quote_name(name)}" for name, sql in fitted.select_items())
    database.execute(f"CREATE OR REPLACE TABLE done AS SELECT {items} FROM t")


def run_by_hand(con: Any) -> None:
    """One statement for DuckDB."""
    con.duckdb.execute(BY_HAND)


def checked(con: Any, result: Any) -> dict[str, float]:
    """Sums over the result."""
    return dict(zip(NAMES, con.duckdb.execute(CHECK).fetchall()[0], strict=True))


def setup_sklearn(task: Task) -> Any:
    """A connection to fetch from, and the libraries."""
    import pandas
    import sklearn.compose
    import sklearn.preprocessing

    assert pandas and sklearn
    return setup(task)


def run_sklearn(con: Any) -> Any:
    """Fetch into pandas, and a ColumnTransformer of the same steps."""
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import (
        FunctionTransformer,
        KBinsDiscretizer,
        MaxAbsScaler,
        MinMaxScaler,
        OneHotEncoder,
        OrdinalEncoder,
        PolynomialFeatures,
        RobustScaler,
        StandardScaler,
    )

    frame = con.duckdb.execute("SELECT x0, x1, x2, x3, x4, x5, x6, x7, x8, c8, c1000 FROM t").df()
    quantiles = KBinsDiscretizer(
        5, encode="ordinal", strategy="quantile", quantile_method="inverted_cdf", subsample=None
    )
    cut = FunctionTransformer(lambda x: np.digitize(x, [-1.5, -0.5, 0.5, 1.5]))
    steps = [
        ("a", StandardScaler(), ["x0"]),
        ("b", MinMaxScaler(), ["x1"]),
        ("c", MaxAbsScaler(), ["x2"]),
        ("d", RobustScaler(), ["x3"]),
        ("e", SimpleImputer(), ["x4"]),
        ("f", cut, ["x5"]),
        ("g", quantiles, ["x6"]),
        ("h", OneHotEncoder(), ["c8"]),
        ("i", OrdinalEncoder(), ["c1000"]),
        ("j", PolynomialFeatures(2, include_bias=False), ["x7", "x8"]),
    ]
    return ColumnTransformer(steps, sparse_threshold=0).fit_transform(frame)


def rows_of(con: Any, result: Any) -> dict[str, float]:
    """Sums over the arrays, as far as the steps mean the same."""
    # a b c d e | f g | 8 of h | i | x7 x8 x7^2 x7x8 x8^2; RobustScaler interpolates its quantiles
    codes = result[:, 7:15] @ range(1, 9) + result[:, 15] + 1
    return {
        "numbers": float(result[:, :5].sum() + result[:, 19].sum()),
        "codes": float(codes.sum()),
        "bins": float(((result[:, 5] + 1) * (result[:, 6] + 1)).sum()),
    }


def ratio(side: str) -> Callable[[dict[str, Median]], float]:
    """A side's time over that of the hand-written SQL."""
    return lambda medians: medians[side].seconds / medians["by hand"].seconds


def speedup(medians: dict[str, Median]) -> float:
    """scikit-learn's time over TRANSFORM's."""
    return medians["scikit-learn"].seconds / medians["TRANSFORM"].seconds


def difference(medians: dict[str, Median]) -> float:
    """Largest relative difference of the sums of the two SQL sides."""
    ours, theirs = medians["TRANSFORM"].quality, medians["by hand"].quality
    return max(abs(ours[k] - theirs[k]) / max(1.0, abs(theirs[k])) for k in NAMES)


BENCHMARK = Benchmark(
    title="TRANSFORM with ten functions: fit and apply",
    rows=5_000_000,
    sides=lambda rows: (
        Side("TRANSFORM", setup, run_transform, checked),
        Side("clause alone", setup, run_clause, checked),
        Side("by hand", setup, run_by_hand, checked),
        Side("scikit-learn", setup_sklearn, run_sklearn, rows_of),
    ),
    prepare=prepare,
    targets=(
        Target("the clause: at most 1.5 times the hand-written SQL", ratio("clause alone"), lambda v: v <= 1.5),
        Target("the statements: at most 1.5 times the hand-written SQL", ratio("TRANSFORM"), lambda v: v <= 1.5),
        Target("at least 5 times faster than scikit-learn", speedup, lambda v: v >= 5),
        Target("the same values as the hand-written SQL (1e-9 relative)", difference, lambda v: v <= 1e-9),
    ),
    repeat=3,
)
