"""Matrix factorisation through SQL: both kinds of feedback, ML.RECOMMEND in all its forms, refusals."""

from __future__ import annotations

import re

import numpy as np
import pytest

import sqlml
from sqlml.errors import SchemaError
from sqlml.models import matrix_factorization


def rows(con, sql):
    cursor = con.cursor()
    cursor.execute(sql)
    return cursor.fetchall() if cursor.description else []


def columns(con, sql):
    cursor = con.cursor()
    cursor.execute(sql)
    return [d[0] for d in cursor.description]


@pytest.fixture
def con(con):
    con.duckdb.execute(
        "CREATE TABLE ratings AS SELECT u AS user, 'i' || i AS item,"
        " round(3 + sin(u) * cos(i) + cos(u * 2) * sin(i * 3), 2) AS rating"
        " FROM range(40) a(u), range(25) b(i) WHERE (u * 31 + i * 17) % 3 > 0"
    )
    return con


def create(con, *, name="mf", source="SELECT * FROM ratings", **options):
    written = ["model_type='MATRIX_FACTORIZATION'", *(f"{k}={v}" for k, v in options.items())]
    rows(con, f"CREATE OR REPLACE MODEL {name} OPTIONS({', '.join(written)}) AS {source}")


def test_explicit_feedback_is_fitted(con):
    create(con, num_factors=4, l2_reg=0.05)
    names = "mean_absolute_error mean_squared_error mean_squared_log_error median_absolute_error r2_score"
    assert columns(con, "SELECT * FROM ML.EVALUATE(MODEL mf)") == [*names.split(), "explained_variance"]
    stored = rows(con, "SELECT * FROM ML.EVALUATE(MODEL mf)")[0]
    np.testing.assert_allclose(rows(con, "SELECT * FROM ML.EVALUATE(MODEL mf, TABLE ratings)")[0], stored, rtol=1e-5)
    assert stored[4] > 0.95
    losses = [r[0] for r in rows(con, "SELECT loss FROM ML.TRAINING_INFO(MODEL mf) ORDER BY iteration")]
    assert losses[-1] < losses[0] and losses[-1] == pytest.approx(stored[1], rel=1e-4)
    joined = "SELECT AVG(POW(rating - predicted_rating, 2)) FROM ML.RECOMMEND(MODEL mf) JOIN ratings USING (user, item)"
    assert rows(con, joined)[0][0] == pytest.approx(stored[1], rel=1e-4)


def test_implicit_feedback_is_ranked(con):
    source = "SELECT user, item, GREATEST(rating - 2, 0) AS rating FROM ratings"
    create(con, feedback_type="'IMPLICIT'", num_factors=8, wals_alpha=5, source=source)
    names = ["mean_average_precision", "mean_squared_error", "normalized_discounted_cumulative_gain", "average_rank"]
    assert columns(con, "SELECT * FROM ML.EVALUATE(MODEL mf)") == names
    precision, error, gain, rank = rows(con, "SELECT * FROM ML.EVALUATE(MODEL mf)")[0]
    assert precision > 0.7 and gain > 0.8 and rank < 0.4 and error < 0.2
    assert columns(con, "SELECT * FROM ML.RECOMMEND(MODEL mf)")[0] == "predicted_rating_confidence"
    intercepts = rows(con, "SELECT DISTINCT intercept FROM ML.WEIGHTS(MODEL mf)")
    assert intercepts == [(0.0,)]


