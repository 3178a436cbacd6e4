"""PCA through SQL: against scikit-learn and numpy on the same matrix, by every road, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import sqlml
from sqlml.models import pca

SIZE = 500


def rows(con, sql):
    cursor = con.cursor()
    cursor.execute(sql)
    return cursor.fetchall() if cursor.description else []


@pytest.fixture
def con():
    connection = sqlml.connect()
    connection.duckdb.execute(
        f"""CREATE TABLE t AS SELECT i AS id, 1e6 + (hash(i) % 1000) AS a,
            CASE WHEN i % 11 = 0 THEN NULL ELSE (hash(i) % 1000) / 10.0 + (hash(i + 500) % 100) / 50.0 END AS b,
            (hash(i + 9000) % 77)::INTEGER AS c,
            CASE hash(i + 99) % 4 WHEN 0 THEN 'Oslo' WHEN 1 THEN 'Rome' WHEN 2 THEN 'Bern' END AS city,
            hash(i + 5) % 3 = 0 AS ok
        FROM range({SIZE}) AS r(i)"""
    )
    yield connection
    connection.close()


def matrix(con, scale=True):
    """The rows in the order of id: a, b, c, then the levels of city (NULL first) and ok."""
    found = con.duckdb.execute("SELECT a, b, c FROM t ORDER BY id").fetchnumpy()
    parts = []
    for name in "abc":
        x = np.ma.filled(found[name].astype(float), np.nan)
        x = (x - np.nanmean(x)) / (np.nanstd(x, ddof=1) if scale else 1.0)
        parts.append(np.nan_to_num(x))
    city, ok = zip(*con.duckdb.execute("SELECT city, ok FROM t ORDER BY id").fetchall(), strict=True)
    parts += [np.array([c == level for c in city], float) for level in (None, "Bern", "Oslo", "Rome")]
    parts += [np.array([o is level for o in ok], float) for level in (False, True)]
    return np.column_stack(parts)


def create(con, select="a, b, c, city, ok", source="t", **options):
    written = ["model_type='pca'", *(f"{k}={v}" for k, v in options.items())]
    rows(con, f"CREATE OR REPLACE MODEL m OPTIONS({', '.join(written)}) AS SELECT {select} FROM {source}")


def projected(con, k, source="t"):
    names = ", ".join(f"principal_component_{i + 1}" for i in range(k))
    return np.array(rows(con, f"SELECT {names} FROM ML.PREDICT(MODEL m, TABLE {source}) ORDER BY id"))


def loadings(con):
    """(k, width) in the order of `matrix`."""
    found = rows(con, "SELECT * FROM ML.PRINCIPAL_COMPONENTS(MODEL m)")
    k = len({r[0] for r in found})
    out = [[] for _ in range(k)]
    for i, _, number, many in found:
        if number is not None:
            out[i].append(number)
        else:
            out[i] += [c["value"] for c in sorted(many, key=lambda c: (c["category"] != "_null_filler", c["category"]))]
    return np.array(out)


# ---------------------------------------------------------------- the numbers


@pytest.mark.parametrize("scale", [True, False])
def test_equals_the_eigenvectors(con, scale):
    X = matrix(con, scale)
    values, vectors = np.linalg.eigh(X.T @ X / (SIZE - 1))
    values, vectors = values[::-1], vectors[:, ::-1].T
    create(con, num_principal_components=4, scale_features=str(scale))
    info = np.array(rows(con, "SELECT * FROM ML.PRINCIPAL_COMPONENT_INFO(MODEL m)"))
    np.testing.assert_array_equal(info[:, 0], [0, 1, 2, 3])
    np.testing.assert_allclose(info[:, 1], values[:4], rtol=1e-9)
    np.testing.assert_allclose(info[:, 2], values[:4] / values.sum(), rtol=1e-9)
    np.testing.assert_allclose(info[:, 3], np.cumsum(values[:4]) / values.sum(), rtol=1e-9)
    assert rows(con, "SELECT * FROM ML.EVALUATE(MODEL m)")[0][0] == pytest.approx(info[3, 3])
    ours = loadings(con)
    sign = np.sign(ours[np.arange(4), np.abs(ours).argmax(axis=1)])
    np.testing.assert_array_equal(sign, 1.0)
    aligned = vectors[:4] * np.sign(np.einsum("ij,ij->i", vectors[:4], ours))[:, None]
    np.testing.assert_allclose(ours, aligned, atol=1e-7)
    np.testing.assert_allclose(projected(con, 4), X @ aligned.T, atol=1e-5)


def test_numbers_alone_equal_scikit_learn(con):
    from sklearn.decomposition import PCA

    X = matrix(con)[:, :3]
    theirs = PCA(2, svd_solver="full").fit(X)
    create(con, select="a, b, c", num_principal_components=2)
    info = np.array(rows(con, "SELECT eigenvalue, explained_variance_ratio FROM ML.PRINCIPAL_COMPONENT_INFO(MODEL m)"))
    np.testing.assert_allclose(info[:, 0], theirs.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(info[:, 1], theirs.explained_variance_ratio_, rtol=1e-10)
    np.testing.assert_allclose(np.abs(projected(con, 2)), np.abs(theirs.transform(X)), atol=1e-8)


def test_all_roads_give_the_same_components(con, monkeypatch):
    create(con, num_principal_components=3)
    first, shown = loadings(con), projected(con, 3)
    odd = rows(
        con,
        "SELECT mean_squared_error FROM ML.DETECT_ANOMALIES(MODEL m, STRUCT(0.1 AS contamination), TABLE t) ORDER BY id",
    )
    monkeypatch.setattr(pca, "SQL_ROWS", 0)
    for columns in (4, 0):  # by SQL sums, by batches with SQL groups
        monkeypatch.setattr(pca, "FEW_COLUMNS", columns)
        create(con, num_principal_components=3)
        np.testing.assert_allclose(loadings(con), first, atol=1e-8)
    create(con, num_principal_components=3, pca_solver="'RANDOMIZED'")
    np.testing.assert_allclose(loadings(con), first, atol=1e-4)
    monkeypatch.setattr(pca, "SQL_PRODUCTS", 0)
    create(con, num_principal_components=3, pca_solver="'FULL'")
    np.testing.assert_allclose(projected(con, 3), shown, atol=1e-7)
    again = rows(
        con,
        "SELECT mean_squared_error FROM ML.DETECT_ANOMALIES(MODEL m, STRUCT(0.1 AS contamination), TABLE t) ORDER BY id",
    )
    np.testing.assert_allclose(again, odd, atol=1e-9)


def test_a_pass_over_batches_keeps_rows_for_the_errors(con, monkeypatch):
    cuts = []
    for rows_ in (pca.SQL_ROWS, 0):
        monkeypatch.setattr(pca, "SQL_ROWS", rows_)
        monkeypatch.setattr(pca, "FEW_COLUMNS", 0)
        create(con, select="a, b, c", num_principal_components=2)
        found = rows(con, "SELECT is_anomaly FROM ML.DETECT_ANOMALIES(MODEL m, STRUCT(0.2 AS contamination), TABLE t)")
        cuts.append(sum(r[0] for r in found))
    assert cuts == [100, 100]


def test_anomalies_have_the_largest_errors(con):
    X = matrix(con)
    create(con, num_principal_components=3)
    V = loadings(con)
    error = ((X - X @ V.T @ V) ** 2).sum(axis=1) / 5
    cursor = con.cursor()
    cursor.execute("SELECT * FROM ML.DETECT_ANOMALIES(MODEL m, STRUCT(0.1 AS contamination), TABLE t) ORDER BY id")
    assert [d[0] for d in cursor.description] == [
        *("is_anomaly", "mean_squared_error", "id", "a", "b", "c", "city", "ok")
    ]
    found = cursor.fetchall()
    np.testing.assert_allclose([r[1] for r in found], error, atol=1e-9)
    assert [r[0] for r in found] == (error > np.quantile(error, 0.9)).tolist()


def test_enough_components_for_a_ratio(con):
    values = np.linalg.eigvalsh(matrix(con).T @ matrix(con))[::-1]
    share = np.cumsum(values) / values.sum()
    for solver in ("FULL", "RANDOMIZED", "AUTO"):
        for ratio in (0.3, 0.8, 0.97):
            create(con, pca_explained_variance_ratio=ratio, pca_solver=f"'{solver}'")
            k = rows(con, "SELECT COUNT(*) FROM ML.PRINCIPAL_COMPONENT_INFO(MODEL m)")[0][0]
            assert k == np.argmax(share >= ratio) + 1


def test_embeddings_are_the_components(con):
    create(con, num_principal_components=3)
    shown = projected(con, 3)
    for name, column in (
        ("ML.GENERATE_EMBEDDING", "ml_generate_embedding_result"),
        ("AI.GENERATE_EMBEDDING", "embedding"),
    ):
        found = rows(con, f"SELECT {column}, id, city FROM {name}(MODEL m, TABLE t) ORDER BY id")
        np.testing.assert_allclose([r[0] for r in found], shown)
    with pytest.raises(sqlml.Error, match="input data"):
        rows(con, "SELECT * FROM ML.GENERATE_EMBEDDING(MODEL m)")


def test_wide_categories_stay_sparse(con):
    """3,000 levels: the iterated solver over the Gram blocks against scipy's on the sparse matrix."""
    import scipy.sparse as sp
    from scipy.sparse.linalg import svds

    con.duckdb.execute(
        "CREATE TABLE wide AS SELECT i AS id, (hash(i) % 1000) / 100.0 AS x, 'k' || floor(3000 * pow((hash(i + 1) % 10007) / 10007.0, 3)) AS k"
        " FROM range(20000) AS r(i)"
    )
    create(con, select="x, k", source="wide", num_principal_components=3)
    found = con.duckdb.execute("SELECT x, k FROM wide ORDER BY id").fetchnumpy()
    x = (found["x"] - found["x"].mean()) / found["x"].std(ddof=1)
    levels, codes = np.unique(found["k"].astype(str), return_inverse=True)
    assert len(levels) > pca.FULL_COLUMNS
    X = sp.hstack([sp.csr_matrix(x[:, None]), sp.csr_matrix((np.ones(20000), (np.arange(20000), codes)))]).tocsr()
    s = np.sort(svds(X, k=3, return_singular_vectors=False, tol=1e-12))[::-1]
    info = rows(con, "SELECT eigenvalue, explained_variance_ratio FROM ML.PRINCIPAL_COMPONENT_INFO(MODEL m)")
    np.testing.assert_allclose([r[0] for r in info], s**2 / 19999, rtol=1e-7)
    total = 1.0 + 20000 / 19999
    np.testing.assert_allclose([r[1] for r in info], s**2 / 19999 / total, rtol=1e-7)
    assert np.isfinite(projected(con, 3, "wide")).all()
    with pytest.raises(sqlml.Error, match="PCA_SOLVER 'FULL' must have at most 1500 encoded columns"):
        create(con, select="x, k", source="wide", num_principal_components=3, pca_solver="'FULL'")


