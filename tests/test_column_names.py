"""Columns may be called as the variables of generated SQL are."""

from __future__ import annotations

import pytest

import sqlml

NAMES = ["e", "x", "i", "j", "k", "n", "p", "s", "t", "v", "y", "z", "a", "key", "value", "row", "f", "w", "q"]


@pytest.fixture(scope="module")
def con() -> sqlml.Connection:
    con = sqlml.connect()
    con.execute(
        """
        CREATE TABLE plain AS
        SELECT 'abc' AS word, DATE_ADD(DATE '2024-01-01', INTERVAL d DAY) AS day, d AS number,
               ['u', IF(MOD(d, 2) = 0, 'v', 'w')] AS words, [1.0, d] AS numbers, STRUCT(d AS key, 'a' AS value) AS pair,
               [STRUCT(1 AS key, 0.5 AS value)] AS sparse, 3.0 * d + MOD(d, 3) AS label
        FROM UNNEST(GENERATE_ARRAY(1, 60)) AS d
        """
    )
    return con


@pytest.mark.parametrize("kind", ["word", "day", "number", "words", "numbers", "pair", "sparse"])
@pytest.mark.parametrize("name", NAMES)
def test_a_feature(con: sqlml.Connection, name: str, kind: str) -> None:
    query = f"SELECT {kind} AS `{name}`, MOD(number, 5) AS other, words AS more, label FROM plain"
    con.execute(f"CREATE OR REPLACE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['label']) AS {query}")
    usual = f"SELECT {kind} AS feature, MOD(number, 5) AS other, words AS more, label FROM plain"
    con.execute(f"CREATE OR REPLACE MODEL r OPTIONS(model_type='linear_reg', input_label_cols=['label']) AS {usual}")
    for function in ("EVALUATE(MODEL {}, ({}))", "EVALUATE(MODEL {})"):
        mine = con.execute("SELECT * FROM ML." + function.format("m", query)).fetchall()
        theirs = con.execute("SELECT * FROM ML." + function.format("r", usual)).fetchall()
        assert mine[0] == pytest.approx(theirs[0], abs=1e-6)
    assert con.execute("SELECT COUNT(*) FROM ML.FEATURE_INFO(MODEL m)").fetchall()[0][0] >= 3
    rows = con.execute(f"SELECT * FROM ML.DESCRIBE_DATA(({query}), STRUCT(3 AS top_k))").fetchall()
    assert len(rows) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_preprocessing(con: sqlml.Connection, name: str) -> None:
    def items(word: str, words: str, numbers: str) -> str:
        return (
            f"ML.ONE_HOT_ENCODER({word}, 'none', 10, 0) OVER() AS o1, ML.LABEL_ENCODER({word}, 10, 0) OVER() AS o2,"
            f" ML.MULTI_HOT_ENCODER({words}, 10, 0) OVER() AS o3, ML.BAG_OF_WORDS({words}, 10, 0) OVER() AS o4,"
            f" ML.TF_IDF({words}, 10, 0) OVER() AS o5, ML.NORMALIZER({numbers}) AS o6, ML.NGRAMS({words}, [1, 2]) AS o7"
        )

    for own in ("word", "words", "numbers"):
        names = {"word": "word", "words": "words", "numbers": "numbers"}
        usual = con.execute(f"SELECT {items(**names)} FROM plain ORDER BY number").fetchall()
        names[own] = f"`{name}`"
        query = f"SELECT * EXCEPT ({own}), {own} AS `{name}` FROM plain"
        assert con.execute(f"SELECT {items(**names)} FROM ({query}) ORDER BY number").fetchall() == usual


@pytest.mark.parametrize("name", ["key", "code", "w0", "known", "f", "b", "index"])
@pytest.mark.parametrize("kind", ["logistic_reg", "kmeans", "pca", "boosted_tree_classifier"])
def test_many_levels(con: sqlml.Connection, name: str, kind: str) -> None:
    """Weights of levels are looked up in a table beside the rows."""
    label = "" if kind in ("kmeans", "pca") else ", input_label_cols=['label']"
    more = {"kmeans": ", num_clusters=2, kmeans_init_method='kmeans++'", "pca": ", num_principal_components=2"}.get(
        kind, ""
    )
    keep = ", STRUCT(TRUE AS keep_original_columns)" if kind == "pca" else ""
    answers = []
    for own in (name, "feature"):
        items = f"CONCAT('level ', CAST(MOD(number, 20) AS STRING)) AS `{own}`, number"
        query = f"SELECT {items}{', MOD(number, 3) AS label' if label else ''} FROM plain"
        con.execute(f"CREATE OR REPLACE MODEL m OPTIONS(model_type='{kind}'{label}{more}) AS {query}")
        rows = con.execute(f"SELECT * EXCEPT (`{own}`) FROM ML.PREDICT(MODEL m, ({query}){keep}) ORDER BY number").df()
        answers.append(rows.map(str))
    assert answers[0].equals(answers[1])


@pytest.mark.parametrize("user, item, rating", [("key", "f", "b"), ("u", "i", "s"), ("id", "user", "item")])
def test_recommendations(con: sqlml.Connection, user: str, item: str, rating: str) -> None:
    query = f"SELECT MOD(number, 7) AS `{user}`, MOD(number, 5) AS `{item}`, 1.0 * MOD(number, 3) AS `{rating}` FROM plain WHERE number <= 35"
    con.execute(
        f"CREATE OR REPLACE MODEL m OPTIONS(model_type='matrix_factorization', user_col='{user}', item_col='{item}',"
        f" rating_col='{rating}', num_factors=2) AS {query}"
    )
    assert con.execute("SELECT COUNT(*) FROM ML.RECOMMEND(MODEL m)").fetchall() == [(35,)]
    rows = con.execute(f"SELECT * FROM ML.RECOMMEND(MODEL m, ({query}))").fetchall()
    assert len(rows) == 35
    assert con.execute(f"SELECT mean_squared_error < 5 FROM ML.EVALUATE(MODEL m, ({query}))").fetchall() == [(True,)]


@pytest.mark.parametrize("name", NAMES)
def test_approximate_aggregates(con: sqlml.Connection, name: str) -> None:
    sql = "SELECT APPROX_TOP_COUNT({0}, 2), APPROX_QUANTILES({0}, 4), STRING_AGG({0}) FROM (SELECT word AS {0} FROM plain)"
    assert con.execute(sql.format(f"`{name}`")).fetchall() == con.execute(sql.format("word")).fetchall()
