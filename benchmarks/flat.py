"""Time per row and peak memory of a linear fit must not depend on the number of rows.

The rows lie in a Parquet file and DuckDB's own cache of file contents is off, because a cache
grows with whatever it may hold and would hide what training itself needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks import data, linear
from benchmarks.harness import Benchmark, Median, Side, Target, Task
from benchmarks.linear import CREATE

SHARES = (30, 10, 3, 1)


def prepare(task: Task) -> None:
    """The Parquet file."""
    data.parquet(task.folder, task.rows)


def setup(task: Task) -> Any:
    """A connection whose table `t` is the Parquet file."""
    import sqlml

    con = sqlml.connect()
    path = str(data.parquet(task.folder, task.rows)).replace("'", "''")
    con.duckdb.execute("SET enable_external_file_cache = false").fetchall()
    con.duckdb.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet('{path}')").fetchall()
    return con


def run(con: Any) -> None:
    """One statement."""
    con.execute(CREATE)


def sides(rows: int) -> Sequence[Side]:
    """The whole row count and three smaller ones."""
    return [Side(f"{rows // share:,} rows", setup, run, linear.quality_sqlml, rows // share) for share in SHARES]


def per_row(medians: dict[str, Median]) -> float:
    """Largest time per row over the smallest, less one."""
    times = [median.seconds / median.rows for median in medians.values()]
    return max(times) / min(times) - 1


def memory(medians: dict[str, Median]) -> float:
    """Largest peak over the smallest, less one."""
    peaks = [median.peak_mb for median in medians.values()]
    return max(peaks) / min(peaks) - 1


BENCHMARK = Benchmark(
    title="linear regression: time per row and peak memory by number of rows",
    rows=30_000_000,
    sides=sides,
    prepare=prepare,
    targets=(
        Target("time per row flat within 15%", per_row, lambda v: v <= 0.15),
        Target("peak memory flat within 15%", memory, lambda v: v <= 0.15),
    ),
)