# ---------------------------------------------------------------- columns


def test_prediction_columns(con):
    create(con, select="a, b, c", num_principal_components=2)
    cursor = con.cursor()
    shown = ["principal_component_1", "principal_component_2"]
    cursor.execute("SELECT * FROM ML.PREDICT(MODEL m, (SELECT a, b, c FROM t))")
    assert [d[0] for d in cursor.description] == shown
    cursor.execute("SELECT * FROM ML.PREDICT(MODEL m, (SELECT id, a, b, c FROM t))")
    assert [d[0] for d in cursor.description] == [*shown, "id"]
    cursor.execute("SELECT * FROM ML.PREDICT(MODEL m, TABLE t, STRUCT(TRUE AS keep_original_columns))")
    assert [d[0] for d in cursor.description] == [*shown, "id", "a", "b", "c", "city", "ok"]


def test_transform(con):
    rows(
        con,
        "CREATE OR REPLACE MODEL m TRANSFORM(a / 1000 AS big, ML.STANDARD_SCALER(c) OVER () AS z)"
        " OPTIONS(model_type='pca', num_principal_components=1) AS SELECT a, c FROM t",
    )
    cursor = con.cursor()
    cursor.execute("SELECT * FROM ML.PREDICT(MODEL m, (SELECT id, a, c FROM t))")
    assert [d[0] for d in cursor.description] == ["principal_component_1", "id"]
    assert {r[0] for r in rows(con, "SELECT feature FROM ML.PRINCIPAL_COMPONENTS(MODEL m)")} == {"big", "z"}