def test_recommend_takes_nothing_one_side_or_pairs(con):
    create(con, num_factors=3)
    everything = "SELECT * FROM ML.RECOMMEND(MODEL mf)"
    assert columns(con, everything) == ["predicted_rating", "user", "item"]
    score = {(u, i): s for s, u, i in rows(con, everything)}
    assert len(score) == 40 * 25
    one = rows(con, "SELECT * FROM ML.RECOMMEND(MODEL mf, (SELECT 7 AS user UNION ALL SELECT 8))")
    assert len(one) == 50 and all(s == pytest.approx(score[u, i]) for s, u, i in one)
    item = rows(con, "SELECT * FROM ML.RECOMMEND(MODEL mf, (SELECT 'i3' AS item))")
    assert len(item) == 40 and all(s == pytest.approx(score[u, i]) for s, u, i in item)
    pairs = "(SELECT 'note' AS note, 'i3' AS item, 7 AS user UNION ALL SELECT 'more', 'i4', 7)"
    query = f"SELECT * FROM ML.RECOMMEND(MODEL mf, {pairs})"
    assert columns(con, query) == ["predicted_rating", "user", "item", "note"]
    assert {(u, i, n) for _, u, i, n in rows(con, query)} == {(7, "i3", "note"), (7, "i4", "more")}
    assert all(s == pytest.approx(score[u, i]) for s, u, i, _ in rows(con, query))


def test_unseen_ids_have_the_biases_that_are_known(con):
    create(con, num_factors=3)
    bias = dict(rows(con, "SELECT feature, intercept FROM ML.WEIGHTS(MODEL mf)"))
    mean = bias["global__intercept__"]
    pairs = "SELECT 7 AS user, 'new' AS item UNION ALL SELECT 999, 'i3' UNION ALL SELECT 999, 'new'"
    found = {(u, i): s for s, u, i in rows(con, f"SELECT * FROM ML.RECOMMEND(MODEL mf, ({pairs}))")}
    assert found[7, "new"] == pytest.approx(mean + bias["7"], abs=1e-5)
    assert found[999, "i3"] == pytest.approx(mean + bias["i3"], abs=1e-5)
    assert found[999, "new"] == pytest.approx(mean, abs=1e-5)
    assert len(rows(con, "SELECT * FROM ML.RECOMMEND(MODEL mf, (SELECT 999 AS user))")) == 25


def test_top_items_of_a_user_never_build_all_pairs(con):
    con.duckdb.execute(
        "CREATE TABLE wide AS SELECT i % 2000 AS user, i AS item, (i % 5)::DOUBLE AS rating FROM range(200000) t(i)"
    )
    create(con, num_factors=4, max_iterations=1, source="SELECT * FROM wide")
    query = "SELECT * FROM ML.RECOMMEND(MODEL mf) WHERE user = 7 ORDER BY predicted_rating DESC LIMIT 10"
    assert len(rows(con, query)) == 10  # 400 million pairs would take minutes
    plan = "\n".join(map(str, rows(con, "EXPLAIN " + query)))
    assert plan.index("Cross Product") < plan.index("key = 7")  # the user is picked first


def test_weights_and_embeddings(con):
    create(con, num_factors=3)
    found = rows(con, "SELECT * FROM ML.WEIGHTS(MODEL mf)")
    assert len(found) == 40 + 25 + 1
    assert [d["factor"] for d in found[0][2]] == [1, 2, 3]
    assert found[-1][:3] == (None, "global__intercept__", None)
    vectors = rows(con, "SELECT * FROM AI.GENERATE_EMBEDDING(MODEL mf)")
    assert columns(con, "SELECT * FROM AI.GENERATE_EMBEDDING(MODEL mf)") == ["embedding", "processed_input", "feature"]
    for row, (vector, side, feature) in zip(found[:-1], vectors, strict=True):
        assert (side, feature) == row[:2]
        np.testing.assert_allclose(vector, [*(d["weight"] for d in row[2]), row[3]])
    assert columns(con, "SELECT * FROM ML.GENERATE_EMBEDDING(MODEL mf)")[0] == "ml_generate_embedding_result"
    info = rows(con, "SELECT input, category_count, mean FROM ML.FEATURE_INFO(MODEL mf)")
    assert info == [("user", 40, None), ("item", 25, None)]


