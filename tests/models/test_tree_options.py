"""Options of boosted trees and random forests: they reach the trees, have the documented defaults, or are refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import sqlml
from sqlml.errors import DataError, OptionError, SchemaError
from sqlml.kernels import trees as kernel
from sqlml.models import MODELS
from sqlml.options import declarations
from tests.models.tree_tables import BT, BTR, RF, RFR, create, load, rows, with_big, with_known

xgb = pytest.importorskip("xgboost")


@pytest.fixture
def con(penguins):
    return with_known(penguins)


@pytest.fixture
def big(con):
    return with_big(con)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (BTR, {"tree_method": "'EXACT'"}),
        (BTR, {"max_tree_depth": 1}),
        (BTR, {"learn_rate": 0.05}),
        (BTR, {"l1_reg": 500.0}),
        (BTR, {"l2_reg": 50.0}),
        (BTR, {"min_split_loss": 1e6}),
        (BTR, {"min_tree_child_weight": 20}),
        (BTR, {"subsample": 0.5}),
        (BTR, {"colsample_bytree": 0.5}),
        (BTR, {"colsample_bylevel": 0.5}),
        (BTR, {"colsample_bynode": 0.5}),
        (BTR, {"num_parallel_tree": 3, "subsample": 0.5}),
        (BTR, {"booster_type": "'DART'", "dropout": 0.3}),
        (BTR, {"max_iterations": 3}),
        (RFR, {"num_parallel_tree": 7}),
        (RFR, {"max_tree_depth": 3}),
        (RFR, {"subsample": 0.3}),
        (RFR, {"l2_reg": 0.0}),
        (RFR, {"colsample_bynode": 1.0, "colsample_bytree": 0.5}),
        (RFR, {"tree_method": "'EXACT'", "colsample_bynode": 1.0, "colsample_bylevel": 0.5}),
    ],
)
def test_options_reach_the_trees(con, kind, options):
    few = {"num_parallel_tree": 10} if kind == RFR else {}
    create(con, kind, name="plain", **few)
    create(con, kind, **{**few, **options})
    booster, plain = (load(con, n).state.booster for n in ("m", "plain"))
    assert booster != plain
    if "num_parallel_tree" in options:
        assert len(xgb.Booster(model_file=bytearray(booster)).get_dump()) == options[
            "num_parallel_tree"
        ] * kernel.rounds(booster)
    if "max_tree_depth" in options:
        depth = xgb.Booster(model_file=bytearray(booster)).trees_to_dataframe().ID.nunique()
        assert depth <= kernel.rounds(booster) * 10 * 2 ** (options["max_tree_depth"] + 1)


def test_dart_normalises_by_tree_or_forest(con):
    for kind in ("TREE", "FOREST"):
        options = {"booster_type": "'DART'", "dropout": 0.5, "dart_normalize_type": f"'{kind}'"}
        create(con, BTR, name=kind, **options)
    assert load(con, "TREE").state.booster != load(con, "FOREST").state.booster
    found = rows(con, "SELECT predicted_body_mass_g FROM ML.PREDICT(MODEL TREE, TABLE known)")
    assert np.std([r[0] for r in found]) > 100


def test_early_stop_and_the_split(big):
    source = "SELECT * EXCEPT (yb) FROM big"
    create(
        big,
        BTR,
        label="y",
        source=source,
        max_iterations=400,
        data_split_method="'RANDOM'",
        data_split_eval_fraction=0.25,
    )
    info = rows(big, "SELECT iteration, eval_loss FROM ML.TRAINING_INFO(MODEL m)")
    assert len(info) < 400 and info[0][1] > 0.99 * info[1][1]
    assert all(a[1] < b[1] * 0.99 for a, b in itertools.pairwise(info[1:]))
    create(big, BTR, label="y", source=source, max_iterations=30, min_rel_progress=0.2)
    assert len(rows(big, "SELECT * FROM ML.TRAINING_INFO(MODEL m)")) < 30
    create(
        big,
        BTR,
        label="y",
        source="SELECT * EXCEPT (yb), MOD(b, 10) = 0 AS hold FROM big",
        data_split_method="'CUSTOM'",
        data_split_col="'hold'",
    )
    assert rows(big, "SELECT eval_loss FROM ML.TRAINING_INFO(MODEL m)")[0][0] is not None


def test_a_warm_start_goes_on(big):
    source = "SELECT * EXCEPT (yb) FROM big WHERE city <> 'city 7'"
    create(big, BTR, label="y", source=source, max_iterations=5, early_stop="FALSE")
    before = rows(big, "SELECT mean_squared_error FROM ML.EVALUATE(MODEL m, TABLE big)")[0][0]
    old = load(big).state.columns.parts[2]
    big.execute(
        "CREATE OR REPLACE MODEL m OPTIONS(model_type='BOOSTED_TREE_REGRESSOR', warm_start=TRUE, max_iterations=15)"
        " AS SELECT * EXCEPT (yb) FROM big"
    )
    state = load(big).state
    assert kernel.rounds(state.booster) == 20
    new = state.columns.parts[2]
    assert new.levels == (*old.levels, "city 7") and new.codes[:-1] == old.codes
    assert rows(big, "SELECT mean_squared_error FROM ML.EVALUATE(MODEL m, TABLE big)")[0][0] < before / 4
    runs = rows(big, "SELECT training_run, COUNT(*) FROM ML.TRAINING_INFO(MODEL m) GROUP BY 1 ORDER BY 1")
    assert runs == [(0, 5), (1, 15)]
    with pytest.raises(OptionError, match="WARM_START must keep the columns"):
        big.execute(
            "CREATE OR REPLACE MODEL m OPTIONS(model_type='BOOSTED_TREE_REGRESSOR', warm_start=TRUE) AS SELECT a, y FROM big"
        )


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        ({}, "booster_type='DART'", "BOOSTER_TYPE must stay GBTREE"),
        ({"booster_type": "'DART'"}, "booster_type='GBTREE'", "BOOSTER_TYPE must stay DART"),
        ({}, "num_parallel_tree=3", "NUM_PARALLEL_TREE must stay 1"),
        ({}, "category_encoding_method='ONE_HOT_ENCODING'", "CATEGORY_ENCODING_METHOD must stay LABEL_ENCODING"),
    ],
)
def test_a_warm_start_keeps_the_form_of_the_booster(big, first, then, message):
    create(big, BTR, label="y", source="SELECT * EXCEPT (yb) FROM big", max_iterations=3, **first)
    with pytest.raises(OptionError, match=message):
        big.execute(
            f"CREATE OR REPLACE MODEL m OPTIONS(model_type='BOOSTED_TREE_REGRESSOR', warm_start=TRUE, {then})"
            " AS SELECT * EXCEPT (yb) FROM big"
        )


def test_weights(big):
    source = "SELECT * EXCEPT (y), IF(yb = 'yes', 9.0, 1.0) AS w FROM big"
    options = {"label": "yb", "max_iterations": 4, "data_split_method": "'NO_SPLIT'"}
    create(big, BT, source=source, instance_weight_col="'w'", **options)
    by_column = rows(big, "SELECT COUNTIF(predicted_yb = 'yes') FROM ML.PREDICT(MODEL m, TABLE big)")[0][0]
    plain = source.replace(", IF(yb = 'yes', 9.0, 1.0) AS w", "")
    create(big, BT, source=plain, class_weights="[('yes', 9.0), ('no', 1.0)]", **options)
    assert rows(big, "SELECT COUNTIF(predicted_yb = 'yes') FROM ML.PREDICT(MODEL m, TABLE big)")[0][0] == by_column
    create(big, BT, source=plain, name="unweighted", **options)
    assert (
        rows(big, "SELECT COUNTIF(predicted_yb = 'yes') FROM ML.PREDICT(MODEL unweighted, TABLE big)")[0][0] < by_column
    )
    create(big, BT, source=plain, name="balanced", auto_class_weights="TRUE", **options)
    assert load(big, "balanced").state.booster != load(big, "unweighted").state.booster
    for bad, message in (("NULL", "must not be NULL"), ("-1.0", "at least 0"), ("0.0", "greater than 0")):
        text = f"SELECT * EXCEPT (y), CAST({bad} AS FLOAT64) AS w FROM big"
        with pytest.raises(DataError, match=message):
            create(big, BT, source=text, instance_weight_col="'w'", **options)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (BTR, {"dropout": 0.1}, "DROPOUT must be given only with BOOSTER_TYPE = 'DART'"),
        (BTR, {"dart_normalize_type": "'TREE'"}, "DART_NORMALIZE_TYPE must be given only"),
        (BTR, {"tree_method": "'FAST'"}, "must be one of AUTO, EXACT, APPROX, HIST"),
        (BTR, {"subsample": 0.0}, "greater than 0"),
        (BTR, {"subsample": 1.5}, "at most 1"),
        (BTR, {"max_tree_depth": 0}, "at least 1"),
        (BTR, {"class_weights": "[('a', 1.0)]"}, "CLASS_WEIGHTS is not an option"),
        (BTR, {"instance_weight_col": "'nothing'"}, "INSTANCE_WEIGHT_COL must name a column"),
        (BTR, {"instance_weight_col": "'sex'"}, "INSTANCE_WEIGHT_COL must name a number"),
        (BT, {"instance_weight_col": "'body_mass_g'", "auto_class_weights": "TRUE"}, "must not be given together"),
        (
            BTR,
            {"category_encoding_method": "'NATIVE_ENCODING'", "tree_method": "'EXACT'"},
            "must come with TREE_METHOD",
        ),
        (BTR, {"approx_global_feature_contrib": "TRUE"}, "only with ENABLE_GLOBAL_EXPLAIN"),
        (RFR, {"subsample": 1.0}, "less than 1"),
        (
            RFR,
            {"tree_method": "'EXACT'", "colsample_bynode": 0.5},
            "TREE_METHOD='EXACT' must come with COLSAMPLE_BYNODE = 1",
        ),
        (RFR, {"colsample_bynode": 1.0}, "must be less than 1"),
        (RFR, {"num_parallel_tree": 1}, "at least 2"),
        (RFR, {"learn_rate": 0.1}, "LEARN_RATE is not an option"),
        (RFR, {"max_iterations": 5}, "MAX_ITERATIONS is not an option"),
    ],
)
def test_refused_options(con, kind, options, message):
    with pytest.raises((OptionError, SchemaError), match=message):
        create(con, kind, **options)


def test_options_have_the_documented_defaults():
    trees, forest = declarations(MODELS[BT].options), declarations(MODELS[RF].options)
    expected = {
        "max_tree_depth": (6, 15),
        "num_parallel_tree": (1, 100),
        "subsample": (1.0, 0.8),
        "colsample_bynode": (1.0, 0.8),
    }
    for name, defaults in expected.items():
        assert (trees[name].default, forest[name].default) == defaults
    for name, default in {
        "l1_reg": 0.0,
        "l2_reg": 1.0,
        "min_split_loss": 0.0,
        "min_rel_progress": 0.01,
        "tree_method": "AUTO",
    }.items():
        assert trees[name].default == forest[name].default == default
    assert trees["max_iterations"].default == 20 and trees["learn_rate"].default == 0.3
    assert not {"max_iterations", "learn_rate", "booster_type", "dropout"} & set(forest)


@pytest.mark.parametrize("weights", ["[('yes', 0.0), ('no', 0.0)]", "[('yes', 1.0), ('no', 0.0)]"])
@pytest.mark.parametrize("kind", ["boosted_tree_classifier", "random_forest_classifier", "logistic_reg"])
def test_at_least_two_classes_have_weights_above_0(kind, weights):
    with sqlml.connect() as con, pytest.raises(sqlml.Error, match=r"CLASS_WEIGHTS must be (at least|greater than) 0"):
        con.execute(
            f"CREATE MODEL m OPTIONS (model_type = '{kind}', input_label_cols = ['y'], class_weights = {weights}) AS"
            " SELECT i AS x, IF(MOD(i, 2) = 0, 'yes', 'no') AS y FROM UNNEST(GENERATE_ARRAY(1, 50)) AS i"
        )


@pytest.mark.parametrize(
    "options", ["'kmeans'", "'kmeans', standardize_features = FALSE", "'pca', num_principal_components = 1"]
)
def test_numbers_whose_squares_overflow_are_refused_by_name(options):
    with sqlml.connect() as con, pytest.raises(sqlml.Error, match="the column a must hold numbers whose squares"):
        con.execute(
            f"CREATE MODEL m OPTIONS (model_type = {options}) AS"
            " SELECT i * 1e200 AS a, SIN(i) AS b FROM UNNEST(GENERATE_ARRAY(1, 50)) AS i"
        )


def test_trees_take_any_number():
    with sqlml.connect() as con:
        con.execute(
            "CREATE MODEL m OPTIONS (model_type = 'boosted_tree_classifier', input_label_cols = ['y'],"
            " data_split_method = 'NO_SPLIT') AS"
            " SELECT (i - 25.5) * 1e200 AS a, i > 25 AS y FROM UNNEST(GENERATE_ARRAY(1, 50)) AS i"
        )
        sql = "SELECT predicted_y FROM ML.PREDICT(MODEL m, (SELECT -1e300 AS a UNION ALL SELECT 1e300)) ORDER BY a"
        assert con.execute(sql).fetchall() == [(False,), (True,)]
