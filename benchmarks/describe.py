"""ML.DESCRIBE_DATA and ML.VALIDATE_DATA_DRIFT over a table of 20 columns, against pandas."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from benchmarks.harness import Benchmark, Median, Side, Target, Task

LEVELS = (5, 20, 100, 1_000, 100_000)


def query(rows: int) -> str:
    """Seven fractions, five integers, five strings of more and more levels, a truth value, a date, an id."""
    numbers = [f"(hash(i * 64 + {j}) % 1000003) / 10007.0 AS a{j}" for j in range(7)]
    numbers += [f"CAST(hash(i * 64 + {10 + j}) % 1000 AS BIGINT) AS b{j}" for j in range(5)]
    words = [f"'k' || (hash(i * 64 + {20 + j}) % {n}) AS s{j}" for j, n in enumerate(LEVELS)]
    rest = ["hash(i * 64 + 30) % 3 = 0 AS f", "DATE '2020-01-01' + CAST(hash(i * 64 + 31) % 700 AS INTEGER) AS d"]
    items = ", ".join([*numbers, *words, *rest, "'id' || i AS id"])
    return f"SELECT {items} FROM range({rows}) r(i)"


def path_of(task: Task) -> pathlib.Path:
    """A DuckDB file with the table `t`, made on first use."""
    import duckdb

    path = task.folder / f"wide-{task.rows}.duckdb"
    if not path.exists():
        part = task.folder / f"wide-{task.rows}-{os.getpid()}.part"
        with duckdb.connect(str(part)) as connection:
            connection.execute(f"CREATE TABLE t AS {query(task.rows)}")
        part.rename(path)
    return path


def prepare(task: Task) -> None:
    """Make the table."""
    path_of(task)


def setup(task: Task) -> Any:
    """A connection with the table read once."""
    import sqlml

    con = sqlml.connect(str(path_of(task)), read_only=True)
    con.duckdb.execute("SELECT count(COLUMNS(*)) FROM t").fetchall()
    return con


def run_describe(con: Any) -> Any:
    """One statement."""
    return con.execute("SELECT * FROM ML.DESCRIBE_DATA(TABLE t)").fetchall()


def run_drift(con: Any) -> Any:
    """The table in two halves against each other: together they read every row."""
    halves = ("(SELECT * FROM t WHERE b0 < 500)", "(SELECT * FROM t WHERE b0 >= 500)")
    return con.execute(f"SELECT * FROM ML.VALIDATE_DATA_DRIFT({', '.join(halves)})").fetchall()


def setup_pandas(task: Task) -> Any:
    """A connection to fetch from, and pandas."""
    import pandas

    assert pandas
    return setup(task)


def run_pandas(con: Any) -> Any:
    """Fetch and describe, with the most frequent value of each column of categories."""
    frame = con.duckdb.execute("SELECT * FROM t").df()
    return frame.describe(include="all"), [frame[c].value_counts().head(1) for c in frame.columns[12:]]


def seconds_of(side: str) -> Any:
    """The seconds of one side."""

    def measure(medians: dict[str, Median]) -> float:
        return medians[side].seconds

    return measure


BENCHMARK = Benchmark(
    title="Statistics of 20 columns, and the distance of two halves of the table",
    rows=5_000_000,
    sides=lambda rows: (
        Side("ML.DESCRIBE_DATA", setup, run_describe, lambda con, r: {"lines": float(len(r)), "mean a0": r[0][6]}),
        Side("ML.VALIDATE_DATA_DRIFT", setup, run_drift, lambda con, r: {"lines": float(len(r))}),
        Side("pandas", setup_pandas, run_pandas, lambda con, r: {"mean a0": float(r[0].loc["mean", "a0"])}),
    ),
    prepare=prepare,
    targets=(
        Target("ML.DESCRIBE_DATA under 5 s", seconds_of("ML.DESCRIBE_DATA"), lambda v: v < 5),
        Target("ML.VALIDATE_DATA_DRIFT under 5 s", seconds_of("ML.VALIDATE_DATA_DRIFT"), lambda v: v < 5),
    ),
    repeat=3,
)
