"""Boosted trees and random forests through SQL: options, encodings, functions, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import sqlml
from sqlml.errors import DataError, FormatError, SchemaError
from sqlml.kernels import trees as kernel
from sqlml.models import MODELS
from tests.models.tree_tables import BT, BTR, KINDS, RF, RFR, create, load, rows, with_big, with_known

xgb = pytest.importorskip("xgboost")


@pytest.fixture
def con(penguins):
    return with_known(penguins)


@pytest.fixture
def big(con):
    return with_big(con)


# ---------------------------------------------------------------- equal to xgboost


def coded(con, columns="a, b, city, k"):
    """The matrix as documented: NULL numbers are missing, codes from 1 in alphabetical order, NULL 0."""
    frame = con.duckdb.execute(f"SELECT {columns}, y, yb FROM big").df()
    X = np.empty((len(frame), 4), np.float32)
    X[:, 0], X[:, 1] = frame["a"], frame["b"]
    for j, name in ((2, "city"), (3, "k")):
        levels = sorted(v for v in frame[name].unique() if isinstance(v, str))
        X[:, j] = [levels.index(v) + 1 if isinstance(v, str) else 0 for v in frame[name]]
    return X, frame["y"].to_numpy(), (frame["yb"] == "yes").to_numpy().astype(float)


@pytest.mark.parametrize("label", ["y", "yb"])
def test_predictions_equal_xgboost_on_the_documented_matrix(big, label):
    kind = BTR if label == "y" else BT
    other = "yb" if label == "y" else "y"
    create(
        big, kind, label=label, source=f"SELECT * EXCEPT ({other}) FROM big", data_split_method="'NO_SPLIT'",
        max_iterations=25, early_stop="FALSE", subsample=0.9, l2_reg=2.0, min_split_loss=0.1, colsample_bytree=0.8,
    )  # fmt: skip
    X, y, yb = coded(big)
    parameters = {
        "objective": "reg:squarederror" if label == "y" else "binary:logistic", "max_depth": 6, "eta": 0.3, "seed": 0,
        "subsample": 0.9, "lambda": 2.0, "gamma": 0.1, "colsample_bytree": 0.8, "tree_method": "hist",
    }  # fmt: skip
    direct = xgb.train(parameters, xgb.QuantileDMatrix(X, label=y if label == "y" else yb), 25)
    expected = direct.predict(xgb.DMatrix(X)).astype(np.float64)
    if label == "y":
        found = rows(big, "SELECT predicted_y FROM ML.PREDICT(MODEL m, TABLE big)")
        np.testing.assert_array_equal([r[0] for r in found], expected)
        return
    found = rows(big, "SELECT predicted_yb, predicted_yb_probs FROM ML.PREDICT(MODEL m, TABLE big)")
    np.testing.assert_array_equal([next(p["prob"] for p in r[1] if p["label"] == "yes") for r in found], expected)
    assert [r[0] == "yes" for r in found] == list(expected > 0.5)


def test_the_order_of_rows_threads_and_filters_leave_predictions_alone(big):
    create(big, BTR, label="y", source="SELECT * EXCEPT (yb) FROM big")
    found = dict(
        rows(
            big,
            "SELECT CAST(b AS STRING) || city || IFNULL(k, '') || IFNULL(CAST(a AS STRING), ''), predicted_y FROM ML.PREDICT(MODEL m, TABLE big)",
        )
    )
    assert len(found) > 3900
    few = rows(big, "SELECT CAST(b AS STRING) || city || IFNULL(k, '') || IFNULL(CAST(a AS STRING), ''), predicted_y"
               " FROM ML.PREDICT(MODEL m, (SELECT * FROM big WHERE b > 500 ORDER BY y DESC)) LIMIT 300")  # fmt: skip
    assert len(few) == 300 and all(found[key] == value for key, value in few)
    big.duckdb.execute("SET threads = 1").fetchall()
    create(big, BTR, label="y", source="SELECT * EXCEPT (yb) FROM big", name="again")
    assert (
        dict(
            rows(
                big,
                "SELECT CAST(b AS STRING) || city || IFNULL(k, '') || IFNULL(CAST(a AS STRING), ''), predicted_y FROM ML.PREDICT(MODEL again, TABLE big)",
            )
        )
        == found
    )


def test_two_models_in_one_select_and_any_window_of_the_rows(big):
    """Each row has the numbers that each model gives alone; UNNEST and LIMIT change none."""
    create(big, BTR, label="y", source="SELECT * EXCEPT (yb) FROM big", name="one")
    create(big, BT, label="yb", source="SELECT * EXCEPT (y) FROM big", name="two", max_iterations=4)
    big.duckdb.execute("CREATE TABLE numbered AS SELECT row_number() OVER () AS i, * FROM big").fetchall()
    one = rows(big, "SELECT predicted_y FROM ML.PREDICT(MODEL one, TABLE numbered) ORDER BY i")
    two = rows(
        big,
        "SELECT p.prob FROM ML.PREDICT(MODEL two, TABLE numbered), UNNEST(predicted_yb_probs) AS p"
        " WHERE p.label = 'yes' ORDER BY i",
    )
    both = (
        "SELECT predicted_y, predicted_yb_probs[OFFSET(0)].prob, predicted_yb_probs[OFFSET(0)].label"
        " FROM ML.PREDICT(MODEL two, (SELECT * FROM ML.PREDICT(MODEL one, TABLE numbered))) ORDER BY i"
    )
    expected = [(*a, *b, "yes") for a, b in zip(one, two, strict=True)]
    assert rows(big, both) == expected
    assert rows(big, f"{both} LIMIT 100 OFFSET 2000") == expected[2000:2100]


def test_models_live_on_in_the_file(tmp_path):
    path = str(tmp_path / "d.duckdb")
    with sqlml.connect(path) as con:
        con.execute("CREATE TABLE t AS SELECT x, MOD(x, 3) AS g, x * 2.0 AS y FROM UNNEST(GENERATE_ARRAY(1, 300)) AS x")
        create(con, BTR, label="y", source="SELECT * FROM t")
        before = rows(con, "SELECT predicted_y FROM ML.PREDICT(MODEL m, TABLE t)")
    with sqlml.connect(path) as con:
        assert rows(con, "SELECT predicted_y FROM ML.PREDICT(MODEL m, TABLE t)") == before
        state = load(con).state
        assert kernel.rounds(state.booster) >= 1
        con.duckdb.execute("UPDATE sqlml.arrays SET data = data[1:40]::BLOB").fetchall()
    with sqlml.connect(path) as con, pytest.raises(FormatError):
        rows(con, "SELECT * FROM ML.PREDICT(MODEL m, TABLE t)")


# ---------------------------------------------------------------- functions


@pytest.mark.parametrize("kind", KINDS)
def test_every_function_answers(con, kind):
    create(con, kind, enable_global_explain="TRUE")
    evaluated = rows(con, "SELECT * FROM ML.EVALUATE(MODEL m)")[0]
    np.testing.assert_allclose(rows(con, "SELECT * FROM ML.EVALUATE(MODEL m, TABLE known)")[0], evaluated, rtol=1e-9)
    info = rows(con, "SELECT iteration, loss, eval_loss, learning_rate FROM ML.TRAINING_INFO(MODEL m)")
    assert info[0][0] == len(info) - 1 and info[0][3] == (1.0 if kind in (RF, RFR) else 0.3)
    assert all(a[1] < b[1] for a, b in itertools.pairwise(info))
    importance = rows(con, "SELECT * FROM ML.FEATURE_IMPORTANCE(MODEL m)")
    cursor = con.execute("SELECT * FROM ML.FEATURE_IMPORTANCE(MODEL m)")
    assert [d[0] for d in cursor.description] == ["feature", "importance_weight", "importance_gain", "importance_cover"]
    assert len(importance) == 6 and sum(r[1] for r in importance) > 10
    assert len(rows(con, "SELECT * FROM ML.GLOBAL_EXPLAIN(MODEL m)")) == 6
    explained = rows(
        con,
        "SELECT prediction_value, baseline_prediction_value, top_feature_attributions, approximation_error"
        " FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE known, STRUCT(6 AS top_k_features))",
    )
    for value, base, parts, error in explained:
        assert value == pytest.approx(base + sum(p["attribution"] for p in parts), rel=1e-6, abs=1e-6)
        assert error == 0.0
    if kind in (BT, RF):
        matrix = rows(con, "SELECT * EXCEPT (expected_label) FROM ML.CONFUSION_MATRIX(MODEL m)")
        assert np.trace(np.array(matrix)) == pytest.approx(evaluated[2] * 342)
        lines = rows(
            con, "SELECT DISTINCT class_name FROM ML.GLOBAL_EXPLAIN(MODEL m, STRUCT(TRUE AS class_level_explain))"
        )
        assert len(lines) == 3


@pytest.mark.parametrize("kind", [BT, RF])
def test_two_labels_threshold_curve_and_explained_sign(con, kind):
    source = "SELECT * FROM known WHERE sex IN ('MALE', 'FEMALE')"
    create(con, kind, label="sex", source=source, max_tree_depth=2)
    low, high = (
        rows(con, f"SELECT recall FROM ML.EVALUATE(MODEL m, ({source}), STRUCT({t} AS threshold))")[0][0]
        for t in (0.1, 0.9)
    )
    assert low >= high
    assert len(rows(con, f"SELECT * FROM ML.ROC_CURVE(MODEL m, ({source}))")) > 10
    found = rows(
        con,
        "SELECT predicted_sex, probability, prediction_value, baseline_prediction_value, top_feature_attributions"
        f" FROM ML.EXPLAIN_PREDICT(MODEL m, ({source}), STRUCT(9 AS top_k_features))",
    )
    assert {r[0] for r in found} == {"MALE", "FEMALE"}
    for _, p, value, base, parts in found:
        raw = p if kind == RF else np.log(p / (1 - p))
        assert value == pytest.approx(raw, abs=1e-4)
        assert value == pytest.approx(base + sum(x["attribution"] for x in parts), abs=1e-5)


def test_global_attributions_may_be_approximate(con):
    found = {}
    for approximate in ("TRUE", "FALSE"):
        create(con, BTR, enable_global_explain="TRUE", approx_global_feature_contrib=approximate)
        found[approximate] = dict(rows(con, "SELECT * FROM ML.GLOBAL_EXPLAIN(MODEL m)"))
    assert found["TRUE"] != found["FALSE"] and found["TRUE"].keys() == found["FALSE"].keys()
    assert not MODELS[BTR].approximates(load(con).options)
    for kind, default in ((BT, False), (RF, True)):
        options = MODELS[kind].options()
        assert options.approx_global_feature_contrib is None and MODELS[kind].approximates(options) is default


def test_importance_names_the_columns_before_transform(con):
    transform = "TRANSFORM(ML.BUCKETIZE(flipper_length_mm, [190, 200, 210]) AS f, culmen_length_mm * culmen_depth_mm AS area, body_mass_g)"
    create(con, BTR, transform=transform)
    found = {r[0]: r[1:] for r in rows(con, "SELECT * FROM ML.FEATURE_IMPORTANCE(MODEL m)")}
    assert set(found) == {"flipper_length_mm", "culmen_length_mm", "culmen_depth_mm"}
    assert found["culmen_length_mm"] == found["culmen_depth_mm"] and found["flipper_length_mm"][0] > 0


# ---------------------------------------------------------------- a forest that is good


def test_a_forest_is_far_better_than_the_services(con):
    source = "SELECT * FROM penguins WHERE body_mass_g IS NOT NULL"
    found = {}
    for fidelity in ("bigquery", "best"):
        con.execute(f"SET sqlml.fidelity = '{fidelity}'")
        create(con, RFR, source=source)
        create(con, RF, source=source, name="c")
        r2 = rows(con, "SELECT r2_score FROM ML.EVALUATE(MODEL m)")[0][0]
        loss = rows(con, "SELECT log_loss FROM ML.EVALUATE(MODEL c)")[0][0]
        found[fidelity] = (r2, loss)
    # On the same rows: a quarter of the variance left against less than a tenth, a fifth of the log loss.
    assert found["bigquery"][0] < 0.8 and found["best"][0] > 0.9
    assert found["best"][1] < 0.2 * found["bigquery"][1]


def test_a_forest_generalises_better_than_the_services(big):
    for fidelity in ("bigquery", "best"):
        big.execute(f"SET sqlml.fidelity = '{fidelity}'")
        create(
            big,
            RFR,
            label="y",
            source="SELECT * EXCEPT (yb) FROM big WHERE MOD(b, 4) > 0",
            name=fidelity,
            num_parallel_tree=25,
        )
    held = "(SELECT * FROM big WHERE MOD(b, 4) = 0)"
    error = {
        f: rows(big, f"SELECT mean_squared_error FROM ML.EVALUATE(MODEL {f}, {held})")[0][0]
        for f in ("bigquery", "best")
    }
    assert error["best"] < 0.5 * error["bigquery"]


# ---------------------------------------------------------------- encodings and missing values


@pytest.mark.parametrize("encoding", ["LABEL_ENCODING", "ONE_HOT_ENCODING", "TARGET_ENCODING", "NATIVE_ENCODING"])
@pytest.mark.parametrize("kind", [BT, BTR])
def test_category_encodings(big, encoding, kind):
    label, other = ("yb", "y") if kind == BT else ("y", "yb")
    create(
        big, kind, label=label, source=f"SELECT * EXCEPT ({other}) FROM big", category_encoding_method=f"'{encoding}'"
    )
    score = "roc_auc" if kind == BT else "r2_score"
    assert rows(big, f"SELECT {score} FROM ML.EVALUATE(MODEL m)")[0][0] > 0.9
    odd = "SELECT 'nowhere' AS city, CAST(NULL AS STRING) AS k, CAST(NULL AS FLOAT64) AS a, 5 AS b"
    assert rows(big, f"SELECT predicted_{label} FROM ML.PREDICT(MODEL m, ({odd}))")[0][0] is not None
    assert {r[0] for r in rows(big, "SELECT feature FROM ML.FEATURE_IMPORTANCE(MODEL m)")} == {"a", "b", "city", "k"}
    width = {"LABEL_ENCODING": 4, "ONE_HOT_ENCODING": 47, "TARGET_ENCODING": 4, "NATIVE_ENCODING": 4}[encoding]
    assert load(big).state.columns.width == width


def test_target_encoding_of_three_classes_has_a_column_for_each(con):
    create(con, BT, category_encoding_method="'TARGET_ENCODING'", source="SELECT island, sex, species FROM known")
    parts = load(con).state.columns.parts
    island = next(p for p in parts if "Biscoe" in p.levels)
    share = rows(con, "SELECT COUNTIF(species LIKE 'Gentoo%') / COUNT(*) FROM known WHERE island = 'Biscoe'")[0][0]
    assert island.width == 3 and island.shares[island.levels.index("Biscoe")].max() == pytest.approx(share)


def test_missing_numbers_find_their_way(con):
    con.duckdb.execute(
        "CREATE TABLE gaps AS SELECT CASE WHEN i % 2 = 0 THEN NULL ELSE i % 10 END AS x, i % 7 AS z,"
        " CASE WHEN i % 2 = 0 THEN 5.0 ELSE 0.0 END + (i % 7) AS label FROM range(700) r(i)"
    ).fetchall()
    create(con, BTR, label="label", source="SELECT * FROM gaps", max_iterations=60, early_stop="FALSE")
    found = "SELECT MAX(ABS(label - predicted_label)) FROM ML.PREDICT(MODEL m, TABLE gaps)"
    assert rows(con, found)[0][0] < 0.1
    con.execute("SET sqlml.fidelity = 'bigquery'")  # the mean stands for NULL, as the service documents
    create(con, BTR, label="label", source="SELECT * FROM gaps", max_iterations=60, early_stop="FALSE")
    mean = rows(con, "SELECT AVG(x) FROM gaps")[0][0]
    both = f"(SELECT CAST(NULL AS FLOAT64) AS x, 3 AS z UNION ALL SELECT {mean}, 3)"
    values = rows(con, f"SELECT predicted_label FROM ML.PREDICT(MODEL m, {both})")
    assert values[0] == values[1]


def test_nan_infinities_and_huge_numbers(con):
    con.duckdb.execute(
        "CREATE TABLE odd AS SELECT CASE i % 5 WHEN 0 THEN 'NaN'::DOUBLE WHEN 1 THEN 1e300 WHEN 2 THEN -1e300 ELSE i END AS x,"
        " (i % 5)::DOUBLE AS label FROM range(200) r(i)"
    ).fetchall()
    create(con, BTR, label="label", source="SELECT * FROM odd")
    value = "SELECT predicted_label FROM ML.PREDICT(MODEL m, (SELECT CAST('{}' AS FLOAT64) AS x))"
    at = {x: rows(con, value.format(x))[0][0] for x in ("NaN", "1e300", "inf", "-inf", "-1e300")}
    assert at["inf"] == at["1e300"] and at["-inf"] == at["-1e300"] and len(set(at.values())) == 3
    source = "SELECT CAST('inf' AS FLOAT64) AS x, 1.0 AS label UNION ALL SELECT 1, 2"
    with pytest.raises(DataError, match="the column x must be finite"):
        create(con, BTR, label="label", source=source)


def test_every_kind_of_column(con):
    con.duckdb.execute(
        "CREATE TABLE kinds AS SELECT i::DOUBLE AS x, 'c' || (i % 3) AS c, i % 2 = 0 AS b, DATE '2020-01-01' + (i % 4)::INT AS d,"
        " [i % 5, 1.5, -i]::DOUBLE[] AS v, ['a', 'b' || (i % 2)] AS s, {'p': i, 'q': 'z' || (i % 2)} AS t,"
        " [{'i': i % 4, 'v': 2.0}] AS sparse, 'n' || i AS many, (3 * (i % 3) + i / 100) AS label FROM range(300) r(i)"
    ).fetchall()
    for kind in (BTR, RFR):
        create(con, kind, label="label", source="SELECT * FROM kinds")
        assert rows(con, "SELECT r2_score FROM ML.EVALUATE(MODEL m)")[0][0] > 0.9
        assert len(rows(con, "SELECT predicted_label FROM ML.PREDICT(MODEL m, TABLE kinds)")) == 300
        names = [r[0] for r in rows(con, "SELECT feature FROM ML.FEATURE_IMPORTANCE(MODEL m)")]
        assert names == ["x", "c", "b", "d", "v", "s", "t", "sparse", "many"]
        assert rows(con, "SELECT approximation_error FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE kinds) LIMIT 1") == [(0.0,)]
    with pytest.raises(SchemaError, match="when_"):
        create(con, BTR, label="label", source="SELECT *, TIMESTAMP '2020-01-01' AS when_ FROM kinds")


# ---------------------------------------------------------------- odd data


def test_bad_data(con):
    one = "SELECT 1.0 AS x, 'a' AS label UNION ALL SELECT 2.0, 'a'"
    with pytest.raises(DataError, match="at least two values"):
        create(con, BT, label="label", source=one)
    with pytest.raises(DataError, match="the column x must have a value"):
        create(con, BTR, label="label", source="SELECT CAST(NULL AS FLOAT64) AS x, 1.0 AS z, 2.0 AS label")
    many = "SELECT x, x AS label FROM UNNEST(GENERATE_ARRAY(1, 1001)) AS x"
    with pytest.raises(DataError, match="at most 1000 values"):
        create(con, BT, label="label", source=many)
    with pytest.raises(DataError, match="must return rows"):
        create(con, BTR, source="SELECT * FROM known WHERE FALSE")


@pytest.mark.parametrize("kind", KINDS)
def test_tiny_tables_and_constant_columns(con, kind):
    label = (
        "'a' AS label UNION ALL SELECT 1.0, 'k', 'b'"
        if kind in (BT, RF)
        else "3.0 AS label UNION ALL SELECT 1.0, 'k', 4.0"
    )
    create(con, kind, label="label", source=f"SELECT 1.0 AS x, 'k' AS c, {label}")
    found = rows(con, "SELECT predicted_label FROM ML.PREDICT(MODEL m, (SELECT 7.0 AS x, 'z' AS c))")
    assert found[0][0] is not None
    if kind == BTR:
        assert found[0][0] == pytest.approx(3.5)
    assert [r[1] for r in rows(con, "SELECT * FROM ML.FEATURE_IMPORTANCE(MODEL m)")] == [0.0, 0.0]


def test_many_classes(con):
    con.duckdb.execute(
        "CREATE TABLE wide AS SELECT (i % 30)::DOUBLE AS x, hash(i) % 10 AS z, 'c' || (i % 30) AS label FROM range(900) r(i)"
    ).fetchall()
    create(con, BT, label="label", source="SELECT * FROM wide", max_iterations=6, min_tree_child_weight=0)
    assert rows(con, "SELECT accuracy FROM ML.EVALUATE(MODEL m, TABLE wide)")[0][0] > 0.9
    probabilities = rows(con, "SELECT predicted_label_probs FROM ML.PREDICT(MODEL m, TABLE wide) LIMIT 3")
    assert all(len(p) == 30 and sum(x["prob"] for x in p) == pytest.approx(1, abs=1e-4) for (p,) in probabilities)


def test_cancelling_keeps_the_old_model(con):
    create(con, BTR, max_iterations=2)
    seen = []

    def stop(progress):
        seen.append(progress.stage)
        return not (progress.stage == "training" and progress.step == 2)

    con.listen(stop)
    with pytest.raises(sqlml.Error, match="cancelled"):
        create(con, BTR, max_iterations=50)
    assert "training" in seen
    assert len(rows(con, "SELECT * FROM ML.TRAINING_INFO(MODEL m)")) == 2


def test_an_interrupt_while_xgboost_reads_the_rows_is_heard(con, monkeypatch):
    create(con, BTR, max_iterations=2)
    read = []

    class Interrupting(kernel.Spool):
        def __iter__(self):
            for page in super().__iter__():
                read.append(len(page))
                if len(read) == 1:
                    assert con.interrupt()  # as from another thread
                yield page

    monkeypatch.setattr(kernel, "Spool", Interrupting)
    with pytest.raises(sqlml.Error, match="cancelled"):
        create(con, BTR, max_iterations=50)
    assert len(read) == 1
    assert len(rows(con, "SELECT * FROM ML.TRAINING_INFO(MODEL m)")) == 2
    assert con.execute("SELECT 1").fetchone() == (1,)


def test_rows_beyond_the_memory_limit(big, monkeypatch):
    source = "SELECT * EXCEPT (yb) FROM big"
    create(big, BTR, label="y", source=source, name="inside")
    asked = []

    def far_too_much(*size):
        asked.append(size)
        return 2**50

    monkeypatch.setattr("sqlml.models.trees.matrix_bytes", far_too_much)
    create(big, BTR, label="y", source=source)
    assert len(asked) == 1 and asked[0][1] == 4
    inside, outside = (
        rows(big, f"SELECT mean_squared_error FROM ML.EVALUATE(MODEL {n}, TABLE big)")[0][0] for n in ("inside", "m")
    )
    assert outside == pytest.approx(inside, rel=0.1)
    with pytest.raises(sqlml.NotSupportedError, match="needs rows that fit into the memory limit"):
        create(big, BTR, label="y", source=source, tree_method="'EXACT'")


def test_numbers_outside_of_float_are_the_nearest_float(con):
    con.execute("CREATE TABLE t AS SELECT i::DOUBLE AS x, i::DOUBLE AS z, (i > 50)::INTEGER AS y FROM range(100) r(i)")
    con.execute(
        "CREATE MODEL m OPTIONS (model_type = 'boosted_tree_classifier', input_label_cols = ['y'], min_tree_child_weight = 0) AS SELECT * FROM t"
    )
    far = "SELECT * FROM (VALUES (1e300, 1.0), (-1e300, 1.0), ('inf'::DOUBLE, 1.0), ('-inf'::DOUBLE, 1.0)) v(x, z)"
    near = "SELECT * FROM (VALUES (99.0, 1.0), (0.0, 1.0), (99.0, 1.0), (0.0, 1.0)) v(x, z)"
    for call in ("ML.PREDICT(MODEL m, ({}))", "ML.EXPLAIN_PREDICT(MODEL m, ({}), STRUCT(2 AS top_k_features))"):
        wanted = "predicted_y_probs" if "EXPLAIN" not in call else "probability"
        found, expected = (con.execute(f"SELECT {wanted} FROM {call.format(q)}").fetchall() for q in (far, near))
        assert found == expected


@pytest.mark.parametrize("dropout", [0.0, 0.5, 1.0])
def test_dropped_trees_predict_as_the_booster_does(big, dropout):
    create(big, BTR, label="y", source="SELECT a, b, y FROM big", booster_type="'DART'", dropout=dropout)
    booster = xgb.Booster(model_file=bytearray(load(big).state.booster))
    table = np.array(rows(big, "SELECT CAST(a AS FLOAT64), b, predicted_y FROM ML.PREDICT(MODEL m, TABLE big)"), float)
    expected = booster.predict(xgb.DMatrix(table[:, :2].astype(np.float32)))
    assert (table[:, 2] == expected.astype(np.float64)).all()


def test_a_label_too_large_for_single_precision_is_refused(con):
    with pytest.raises(sqlml.Error, match="must be at most 1e18"):
        con.execute(
            "CREATE MODEL m OPTIONS (model_type = 'boosted_tree_regressor', input_label_cols = ['y']) AS"
            " SELECT i AS x, i * 1e200 AS y FROM UNNEST(GENERATE_ARRAY(1, 50)) AS i"
        )
