"""Contribution analysis of 5 million rows and 6 dimensions."""

from __future__ import annotations

import pathlib
from typing import Any

from benchmarks.harness import Benchmark, Median, Side, Target, Task

DIMENSIONS = ("store", "city", "vendor", "cat", "open", "sku")
CREATE = f"""
CREATE OR REPLACE MODEL ca OPTIONS (model_type = 'contribution_analysis', contribution_metric = 'SUM(m)',
  is_test_col = 'test', dimension_id_cols = {list(DIMENSIONS)}) AS SELECT * FROM sales"""


def path_of(task: Task) -> pathlib.Path:
    """The database with the table `sales`."""
    return task.folder / f"sales-{task.rows}.duckdb"


def prepare(task: Task) -> None:
    """50, 20, 10, 30, 2 and 1,000 values; nearly every row is a combination of its own."""
    import duckdb

    if path_of(task).exists():
        return
    with duckdb.connect(str(path_of(task))) as connection:
        connection.execute(
            "CREATE TABLE sales AS SELECT 'store ' || (hash(i) % 50) AS store, 'city ' || (hash(i, 1) % 20) AS city,"
            " (hash(i, 2) % 10)::BIGINT AS vendor, 'cat ' || (hash(i, 3) % 30) AS cat, hash(i, 4) % 2 = 0 AS open,"
            " 'sku ' || floor(sqrt(hash(i, 5) % 1000000)) AS sku, (hash(i, 6) % 100)::BIGINT AS m,"
            f" hash(i, 8) % 2 = 0 AS test FROM range({task.rows}) AS r(i)"
        )


def setup(task: Task) -> Any:
    """A connection."""
    import sqlml

    return sqlml.connect(str(path_of(task)))


def run(con: Any) -> Any:
    """Train and read the insights."""
    con.execute(CREATE)
    return con.execute("SELECT * FROM ML.GET_INSIGHTS(MODEL ca)").fetchall()


def seconds(medians: dict[str, Median]) -> float:
    """Time of the whole."""
    return medians["sqlml"].seconds


BENCHMARK = Benchmark(
    title="contribution analysis over 6 dimensions",
    rows=5_000_000,
    sides=lambda rows: (Side("sqlml", setup, run, lambda con, result: {"insights": float(len(result))}),),
    prepare=prepare,
    targets=(Target("under 20 s", seconds, lambda v: v < 20.0),),
)