def test_unseen_and_missing_values(con):
    create(con, num_principal_components=2)
    sql = "SELECT principal_component_1 FROM ML.PREDICT(MODEL m, (SELECT NULL AS a, NULL AS b, NULL AS c, {} AS city, NULL AS ok))"
    assert rows(con, sql.format("'Paris'"))[0][0] == pytest.approx(0.0, abs=1e-9)
    assert rows(con, sql.format("NULL"))[0][0] == pytest.approx(loadings(con)[0, 3])


# ---------------------------------------------------------------- what is odd or refused


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("SELECT 1.0 AS x, 2.0 AS y", {"num_principal_components": 2}, "NUM_PRINCIPAL_COMPONENTS must not be larger"),
        ("SELECT 1.0 AS x, 2.0 AS y", {"num_principal_components": 1}, "the features must vary"),
        ("SELECT 5.0 AS x, 'a' AS y, NULL::DOUBLE AS z FROM range(9)", {"num_principal_components": 1}, "must have a value"),
        ("SELECT 5.0 AS x FROM range(9)", {"pca_explained_variance_ratio": 0.9}, "the features must vary"),
        ("SELECT i AS x FROM range(9) AS r(i)", {"num_principal_components": 2}, "Got 2, for 9 and 1"),
        ("SELECT i AS x FROM range(9) AS r(i)", {}, "NUM_PRINCIPAL_COMPONENTS or PCA_EXPLAINED_VARIANCE_RATIO must be given"),
        ("SELECT i AS x FROM range(9) AS r(i)", {"num_principal_components": 1, "pca_explained_variance_ratio": 0.5}, "must not be given together"),
        ("SELECT i AS x FROM range(9) AS r(i)", {"num_principal_components": 0}, "NUM_PRINCIPAL_COMPONENTS"),
        ("SELECT i AS x FROM range(9) AS r(i)", {"pca_explained_variance_ratio": 1.0}, "PCA_EXPLAINED_VARIANCE_RATIO"),
        ("SELECT CASE i WHEN 3 THEN '-inf'::DOUBLE ELSE i END AS x FROM range(9) AS r(i)", {"num_principal_components": 1}, "must be finite"),
        ("SELECT [{'k': i, 'v': 1.0}] AS x FROM range(9) AS r(i)", {"num_principal_components": 1}, "x"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(con, source, options, message):
    con.duckdb.execute(f"CREATE TABLE bad AS {source}")
    with pytest.raises(sqlml.Error, match=message) as caught:
        create(con, select="*", source="bad", **options)
    assert caught.value.span is not None


def test_tiny_tables(con):
    con.duckdb.execute("CREATE TABLE one AS SELECT 1 AS id, 3.0 AS x, 'a' AS k")
    create(con, select="x, k", source="one", num_principal_components=1)
    assert projected(con, 1, "one").tolist() == [[1.0]]
    con.duckdb.execute("CREATE TABLE two AS SELECT i AS id, i * 3.0 AS x, 7.0 AS same FROM range(2) AS r(i)")
    create(con, select="x, same", source="two", num_principal_components=2)
    np.testing.assert_allclose(projected(con, 2, "two")[:, 0], [-np.sqrt(0.5), np.sqrt(0.5)])
    assert rows(con, "SELECT * FROM ML.EVALUATE(MODEL m)") == [(1.0,)]
    con.duckdb.execute(
        "CREATE TABLE nan AS SELECT CASE WHEN i = 2 THEN 'NaN'::DOUBLE ELSE i END AS x, i AS id FROM range(5) AS r(i)"
    )
    create(con, select="x", source="nan", num_principal_components=1)
    assert projected(con, 1, "nan")[2, 0] == 0.0


def test_evaluation_takes_no_rows(con):
    create(con, num_principal_components=2)
    with pytest.raises(sqlml.Error, match="takes no input data for PCA models"):
        rows(con, "SELECT * FROM ML.EVALUATE(MODEL m, TABLE t)")
    with pytest.raises(sqlml.Error, match=r"ML\.CENTROIDS does not work on PCA"):
        rows(con, "SELECT * FROM ML.CENTROIDS(MODEL m)")
    with pytest.raises(sqlml.Error, match="CONTAMINATION"):
        rows(con, "SELECT * FROM ML.DETECT_ANOMALIES(MODEL m, TABLE t)")
    with pytest.raises(sqlml.Error, match="CONTAMINATION"):
        rows(con, "SELECT * FROM ML.DETECT_ANOMALIES(MODEL m, STRUCT(0.6 AS contamination), TABLE t)")


def test_categories_of_many_levels_are_scored_in_any_order_of_the_functions():
    with sqlml.connect() as con:
        con.execute(
            "CREATE TABLE t AS SELECT MOD(i, 7) * 1.5 AS a, CAST(MOD(i, 30) AS STRING) AS c FROM range(300) AS r(i)"
        )
        con.execute("CREATE MODEL m OPTIONS (model_type = 'pca', num_principal_components = 2) AS SELECT * FROM t")
        calls = (
            "ML.PREDICT(MODEL m, TABLE t)",
            "ML.DETECT_ANOMALIES(MODEL m, STRUCT(0.1 AS contamination), TABLE t)",
            "ML.PREDICT(MODEL m, TABLE t)",
        )
        found = [con.execute(f"SELECT * FROM {call}").fetchall() for call in calls]
        assert found[0] == found[2] and len(found[1]) == 300
        both = f"SELECT COUNT(*) FROM {calls[0]} AS p CROSS JOIN (SELECT * FROM {calls[1]} LIMIT 1)"
        assert con.execute(both).fetchall() == [(300,)]