def test_columns_may_have_other_names_and_types(con):
    source = "SELECT DATE '2024-01-01' + user::INT AS day, item AS film, rating AS stars FROM ratings"
    con.duckdb.execute(f"CREATE TABLE films AS {source}")
    create(con, source="SELECT * FROM films", user_col="'day'", item_col="'film'", rating_col="'stars'", num_factors=2)
    assert columns(con, "SELECT * FROM ML.RECOMMEND(MODEL mf)") == ["predicted_stars", "day", "film"]
    one = "SELECT COUNT(*) FROM ML.RECOMMEND(MODEL mf, (SELECT DATE '2024-01-05' AS day))"
    assert rows(con, one) == [(25,)]


def test_ids_of_a_narrower_type_are_the_same_ids(con):
    create(con, source="SELECT CAST(user AS INT32) AS user, item, rating FROM ratings", num_factors=3)
    stored = rows(con, "SELECT * FROM ML.EVALUATE(MODEL mf)")[0]
    np.testing.assert_allclose(rows(con, "SELECT * FROM ML.EVALUATE(MODEL mf, TABLE ratings)")[0], stored)
    more = "(SELECT * FROM ratings UNION ALL SELECT 99999999999, 'i1', 3.0)"
    assert len(rows(con, f"SELECT * FROM ML.EVALUATE(MODEL mf, {more})")) == 1


def test_default_number_of_factors_is_the_logarithm(con):
    create(con)
    n = rows(con, "SELECT COUNT(*) FROM ratings")[0][0]
    factors = rows(con, "SELECT ARRAY_LENGTH(factor_weights) FROM ML.WEIGHTS(MODEL mf) LIMIT 1")[0][0]
    assert factors == round(np.log2(n))


def test_split_ratings_are_evaluated(con):
    create(con, data_split_method="'RANDOM'", data_split_eval_fraction=0.3, num_factors=2)
    found = rows(con, "SELECT loss, eval_loss FROM ML.TRAINING_INFO(MODEL mf)")
    assert all(held is not None for _, held in found)
    loss, held = found[0]  # the latest iteration comes first
    assert held > loss


def test_same_seed_same_factors(con):
    answers = []
    for seed in (1, 1, 2):
        rows(con, f"SET sqlml.seed = {seed}")
        create(con, num_factors=3, max_iterations=2)
        answers.append(rows(con, "SELECT * FROM ML.EVALUATE(MODEL mf)"))
    assert answers[0] == answers[1] != answers[2]


def test_stored_factors_answer_the_same(tmp_path):
    path = str(tmp_path / "m.duckdb")
    found = []
    for first in (True, False):
        connection = sqlml.connect(path)
        if first:
            connection.duckdb.execute(
                "CREATE TABLE ratings AS SELECT i % 9 AS user, i % 7 AS item, i % 5 AS rating FROM range(63) t(i)"
            )
            create(connection, num_factors=2)
        found.append(sorted(rows(connection, "SELECT * FROM ML.RECOMMEND(MODEL mf)"), key=lambda r: r[1:]))
        connection.close()
    assert found[0] == found[1]


def test_only_the_tables_of_a_few_models_are_kept(con):
    for i in range(6):
        create(con, name=f"mf{i}", num_factors=2, max_iterations=1)
        rows(con, f"SELECT * FROM ML.RECOMMEND(MODEL mf{i}) LIMIT 1")
    assert len(matrix_factorization._TABLES) <= 4


