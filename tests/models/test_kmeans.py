"""KMEANS through SQL: against scikit-learn on the same matrix, by every road, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import sqlml
from sqlml.models import kmeans, kmeans_rows

SIZE = 600
COLUMNS = "a, b, city, ok, tags, v"
START = "id IN (3, 77, 200, 411)"


def rows(con, sql):
    cursor = con.cursor()
    cursor.execute(sql)
    return cursor.fetchall() if cursor.description else []


@pytest.fixture
def con():
    connection = sqlml.connect()
    connection.duckdb.execute(
        f"""CREATE TABLE t AS SELECT i AS id,
            CASE WHEN i % 17 = 0 THEN NULL WHEN i % 23 = 0 THEN 'NaN'::DOUBLE ELSE 100 + (hash(i) % 1000) / 50.0 END AS a,
            (hash(i + 7000) % 1000)::INTEGER AS b,
            CASE hash(i + 99) % 4 WHEN 0 THEN 'Oslo' WHEN 1 THEN 'Rome' WHEN 2 THEN 'Bern' END AS city,
            hash(i + 5) % 3 = 0 AS ok,
            CASE WHEN i % 5 = 0 THEN ['x', 'y'] WHEN i % 7 = 0 THEN NULL ELSE ['y'] END AS tags,
            [(i % 10) / 10.0, (hash(i + 31) % 100) / 100.0]::DOUBLE[] AS v
        FROM range({SIZE}) AS r(i)"""
    )
    yield connection
    connection.close()


def matrix(con):
    """The encoded rows in the order of id: plain columns, then levels."""
    found = con.duckdb.execute("SELECT * FROM t ORDER BY id").fetchnumpy()
    tags = [r[0] for r in con.duckdb.execute("SELECT tags FROM t ORDER BY id").fetchall()]
    v = np.array([r[0] for r in con.duckdb.execute("SELECT v FROM t ORDER BY id").fetchall()])
    parts = []
    for name in "ab":
        x = np.ma.filled(found[name].astype(float), np.nan)
        x = (x - np.nanmean(x)) / np.nanstd(x, ddof=1)
        parts.append(np.nan_to_num(x))
    parts += [np.array([t is None for t in tags], float)]
    parts += [np.array([level in (t or []) for t in tags], float) for level in "xy"]
    parts += list(v.T)
    city = [r[0] for r in con.duckdb.execute("SELECT city FROM t ORDER BY id").fetchall()]
    parts += [np.array([c == level for c in city], float) for level in (None, "Bern", "Oslo", "Rome")]
    ok = [r[0] for r in con.duckdb.execute("SELECT ok FROM t ORDER BY id").fetchall()]
    parts += [np.array([o is level for o in ok], float) for level in (False, True)]
    return np.column_stack(parts)


def create(con, *, name="m", select=COLUMNS, source="t", **options):
    written = ["model_type='kmeans'", *(f"{k}={v}" for k, v in options.items())]
    rows(con, f"CREATE OR REPLACE MODEL {name} OPTIONS({', '.join(written)}) AS SELECT {select} FROM {source}")


def custom(con, **options):
    create(
        con,
        select=f"{COLUMNS}, {START} AS start",
        num_clusters=4,
        kmeans_init_method="'CUSTOM'",
        kmeans_init_col="'start'",
        **options,
    )


def centroids(con, name="m"):
    sql = f"SELECT centroid_id, feature, numerical_value, categorical_value FROM ML.CENTROIDS(MODEL {name})"
    return [
        [v if v is not None else 0.0, *(c["value"] for c in sorted(many, key=lambda c: c["category"]))]
        for _, _, v, many in rows(con, f"{sql} ORDER BY 1, 2")
    ]


# ---------------------------------------------------------------- the numbers


def test_equals_scikit_learn(con):
    from sklearn.cluster import KMeans

    X = matrix(con)
    custom(con, max_iterations=6, early_stop="FALSE")
    ids = [r[0] for r in rows(con, f"SELECT id FROM t WHERE {START}")]
    theirs = KMeans(4, init=X[ids], n_init=1, max_iter=6, tol=0.0, algorithm="lloyd").fit(X)
    index, distance = rows(con, "SELECT * FROM ML.EVALUATE(MODEL m)")[0]
    assert distance == pytest.approx(theirs.inertia_ / SIZE, rel=1e-12)
    assert rows(con, "SELECT * FROM ML.EVALUATE(MODEL m, TABLE t)")[0] == pytest.approx((index, distance), rel=1e-10)
    found = rows(
        con, "SELECT id, CENTROID_ID, NEAREST_CENTROIDS_DISTANCE FROM ML.PREDICT(MODEL m, TABLE t) ORDER BY id"
    )
    ours = np.array([r[1] for r in found]) - 1
    pairs = set(zip(ours.tolist(), theirs.labels_.tolist(), strict=True))
    assert len(pairs) == 4  # the same clusters under other numbers
    number = dict(pairs)
    expected = theirs.transform(X)
    for i in (0, 17, 23, 300, 599):
        listed = found[i][2]
        assert [e["DISTANCE"] for e in listed] == pytest.approx(sorted(expected[i]), rel=1e-9)
        assert [number[e["CENTROID_ID"] - 1] for e in listed] == np.argsort(expected[i]).tolist()
    sizes = np.bincount(ours, minlength=4)
    within = [((X[ours == j] - theirs.cluster_centers_[number[j]]) ** 2).sum() for j in range(4)]
    centers = np.array([theirs.cluster_centers_[number[j]] for j in range(4)])
    s = np.sqrt(np.array(within) / sizes)
    apart = np.linalg.norm(centers[:, None] - centers[None], axis=2) + np.diag([np.inf] * 4)
    assert index == pytest.approx(((s[:, None] + s[None]) / apart).max(axis=1).mean(), rel=1e-9)
    last = rows(con, "SELECT loss, cluster_info FROM ML.TRAINING_INFO(MODEL m) ORDER BY iteration DESC LIMIT 1")[0]
    assert last[0] == pytest.approx(distance, rel=1e-12)
    assert [c["cluster_size"] for c in last[1]] == sizes.tolist()
    assert [c["cluster_radius"] for c in last[1]] == pytest.approx(s.tolist(), rel=1e-9)


def test_centroids_are_means_in_original_units(con):
    custom(con)
    found = rows(con, "SELECT * FROM ML.CENTROIDS(MODEL m) ORDER BY centroid_id, feature")
    assert len(found) == 4 * 6
    # One more pass moves the centers a little: train to the end first.
    custom(con, max_iterations=100, early_stop="FALSE")
    mean = "SELECT avg(nullif(a, 'NaN'::DOUBLE)) FROM t"
    predicted = con.cursor()
    predicted.execute(
        "CREATE OR REPLACE TABLE p AS SELECT CENTROID_ID AS k, a, b, city FROM ML.PREDICT(MODEL m, TABLE t)"
    )
    expected = con.duckdb.execute(
        f"SELECT k, avg(coalesce(nullif(a, 'NaN'::DOUBLE), ({mean}))), avg(b), avg((city IS NULL)::INT),"
        " avg(coalesce(city = 'Rome', FALSE)::INT) FROM p GROUP BY k ORDER BY k"
    ).fetchall()
    found = {(r[0], r[1]): r for r in rows(con, "SELECT * FROM ML.CENTROIDS(MODEL m)")}
    for k, a, b, missing, rome in expected:
        assert found[k, "a"][2] == pytest.approx(a, rel=1e-9)
        assert found[k, "b"][2] == pytest.approx(b, rel=1e-9)
        shares = {c["category"]: c["value"] for c in found[k, "city"][3]}
        assert shares.get("_null_filler", 0.0) == pytest.approx(missing)
        assert shares.get("Rome", 0.0) == pytest.approx(rome)
        assert all(v > 0 for v in shares.values())
    scaled = {(r[0], r[1]): r[2] for r in rows(con, "SELECT * FROM ML.CENTROIDS(MODEL m, STRUCT(TRUE AS standardize))")}
    x = np.ma.filled(con.duckdb.execute("SELECT b FROM t").fetchnumpy()["b"].astype(float))
    assert scaled[1, "b"] == pytest.approx((found[1, "b"][2] - x.mean()) / x.std(ddof=1), rel=1e-9)


@pytest.mark.parametrize("distance", ["EUCLIDEAN", "COSINE"])
@pytest.mark.parametrize("standardize", ["TRUE", "FALSE"])
def test_all_roads_give_the_same_clusters(con, monkeypatch, distance, standardize):
    answers = []
    for cache, products in ((kmeans_rows.CACHE_BYTES, kmeans.SQL_PRODUCTS), (0, kmeans.SQL_PRODUCTS), (0, 0)):
        monkeypatch.setattr(kmeans_rows, "CACHE_BYTES", cache)
        monkeypatch.setattr(kmeans, "SQL_PRODUCTS", products)
        custom(con, distance_type=f"'{distance}'", standardize_features=standardize)
        losses = rows(con, "SELECT loss FROM ML.TRAINING_INFO(MODEL m) ORDER BY iteration")
        metrics = rows(con, "SELECT * FROM ML.EVALUATE(MODEL m, TABLE t)")[0]
        near = rows(con, "SELECT CENTROID_ID, NEAREST_CENTROIDS_DISTANCE FROM ML.PREDICT(MODEL m, TABLE t) ORDER BY id")
        odd = rows(
            con,
            "SELECT is_anomaly, normalized_distance, centroid_id FROM"
            " ML.DETECT_ANOMALIES(MODEL m, STRUCT(0.1 AS contamination), TABLE t) ORDER BY id",
        )
        answers.append((losses, metrics, near, odd, centroids(con)))
    for losses, metrics, near, odd, centers in answers[1:]:
        np.testing.assert_allclose(losses, answers[0][0], rtol=1e-9)
        np.testing.assert_allclose(metrics, answers[0][1], rtol=1e-9)
        assert [r[0] for r in near] == [r[0] for r in answers[0][2]]
        np.testing.assert_allclose(
            [[e["DISTANCE"] for e in r[1]] for r in near],
            [[e["DISTANCE"] for e in r[1]] for r in answers[0][2]],
            atol=1e-6,
        )
        np.testing.assert_allclose([r[1] for r in odd], [r[1] for r in answers[0][3]], rtol=1e-7, atol=1e-6)
        for ours, theirs in zip(centers, answers[0][4], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-8)


def test_numbers_alone_by_all_roads(con, monkeypatch):
    answers = []
    for cache, few in ((kmeans_rows.CACHE_BYTES, kmeans.FEW_PRODUCTS), (0, kmeans.FEW_PRODUCTS), (0, 0)):
        monkeypatch.setattr(kmeans_rows, "CACHE_BYTES", cache)
        monkeypatch.setattr(kmeans, "FEW_PRODUCTS", few)
        create(con, select="a, b", num_clusters=4)
        answers.append(centroids(con))
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], rtol=1e-9)


def test_single_precision_of_many_rows(con, monkeypatch):
    create(con, select="a, b", num_clusters=4)
    first = centroids(con)
    monkeypatch.setattr(kmeans_rows, "DOUBLE_BYTES", 0)
    create(con, select="a, b", num_clusters=4)
    np.testing.assert_allclose(centroids(con), first, rtol=1e-5)


def test_cosine_distances(con):
    con.duckdb.execute(
        "CREATE TABLE c AS SELECT * FROM (VALUES (1, 0.1), (2, 0.3), (0.1, 5), (0.2, 3), (0, 0)) AS v(x, y)"
    )
    create(
        con,
        select="x::DOUBLE AS x, y::DOUBLE AS y, x IN (2, 0.2) AS start",
        source="c",
        num_clusters=2,
        distance_type="'COSINE'",
        standardize_features="FALSE",
        kmeans_init_method="'CUSTOM'",
        kmeans_init_col="'start'",
    )
    found = rows(con, "SELECT x, y, CENTROID_ID, NEAREST_CENTROIDS_DISTANCE FROM ML.PREDICT(MODEL m, TABLE c)")
    place = {(float(r[0]), float(r[1])): r for r in found}
    assert place[1.0, 0.1][2] == place[2.0, 0.3][2] != place[0.1, 5.0][2] == place[0.2, 3.0][2]
    assert [e["DISTANCE"] for e in place[0.0, 0.0][3]] == [1.0, 1.0]
    unit = np.array([[1, 0.1], [2, 0.3]]) / np.linalg.norm([[1, 0.1], [2, 0.3]], axis=1)[:, None]
    center = unit.sum(axis=0)
    cosine = unit[0] @ center / np.linalg.norm(center)
    assert place[1.0, 0.1][3][0]["DISTANCE"] == pytest.approx(np.sqrt(1 - cosine), rel=1e-6)


def test_anomalies_are_the_farthest_in_radii(con):
    custom(con)
    con.cursor().execute(
        "CREATE TABLE p AS SELECT * FROM ML.DETECT_ANOMALIES(MODEL m, STRUCT(0.05 AS contamination), TABLE t)"
    )
    total, odd, least = con.duckdb.execute(
        "SELECT count(*), count_if(is_anomaly), min(CASE WHEN is_anomaly THEN normalized_distance END) FROM p"
    ).fetchone()
    assert (total, odd) == (SIZE, 30)
    values = np.sort(con.duckdb.execute("SELECT normalized_distance FROM p").fetchnumpy()["normalized_distance"])
    assert least > np.quantile(values, 0.95)
    radii = {
        c["centroid_id"]: c["cluster_radius"]
        for c in rows(con, "SELECT cluster_info FROM ML.TRAINING_INFO(MODEL m) ORDER BY iteration DESC LIMIT 1")[0][0]
    }
    near = rows(con, "SELECT id, NEAREST_CENTROIDS_DISTANCE FROM ML.PREDICT(MODEL m, TABLE t) ORDER BY id")
    found = con.duckdb.execute("SELECT normalized_distance, centroid_id FROM p ORDER BY id").fetchall()
    for (_, listed), (value, which) in zip(near, found, strict=True):
        best = min(listed, key=lambda e: e["DISTANCE"] / radii[e["CENTROID_ID"]])
        assert which == best["CENTROID_ID"]
        assert value == pytest.approx(best["DISTANCE"] / radii[which], rel=1e-9)
    head = con.cursor()
    head.execute("SELECT * FROM ML.DETECT_ANOMALIES(MODEL m, STRUCT(0 AS contamination), TABLE t)")
    assert [d[0] for d in head.description][:4] == ["is_anomaly", "normalized_distance", "centroid_id", "id"]
    assert not any(r[0] for r in head.fetchall())


# ---------------------------------------------------------------- options


@pytest.mark.parametrize("method", ["RANDOM", "KMEANS++"])
def test_neither_row_order_nor_threads_matter(con, method):
    answers = []
    for order, threads in (("id", 1), ("id DESC", 2), ("hash(id)", 2)):
        con.duckdb.execute(f"SET threads = {threads}")
        con.duckdb.execute(f"CREATE OR REPLACE TABLE u AS SELECT * FROM t ORDER BY {order}")
        create(con, source="u", num_clusters=5, kmeans_init_method=f"'{method}'")
        answers.append(centroids(con))
    for other in answers[1:]:
        for ours, theirs in zip(other, answers[0], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_the_seed_decides_the_start(con):
    con.cursor().execute("SET sqlml.seed = 1")
    create(con, num_clusters=5, max_iterations=1)
    first = centroids(con)
    con.cursor().execute("SET sqlml.seed = 2")
    create(con, num_clusters=5, max_iterations=1)
    assert centroids(con) != first


def test_default_number_of_clusters(con):
    create(con)
    assert rows(con, "SELECT count(DISTINCT centroid_id) FROM ML.CENTROIDS(MODEL m)")[0][0] == 3  # log10(600)
    create(con, source="t LIMIT 30")
    assert rows(con, "SELECT count(DISTINCT centroid_id) FROM ML.CENTROIDS(MODEL m)")[0][0] == 2


def test_early_stop_and_iterations(con):
    custom(con, early_stop="FALSE", max_iterations=5)
    assert rows(con, "SELECT count(*) FROM ML.TRAINING_INFO(MODEL m)")[0][0] == 5
    custom(con, min_rel_progress=0.5, max_iterations=50)
    assert rows(con, "SELECT count(*) FROM ML.TRAINING_INFO(MODEL m)")[0][0] == 2


def test_warm_start_goes_on(con):
    custom(con, early_stop="FALSE", max_iterations=6)
    whole = centroids(con)
    custom(con, early_stop="FALSE", max_iterations=2)
    rows(
        con,
        "CREATE OR REPLACE MODEL m OPTIONS(model_type='kmeans', warm_start=TRUE, max_iterations=4)"
        f" AS SELECT {COLUMNS}, {START} AS start FROM t",
    )
    for ours, theirs in zip(centroids(con), whole, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8)
    info = rows(con, "SELECT training_run, iteration FROM ML.TRAINING_INFO(MODEL m) ORDER BY 1, 2")
    assert info == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (1, 3)]


def test_warm_start_follows_new_rows(con):
    custom(con)
    con.duckdb.execute("UPDATE t SET a = a * 3 + 5, city = 'Lima' WHERE id % 2 = 0")
    rows(
        con,
        "CREATE OR REPLACE MODEL m OPTIONS(model_type='kmeans', warm_start=TRUE)"
        f" AS SELECT {COLUMNS}, {START} AS start FROM t",
    )
    assert rows(con, "SELECT count(*) FROM ML.CENTROIDS(MODEL m)")[0][0] == 24
    for text, part in (
        ("num_clusters=3", "NUM_CLUSTERS must stay 4 under WARM_START."),
        ("distance_type='COSINE'", "DISTANCE_TYPE must stay what it was under WARM_START."),
    ):
        sql = f"CREATE OR REPLACE MODEL m OPTIONS(model_type='kmeans', warm_start=TRUE, {text})"
        with pytest.raises(sqlml.Error, match=part):
            rows(con, f"{sql} AS SELECT {COLUMNS}, {START} AS start FROM t")
    with pytest.raises(sqlml.Error, match="WARM_START must keep the columns"):
        sql = "CREATE OR REPLACE MODEL m OPTIONS(model_type='kmeans', warm_start=TRUE)"
        rows(con, f"{sql} AS SELECT a, {START} AS start FROM t")


def test_numbers_far_from_zero_without_standardising(con):
    """Distances of a few units between numbers near a billion."""
    con.duckdb.execute("CREATE TABLE far AS SELECT 1e9 + i % 2 * 10 + i % 5 * 0.1 AS x FROM range(1000) AS r(i)")
    create(con, select="x", source="far", num_clusters=2, standardize_features="FALSE")
    distance = rows(con, "SELECT mean_squared_distance FROM ML.EVALUATE(MODEL m)")[0][0]
    assert distance == pytest.approx(0.02, rel=1e-5)
    assert rows(con, "SELECT count(*) FROM ML.PREDICT(MODEL m, TABLE far) GROUP BY CENTROID_ID") == [(500,), (500,)]


def test_memory_limit_decides_the_road(con):
    con.duckdb.execute("SET memory_limit = '64MB'")
    assert kmeans_rows.memory_limit(_relation(con)) == pytest.approx(64e6, rel=0.01)


def _relation(con):
    class Tables:
        def table(self, tail):
            return con.duckdb.sql(f"SELECT {tail}").to_arrow_table()

    return Tables()


# ---------------------------------------------------------------- what is odd or refused


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("SELECT 1.0 AS x UNION ALL SELECT 2.0", {"num_clusters": 3}, "not be larger than the number of rows. Got 3 for 2"),
        ("SELECT 1.0 AS x", {}, "not be larger than the number of rows. Got 2 for 1 row"),
        ("SELECT 5.0 AS x FROM range(100)", {}, "the number of different rows. Got 2, and 1 is different"),
        ("SELECT NULL::DOUBLE AS x FROM range(9)", {}, "must have a value in some row"),
        ("SELECT NULL::VARCHAR AS x, i FROM range(9) AS r(i)", {}, "must have a value in some row"),
        ("SELECT CASE i WHEN 3 THEN 'inf'::DOUBLE ELSE i END AS x FROM range(9) AS r(i)", {}, "must be finite"),
        ("SELECT i AS x FROM range(9) AS r(i) WHERE i < 0", {}, "must return rows"),
        ("SELECT i AS x, i = 0 AS s FROM range(9) AS r(i)",
         {"kmeans_init_method": "'CUSTOM'", "kmeans_init_col": "'s'", "num_clusters": 2}, "TRUE in NUM_CLUSTERS .2. rows. It is TRUE in 1"),
        ("SELECT i AS x, i AS s FROM range(9) AS r(i)",
         {"kmeans_init_method": "'CUSTOM'", "kmeans_init_col": "'s'"}, "must name a BOOL column"),
        ("SELECT i AS x, i = 0 AS start FROM range(9) AS r(i)",
         {"kmeans_init_method": "'CUSTOM'", "kmeans_init_col": "'stat'"}, "KMEANS_INIT_COL must name a column"),
        ("SELECT i AS x FROM range(9) AS r(i)", {"kmeans_init_method": "'CUSTOM'"}, "must come with KMEANS_INIT_COL"),
        ("SELECT i AS x, TRUE AS s FROM range(9) AS r(i)", {"kmeans_init_col": "'s'"}, "only with KMEANS_INIT_METHOD"),
        ("SELECT i AS x FROM range(9) AS r(i)", {"num_clusters": 1}, "NUM_CLUSTERS"),
        ("SELECT i AS x FROM range(9) AS r(i)", {"num_clusters": 101}, "NUM_CLUSTERS"),
        ("SELECT i AS x FROM range(9) AS r(i)", {"distance_type": "'MANHATTAN'"}, "DISTANCE_TYPE"),
        ("SELECT [{'k': i, 'v': 1.0}] AS x FROM range(9) AS r(i)", {}, "x"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(con, source, options, message):
    con.duckdb.execute(f"CREATE TABLE bad AS {source}")
    with pytest.raises(sqlml.Error, match=message) as caught:
        create(con, select="*", source="bad", **options)
    assert caught.value.span is not None


def test_constant_columns_and_two_rows(con):
    con.duckdb.execute("CREATE TABLE two AS SELECT i::DOUBLE AS x, 7.0 AS same, 'c' AS word FROM range(2) AS r(i)")
    create(con, select="*", source="two")
    assert rows(con, "SELECT mean_squared_distance, davies_bouldin_index FROM ML.EVALUATE(MODEL m)") == [(0.0, 0.0)]
    found = rows(
        con, "SELECT CENTROID_ID, NEAREST_CENTROIDS_DISTANCE[OFFSET(0)].DISTANCE FROM ML.PREDICT(MODEL m, TABLE two)"
    )
    assert sorted(found) == [(1, 0.0), (2, 0.0)]
    odd = rows(
        con,
        "SELECT is_anomaly, normalized_distance FROM ML.DETECT_ANOMALIES(MODEL m, STRUCT(0.5 AS contamination), TABLE two)",
    )
    assert odd == [(False, 0.0), (False, 0.0)]


def test_more_clusters_than_a_sample_of_duplicates_shows(con, monkeypatch):
    monkeypatch.setattr(kmeans_rows, "SAMPLE", 50)
    con.duckdb.execute("CREATE TABLE dup AS SELECT CASE WHEN i < 3000 THEN 0 ELSE i END AS x FROM range(3004) AS r(i)")
    create(con, select="x", source="dup", num_clusters=5)
    assert rows(con, "SELECT mean_squared_distance FROM ML.EVALUATE(MODEL m)")[0][0] == pytest.approx(0.0, abs=1e-12)


def test_unseen_and_missing_values_at_prediction(con):
    custom(con)
    seen = "SELECT NULL AS a, NULL AS b, {city} AS city, NULL AS ok, NULL AS tags, NULL AS v"
    new, none = (
        rows(con, f"SELECT NEAREST_CENTROIDS_DISTANCE FROM ML.PREDICT(MODEL m, ({seen.format(city=c)}))")[0][0]
        for c in ("'Paris'", "NULL")
    )
    assert len(new) == len(none) == 4
    assert all(np.isfinite(e["DISTANCE"]) for e in [*new, *none])
    assert new != none
    far = rows(
        con,
        f"SELECT CENTROID_ID FROM ML.PREDICT(MODEL m, (SELECT CAST('inf' AS FLOAT64) AS a, * EXCEPT(a) FROM ({seen.format(city='NULL')})))",
    )
    assert far[0][0] in (1, 2, 3, 4)
    with pytest.raises(sqlml.Error, match="city"):
        rows(con, "SELECT * FROM ML.PREDICT(MODEL m, (SELECT * EXCEPT(city) FROM t))")


def test_columns_and_views(con):
    custom(con)
    cursor = con.cursor()
    cursor.execute("SELECT * FROM ML.PREDICT(MODEL m, TABLE t)")
    assert [d[0] for d in cursor.description] == [
        *("CENTROID_ID", "NEAREST_CENTROIDS_DISTANCE", "id", "a", "b", "city", "ok", "tags", "v")
    ]
    cursor.execute("SELECT * FROM ML.TRAINING_INFO(MODEL m)")
    assert [d[0] for d in cursor.description] == [
        *("training_run", "iteration", "loss", "learning_rate", "duration_ms", "cluster_info")
    ]
    cursor.execute("SELECT * FROM ML.CENTROIDS(MODEL m)")
    assert [d[0] for d in cursor.description] == [
        *("centroid_id", "feature", "numerical_value", "categorical_value", "geography_value")
    ]
    rows(con, "CREATE VIEW w AS SELECT CENTROID_ID AS k, id FROM ML.PREDICT(MODEL m, TABLE t)")
    assert rows(con, "SELECT count(*) FROM w JOIN t USING (id) WHERE k = 1")[0][0] > 0


def test_transform(con):
    rows(
        con,
        "CREATE OR REPLACE MODEL m TRANSFORM(ML.STANDARD_SCALER(b) OVER () AS z, city, start)"
        " OPTIONS(model_type='kmeans', num_clusters=4, kmeans_init_method='CUSTOM', kmeans_init_col='start')"
        f" AS SELECT b, city, {START} AS start FROM t",
    )
    found = rows(
        con, "SELECT count(*) FROM ML.PREDICT(MODEL m, (SELECT id, b, city FROM t)) WHERE CENTROID_ID BETWEEN 1 AND 4"
    )
    assert found == [(SIZE,)]
    assert {r[0] for r in rows(con, "SELECT feature FROM ML.CENTROIDS(MODEL m)")} == {"z", "city"}


def test_many_clusters_in_many_columns(con):
    """Too many products for SQL: a function predicts, with the same numbers."""
    con.duckdb.execute(
        "CREATE TABLE wide AS SELECT i AS id, "
        + ", ".join(f"(hash(i + {j}000) % 100) / 10.0 AS x{j}" for j in range(30))
        + " FROM range(300) AS r(i)"
    )
    create(con, select="* EXCEPT(id)", source="wide", num_clusters=60)
    distance = rows(con, "SELECT mean_squared_distance FROM ML.EVALUATE(MODEL m)")[0][0]
    found = rows(
        con,
        "SELECT AVG(POW(NEAREST_CENTROIDS_DISTANCE[OFFSET(0)].DISTANCE, 2)), MIN(ARRAY_LENGTH(NEAREST_CENTROIDS_DISTANCE)),"
        " COUNT(DISTINCT CENTROID_ID) FROM ML.PREDICT(MODEL m, TABLE wide)",
    )[0]
    assert found[0] == pytest.approx(distance, rel=1e-9)
    assert found[1:] == (5, 60)
    odd = rows(
        con, "SELECT COUNTIF(is_anomaly) FROM ML.DETECT_ANOMALIES(MODEL m, STRUCT(0.1 AS contamination), TABLE wide)"
    )
    assert odd == [(30,)]


def test_repeated_rows_count_as_often_as_they_occur(con, monkeypatch):
    """A share of rows by content would take or leave all copies: then all rows are looked at."""
    monkeypatch.setattr(kmeans, "QUANTILE_ROWS", 100)
    monkeypatch.setattr(kmeans_rows, "KEPT", 51)
    con.duckdb.execute("CREATE TABLE rep AS SELECT i % 10 AS x, i AS id FROM range(2000) AS r(i)")
    for cache in (kmeans_rows.CACHE_BYTES, 0):
        monkeypatch.setattr(kmeans_rows, "CACHE_BYTES", cache)
        create(con, select="x", source="rep", num_clusters=2, max_iterations=50, early_stop="FALSE")
        sql = "SELECT DISTINCT x FROM ML.DETECT_ANOMALIES(MODEL m, STRUCT({} AS contamination), TABLE rep)"
        # Two clusters of five numbers: their ends, four tenths of the rows, are the farthest.
        assert {r[0] for r in rows(con, sql.format(0.5) + " WHERE is_anomaly")} == {0, 4, 5, 9}
        assert rows(con, sql.format(0.3) + " WHERE is_anomaly") == []
