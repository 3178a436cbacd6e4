"""top_k_examples of ML.EXPLAIN_PREDICT: kept training rows, and the nearest of them by brute force."""

from __future__ import annotations

import numpy as np
import pytest

import sqlml
from sqlml.errors import Error

SETTING = "STRUCT(4 AS top_k_examples)"
NETWORK = {"hidden_units": "[6, 3]", "max_iterations": "2"}
KINDS = {
    "BOOSTED_TREE_REGRESSOR": ("y", {"max_iterations": "6"}),
    "RANDOM_FOREST_CLASSIFIER": ("three", {"num_parallel_tree": "5"}),
    "DNN_CLASSIFIER": ("three", NETWORK),
    "DNN_LINEAR_COMBINED_REGRESSOR": ("y", NETWORK),
    "PCA": (None, {"num_principal_components": "2"}),
    "AUTOENCODER": (None, {"hidden_units": "[4]", "max_iterations": "2"}),
}


def rows(con, sql):
    cursor = con.cursor()
    cursor.execute(sql)
    return cursor.fetchall() if cursor.description else []


def named(con, sql):
    cursor = con.cursor()
    cursor.execute(sql)
    names = [d[0] for d in cursor.description]
    return [dict(zip(names, r, strict=True)) for r in cursor.fetchall()]


@pytest.fixture
def con(con):
    con.duckdb.execute(
        """CREATE TABLE t AS SELECT i, CASE WHEN i % 19 > 0 THEN hash(i) % 1000 / 500.0 - 1 END AS x,
            hash(i, 1) % 1000 / 500.0 - 1 AS z, 'it''s ' || hash(i, 4) % 3 AS "the c", coalesce(x, 0) * 2 - z * z AS y,
            CASE WHEN x > 0.3 THEN 'high' WHEN z < 0 THEN 'low' ELSE 'mid' END AS three FROM range(400) AS r(i)"""
    )
    return con