REFUSED = [
    ("SELECT * FROM ratings UNION ALL SELECT * FROM ratings", {}, "every pair of user and item must have one rating"),
    ("SELECT NULLIF(user, 3) AS user, item, rating FROM ratings", {}, "the column user must not be NULL"),
    ("SELECT user, NULLIF(item, 'i3') AS item, rating FROM ratings", {}, "the column item must not be NULL"),
    ("SELECT user, item, NULLIF(rating, 3) AS rating FROM ratings WHERE rating = 3", {}, "rating must not be NULL"),
    ("SELECT *, 1 AS more FROM ratings", {}, "must have only the columns user, item, rating. It also has more"),
    ("SELECT user, item FROM ratings", {}, "must have the column rating of RATING_COL"),
    ("SELECT user, item, 'x' AS rating FROM ratings", {}, "rating of RATING_COL must be numeric. Got STRING"),
    ("SELECT [user] AS user, item, rating FROM ratings", {}, "user of USER_COL must be an id"),
    ("SELECT * FROM ratings", {"user_col": "'who'"}, "must have the column who of USER_COL"),
    ("SELECT * FROM ratings", {"item_col": "'user'"}, "ITEM_COL must differ from USER_COL and RATING_COL"),
    ("SELECT * FROM ratings", {"wals_alpha": "2"}, "WALS_ALPHA must be given only with FEEDBACK_TYPE='IMPLICIT'"),
    ("SELECT * FROM ratings", {"num_factors": "1"}, "NUM_FACTORS must be from 2 to 200"),
    ("SELECT * FROM ratings", {"feedback_type": "'BOTH'"}, "FEEDBACK_TYPE must be one of EXPLICIT, IMPLICIT"),
    ("SELECT * FROM ratings", {"l2_reg": "-1"}, "L2_REG must be at least 0"),
    ("SELECT * FROM ratings", {"warm_start": "TRUE"}, "WARM_START"),
    ("SELECT user, item, 0 AS rating FROM ratings", {"feedback_type": "'IMPLICIT'"}, "rating greater than 0"),
    ("SELECT * FROM ratings WHERE FALSE", {}, "must return rows"),
]


@pytest.mark.parametrize("source,options,message", REFUSED, ids=lambda v: str(v)[:40])
def test_refusals_are_sentences(con, source, options, message):
    with pytest.raises(sqlml.Error, match=re.escape(message)) as caught:
        create(con, source=source, **options)
    assert caught.value.span is not None


@pytest.mark.parametrize(
    "call,message",
    [
        ("ML.RECOMMEND(MODEL mf, (SELECT 1 AS x))", "must have the column user, item, or both"),
        ("ML.RECOMMEND(MODEL mf, (SELECT 1 AS user, 2 AS x))", "must have only the column user"),
        ("ML.RECOMMEND(MODEL mf, (SELECT 'a' AS user, 'i3' AS item))", "user was INT64, is STRING"),
        ("ML.GENERATE_EMBEDDING(MODEL mf, TABLE ratings)", "takes no input data for MATRIX_FACTORIZATION"),
        ("ML.EVALUATE(MODEL mf, (SELECT user, item FROM ratings))", "must have the numeric column rating"),
        ("ML.EVALUATE(MODEL mf, (SELECT user, rating FROM ratings))", "item"),
        ("ML.PREDICT(MODEL mf, TABLE ratings)", "ML.PREDICT does not work on MATRIX_FACTORIZATION models"),
        ("ML.WEIGHTS(MODEL mf, STRUCT(TRUE AS standardize))", "STANDARDIZE has no meaning"),
        ("ML.RECOMMEND(MODEL mf, STRUCT(2 AS trial_id))", "TRIAL_ID must be given only"),
    ],
)
def test_calls_that_are_refused(con, call, message):
    create(con, num_factors=2, max_iterations=1)
    with pytest.raises(sqlml.Error, match=re.escape(message)):
        rows(con, f"SELECT * FROM {call}")


def test_recommend_is_for_recommenders(penguins):
    source = "SELECT * FROM penguins WHERE body_mass_g IS NOT NULL"
    options = "OPTIONS(model_type='LINEAR_REG', input_label_cols=['body_mass_g'])"
    rows(penguins, f"CREATE MODEL m {options} AS {source}")
    with pytest.raises(sqlml.Error, match=r"ML\.RECOMMEND does not work on LINEAR_REG models"):
        rows(penguins, "SELECT * FROM ML.RECOMMEND(MODEL m)")


