"""Automatic preprocessing of every kind of column, through training and prediction."""

from __future__ import annotations

import datetime

import pytest

import sqlml
from sqlml import encode
from sqlml.encode import Category, Encoding, Number, Set
from sqlml.relation import LocalRelation


def design(con: sqlml.Connection, query: str, encoding: Encoding | None = None) -> encode.Design:
    database = con._database
    columns = database.describe(query)
    relation = LocalRelation(database, f"({query})", columns)
    return encode.fit(relation, columns, encoding or Encoding(), relation.count())


def test_numbers(con: sqlml.Connection) -> None:
    (x,) = design(con, "SELECT unnest(['1', '2', '6', NULL, 'NaN']::DOUBLE[]) AS x").features
    assert isinstance(x, Number)
    assert x.mean == 3.0 and x.stddev == pytest.approx(7.0**0.5) and x.nulls and "nullif" in x.sql
    (c,) = design(con, "SELECT 5 AS x FROM range(3)").features
    assert isinstance(c, Number) and c.scale == 1.0 and not c.nulls


def test_categories(con: sqlml.Connection) -> None:
    query = "SELECT unnest(['b', 'a', 'a', '', NULL]) AS x"
    (x,) = design(con, query).features
    assert isinstance(x, Category)
    assert x.levels == (None, "", "a", "b") and x.counts == (1, 1, 2, 1) and x.dropped is None and x.width == 4
    (d,) = design(con, query, Encoding(categories="dummy")).features
    assert isinstance(d, Category) and d.dropped == 2 and d.width == 3
    kinds = design(
        con, "SELECT true AS b, DATE '2024-01-02' AS d, TIME '01:02:03' AS t, TIMESTAMP '2024-01-02 03:04:05' AS dt"
    )
    assert [f.levels[0] for f in kinds.features if isinstance(f, Category)] == [
        "true",
        "2024-01-02",
        "01:02:03",
        "2024-01-02 03:04:05",
    ]


def test_timestamps_are_taken_apart(con: sqlml.Connection) -> None:
    found = design(con, "SELECT TIMESTAMPTZ '2024-03-10 05:06:07+00' AS t")  # a Sunday
    assert [f.name for f in found.features] == [
        "t",
        *(f"_TS_{part}_t" for part in ("DOM", "DOW", "MOY", "HOD", "MOH", "WOY", "YEAR")),
    ]
    seconds = datetime.datetime(2024, 3, 10, 5, 6, 7, tzinfo=datetime.UTC).timestamp()
    first, *parts = found.features
    assert isinstance(first, Number) and first.mean == seconds
    assert [p.levels[0] for p in parts if isinstance(p, Category)] == ["10", "1", "3", "5", "6", "10", "2024"]


def test_structs_sets_vectors(con: sqlml.Connection) -> None:
    found = design(
        con,
        "SELECT {'a': i, 'b': 'x' || i} AS s, ['u', 'v' || i, NULL] AS tags, [i, 2 * i]::DOUBLE[] AS v,"
        " [{'k': i, 'w': 0.5}] AS sp FROM range(2) AS r(i)",
    )
    assert [f.name for f in found.features] == ["s_a", "s_b", "tags", "v", "sp"]
    tags = found.features[2]
    assert isinstance(tags, Set) and tags.levels == (None, "u", "v0", "v1") and tags.counts == (2, 2, 1, 1)
    assert [f.width for f in found.features] == [1, 2, 4, 2, 2]
    for bad, match in (
        ("SELECT {'a': {'b': 1}} AS s", "STRUCT inside a STRUCT"),
        ("SELECT unnest([[1.0], [1.0, 2.0]]) AS v", "one length"),
        ("SELECT [{'k': -1, 'w': 1.0}] AS sp", "must not be negative"),
        ("SELECT NULL::DOUBLE AS x", "Every value is NULL"),
        ("SELECT 'inf'::DOUBLE AS x", "infinite"),
    ):
        with pytest.raises(sqlml.Error, match=match):
            design(con, bad)


