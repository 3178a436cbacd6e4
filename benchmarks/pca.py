"""Five principal components of ten numbers, and of ten numbers and a category, against DuckDB -> scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import data
from benchmarks.harness import Benchmark, Median, Side, Target, Task

NUMBERS = ", ".join(data.FEATURES)
MIXED = f"{NUMBERS}, c8"
COMPONENTS = 5


def prepare(task: Task) -> None:
    """The database file."""
    data.database(task.folder, task.rows)


def setup_sqlml(task: Task) -> Any:
    """A connection to the file."""
    import sqlml

    return sqlml.connect(str(data.database(task.folder, task.rows)))


def run_sqlml(columns: str) -> Callable[[Any], None]:
    """One statement."""

    def run(con: Any) -> None:
        con.execute(f"""
        CREATE OR REPLACE MODEL components OPTIONS (model_type = 'pca', num_principal_components = {COMPONENTS}) AS
        SELECT {columns} FROM t""")

    return run


def quality_sqlml(con: Any, result: None) -> dict[str, float]:
    """The largest and the smallest eigenvalue."""
    sql = "SELECT MAX(eigenvalue), MIN(eigenvalue) FROM ML.PRINCIPAL_COMPONENT_INFO(MODEL components)"
    first, last = con.execute(sql).fetchone()
    return {"first_eigenvalue": first, "last_eigenvalue": last}


def setup_sklearn(task: Task) -> Any:
    """The imports and a connection to the file."""
    import duckdb
    import pandas  # noqa: F401
    import sklearn.decomposition
    import sklearn.preprocessing  # noqa: F401

    return duckdb.connect(str(data.database(task.folder, task.rows)), read_only=True)


def run_sklearn(columns: str) -> Callable[[Any], Any]:
    """Fetch, scale, encode, decompose."""

    def run(con: Any) -> Any:
        import numpy as np
        from sklearn.decomposition import PCA
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        frame = con.execute(f"SELECT {columns} FROM t").df()
        X = StandardScaler(copy=False).fit_transform(frame[list(data.FEATURES)].to_numpy())
        if "c8" in frame:
            X = np.hstack([X, OneHotEncoder(sparse_output=False).fit_transform(frame[["c8"]])])
        return PCA(COMPONENTS, svd_solver="covariance_eigh").fit(X)

    return run


def quality_sklearn(con: Any, model: Any) -> dict[str, float]:
    """The largest and the smallest eigenvalue that was kept."""
    return {"first_eigenvalue": model.explained_variance_[0], "last_eigenvalue": model.explained_variance_[-1]}


def speedup(ours: str, theirs: str) -> Callable[[dict[str, Median]], float]:
    """How many times faster sqlml is."""
    return lambda medians: medians[theirs].seconds / medians[ours].seconds


def memory_share(medians: dict[str, Median]) -> float:
    """sqlml's peak memory as a share of the other's."""
    return medians["sqlml, numbers"].peak_mb / medians["scikit-learn, numbers"].peak_mb


def difference(medians: dict[str, Median]) -> float:
    """Relative difference of the first eigenvalues; scikit-learn's deviations have divisor n, ours n - 1."""
    ours, theirs = (medians[f"{side}, numbers"] for side in ("sqlml", "scikit-learn"))
    expected = theirs.quality["first_eigenvalue"] * (theirs.rows - 1) / theirs.rows
    return abs(ours.quality["first_eigenvalue"] / expected - 1)


BENCHMARK = Benchmark(
    title="PCA: five components of 10 numeric columns, and of these and a category of 8 levels",
    rows=3_000_000,
    sides=lambda rows: (
        Side("sqlml, numbers", setup_sqlml, run_sqlml(NUMBERS), quality_sqlml),
        Side("scikit-learn, numbers", setup_sklearn, run_sklearn(NUMBERS), quality_sklearn),
        Side("sqlml, mixed", setup_sqlml, run_sqlml(MIXED), quality_sqlml),
        Side("scikit-learn, mixed", setup_sklearn, run_sklearn(MIXED), quality_sklearn),
    ),
    prepare=prepare,
    targets=(
        Target(
            "numbers: at least 5 times faster", speedup("sqlml, numbers", "scikit-learn, numbers"), lambda v: v >= 5
        ),
        Target("mixed: at least 5 times faster", speedup("sqlml, mixed", "scikit-learn, mixed"), lambda v: v >= 5),
        Target("numbers: at most a quarter of the peak memory", memory_share, lambda v: v <= 0.25),
        Target("numbers: equal eigenvalues (1e-9 relative)", difference, lambda v: v <= 1e-9),
    ),
)
