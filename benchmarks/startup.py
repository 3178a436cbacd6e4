"""What a user waits for on small work: the import, planning a long statement, and the penguins."""

from __future__ import annotations

import pathlib
from typing import Any

from benchmarks.harness import Benchmark, Median, Side, Target, Task

COLUMNS = ",\n".join(f"  IF(culmen_length_mm > {i}, culmen_depth_mm * {i}.5, NULL) AS f{i}" for i in range(40))
LONG = f"""
EXPLAIN CREATE OR REPLACE MODEL long_statement
OPTIONS (
  model_type = 'linear_reg',
  input_label_cols = ['body_mass_g']
) AS
SELECT
{COLUMNS},
  body_mass_g
FROM penguins
WHERE body_mass_g IS NOT NULL
"""
PENGUINS = (
    "CREATE MODEL m OPTIONS (model_type = 'linear_reg', input_label_cols = ['body_mass_g']) AS "
    "SELECT * FROM penguins WHERE body_mass_g IS NOT NULL",
    "SELECT * FROM ML.EVALUATE(MODEL m)",
    "SELECT * FROM ML.PREDICT(MODEL m, (SELECT * FROM penguins WHERE island = 'Biscoe'))",
)


def run_import(state: None) -> None:
    """The import alone."""
    import sqlml  # noqa: F401


def connect(task: Task) -> Any:
    """A connection that has the penguins."""
    import sqlml

    con = sqlml.connect()
    path = str(pathlib.Path(sqlml.__file__).parent / "data" / "penguins.csv").replace("'", "''")
    con.duckdb.execute(f"CREATE TABLE penguins AS SELECT * FROM read_csv('{path}')").fetchall()
    return con


def connect_warm(task: Task) -> Any:
    """The same, after a first statement has built the grammar's tables and imported the model type."""
    con = connect(task)
    con.execute("EXPLAIN " + PENGUINS[0]).fetchall()
    return con


def run_plan(con: Any) -> None:
    """Parse and plan, through EXPLAIN."""
    con.execute(LONG).fetchall()


def run_penguins(con: Any) -> int:
    """CREATE, EVALUATE and PREDICT, results fetched."""
    con.execute(PENGUINS[0])
    con.execute(PENGUINS[1]).fetchall()
    return len(con.execute(PENGUINS[2]).fetchall())


def seconds_of(side: str) -> Any:
    """The seconds of one side."""

    def measure(medians: dict[str, Median]) -> float:
        return medians[side].seconds

    return measure


BENCHMARK = Benchmark(
    title="small work: import, plan of a 50-line statement, penguins from CREATE to PREDICT",
    rows=344,
    sides=lambda rows: (
        Side("import sqlml", lambda task: None, run_import),
        Side("parse and plan", connect_warm, run_plan),
        Side("penguins", connect, run_penguins, lambda con, count: {"predicted_rows": count}),
    ),
    targets=(
        Target("import under 0.3 s", seconds_of("import sqlml"), lambda v: v < 0.3),
        Target("parse and plan of 50 lines under 0.02 s", seconds_of("parse and plan"), lambda v: v < 0.02),
        Target("CREATE, EVALUATE, PREDICT under 0.5 s", seconds_of("penguins"), lambda v: v < 0.5),
    ),
    repeat=5,
)