def test_every_kind_trains_and_predicts(con: sqlml.Connection) -> None:
    """Exact least squares over all kinds at once; NULL, unseen and empty values in prediction."""
    con.duckdb.execute(
        "CREATE TABLE t AS SELECT i, {'a': i % 5, 'b': 'x' || (i % 3)} AS s, ['u' || (i % 2), 'v' || (i % 4)] AS tags,"
        " [i % 7, i % 11]::DOUBLE[] AS v, [{'k': i % 3, 'w': (i % 6)::DOUBLE}] AS sp,"
        " TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_hours(i::INTEGER) AS moment, i % 2 = 0 AS flag FROM range(400) AS r(i)"
    )
    con.duckdb.execute(
        "ALTER TABLE t ADD COLUMN y DOUBLE; UPDATE t SET y = 3 * s.a + if(s.b = 'x1', 7, 0) + if(flag, 1, 0)"
        " + if(list_contains(tags, 'v3'), 5, 0) + 2 * v[1] - v[2] + if(sp[1].k = 2, sp[1].w, 0) + extract(hour FROM moment)"
    )
    con.execute(
        "CREATE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['y'], data_split_method='NO_SPLIT')"
        " AS SELECT * EXCEPT(i) FROM t"
    )
    worst = con.execute("SELECT MAX(ABS(predicted_y - y)) FROM ML.PREDICT(MODEL m, TABLE t)").fetchall()[0][0]
    assert worst < 1e-6
    names = [r[0] for r in con.execute("SELECT processed_input FROM ML.WEIGHTS(MODEL m)").fetchall()]
    assert names[:6] == ["s_a", "s_b", "tags", "v", "sp", "moment"] and "_TS_HOD_moment" in names
    info = {r[0]: r for r in con.execute("SELECT * FROM ML.FEATURE_INFO(MODEL m)").fetchall()}
    assert info["v"][8] == 2 and info["sp"][8] == 3 and info["flag"][6] == 2
    odd = con.execute(
        "SELECT predicted_y FROM ML.PREDICT(MODEL m, (SELECT * REPLACE(NULL AS s, ['new', ''] AS tags, NULL AS sp, NULL AS moment)"
        " FROM t)) WHERE predicted_y IS NULL OR IS_NAN(predicted_y)"
    ).fetchall()
    assert odd == []


@pytest.mark.parametrize("rows", [60, 150_000])
def test_both_roads_predict_alike(con: sqlml.Connection, rows: int) -> None:
    """NULL, empty, unseen and rare categories: SQL sums and blocks give the same model."""
    con.duckdb.execute(
        f"CREATE TABLE t AS SELECT CASE WHEN i % 10 = 0 THEN NULL WHEN i % 10 = 1 THEN '' ELSE 'c' || (i % 10) END AS c,"
        f" CASE WHEN i % 17 = 0 THEN NULL ELSE sin(i) END AS x, i % 10 + sin(i) AS y FROM range({rows}) AS r(i)"
    )
    con.execute(
        "CREATE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['y'], data_split_method='NO_SPLIT') AS SELECT * FROM t"
    )
    found = con.execute(
        "SELECT predicted_y FROM ML.PREDICT(MODEL m, (SELECT 0.0 AS x, NULL AS c UNION ALL SELECT 0.0, '' UNION ALL"
        " SELECT 0.0, 'c5' UNION ALL SELECT 0.0, 'never seen')) ORDER BY 1"
    ).fetchall()
    values = [r[0] for r in found]
    assert all(v is not None for v in values)
    assert values[0] == pytest.approx(0.0, abs=0.3) and values[1] == pytest.approx(1.0, abs=0.3)
    assert any(v == pytest.approx(5.0, abs=0.3) for v in values)


ARRAYS = {
    "linear_reg": "input_label_cols=['y']",
    "kmeans": "num_clusters=2",
    "pca": "num_principal_components=1",
    "boosted_tree_regressor": "input_label_cols=['y'], max_iterations=2",
    "autoencoder": "hidden_units=[2], max_iterations=1",
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_of_strange_numbers(kind: str) -> None:
    label = ", 1.0 * i AS y" if "label" in ARRAYS[kind] else ""
    with sqlml.connect() as con:
        strange = ", ".join(f"[a, IF(i = 7, CAST('{v}' AS FLOAT64), 2.0)] AS {v}" for v in ("nan", "inf"))
        con.execute(
            f"CREATE TABLE t AS SELECT i, a, [a, IF(i = 7, NULL, 2.0)] AS empty, {strange}"
            " FROM (SELECT i, SIN(i) AS a FROM UNNEST(GENERATE_ARRAY(1, 60)) AS i)"
        )
        found = {}
        for column in ("nan", "empty"):
            query = f"SELECT {column} AS x{label} FROM t"
            con.execute(f"CREATE OR REPLACE MODEL m OPTIONS(model_type='{kind}', {ARRAYS[kind]}) AS {query}")
            rows = con.execute(f"SELECT * FROM ML.PREDICT(MODEL m, (SELECT {column} AS x FROM t))").fetchall()
            rows = [row if kind == "pca" else row[:-1] for row in rows]  # x is the last column
            assert len(rows) == 60 and "nan" not in str(rows)
            found[column] = rows
        if "tree" not in kind:  # NaN is missing, as NULL is; trees learn where it goes
            assert found["nan"] == found["empty"]
        with pytest.raises(sqlml.DataError, match="arrays of x must hold finite numbers") as caught:
            con.execute(
                f"CREATE OR REPLACE MODEL m OPTIONS(model_type='{kind}', {ARRAYS[kind]}) AS SELECT inf AS x{label} FROM t"
            )
        assert caught.value.hint is not None and "IS_INF(e)" in caught.value.hint
