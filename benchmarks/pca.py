"""Five principal components, against DuckDB -> scikit-learn: of ten numbers and two categories, and of the numbers.

With categories scikit-learn gets a sparse matrix and its faster solver for that; it centres one-hot columns, the
service and sqlml do not, so that only the numbers' eigenvalues are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import data
from benchmarks.harness import Benchmark, Median, Side, Target, Task

NUMBERS = ", ".join(data.FEATURES)
MIXED = ", ".join([*data.FEATURES, *data.CATEGORIES])
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
    import scipy.sparse  # noqa: F401
    import sklearn.decomposition
    import sklearn.preprocessing  # noqa: F401

    return duckdb.connect(str(data.database(task.folder, task.rows)), read_only=True)


def run_sklearn(columns: str) -> Callable[[Any], Any]:
    """Fetch, scale, encode, decompose."""

    def run(con: Any) -> Any:
        from scipy import sparse
        from sklearn.decomposition import PCA
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        frame = con.execute(f"SELECT {columns} FROM t").df()
        X = StandardScaler(copy=False).fit_transform(frame[list(data.FEATURES)].to_numpy())
        if columns == NUMBERS:
            return PCA(COMPONENTS, svd_solver="covariance_eigh").fit(X)
        levels = OneHotEncoder().fit_transform(frame[list(data.CATEGORIES)])
        X = sparse.hstack([sparse.csr_array(X), levels], format="csr")
        return PCA(COMPONENTS, svd_solver="arpack").fit(X)

    return run


def quality_sklearn(con: Any, model: Any) -> dict[str, float]:
    """The largest and the smallest eigenvalue that was kept."""
    return {"first_eigenvalue": model.explained_variance_[0], "last_eigenvalue": model.explained_variance_[-1]}


def speedup(ours: str, theirs: str) -> Callable[[dict[str, Median]], float]:
    """How many times faster sqlml is."""
    return lambda medians: medians[theirs].seconds / medians[ours].seconds


def memory_share(medians: dict[str, Median]) -> float:
    """sqlml's peak memory as a share of the other's."""
    return medians["sqlml"].peak_mb / medians["scikit-learn"].peak_mb


def difference(medians: dict[str, Median]) -> float:
    """Relative difference of the first eigenvalues; scikit-learn's deviations have divisor n, ours n - 1."""
    ours, theirs = (medians[f"{side}, numbers"] for side in ("sqlml", "scikit-learn"))
    expected = theirs.quality["first_eigenvalue"] * (theirs.rows - 1) / theirs.rows
    return abs(ours.quality["first_eigenvalue"] / expected - 1)


BENCHMARK = Benchmark(
    title="PCA: five components of 10 numeric columns and categories of 8 and 1,000 levels; of the numbers alone",
    rows=3_000_000,
    sides=lambda rows: (
        Side("sqlml", setup_sqlml, run_sqlml(MIXED), quality_sqlml),
        Side("scikit-learn", setup_sklearn, run_sklearn(MIXED), quality_sklearn),
        Side("sqlml, numbers", setup_sqlml, run_sqlml(NUMBERS), quality_sqlml),
        Side("scikit-learn, numbers", setup_sklearn, run_sklearn(NUMBERS), quality_sklearn),
    ),
    prepare=prepare,
    targets=(
        Target("at least 5 times faster", speedup("sqlml", "scikit-learn"), lambda v: v >= 5),
        Target("at most half the peak memory", memory_share, lambda v: v <= 0.5),
        Target(
            "numbers: at least 5 times faster", speedup("sqlml, numbers", "scikit-learn, numbers"), lambda v: v >= 5
        ),
        Target("numbers: equal eigenvalues (1e-9 relative)", difference, lambda v: v <= 1e-9),
    ),
)
