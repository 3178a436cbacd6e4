"""Options that contradict each other are refused at the word; what is accepted has an effect."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import sqlml
from sqlml.errors import Error

TREE = "boosted_tree_classifier"
FOREST = "random_forest_regressor"


@pytest.fixture(scope="module")
def con() -> Iterator[sqlml.Connection]:
    with sqlml.connect() as con:
        con.execute(
            "CREATE TABLE t AS SELECT i % 7 + i % 11 / 10.0 AS a, i % 13 AS b, IF(i % 7 > 3, 'p', 'q') AS y,"
            " i % 5 = 0 AS held, i % 30 AS u, DIV(i, 30) AS v FROM UNNEST(GENERATE_ARRAY(1, 600)) AS i"
        )
        yield con


def create(con: sqlml.Connection, kind: str, options: str, query: str = "SELECT a, b, y FROM t") -> str:
    text = f"CREATE OR REPLACE MODEL m OPTIONS (model_type='{kind}', {options}) AS {query}"
    con.execute(text)
    return text


@pytest.mark.parametrize(
    ("kind", "options", "word", "message"),
    [
        (TREE, "class_weights=[('p', 1), ('q', 2)], auto_class_weights=TRUE", "class_weights", "not be given together"),
        (TREE, "class_weights=[('p', 1), ('p', 2), ('q', 1)]", "class_weights", "names p twice"),
        (TREE, "class_weights=[]", "class_weights", "one entry for every class"),
        (TREE, "data_split_method='NO_SPLIT', data_split_eval_fraction=0.3", "data_split_eval_fraction", "'NO_SPLIT'"),
        (TREE, "data_split_method='SEQ', data_split_col='y'", "'y'", "must not be the label"),
        (TREE, "data_split_method='RANDOM', data_split_eval_fraction=0.7, data_split_test_fraction=0.4, num_trials=2",
         "data_split_eval_fraction", "leave rows to train on"),
        (TREE, "vertex_ai_model_id='m'", "vertex_ai_model_id", "must come with MODEL_REGISTRY"),
        (TREE, "model_registry='VERTEX_AI', vertex_ai_model_id='My Model'", "vertex_ai_model_id", "at most 63"),
        ("dnn_classifier", "learn_rate=1e-300", "1e-300", "at least 1e-30"),
    ],
)  # fmt: skip
def test_contradictions(con: sqlml.Connection, kind: str, options: str, word: str, message: str) -> None:
    with pytest.raises(Error, match=message) as caught:
        create(con, kind, f"input_label_cols=['y'], {options}")
    span = caught.value.span
    assert span is not None
    whole = f"CREATE OR REPLACE MODEL m OPTIONS (model_type='{kind}', input_label_cols=['y'], {options})"
    assert whole[span.start : span.end] == word


@pytest.mark.parametrize(
    ("options", "query", "word"),
    [
        ("user_col='uu', item_col='v', rating_col='a'", "SELECT u, v, a FROM t", "user_col"),
        ("user_col='u', item_col='v', rating_col='a', data_split_eval_fraction=0.3", "SELECT u, v, a FROM t",
         "data_split_eval_fraction"),
        ("user_col='u', item_col='v', rating_col='a', data_split_method='SEQ', data_split_col='u'",
         "SELECT u, v, a FROM t", "'u'"),
    ],
)  # fmt: skip
def test_recommenders(con: sqlml.Connection, options: str, query: str, word: str) -> None:
    with pytest.raises(Error) as caught:
        create(con, "matrix_factorization", options, query)
    span = caught.value.span
    text = f"CREATE OR REPLACE MODEL m OPTIONS (model_type='matrix_factorization', {options}) AS {query}"
    assert span is not None and text[span.start : span.end] == word


def test_nothing_to_tune_is_said_at_num_trials(con: sqlml.Connection) -> None:
    with pytest.raises(Error, match="something to tune") as caught:
        create(con, "kmeans", "num_clusters=3, num_trials=4", "SELECT a, b FROM t")
    assert caught.value.hint is not None and "NUM_CLUSTERS" in caught.value.hint


@pytest.mark.parametrize("method", ["", ", data_split_method='AUTO_SPLIT'", ", data_split_method='RANDOM'"])
def test_a_fraction_splits(con: sqlml.Connection, method: str) -> None:
    create(con, TREE, f"input_label_cols=['y'], max_iterations=1, data_split_eval_fraction=0.5{method}")
    (row,) = con.execute("SELECT SUM(p) + SUM(q) FROM ML.CONFUSION_MATRIX(MODEL m)").fetchall()
    assert 200 < row[0] < 400


def test_an_exact_forest_draws_columns_by_level(con: sqlml.Connection) -> None:
    query = "SELECT a, b, u, v AS y FROM t"
    found = []
    for more in ("", ", colsample_bylevel=0.34", ", colsample_bynode=1.0, colsample_bylevel=0.8"):
        create(con, FOREST, f"input_label_cols=['y'], tree_method='EXACT', num_parallel_tree=5{more}", query)
        found.append(con.execute("SELECT * FROM ML.FEATURE_IMPORTANCE(MODEL m)").fetchall())
    assert found[0] == found[2] != found[1]
    with pytest.raises(Error, match="COLSAMPLE_BYNODE = 1"):
        create(con, FOREST, "input_label_cols=['y'], tree_method='EXACT', colsample_bynode=0.5", query)


@pytest.mark.parametrize(
    ("kind", "options", "query", "name", "value"),
    [
        ("kmeans", "num_trials=5", "SELECT a, b FROM t", "num_clusters", 3),
        ("kmeans", "num_trials=2, num_clusters=HPARAM_RANGE(4, 8)", "SELECT a, b FROM t", "num_clusters", 4),
        ("matrix_factorization", "num_trials=2, user_col='u', item_col='v', rating_col='a', max_iterations=1",
         "SELECT u, v, AVG(a) AS a FROM t GROUP BY u, v", "num_factors", 9),
        ("autoencoder", "num_trials=1, max_iterations=1", "SELECT a, b FROM t", "batch_size", 32),
    ],
)  # fmt: skip
def test_the_first_trial_shows_the_default(
    con: sqlml.Connection, kind: str, options: str, query: str, name: str, value: int
) -> None:
    create(con, kind, options, query)
    trials = con.execute(f"SELECT hyperparameters.{name} FROM ML.TRIAL_INFO(MODEL m) ORDER BY trial_id").fetchall()
    assert trials[0][0] == value
    if kind == "kmeans":
        assert len(set(trials)) == len(trials)


def test_penalties_of_an_autoencoder_may_be_tuned_under_any_optimizer(con: sqlml.Connection) -> None:
    create(con, "autoencoder", "num_trials=2, l1_reg=HPARAM_CANDIDATES([0, 0.1]), max_iterations=1", "SELECT a FROM t")
    trials = con.execute("SELECT hyperparameters.l1_reg, status FROM ML.TRIAL_INFO(MODEL m)").fetchall()
    assert sorted(trials) == [(0.0, "SUCCEEDED"), (0.1, "SUCCEEDED")]