def create(con, kind, label, count=60, source="t", transform="", **options):
    written = {"keep_examples": str(count), **options}
    if label:
        written["input_label_cols"] = f"['{label}']"
        if "data_split_method" not in written:
            written["data_split_method"] = "'NO_SPLIT'"
    listed = ", ".join(f"{k}={v}" for k, v in written.items())
    columns = f"x, z, `the c`{', ' + label if label else ''}"
    rows(
        con,
        f"CREATE OR REPLACE MODEL m {transform} OPTIONS(model_type='{kind}', {listed}) AS SELECT {columns} FROM {source}",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_columns_and_distances(con, kind):
    label, options = KINDS[kind]
    create(con, kind, label, **options)
    plain = named(con, f"SELECT * FROM ML.{'EXPLAIN_' if label else ''}PREDICT(MODEL m, TABLE t)")
    found = named(con, f"SELECT * FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE t, {SETTING})")
    assert len(found) == 400
    lead = [c for c in plain[0] if c not in ("i", "x", "z", "the c", "y", "three")]
    assert list(found[0]) == [*lead, "top_examples", "i", "x", "z", "the c", "y", "three"]
    fields = ["x", "z", "the c", *([label] if label else [])]
    trained = {tuple(r) for r in rows(con, f"SELECT {', '.join(f'`{f}`' for f in fields)} FROM t")}
    seen = set()
    for row in found:
        examples = row["top_examples"]
        assert len(examples) == 4 and all(list(e) == ["distance", "example"] for e in examples)
        distances = [e["distance"] for e in examples]
        assert distances == sorted(distances) and distances[0] >= 0.0
        for e in examples:
            assert list(e["example"]) == fields
            seen.add(tuple(e["example"].values()))
    assert seen <= trained and 4 < len(seen) <= 60
    # A row that was kept is its own nearest example.
    kept = [r for r in found if tuple(r[f] for f in fields) in seen]
    assert kept and all(r["top_examples"][0]["distance"] == 0.0 for r in kept)


@pytest.mark.parametrize("kind", ["PCA", "AUTOENCODER"])
def test_nearest_embeddings_by_brute_force(con, kind):
    create(con, kind, None, **KINDS[kind][1])
    found = named(con, "SELECT * FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE t, STRUCT(60 AS top_k_examples))")
    kept = [tuple(e["example"].values()) for e in found[0]["top_examples"]]
    assert len(kept) == 60
    name = "ml_generate_embedding_result"
    embedded = named(con, f"SELECT x, z, `the c`, {name} FROM ML.GENERATE_EMBEDDING(MODEL m, TABLE t)")
    place = {(r["x"], r["z"], r["the c"]): np.array(r[name]) for r in embedded}
    for row in found[::37]:
        own = place[row["x"], row["z"], row["the c"]]
        want = sorted(float(np.linalg.norm(place[k] - own)) for k in kept)
        np.testing.assert_allclose([e["distance"] for e in row["top_examples"]], want, atol=1e-9)
        for e in row["top_examples"]:
            far = np.linalg.norm(place[tuple(e["example"].values())] - own)
            assert e["distance"] == pytest.approx(float(far), abs=1e-9)


def test_distance_of_trees_is_the_share_of_other_leaves(con):
    import xgboost as xgb

    con.duckdb.execute("CREATE TABLE numbers AS SELECT i, x, z, 'one' AS \"the c\", y, three FROM t")
    create(con, "BOOSTED_TREE_REGRESSOR", "y", source="numbers", max_iterations="7", early_stop="FALSE")
    found = named(con, f"SELECT * FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE numbers, {SETTING})")
    raw = con.duckdb.execute("SELECT data FROM sqlml.arrays WHERE dtype = 'bytes' AND key LIKE 'state%'").fetchone()
    booster = xgb.Booster(model_file=bytearray(raw[0]))

    def leaves(items):
        X = [[np.nan if r["x"] is None else r["x"], r["z"], 0.0] for r in items]
        return booster.predict(xgb.DMatrix(np.array(X, np.float32)), pred_leaf=True, validate_features=False)

    own = leaves(found)
    for j in range(4):
        theirs = leaves([r["top_examples"][j]["example"] for r in found])
        assert own.shape == (400, 7)
        np.testing.assert_allclose([r["top_examples"][j]["distance"] for r in found], (own != theirs).mean(axis=1))


def test_the_sample_is_seeded_distinct_and_of_training_rows_only(con):
    options = {"data_split_method": "'CUSTOM'", "data_split_col": "'held'", "max_iterations": "2"}
    con.duckdb.execute("CREATE TABLE s AS SELECT *, i % 2 = 0 AS held FROM t UNION ALL SELECT *, i % 2 = 0 FROM t")
    con.duckdb.execute("CREATE TABLE backwards AS SELECT * FROM s ORDER BY i DESC")

    def kept(source, seed):
        rows(con, f"SET sqlml.seed = {seed}")
        written = ", ".join(f"{k}={v}" for k, v in options.items())
        rows(
            con,
            "CREATE OR REPLACE MODEL m OPTIONS(model_type='BOOSTED_TREE_REGRESSOR', input_label_cols=['y'],"
            f" keep_examples=50, {written}) AS SELECT x, z, y, held FROM {source}",
        )
        call = "ML.EXPLAIN_PREDICT(MODEL m, (SELECT * FROM t LIMIT 1), STRUCT(999 AS top_k_examples))"
        return {tuple(e["example"].values()) for e in named(con, f"SELECT * FROM {call}")[0]["top_examples"]}

    first = kept("s", 1)
    assert len(first) == 50
    assert first <= {tuple(r) for r in rows(con, "SELECT x, z, y FROM t WHERE MOD(i, 2) = 1")}
    assert kept("backwards", 1) == first
    assert kept("s", 2) != first


def test_transformed_columns_trials_and_views(con):
    pytest.importorskip("optuna")
    create(
        con, "BOOSTED_TREE_REGRESSOR", "y", transform="TRANSFORM(x * 2 AS double, ML.STANDARD_SCALER(z) OVER () AS s, y)",
        data_split_method="'RANDOM'", num_trials="2", max_iterations="3",
    )  # fmt: skip
    first = rows(con, f"SELECT top_examples FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE t, {SETTING}) WHERE i = 7")
    assert [list(e["example"]) for e in first[0][0]] == [["double", "s", "y"]] * 4
    rows(con, f"CREATE VIEW v AS SELECT * FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE t, {SETTING})")
    assert rows(con, "SELECT top_examples FROM v WHERE i = 7") == first


def test_examples_live_and_die_with_the_model(tmp_path):
    path = str(tmp_path / "e.duckdb")
    count = "SELECT count(*) FROM sqlml.arrays WHERE key = 'examples'"
    with sqlml.connect(path) as con:
        con.duckdb.execute("CREATE TABLE t AS SELECT i AS x, i % 7 AS z, i * 2.0 AS y FROM range(100) AS r(i)")
        make = "CREATE OR REPLACE MODEL m OPTIONS(model_type='BOOSTED_TREE_REGRESSOR', input_label_cols=['y']"
        rows(con, f"{make}) AS SELECT * FROM t")
        stored = con.duckdb.execute(
            "SELECT sum(octet_length(data)) FROM sqlml.arrays WHERE key = 'examples'"
        ).fetchone()
        assert not stored[0]  # no row is kept unless the user says so
        rows(con, f"{make}, keep_examples=10) AS SELECT * FROM t")
        before = rows(con, f"SELECT top_examples FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE t, {SETTING})")
    with sqlml.connect(path) as con:
        assert rows(con, f"SELECT top_examples FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE t, {SETTING})") == before
        rows(con, "DROP MODEL m")
        assert con.duckdb.execute(count).fetchone() == (0,)


@pytest.mark.parametrize(
    ("kind", "options", "setting", "text", "word"),
    [
        ("linear_reg", "", "3 AS top_k_examples", "models with an embedding. LINEAR_REG has none", "3"),
        ("boosted_tree_regressor", "", "3 AS top_k_examples", "needs training rows that are kept", "3"),
        ("boosted_tree_regressor", ", keep_examples=5", "0 AS top_k_examples", "at least 1. Got 0", "0"),
        ("boosted_tree_regressor", ", keep_examples=5", "'a' AS top_k_examples", "TOP_K_EXAMPLES must be", "'a'"),
    ],
)
def test_errors_name_the_place(con, kind, options, setting, text, word):
    rows(con, f"CREATE MODEL m OPTIONS(model_type='{kind}', input_label_cols=['y']{options}) AS SELECT x, z, y FROM t")
    sql = f"SELECT * FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE t, STRUCT({setting}))"
    with pytest.raises(Error) as caught:
        rows(con, sql)
    assert text in caught.value.message
    span = caught.value.span
    assert sql[span.start : span.end] == word


@pytest.mark.parametrize("value", ["0", "10001", "'many'"])
def test_how_many_rows_are_kept_is_bounded(con, value):
    with pytest.raises(Error, match="KEEP_EXAMPLES must be"):
        create(con, "PCA", None, count=value, num_principal_components="1")
