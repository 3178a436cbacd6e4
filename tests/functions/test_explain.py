"""ML.EXPLAIN_PREDICT and ML.GLOBAL_EXPLAIN against brute-force Shapley values and xgboost's own contributions."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest

import sqlml
from sqlml.arrow import texts
from sqlml.functions.explain import largest
from sqlml.models import MODELS

FEATURES = ["x", "z", "c"]


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
        """CREATE TABLE t AS SELECT *, 2 * coalesce(x, 0) - z * z + length(c) + noise AS y,
            CASE WHEN x + noise > 0 THEN 'b' ELSE 'a' END AS two,
            CASE WHEN x > 0.3 THEN 'high' WHEN z < 0 THEN 'low' ELSE 'mid' END AS three
        FROM (SELECT i, CASE WHEN hash(i, 3) % 19 > 0 THEN hash(i) % 1000 / 500.0 - 1 END AS x,
                     hash(i, 1) % 1000 / 500.0 - 1 AS z, repeat('c', (hash(i, 4) % 3)::INT + 1) AS c,
                     hash(i, 2) % 1000 / 1000.0 - 0.5 AS noise FROM range(700) AS r(i))"""
    )
    return con


def create(con, kind, label, columns="x, z, c", where="", **options):
    more = "".join(f", {k}={v}" for k, v in options.items())
    rows(
        con,
        f"CREATE OR REPLACE MODEL m OPTIONS(model_type='{kind}', input_label_cols=['{label}']{more})"
        f" AS SELECT {columns}, {label} FROM t{where}",
    )


CASES = [
    ("LINEAR_REG", "y"),
    ("LOGISTIC_REG", "two"),
    ("LOGISTIC_REG", "three"),
    ("BOOSTED_TREE_REGRESSOR", "y"),
    ("BOOSTED_TREE_CLASSIFIER", "two"),
    ("BOOSTED_TREE_CLASSIFIER", "three"),
    ("RANDOM_FOREST_REGRESSOR", "y"),
]


@pytest.mark.parametrize(("kind", "label"), CASES)
def test_attributions_and_baseline_add_up_on_every_row(con, kind, label):
    create(con, kind, label, data_split_method="'NO_SPLIT'")
    found = named(con, "SELECT * FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE t, STRUCT(9 AS top_k_features))")
    predicted = named(con, "SELECT * FROM ML.PREDICT(MODEL m, TABLE t)")
    assert len(found) == 700
    for row, plain in zip(sorted(found, key=lambda r: r["i"]), sorted(predicted, key=lambda r: r["i"]), strict=True):
        parts = row["top_feature_attributions"]
        assert sorted(p["feature"] for p in parts) == sorted(FEATURES)
        sizes = [abs(p["attribution"]) for p in parts]
        assert sizes == sorted(sizes, reverse=True)
        total = row["baseline_prediction_value"] + sum(p["attribution"] for p in parts)
        assert total == pytest.approx(row["prediction_value"], rel=1e-5, abs=1e-5)
        assert row["approximation_error"] == 0.0
        assert row[f"predicted_{label}"] == plain[f"predicted_{label}"]
        if label == "y":
            assert row["prediction_value"] == pytest.approx(plain["predicted_y"], rel=1e-5, abs=1e-5)
        else:
            probs = {p["label"]: p["prob"] for p in plain[f"predicted_{label}_probs"]}
            assert row["probability"] == pytest.approx(probs[row[f"predicted_{label}"]])
    columns = list(found[0])
    lead = [f"predicted_{label}", *(["probability"] if label != "y" else []), "top_feature_attributions"]
    assert columns[: len(lead) + 3] == [*lead, "baseline_prediction_value", "prediction_value", "approximation_error"]


def test_logits_of_two_labels_belong_to_the_predicted_one(con):
    create(con, "LOGISTIC_REG", "two")
    for threshold in (0.2, 0.5, 0.9):
        found = named(con, f"SELECT * FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE t, STRUCT({threshold} AS threshold))")
        assert {r["predicted_two"] for r in found} == {"a", "b"}
        for r in found:
            odds = np.log(r["probability"] / (1.0 - r["probability"]))
            assert r["prediction_value"] == pytest.approx(odds, abs=1e-9)
            assert (r["predicted_two"] == "b") == (
                (r["probability"] if r["predicted_two"] == "b" else 1 - r["probability"]) > threshold
            )


def shapley(value, n):
    """Exact Shapley values of a set function over n players."""
    found = np.zeros(n)
    for i in range(n):
        rest = [j for j in range(n) if j != i]
        for k in range(n):
            for s in combinations(rest, k):
                weight = factorial(k) * factorial(n - k - 1) / factorial(n)
                found[i] += weight * (value({*s, i}) - value(set(s)))
    return found


def test_linear_attributions_are_shapley_values(con):
    """A feature that is absent has its mean over the training rows; the model itself is asked for every subset."""
    numbers = ["x", "z", "noise"]
    create(con, "LINEAR_REG", "y", columns="x, z, noise", data_split_method="'NO_SPLIT'")
    mean = dict(zip(numbers, rows(con, "SELECT AVG(x), AVG(z), AVG(noise) FROM t")[0], strict=True))
    row = named(con, "SELECT * FROM ML.EXPLAIN_PREDICT(MODEL m, (SELECT * FROM t WHERE i = 5))")[0]

    def value(present):
        given = [row[n] if j in present else mean[n] for j, n in enumerate(numbers)]
        select = ", ".join(f"{v!r} AS {n}" for v, n in zip(given, numbers, strict=True))
        return rows(con, f"SELECT predicted_y FROM ML.PREDICT(MODEL m, (SELECT {select}))")[0][0]

    want = dict(zip(numbers, shapley(value, 3), strict=True))
    found = {a["feature"]: a["attribution"] for a in row["top_feature_attributions"]}
    for name in numbers:
        assert found[name] == pytest.approx(want[name], abs=1e-9)
    assert row["baseline_prediction_value"] == pytest.approx(value(set()), abs=1e-9)


@pytest.mark.parametrize("approximate", [False, True])
def test_tree_attributions_are_those_of_xgboost(con, approximate):
    import xgboost as xgb

    create(con, "BOOSTED_TREE_REGRESSOR", "y", columns="x, z", data_split_method="'NO_SPLIT'")
    setting = f"STRUCT(9 AS top_k_features, {approximate} AS approx_feature_contrib)"
    found = named(con, f"SELECT * FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE t, {setting})")
    raw = con.duckdb.execute(
        "SELECT data FROM sqlml.arrays WHERE dtype = 'bytes' ORDER BY octet_length(data) DESC"
    ).fetchone()
    booster = xgb.Booster(model_file=bytearray(raw[0]))
    X = np.array([[np.nan if r["x"] is None else r["x"], r["z"]] for r in found], np.float32)
    want = booster.predict(xgb.DMatrix(X), pred_contribs=True, approx_contribs=approximate, validate_features=False)
    for r, w in zip(found, want, strict=True):
        parts = {a["feature"]: a["attribution"] for a in r["top_feature_attributions"]}
        np.testing.assert_allclose([parts["x"], parts["z"], r["baseline_prediction_value"]], w, atol=1e-5)


def test_top_k_and_their_order(con):
    create(con, "LINEAR_REG", "y")
    every = named(con, "SELECT * FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE t)")
    two = named(con, "SELECT * FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE t, STRUCT(2 AS top_k_features))")
    assert [r["top_feature_attributions"][:2] for r in every] == [r["top_feature_attributions"] for r in two]


@pytest.mark.parametrize(("kind", "label"), [("LINEAR_REG", "y"), ("BOOSTED_TREE_CLASSIFIER", "three")])
def test_global_attributions_are_means_over_the_held_out_rows(con, kind, label):
    con.duckdb.execute("ALTER TABLE t ADD COLUMN held BOOLEAN; UPDATE t SET held = i % 5 = 0")
    split = {"data_split_method": "'CUSTOM'", "data_split_col": "'held'"}
    create(con, kind, label, columns="x, z, c, held", enable_global_explain="TRUE", **split)
    local = named(
        con, "SELECT * FROM ML.EXPLAIN_PREDICT(MODEL m, (SELECT * FROM t WHERE held), STRUCT(9 AS top_k_features))"
    )
    sums = dict.fromkeys(FEATURES, 0.0)
    for r in local:
        for a in r["top_feature_attributions"]:
            sums[a["feature"]] += abs(a["attribution"])
    found = rows(con, "SELECT * FROM ML.GLOBAL_EXPLAIN(MODEL m)")
    assert [f for f, _ in found] == sorted(FEATURES, key=lambda f: -sums[f])
    for feature, value in found:
        assert value == pytest.approx(sums[feature] / len(local), rel=1e-6)
    if kind != "LINEAR_REG":
        levels = rows(con, "SELECT * FROM ML.GLOBAL_EXPLAIN(MODEL m, STRUCT(TRUE AS class_level_explain))")
        assert [c for c, _, _ in levels[::3]] == ["high", "low", "mid"] and len(levels) == 9


def test_transformed_and_many_valued_columns(con):
    con.duckdb.execute("ALTER TABLE t ADD COLUMN city VARCHAR; UPDATE t SET city = 'city ' || (i % 60)")
    rows(
        con,
        "CREATE MODEL m TRANSFORM(ML.STANDARD_SCALER(x) OVER() AS s, city, [z, noise] AS pair, y)"
        " OPTIONS(model_type='linear_reg', input_label_cols=['y']) AS SELECT x, z, noise, city, y FROM t",
    )
    found = named(con, "SELECT * FROM ML.EXPLAIN_PREDICT(MODEL m, (SELECT x, z, noise, city FROM t))")
    for r in found:
        total = r["baseline_prediction_value"] + sum(a["attribution"] for a in r["top_feature_attributions"])
        assert total == pytest.approx(r["prediction_value"], abs=1e-9)
    assert {a["feature"] for a in found[0]["top_feature_attributions"]} == {"s", "city", "pair"}


REFUSED = [
    ("STRUCT(0 AS top_k_features)", "TOP_K_FEATURES must be at least 1. Got 0"),
    ("STRUCT(1.5 AS threshold)", "THRESHOLD must be from 0 to 1. Got 1.5"),
    ("STRUCT(0.5 AS threshold)", "THRESHOLD must be given only for models with two labels"),
    (
        "STRUCT(5 AS integrated_gradients_num_steps)",
        "INTEGRATED_GRADIENTS_NUM_STEPS must not be given for a LINEAR_REG",
    ),
    ("STRUCT(TRUE AS approx_feature_contrib)", "APPROX_FEATURE_CONTRIB must not be given for a LINEAR_REG"),
    ("STRUCT(5 AS top_k)", "TOP_K is not an option of ML.EXPLAIN_PREDICT"),
]


@pytest.mark.parametrize(("setting", "text"), REFUSED)
def test_bad_settings_are_refused_with_their_place(con, setting, text):
    create(con, "LINEAR_REG", "y")
    with pytest.raises(sqlml.Error) as caught:
        rows(con, f"SELECT * FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE t, {setting})")
    assert text in str(caught.value) and "^" in str(caught.value)


def test_what_cannot_be_explained_says_so(con):
    create(con, "LINEAR_REG", "y")
    with pytest.raises(sqlml.Error, match="was trained without global attributions") as caught:
        rows(con, "SELECT * FROM ML.GLOBAL_EXPLAIN(MODEL m)")
    assert "ENABLE_GLOBAL_EXPLAIN=TRUE" in str(caught.value)
    create(con, "LINEAR_REG", "y", enable_global_explain="TRUE")
    with pytest.raises(sqlml.Error, match="CLASS_LEVEL_EXPLAIN must be given only for classifiers"):
        rows(con, "SELECT * FROM ML.GLOBAL_EXPLAIN(MODEL m, STRUCT(TRUE AS class_level_explain))")
    rows(con, "CREATE MODEL k OPTIONS(model_type='kmeans') AS SELECT x, z FROM t")
    with pytest.raises(sqlml.Error, match=r"ML.EXPLAIN_PREDICT does not work on KMEANS models"):
        rows(con, "SELECT * FROM ML.EXPLAIN_PREDICT(MODEL k, TABLE t)")


@pytest.mark.parametrize("kind", ["DNN_REGRESSOR", "DNN_LINEAR_COMBINED_REGRESSOR"])
def test_integrated_gradients_come_near(con, kind):
    pytest.importorskip("torch")
    assert kind in MODELS
    create(con, kind, "y", columns="x, z, c", hidden_units="[16]", max_iterations=5)
    errors = []
    for steps in (2, 100):
        setting = f"STRUCT(9 AS top_k_features, {steps} AS integrated_gradients_num_steps)"
        found = named(con, f"SELECT * FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE t, {setting})")
        errors.append(np.median([r["approximation_error"] for r in found]))
        for r in found[:50]:
            moved = r["prediction_value"] - r["baseline_prediction_value"]
            rest = abs(moved - sum(a["attribution"] for a in r["top_feature_attributions"]))
            assert rest / abs(moved) == pytest.approx(r["approximation_error"], abs=1e-6)
            assert r["prediction_value"] == pytest.approx(r["predicted_y"], rel=1e-4, abs=1e-4)
    assert errors[1] < errors[0] and errors[1] < 0.02


def test_the_largest_of_each_row_are_those_of_a_plain_sort() -> None:
    values = np.random.default_rng(0).normal(size=(7, 500))
    values[:, ::50] = np.round(values[:, ::50])  # ties: the earlier column comes first
    values[2, 3] = values[5, 3] = np.nan  # what is not known comes last
    names = [f"f{i}" for i in range(7)]
    for k in (1, 3, 7):
        found = largest(values, texts(names), k).to_pylist()
        for row, given in zip(found, values.T, strict=True):
            order = sorted(range(7), key=lambda i: (np.isnan(given[i]), -abs(given[i]), i))[:k]
            assert [e["feature"] for e in row] == [names[i] for i in order]
            np.testing.assert_array_equal([e["attribution"] for e in row], given[order])


@pytest.mark.parametrize(
    ("function", "setting", "word"),
    [
        ("ML.EXPLAIN_PREDICT", "7 AS integrated_gradients_num_steps", "7"),
        ("ML.EXPLAIN_PREDICT", "TRUE AS approx_feature_contrib", "TRUE"),
        ("ML.EXPLAIN_PREDICT", "0.25 AS threshold", "0.25"),
        ("ML.PREDICT", "0.25 AS threshold", "0.25"),
        ("ML.PREDICT", "3 AS trial_id", "3"),
    ],
)
def test_settings_that_do_not_apply_are_marked_at_their_value(con, function, setting, word):
    create(con, "LINEAR_REG", "y")
    sql = f"SELECT * FROM {function}(MODEL m, TABLE t, STRUCT({setting}))"
    with pytest.raises(sqlml.Error, match=r"must (not )?be given") as caught:
        rows(con, sql)
    assert sql[caught.value.span.start : caught.value.span.end] == word
