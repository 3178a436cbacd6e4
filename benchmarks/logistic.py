"""Logistic regression on ten numeric and two categorical columns, against DuckDB -> scikit-learn."""

from __future__ import annotations

from typing import Any

from benchmarks import data, linear
from benchmarks.harness import Benchmark, Side, Target

COLUMNS = ", ".join([*data.FEATURES, *data.CATEGORIES, "yb"])
CREATE = f"""
CREATE OR REPLACE MODEL choice
OPTIONS (model_type = 'logistic_reg', input_label_cols = ['yb'], data_split_method = 'NO_SPLIT') AS
SELECT {COLUMNS} FROM t"""
LOSS = """
SELECT AVG(-LN((SELECT p.prob FROM UNNEST(predicted_yb_probs) AS p WHERE p.label = yb)))
FROM ML.PREDICT(MODEL choice, TABLE t)"""


def run_sqlml(con: Any) -> None:
    """One statement."""
    con.execute(CREATE)


def quality_sqlml(con: Any, result: None) -> dict[str, float]:
    """Mean log loss over the training rows."""
    return {"log_loss": con.execute(LOSS).fetchone()[0]}


def run_sklearn(con: Any) -> Any:
    """Fetch, encode, solve without a penalty.

    Of scikit-learn's solvers newton-cg is the fastest that reaches the optimum of this design: lbfgs needs
    hundreds of passes, newton-cholesky a factorisation of 1,018 columns. At its default tolerance (1e-4) the
    loss stays 8e-6 (relative) above the optimum.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    frame = con.execute(f"SELECT {COLUMNS} FROM t").df()
    y = (frame.pop("yb") == "yes").to_numpy().astype(np.int64)
    X = linear.design(frame)
    return LogisticRegression(C=np.inf, solver="newton-cg", tol=1e-5).fit(X, y), X, y


def quality_sklearn(con: Any, result: Any) -> dict[str, float]:
    """Mean log loss over the training rows."""
    import numpy as np

    model, X, y = result
    eta = model.decision_function(X)
    return {"log_loss": float(np.mean(np.logaddexp(0.0, eta) - y * eta))}


BENCHMARK = Benchmark(
    title="logistic regression: 10 numeric columns, categories of 8 and 1,000 levels",
    rows=10_000_000,
    sides=lambda rows: (
        Side("sqlml", linear.setup_sqlml, run_sqlml, quality_sqlml),
        Side("scikit-learn", linear.setup_sklearn, run_sklearn, quality_sklearn),
    ),
    prepare=linear.prepare,
    targets=(
        Target("at least 3 times faster", linear.speedup, lambda v: v >= 3),
        Target("loss no worse (1e-6 relative)", linear.worse_by("log_loss"), lambda v: v <= 1e-6),
    ),
)
