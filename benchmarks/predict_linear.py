"""ML.PREDICT of a linear model against the expression that one would write by hand."""

from __future__ import annotations

import pathlib
from typing import Any

from benchmarks import data
from benchmarks.harness import Benchmark, Median, Side, Target, Task

CREATE = f"""
CREATE OR REPLACE MODEL small
OPTIONS (model_type = 'linear_reg', input_label_cols = ['y'], data_split_method = 'NO_SPLIT') AS
SELECT {", ".join(data.FEATURES)}, c8, y FROM t"""
PREDICT = "SELECT SUM(predicted_y) FROM ML.PREDICT(MODEL small, TABLE t)"


def path_of(task: Task) -> pathlib.Path:
    """The database that also holds the trained model."""
    return task.folder / f"predict-{task.rows}.duckdb"


def prepare(task: Task) -> None:
    """Copy the table and train the model."""
    import shutil

    import sqlml

    if not path_of(task).exists():
        shutil.copy(data.database(task.folder, task.rows), path_of(task))
    with sqlml.connect(str(path_of(task))) as con:
        con.execute(CREATE)


def setup(task: Task) -> Any:
    """A connection, with the table read once so that both sides find it warm."""
    import sqlml

    con = sqlml.connect(str(path_of(task)), read_only=True)
    con.execute(f"SELECT {', '.join(f'SUM({name})' for name in data.FEATURES)}, COUNT(c8) FROM t").fetchall()
    return con


def run_predict(con: Any) -> float:
    """Through the model."""
    return float(con.execute(PREDICT).fetchone()[0])


def setup_by_hand(task: Task) -> Any:
    """Write the expression down from the model's weights, as DOUBLE (DuckDB reads bare numbers as DECIMAL: slower)."""
    con = setup(task)
    weights = con.execute("SELECT processed_input, weight, category_weights FROM ML.WEIGHTS(MODEL small)").fetchall()
    terms = []
    for name, weight, categories in weights:
        if name == "__INTERCEPT__":
            terms.append(f"{weight!r}::DOUBLE")
        elif categories:
            cases = " ".join(f"WHEN '{c['category']}' THEN {c['weight']!r}::DOUBLE" for c in categories)
            terms.append(f"CASE {name} {cases} ELSE 0.0::DOUBLE END")
        else:
            terms.append(f"({weight!r})::DOUBLE * {name}")
    return con, f"SELECT SUM({' + '.join(terms)}) FROM t"


def run_by_hand(state: Any) -> float:
    """Straight through DuckDB."""
    con, sql = state
    return float(con.duckdb.execute(sql).fetchall()[0][0])


def ratio(medians: dict[str, Median]) -> float:
    """ML.PREDICT's time over the expression's."""
    return medians["ML.PREDICT"].seconds / medians["by hand"].seconds


def difference(medians: dict[str, Median]) -> float:
    """Relative difference of the two sums of predictions."""
    ours, theirs = medians["ML.PREDICT"].quality["sum"], medians["by hand"].quality["sum"]
    return abs(ours - theirs) / abs(theirs)


BENCHMARK = Benchmark(
    title="ML.PREDICT of a linear model against the hand-written expression",
    rows=10_000_000,
    sides=lambda rows: (
        Side("ML.PREDICT", setup, run_predict, lambda state, result: {"sum": result}),
        Side("by hand", setup_by_hand, run_by_hand, lambda state, result: {"sum": result}),
    ),
    prepare=prepare,
    targets=(
        Target("within 1.3 times of the expression", ratio, lambda v: v <= 1.3),
        Target("the same predictions (1e-9 relative)", difference, lambda v: v <= 1e-9),
    ),
    repeat=5,
)
