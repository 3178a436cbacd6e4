"""AutoML with a small budget against the default boosted trees, on the five tables of the tuning benchmark.

`AUTOML_BUDGET` in the environment is the budget per table in seconds (30 by default; 300 are five minutes).
"""

from __future__ import annotations

import os
from typing import Any

from benchmarks import tuning
from benchmarks.harness import Benchmark, Median, Side, Target

#: Table -> the metric that AutoML optimises there, and its sign: larger is better after multiplication.
GOALS = {
    "wine": ("log_loss", -1.0),
    "breast_cancer": ("roc_auc", 1.0),
    "digits": ("log_loss", -1.0),
    "diabetes": ("mean_squared_error", -1.0),
    "friedman": ("mean_squared_error", -1.0),
}


def budget() -> float:
    """Seconds for each table."""
    return float(os.environ.get("AUTOML_BUDGET", "30"))


def kind_of(name: str) -> str:
    """The end of the model type's name."""
    return "REGRESSOR" if tuning.TABLES[name] else "CLASSIFIER"


def run_automl(con: Any) -> dict[str, float]:
    """One statement per table."""
    for name in tuning.TABLES:
        con.execute(
            f"CREATE OR REPLACE MODEL automl_{name} OPTIONS (model_type = 'AUTOML_{kind_of(name)}',"
            f" input_label_cols = ['y'], budget_hours = {budget() / 3600.0!r}, data_split_col = 'part')"
            f" AS SELECT * REPLACE (IF(part = 'EVAL', 'VALIDATE', part) AS part) FROM {name}_0"
        )
    return {name: tested(con, f"automl_{name}", name) for name in tuning.TABLES}


def run_trees(con: Any) -> dict[str, float]:
    """The default options, over the same rows."""
    for name in tuning.TABLES:
        con.execute(
            f"CREATE OR REPLACE MODEL trees_{name} OPTIONS (model_type = 'BOOSTED_TREE_{kind_of(name)}',"
            " input_label_cols = ['y'], data_split_method = 'CUSTOM', data_split_col = 'held')"
            f" AS SELECT * EXCEPT (part), part = 'EVAL' AS held FROM {name}_0 WHERE part <> 'TEST'"
        )
    return {name: tested(con, f"trees_{name}", name) for name in tuning.TABLES}


def tested(con: Any, model: str, name: str) -> float:
    """The metric over the test rows."""
    sql = f"SELECT {GOALS[name][0]} FROM ML.EVALUATE(MODEL {model}, (SELECT * FROM {name}_0 WHERE part = 'TEST'))"
    return float(con.execute(sql).fetchone()[0])


def beaten(medians: dict[str, Median]) -> float:
    """Tables on which AutoML is better."""
    ours, trees = medians["automl"].quality, medians["default trees"].quality
    return float(sum(sign * (ours[name] - trees[name]) > 0 for name, (_, sign) in GOALS.items()))


BENCHMARK = Benchmark(
    title="AutoML against default boosted trees: log loss, area under the curve or squared error of the test rows",
    rows=10_000,
    sides=lambda rows: (
        Side("automl", tuning.setup, run_automl, lambda con, result: result),
        Side("default trees", tuning.setup, run_trees, lambda con, result: result),
    ),
    prepare=tuning.prepare,
    targets=(Target("better on at least four of the five tables", beaten, lambda v: v >= 4),),
    repeat=1,
)