@pytest.mark.parametrize(
    ("user", "item"),
    [
        ("DATE_ADD(DATE '2020-01-01', INTERVAL user DAY)", "TIMESTAMP_SECONDS(LENGTH(item) * 100 + user)"),
        ("CAST(user AS NUMERIC) / 4", "CAST(item AS BYTES)"),
        ("user + 0.5", "DATETIME '2020-01-01 10:00:00'"),
        ("TIME(MOD(user, 24), 0, 0)", "user > 20"),
    ],
)
def test_ids_come_back_in_their_types(con, user, item):
    source = f"SELECT {user} AS user, {item} AS item, AVG(rating) AS rating FROM ratings GROUP BY 1, 2"
    create(con, num_factors=2, source=source)
    pairs = rows(con, f"SELECT user, item, predicted_rating FROM ML.RECOMMEND(MODEL mf, ({source}))")
    expected = {(u, i): score for u, i, score in pairs}
    assert len(expected) == rows(con, f"SELECT COUNT(*) FROM ({source})")[0][0]
    for data in ("", f", (SELECT DISTINCT user FROM ({source}))", f", (SELECT DISTINCT item FROM ({source}))"):
        found = rows(con, f"SELECT user, item, predicted_rating FROM ML.RECOMMEND(MODEL mf{data})")
        known = {(u, i): score for u, i, score in found if (u, i) in expected}
        assert known == expected
    assert rows(con, f"SELECT * FROM ML.EVALUATE(MODEL mf, ({source}))") == [
        pytest.approx(rows(con, "SELECT * FROM ML.EVALUATE(MODEL mf)")[0], nan_ok=True)
    ]
    one = f"SELECT COUNT(*) FROM ML.RECOMMEND(MODEL mf) JOIN (SELECT MIN(user) AS user FROM ({source})) USING (user)"
    assert rows(con, one)[0][0] == rows(con, f"SELECT COUNT(DISTINCT item) FROM ({source})")[0][0]


def test_an_id_of_another_type_is_refused_or_unknown(con):
    create(con, num_factors=2)
    with pytest.raises(SchemaError, match="user was INT64, is STRING") as caught:
        rows(con, "SELECT * FROM ML.RECOMMEND(MODEL mf, (SELECT 'x' AS user))")
    assert caught.value.span is not None
    unknown = rows(con, "SELECT predicted_rating FROM ML.RECOMMEND(MODEL mf, (SELECT 'nobody' AS item)) WHERE user = 3")
    dated = rows(
        con, "SELECT predicted_rating FROM ML.RECOMMEND(MODEL mf, (SELECT DATE '2020-01-01' AS item, 3 AS user))"
    )
    assert dated == unknown
    halves = (
        "SELECT COUNT(DISTINCT predicted_rating) FROM ML.RECOMMEND(MODEL mf, (SELECT * FROM UNNEST([7.5, -1]) AS user))"
    )
    assert rows(con, halves + " WHERE item = 'i3'") == [(1,)]


def test_the_place_of_bad_ratings_and_of_bad_input(con):
    text = "CREATE MODEL m2 OPTIONS(model_type='MATRIX_FACTORIZATION') AS SELECT user, item, "
    with pytest.raises(sqlml.DataError, match="the column rating must be finite") as caught:
        rows(con, text + "IF(user = 3, CAST('inf' AS FLOAT64), rating) AS rating FROM ratings")
    assert caught.value.span is not None
    create(con, num_factors=2)
    statement = "SELECT * FROM ML.EVALUATE(MODEL mf, (SELECT user, item FROM ratings))"
    with pytest.raises(SchemaError, match="the numeric column rating") as found:
        rows(con, statement)
    assert found.value.span is not None and statement[found.value.span.start :].startswith("SELECT user, item")
