"""AutoML through SQL: the ensemble, its leaderboard, its split column, and what is refused."""

from __future__ import annotations

import pytest

import sqlml

pytest.importorskip("optuna")
#: Seconds of search: enough for the first trial of each type.
BUDGET = 3.0 / 3600.0


def rows(con, sql):
    cursor = con.cursor()
    cursor.execute(sql)
    return cursor.fetchall() if cursor.description else []


@pytest.fixture
def con(con):
    con.duckdb.execute(
        """CREATE TABLE t AS SELECT *, CASE WHEN x + noise > 0 THEN 'b' ELSE 'a' END AS two,
            CASE WHEN y > 2 THEN 'high' WHEN y < -2 THEN 'low' ELSE 'mid' END AS three,
            ['TRAIN', 'UNASSIGNED', 'VALIDATE', 'TEST'][1 + (i % 4)::INT] AS part
        FROM (SELECT i, hash(i) % 1000 / 500.0 - 1 AS x, 'c' || hash(i, 1) % 40 AS c,
                     hash(i, 2) % 1000 / 1000.0 - 0.5 AS noise, 5 * x * abs(x) + hash(c) % 3 - 1 + noise AS y
              FROM range(600) AS r(i))"""
    )
    return con


def create(con, kind, label, columns="x, c", **options):
    written = "".join(f", {k}={v}" for k, v in ({"budget_hours": BUDGET} | options).items())
    rows(
        con,
        f"CREATE OR REPLACE MODEL m OPTIONS(model_type='{kind}', input_label_cols=['{label}']{written})"
        f" AS SELECT {columns}, {label} FROM t",
    )


def test_regression_finds_an_ensemble_and_lists_its_trials(con):
    create(con, "AUTOML_REGRESSOR", "y")
    evaluated = rows(con, "SELECT r2_score FROM ML.EVALUATE(MODEL m)")
    assert len(evaluated) == 1 and evaluated[0][0] > 0.9
    board = rows(
        con,
        "SELECT hyperparameters.model_type, CAST(hyperparameters.weight AS FLOAT64), status, is_optimal,"
        " hparam_tuning_evaluation_metrics.rmse FROM ML.TRIAL_INFO(MODEL m) ORDER BY trial_id",
    )
    types = ["BOOSTED_TREE_REGRESSOR", "LINEAR_REG", "RANDOM_FOREST_REGRESSOR", "DNN_REGRESSOR"]
    assert [b[0] for b in board[:4]] == types[: len(board)]  # a slow machine does not come to all of them
    assert sum(b[1] for b in board) == pytest.approx(1.0, abs=1e-3)
    assert min(b[4] for b in board if b[4] is not None) == next(b[4] for b in board if b[3])
    explained = rows(con, "SELECT * FROM ML.GLOBAL_EXPLAIN(MODEL m)")
    assert [f for f, _ in explained] == ["x", "c"] and explained[0][1] > explained[1][1] > 0.0
    predicted = rows(con, "SELECT predicted_y, y FROM ML.PREDICT(MODEL m, TABLE t) ORDER BY i LIMIT 20")
    assert sum((p - y) ** 2 for p, y in predicted) / 20 < 1.0


@pytest.mark.parametrize("label", ["two", "three"])
def test_classification_through_the_file(tmp_path, con, label):
    create(con, "AUTOML_CLASSIFIER", label, optimization_objective="'MINIMIZE_LOG_LOSS'")
    found = rows(con, f"SELECT predicted_{label}, predicted_{label}_probs FROM ML.PREDICT(MODEL m, TABLE t) LIMIT 5")
    for best, probs in found:
        assert sum(p["prob"] for p in probs) == pytest.approx(1.0)
        assert max(probs, key=lambda p: p["prob"])["label"] == best
    assert rows(con, "SELECT accuracy FROM ML.EVALUATE(MODEL m)")[0][0] > 0.7
    assert len(rows(con, "SELECT * FROM ML.CONFUSION_MATRIX(MODEL m)")) == (2 if label == "two" else 3)


def test_models_survive_the_file(tmp_path):
    path = str(tmp_path / "a.duckdb")
    with sqlml.connect(path) as con:
        con.duckdb.execute(
            "CREATE TABLE t AS SELECT hash(i) % 100 / 50.0 AS x, i % 3 AS c, x * 2 + c AS y FROM range(300) AS r(i)"
        )
        create(con, "AUTOML_REGRESSOR", "y")
        before = rows(con, "SELECT predicted_y FROM ML.PREDICT(MODEL m, TABLE t) ORDER BY x, c")
    with sqlml.connect(path) as con:
        assert rows(con, "SELECT predicted_y FROM ML.PREDICT(MODEL m, TABLE t) ORDER BY x, c") == before


def test_the_split_column_is_honoured(con):
    create(con, "AUTOML_REGRESSOR", "y", columns="x, c, part", data_split_col="'part'")
    test = rows(con, "SELECT mean_squared_error FROM ML.EVALUATE(MODEL m, (SELECT * FROM t WHERE part = 'TEST'))")
    assert rows(con, "SELECT mean_squared_error FROM ML.EVALUATE(MODEL m)")[0][0] == pytest.approx(test[0][0])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"budget_hours": "0"}, "BUDGET_HOURS must be greater than 0"),
        ({"optimization_objective": "'MAXIMIZE_AU_ROC'"}, "OPTIMIZATION_OBJECTIVE must be one of MINIMIZE_RMSE"),
        ({"optimization_objective": "STRUCT('MINIMIZE_MAE', 0.5)"}, "must be written as 'MINIMIZE_MAE'"),
        ({"data_split_col": "'x'"}, "DATA_SPLIT_COL must name a STRING or TIMESTAMP column"),
        ({"num_trials": "5"}, "NUM_TRIALS is not an option of AUTOML_REGRESSOR"),
    ],
)
def test_bad_options_are_refused_with_their_place(con, options, text):
    with pytest.raises(sqlml.Error, match=text) as caught:
        create(con, "AUTOML_REGRESSOR", "y", **options)
    assert "^" in str(caught.value)


def test_forests_have_as_many_trees_as_there_is_time_for():
    from sqlml import automl
    from sqlml.models import MODELS
    from sqlml.progress import Run

    model = MODELS["RANDOM_FOREST_REGRESSOR"]
    kind = automl._Kind("RANDOM_FOREST_REGRESSOR", model, model.options(), None, None, per_tree=0.1)
    trees = [automl._affordable(kind, kind.base, left, Run()).num_parallel_tree for left in (1000.0, 10.0, 0.0, -5.0)]
    assert trees == [100, 25, 2, 2]


def test_settings_without_a_value_are_not_listed():
    from sqlml.automl import _settings

    assert _settings({"batch_size": None, "dropout": 0.25, "optimizer": "SGD"}) == "dropout=0.25, optimizer=SGD"


def test_a_budget_that_is_spent_at_once_still_gives_a_model(con):
    create(con, "AUTOML_REGRESSOR", "y", budget_hours=1e-9)
    board = rows(con, "SELECT status, is_optimal FROM ML.TRIAL_INFO(MODEL m)")
    assert board == [("SUCCEEDED", True)]
    assert len(rows(con, "SELECT predicted_y FROM ML.PREDICT(MODEL m, TABLE t)")) == 600
