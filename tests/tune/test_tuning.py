"""Tuning through SQL: spaces, searches, trials, the functions that know of trials, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import sqlml
from sqlml.errors import DataError
from sqlml.functions.judge import outcome_of, regression_of
from sqlml.kernels.metrics import roc_auc
from sqlml.models import MODELS
from sqlml.options import Given
from sqlml.tune import read_spaces
from sqlml.tune.search import searcher
from sqlml.tune.trials import _Story

pytest.importorskip("optuna")


def rows(con, sql):
    cursor = con.cursor()
    cursor.execute(sql)
    return cursor.fetchall() if cursor.description else []


@pytest.fixture
def con(con):
    """1,500 rows: y is linear in x and z with noise, kind is a class."""
    con.duckdb.execute(
        """CREATE TABLE t AS SELECT x, z, 3 * x - z + noise AS y, CASE WHEN x + noise > 0 THEN 'b' ELSE 'a' END AS kind
        FROM (SELECT hash(i) % 1000 / 500.0 - 1 AS x, hash(i, 1) % 1000 / 500.0 - 1 AS z,
                     hash(i, 2) % 1000 / 1000.0 - 0.5 AS noise FROM range(1500) AS r(i))"""
    )
    return con


def create(con, kind, trials=4, label="y", name="m", columns="x, z", **options):
    written = [f"model_type='{kind}'", f"num_trials={trials}"]
    written += [f"input_label_cols=['{label}']"] if label else []
    written += [f"{k}={v}" for k, v in options.items()]
    chosen = f"{columns}, {label}" if label else columns
    rows(con, f"CREATE OR REPLACE MODEL {name} OPTIONS({', '.join(written)}) AS SELECT {chosen} FROM t")
    return rows(con, f"SELECT * FROM ML.TRIAL_INFO(MODEL {name})")


# ---------------------------------------------------------------- trials and functions


def test_trials_of_a_linear_regression(con):
    info = create(con, "LINEAR_REG", trials=5)
    assert [r[0] for r in info] == [1, 2, 3, 4, 5]
    assert info[0][1] == {"l1_reg": 0.0, "l2_reg": 0.0}  # the first trial has the defaults
    assert {r[5] for r in info} == {"SUCCEEDED"} and sum(r[7] for r in info) >= 1
    best = max(info, key=lambda r: (r[2]["r2_score"], -r[0]))
    assert best[7] and all(r[3] > 0 for r in info)
    evaluated = rows(con, "SELECT * FROM ML.EVALUATE(MODEL m)")
    assert [r[0] for r in evaluated] == [1, 2, 3, 4, 5] and evaluated[0][5] > 0.9
    # Evaluation rows choose, test rows judge.
    assert evaluated[0][5] != info[0][2]["r2_score"]
    weights = rows(con, "SELECT trial_id, processed_input FROM ML.WEIGHTS(MODEL m)")
    assert weights[:4] == [(1, "x"), (1, "z"), (1, "__INTERCEPT__"), (2, "x")] and len(weights) == 15
    with pytest.raises(sqlml.Error, match=r"ML.TRAINING_INFO is not available for tuned models"):
        rows(con, "SELECT * FROM ML.TRAINING_INFO(MODEL m)")


def test_the_best_trial_serves_and_any_other_on_request(con):
    info = create(con, "LINEAR_REG", l2_reg="HPARAM_CANDIDATES([0, 10, 1000])")
    assert [r[1] for r in info] == [{"l2_reg": v} for v in (0.0, 10.0, 1000.0)] or len(info) == 3
    by_value = {r[1]["l2_reg"]: r[0] for r in info}
    best = next(r[0] for r in info if r[7])
    assert best == by_value[0.0]

    def predict(trial=None):
        setting = f", STRUCT({trial} AS trial_id)" if trial else ""
        return rows(con, f"SELECT predicted_y FROM ML.PREDICT(MODEL m, TABLE t{setting}) LIMIT 3")

    assert predict() == predict(best) != predict(by_value[1000.0])
    worse = rows(con, f"SELECT r2_score FROM ML.EVALUATE(MODEL m, TABLE t, STRUCT({by_value[1000.0]} AS trial_id))")
    assert worse[0][0] < rows(con, "SELECT r2_score FROM ML.EVALUATE(MODEL m, TABLE t)")[0][0]
    for wrong, text in (("9", "TRIAL_ID must be from 1 to 3"), ("0", "TRIAL_ID must be at least 1")):
        with pytest.raises(sqlml.Error, match=text):
            predict(wrong)


def test_answers_over_data_say_which_trial_gave_them(con):
    info = create(con, "LOGISTIC_REG", trials=3, label="kind", l2_reg="HPARAM_CANDIDATES([0, 10, 1000])")
    best = next(r[0] for r in info if r[7])
    other = next(r[0] for r in info if not r[7])
    for call in ("PREDICT(MODEL m, TABLE t{})", "EVALUATE(MODEL m, TABLE t{})", "CONFUSION_MATRIX(MODEL m, TABLE t{})"):
        for setting, trial in (("", best), (f", STRUCT({other} AS trial_id)", other)):
            found = con.execute(f"SELECT * FROM ML.{call.format(setting)}")
            assert found.description[0][0] == "trial_id"
            assert {r[0] for r in found.fetchall()} == {trial}
    predicted = con.execute("SELECT * FROM ML.PREDICT(MODEL m, (SELECT z, x FROM t))").description
    assert [c[0] for c in predicted] == ["trial_id", "predicted_kind", "predicted_kind_probs", "z", "x"]
    stored = con.execute("SELECT * FROM ML.CONFUSION_MATRIX(MODEL m)")
    assert stored.description[0][0] == "trial_id" and {r[0] for r in stored.fetchall()} == {best}
    curve = con.execute("SELECT * FROM ML.ROC_CURVE(MODEL m, TABLE t)")
    assert curve.description[0][0] == "threshold"


def test_models_with_trials_survive_the_file(tmp_path):
    path = str(tmp_path / "m.duckdb")
    with sqlml.connect(path) as con:
        con.duckdb.execute("CREATE TABLE t AS SELECT hash(i) % 100 / 50.0 AS x, x * 2 AS y FROM range(800) AS r(i)")
        create(con, "LINEAR_REG", trials=3, columns="x")
        before = rows(con, "SELECT * FROM ML.EVALUATE(MODEL m)")
    with sqlml.connect(path) as con:
        assert rows(con, "SELECT * FROM ML.EVALUATE(MODEL m)") == before
        assert len(rows(con, "SELECT * FROM ML.TRIAL_INFO(MODEL m)")) == 3
        assert rows(con, "SELECT COUNT(*) FROM ML.PREDICT(MODEL m, TABLE t, STRUCT(2 AS trial_id))") == [(800,)]


@pytest.mark.parametrize("algorithm", ["VIZIER_DEFAULT", "RANDOM_SEARCH", "GRID_SEARCH"])
def test_every_search_exhausts_a_small_space_without_repeats(con, algorithm):
    options = {"l1_reg": "HPARAM_CANDIDATES([0, 0.1])", "l2_reg": "HPARAM_CANDIDATES([0, 1, 5])"}
    info = create(con, "LINEAR_REG", trials=20, hparam_tuning_algorithm=f"'{algorithm}'", **options)
    points = [(r[1]["l1_reg"], r[1]["l2_reg"]) for r in info]
    assert sorted(points) == [(a, b) for a in (0.0, 0.1) for b in (0.0, 1.0, 5.0)]
    assert points[0] == (0.0, 0.0)


def test_parallel_trials_give_a_model_too(con):
    info = create(con, "LOGISTIC_REG", trials=4, label="kind", max_parallel_trials=2)
    assert len(info) == 4 and all("roc_auc" in r[2] for r in info)


@pytest.mark.parametrize("objective", ["MEAN_ABSOLUTE_ERROR", "R2_SCORE"])
def test_objectives_have_a_direction(con, objective):
    info = create(
        con,
        "LINEAR_REG",
        hparam_tuning_objectives=f"['{objective}']",
        l2_reg="HPARAM_CANDIDATES([1000, 0])",
    )
    assert next(r[1]["l2_reg"] for r in info if r[7]) == 0.0
    assert list(info[0][2]) == [objective.lower()]


def test_conditional_hyperparameters_of_trees(con):
    info = create(
        con,
        "BOOSTED_TREE_REGRESSOR",
        trials=8,
        max_iterations=3,
        booster_type="HPARAM_CANDIDATES(['GBTREE', 'DART'])",
        dropout="HPARAM_RANGE(0.1, 0.5)",
        hparam_tuning_algorithm="'RANDOM_SEARCH'",
    )
    kinds = {r[1]["booster_type"] for r in info}
    assert kinds == {"GBTREE", "DART"} and {r[5] for r in info} == {"SUCCEEDED"}
    for r in info:
        assert (r[1]["dropout"] is None) == (r[1]["booster_type"] == "GBTREE")


def test_bad_trials_do_not_end_the_job(con):
    info = (
        create(
            con,
            "DNN_REGRESSOR",
            trials=2,
            max_iterations=1,
            learn_rate="HPARAM_CANDIDATES([0.01, 1e12])",
            optimizer="'SGD'",
            hparam_tuning_algorithm="'GRID_SEARCH'",
        )
        if "DNN_REGRESSOR" in MODELS
        else []
    )
    status = {r[1]["learn_rate"]: (r[5], r[6]) for r in info}
    assert status[0.01] == ("SUCCEEDED", None)
    assert status[1e12][0] == "FAILED" and status[1e12][1]
    with pytest.raises(sqlml.Error, match=r"TRIAL_ID must name a trial that succeeded. Trial 2 is FAILED"):
        rows(con, "SELECT * FROM ML.PREDICT(MODEL m, TABLE t, STRUCT(2 AS trial_id))")


def test_clusters_and_factors_are_tuned_by_their_own_metrics(con):
    con.duckdb.execute(
        "CREATE TABLE ratings AS SELECT i % 30 AS u, i // 30 AS v, hash(i) % 5 AS r FROM range(600) AS t(i)"
    )
    info = create(con, "KMEANS", trials=3, label=None)
    assert list(info[0][2]) == ["davies_bouldin_index"] and all(r[1]["num_clusters"] <= 10 for r in info[1:])
    centroids = rows(con, "SELECT DISTINCT trial_id FROM ML.CENTROIDS(MODEL m) ORDER BY 1")
    assert centroids == [(1,), (2,), (3,)]
    rows(
        con,
        "CREATE MODEL f OPTIONS(model_type='matrix_factorization', user_col='u', item_col='v', rating_col='r',"
        " num_trials=2) AS SELECT * FROM ratings",
    )
    assert set(rows(con, "SELECT * FROM ML.TRIAL_INFO(MODEL f)")[0][1]) == {"num_factors", "l2_reg"}
    best = rows(con, "SELECT MIN(trial_id) FROM ML.TRIAL_INFO(MODEL f) WHERE is_optimal")[0]
    for data in ("", ", (SELECT 3 AS u)", ", (SELECT u, v FROM ratings)"):
        found = con.execute(f"SELECT * FROM ML.RECOMMEND(MODEL f{data})")
        assert [c[0] for c in found.description] == ["trial_id", "predicted_r", "u", "v"]
        assert {r[0] for r in found.fetchall()} == {best[0]}
    found = con.execute("SELECT * FROM ML.GENERATE_EMBEDDING(MODEL f)")
    assert found.description[0][0] == "trial_id" and {r[0] for r in found.fetchall()} == {best[0]}


def test_cancelling_keeps_the_finished_trials(con):
    seen = []

    def stop(event):
        seen.append((event.stage, event.step, event.steps, event.detail))
        return not (event.stage == "trial" and event.step == 3)

    with sqlml.connect() as other:
        other.duckdb.execute("CREATE TABLE t AS SELECT hash(i) % 100 / 50.0 AS x, x * 2 AS y FROM range(800) AS r(i)")
        silence = other.listen(stop)
        with pytest.raises(sqlml.Error, match=r"cancelled. The 2 finished trials were kept"):
            create(other, "LINEAR_REG", trials=6, columns="x")
        silence()
        assert len(rows(other, "SELECT * FROM ML.TRIAL_INFO(MODEL m)")) == 2
    told = [s for s in seen if s[0] == "trial"]
    assert told[0][1:3] == (1, 6) and "best r2_score so far" in told[-1][3]


# ---------------------------------------------------------------- spaces


def options_of(kind, **values):
    return dataclasses.replace(MODELS[kind].options(), num_trials=20, **values)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("LINEAR_REG", {"l1_reg": (1e-14, 10.0, True), "l2_reg": (1e-14, 10.0, True)}),
        (
            "BOOSTED_TREE_CLASSIFIER",
            {
                "l1_reg": (1e-14, 10.0, True),
                "l2_reg": (1e-14, 10.0, True),
                "max_tree_depth": (1.0, 10.0, False),
                "learn_rate": (0.001, 1.0, False),
                "subsample": (0.001, 1.0, False),
            },
        ),
        ("KMEANS", {"num_clusters": (2.0, 10.0, False)}),
    ],
)
def test_default_spaces(kind, wanted):
    found = read_spaces(MODELS[kind], kind, options_of(kind), {}, {})
    assert {d.name: (d.low, d.high, d.log) for d in found} == wanted


def test_a_written_option_is_not_tuned():
    options = options_of("BOOSTED_TREE_REGRESSOR", learn_rate=0.1)
    found = read_spaces(
        MODELS["BOOSTED_TREE_REGRESSOR"], "BOOSTED_TREE_REGRESSOR", options, {"learn_rate": Given(0.1)}, {}
    )
    assert "learn_rate" not in {d.name for d in found}


def test_random_points_lie_in_the_space_and_on_its_scale():
    found = read_spaces(MODELS["BOOSTED_TREE_CLASSIFIER"], "X", options_of("BOOSTED_TREE_CLASSIFIER"), {}, {})
    search = searcher("RANDOM_SEARCH", found, lambda name, point: True, 100, 0, 1)
    points = [search.ask() for _ in range(300)][1:]
    for d in found:
        values = np.array([p[d.name] for p in points])
        assert values.min() >= d.low and values.max() <= d.high
        if d.whole:
            assert set(values) == set(range(int(d.low), int(d.high) + 1))
        elif d.log:
            assert (values < 1e-7).mean() == pytest.approx(0.5, abs=0.15)


# ---------------------------------------------------------------- refusals

REFUSED = [
    ("LINEAR_REG", {"l2_reg": "HPARAM_RANGE(1, 1)"}, "must have a lower bound below the upper one. Got 1 and 1"),
    ("LINEAR_REG", {"l2_reg": "HPARAM_RANGE(5, 1)"}, "must have a lower bound below the upper one. Got 5 and 1"),
    ("LINEAR_REG", {"l2_reg": "HPARAM_RANGE(-1, 1)"}, "L2_REG must be at least 0"),
    ("BOOSTED_TREE_REGRESSOR", {"learn_rate": "HPARAM_RANGE(-1, 1)"}, "LEARN_RATE must be greater than 0. Got -1"),
    ("DNN_REGRESSOR", {"dropout": "HPARAM_RANGE(0, 2)"}, "DROPOUT must be at least 0 and less than 1. Got 2"),
    ("LINEAR_REG", {"hparam_tuning_objectives": "[]"}, "must name one metric. Got 0"),
    ("LINEAR_REG", {"l2_reg": "HPARAM_RANGE('a', 'b')"}, "the bounds of HPARAM_RANGE must be numbers"),
    ("LINEAR_REG", {"l2_reg": "HPARAM_RANGE(1)"}, "must have a lower and an upper bound"),
    ("LINEAR_REG", {"l2_reg": "HPARAM_CANDIDATES([])"}, "must be one array with at least one value"),
    ("LINEAR_REG", {"l2_reg": "HPARAM_CANDIDATES(['many'])"}, "L2_REG must be a FLOAT64. Got 'many'"),
    ("LINEAR_REG", {"max_iterations": "HPARAM_RANGE(1, 20)"}, "MAX_ITERATIONS cannot be tuned"),
    ("LINEAR_REG", {"l3_reg": "HPARAM_RANGE(1, 20)"}, "L3_REG is not an option of LINEAR_REG"),
    ("LINEAR_REG", {"hparam_tuning_objectives": "['ROC_AUC']"}, "HPARAM_TUNING_OBJECTIVES must be one of R2_SCORE"),
    ("LINEAR_REG", {"hparam_tuning_objectives": "['R2_SCORE', 'MEAN_SQUARED_ERROR']"}, "must name one metric. Got 2"),
    ("LINEAR_REG", {"hparam_tuning_algorithm": "'GRID_SEARCH'"}, "GRID_SEARCH must have HPARAM_CANDIDATES"),
    (
        "LINEAR_REG",
        {"hparam_tuning_algorithm": "'GRID_SEARCH'", "l2_reg": "HPARAM_RANGE(0, 1)"},
        "GRID_SEARCH must have HPARAM_CANDIDATES for every option. L2_REG has a range",
    ),
    ("LINEAR_REG", {"num_trials": "0"}, "NUM_TRIALS must be from 1 to 100. Got 0"),
    ("LINEAR_REG", {"max_parallel_trials": "6"}, "MAX_PARALLEL_TRIALS must be from 1 to 5. Got 6"),
    ("LINEAR_REG", {"data_split_eval_fraction": "0.2"}, "must come together under NUM_TRIALS"),
    ("BOOSTED_TREE_REGRESSOR", {"dropout": "HPARAM_RANGE(0, 0.5)"}, "DROPOUT must be tuned only together with"),
    ("BOOSTED_TREE_REGRESSOR", {"max_tree_depth": "HPARAM_RANGE(1.5, 3)"}, "must be whole numbers"),
    ("BOOSTED_TREE_REGRESSOR", {"booster_type": "HPARAM_RANGE(1, 3)"}, "BOOSTER_TYPE is none"),
    (
        "BOOSTED_TREE_REGRESSOR",
        {"booster_type": "HPARAM_CANDIDATES(['DARTS'])"},
        "BOOSTER_TYPE must be one of GBTREE, DART",
    ),
]


@pytest.mark.parametrize(("kind", "options", "text"), REFUSED)
def test_bad_spaces_are_refused_with_their_place(con, kind, options, text):
    given = {"num_trials": "3"} | options
    written = ", ".join(f"{k}={v}" for k, v in given.items())
    with pytest.raises(sqlml.Error) as caught:
        rows(
            con, f"CREATE MODEL m OPTIONS(model_type='{kind}', input_label_cols=['y'], {written}) AS SELECT x, y FROM t"
        )
    message = str(caught.value)
    assert text in message
    lines = message.splitlines()
    caret = next(i for i, line in enumerate(lines) if set(line.strip()) == {"^"})
    at = lines[caret].index("^")
    parts = [part for k, v in options.items() for part in (k, *(v[i:] for i in range(len(v))))]
    assert any(lines[caret - 1][at:].startswith(part) for part in parts)


@pytest.mark.parametrize(
    ("kind", "option", "text"),
    [
        ("LINEAR_REG", "l2_reg=HPARAM_RANGE(0, 1)", "HPARAM_RANGE of L2_REG must come with NUM_TRIALS"),
        ("LINEAR_REG", "max_parallel_trials=2", "MAX_PARALLEL_TRIALS must come with NUM_TRIALS"),
        ("LINEAR_REG", "data_split_test_fraction=0.2", "DATA_SPLIT_TEST_FRACTION must come with NUM_TRIALS"),
    ],
)
def test_tuning_options_need_trials(con, kind, option, text):
    with pytest.raises(sqlml.Error, match=text):
        rows(
            con, f"CREATE MODEL m OPTIONS(model_type='{kind}', input_label_cols=['y'], {option}) AS SELECT x, y FROM t"
        )


def test_a_job_whose_trials_all_fail_says_why(con):
    if "DNN_REGRESSOR" not in MODELS:
        pytest.skip("networks need torch")
    with pytest.raises(sqlml.Error, match=r"more than half of the trials failed. Trial 1: ") as caught:
        create(con, "DNN_REGRESSOR", optimizer="'SGD'", learn_rate="HPARAM_RANGE(1e11, 1e12)", max_iterations=1)
    assert "^" in str(caught.value)


def test_custom_splits_name_the_parts(con):
    con.duckdb.execute(
        "CREATE TABLE u AS SELECT *, ['TRAIN', 'EVAL', 'TEST'][1 + (hash(x, z) % 3)::INT] AS part FROM t"
    )
    rows(
        con,
        "CREATE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['y'], num_trials=2,"
        " data_split_method='CUSTOM', data_split_col='part') AS SELECT * FROM u",
    )
    info = rows(con, "SELECT hparam_tuning_evaluation_metrics.r2_score FROM ML.TRIAL_INFO(MODEL m)")
    for part, stored in (("EVAL", info[0][0]), ("TEST", None)):
        found = rows(
            con,
            f"SELECT r2_score FROM ML.EVALUATE(MODEL m, (SELECT * FROM u WHERE part = '{part}'), STRUCT(1 AS trial_id))",
        )[0][0]
        stored = stored or rows(con, "SELECT r2_score FROM ML.EVALUATE(MODEL m) WHERE trial_id = 1")[0][0]
        assert found == pytest.approx(stored)


# ---------------------------------------------------------------- judging and pruning


@pytest.mark.parametrize(("kind", "label"), [("BOOSTED_TREE_REGRESSOR", "y"), ("BOOSTED_TREE_CLASSIFIER", "kind")])
@pytest.mark.parametrize("source", ["t", "(SELECT DISTINCT * FROM t)"])
def test_every_trial_is_judged_by_its_own_predictions(con, kind, label, source):
    # Rows of the second query are copied, and functions then stay registered from trial to trial.
    rows(
        con,
        f"CREATE MODEL m OPTIONS(model_type='{kind}', input_label_cols=['{label}'], num_trials=4, max_iterations=5,"
        " data_split_method='CUSTOM', data_split_col='part', hparam_tuning_pruning=FALSE) AS"
        f" SELECT x, z, {label}, CASE WHEN hash(x, z) % 5 < 3 THEN 'TRAIN' WHEN hash(x, z) % 5 = 3 THEN 'EVAL'"
        f" ELSE 'TEST' END AS part FROM {source}",
    )
    held = "(SELECT * FROM {} WHERE hash(x, z) % 5 = {})"
    metric = "r2_score" if label == "y" else "roc_auc"
    info = rows(con, "SELECT trial_id, hparam_tuning_evaluation_metrics, is_optimal FROM ML.TRIAL_INFO(MODEL m)")
    tested = {r[0]: r[1:] for r in rows(con, "SELECT * FROM ML.EVALUATE(MODEL m)")}
    assert len({r[1][metric] for r in info}) > 1
    for trial, found, _ in info:
        setting = f"STRUCT({trial} AS trial_id)"
        sql = f"SELECT {metric} FROM ML.EVALUATE(MODEL m, {held.format(source, 3)}, {setting})"
        assert rows(con, sql)[0][0] == pytest.approx(found[metric], abs=1e-12)
        sql = f"SELECT * FROM ML.EVALUATE(MODEL m, {held.format(source, 4)}, {setting})"
        assert rows(con, sql)[0][1:] == pytest.approx(tested[trial], abs=1e-12, nan_ok=True)
    best = next(r[0] for r in info if r[2])
    chosen = rows(con, f"SELECT * FROM ML.PREDICT(MODEL m, {held.format(source, 4)}) ORDER BY x, z")
    setting = f"STRUCT({best} AS trial_id)"
    asked = rows(con, f"SELECT * FROM ML.PREDICT(MODEL m, {held.format(source, 4)}, {setting}) ORDER BY x, z")
    assert chosen == asked


def test_metrics_of_arrays_are_those_of_rows():
    rng = np.random.default_rng(0)
    y, p = rng.uniform(-0.5, 1.0, 201), rng.uniform(-0.5, 1.0, 201)
    found = regression_of(np.append(y, np.nan), np.append(p, 0.0))
    assert found["r2_score"] == pytest.approx(1 - np.mean((y - p) ** 2) / np.var(y))
    assert found["median_absolute_error"] == np.median(np.abs(y - p))
    assert found["mean_squared_log_error"] == pytest.approx(np.mean((np.log1p(y) - np.log1p(p)) ** 2))
    P = rng.dirichlet([1.0, 1.0, 1.0], size=300)
    y = np.append(rng.integers(0, 3, 299), np.nan).astype(float)
    outcome = outcome_of(y, P, 3)
    assert outcome.unknown == 1 and outcome.confusion.sum() == 299
    known = y[:-1].astype(int)
    assert np.trace(outcome.confusion) == (P[:-1].argmax(axis=1) == known).sum()
    brute = np.mean([P[i, 1] > P[j, 1] for i in np.flatnonzero(known == 1) for j in np.flatnonzero(known != 1)])
    assert roc_auc(outcome.counts[1]) == pytest.approx(brute)
    with pytest.raises(DataError, match="at least one row"):
        regression_of(np.array([np.nan]), np.zeros(1))


def test_what_learns_slowly_is_not_hopeless():
    story = _Story(20, "R2_SCORE")
    story.curves = [[1.0, 0.5, 0.4, 0.35, 0.33]] * 4
    slow = [1.0, 0.95, 0.9, 0.85]
    assert not story.hopeless(slow, 20)  # at this pace it ends at 0.05
    assert story.hopeless(slow, 8)  # and here at 0.65
    assert story.hopeless([1.0, 0.9, 0.9, 0.9], 20) and not story.hopeless([1.0, 0.9, 0.9], 20)
    story.curves = story.curves[:3]
    assert not story.hopeless([1.0, 0.9, 0.9, 0.9], 20)
