"""Networks through SQL: every model type, its functions, its options, and what is refused."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

import sqlml
from sqlml.models import MODELS
from sqlml.options import declarations

pytest.importorskip("torch")

NETWORKS = (
    "DNN_REGRESSOR",
    "DNN_CLASSIFIER",
    "DNN_LINEAR_COMBINED_REGRESSOR",
    "DNN_LINEAR_COMBINED_CLASSIFIER",
    "AUTOENCODER",
)
LABELS = {"DNN_REGRESSOR": "body_mass_g", "DNN_LINEAR_COMBINED_REGRESSOR": "body_mass_g"}


def rows(con, sql):
    cursor = con.cursor()
    cursor.execute(sql)
    return cursor.fetchall() if cursor.description else []


def create(con, kind, *, name="m", label=None, source="SELECT * FROM known", replace=True, **options):
    label = label or LABELS.get(kind, "species")
    written = [f"model_type='{kind}'"]
    if kind != "AUTOENCODER":
        written.append(f"input_label_cols=['{label}']")
    written += [f"{k}={v}" for k, v in options.items()]
    verb = "CREATE OR REPLACE MODEL" if replace else "CREATE MODEL"
    rows(con, f"{verb} {name} OPTIONS({', '.join(written)}) AS {source}")


@pytest.fixture
def con(penguins):
    penguins.duckdb.execute("CREATE TABLE known AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL")
    return penguins


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("kind", ["DNN_REGRESSOR", "DNN_LINEAR_COMBINED_REGRESSOR"])
def test_regressors_learn_and_answer(con, kind):
    rate = "0.01" if kind == "DNN_REGRESSOR" else "[STRUCT('dnn', 0.01), STRUCT('linear', 0.1)]"
    create(con, kind, hidden_units="[16]", learn_rate=rate, max_iterations=60, early_stop="FALSE")
    evaluated = rows(con, "SELECT * FROM ML.EVALUATE(MODEL m)")[0]
    assert evaluated[4] > 0.85  # r2_score
    again = rows(con, "SELECT * FROM ML.EVALUATE(MODEL m, TABLE known)")[0]
    np.testing.assert_allclose(again, evaluated, rtol=1e-6)
    cursor = con.cursor()
    cursor.execute("SELECT * FROM ML.PREDICT(MODEL m, (SELECT * EXCEPT (body_mass_g), 1 AS tag FROM known))")
    names = [d[0] for d in cursor.description]
    assert names[0] == "predicted_body_mass_g" and names[-1] == "tag"
    assert len(cursor.fetchall()) == 342
    assert len(rows(con, "SELECT * FROM ML.TRAINING_INFO(MODEL m)")) == 60
    assert rows(con, "SELECT category_count FROM ML.FEATURE_INFO(MODEL m) WHERE input = 'species'") == [(3,)]


@pytest.mark.parametrize("kind", ["DNN_CLASSIFIER", "DNN_LINEAR_COMBINED_CLASSIFIER"])
def test_classifiers_learn_and_answer(con, kind):
    create(con, kind, hidden_units="[16]", max_iterations=60, early_stop="FALSE", batch_size=8)
    accuracy = rows(con, "SELECT accuracy FROM ML.EVALUATE(MODEL m)")[0][0]
    assert accuracy > 0.95
    matrix = rows(con, "SELECT * EXCEPT (expected_label) FROM ML.CONFUSION_MATRIX(MODEL m)")
    assert np.trace(np.array(matrix)) == pytest.approx(accuracy * 342)
    probs = rows(con, "SELECT predicted_species, predicted_species_probs FROM ML.PREDICT(MODEL m, TABLE known)")
    for label, pairs in probs:
        assert sum(p["prob"] for p in pairs) == pytest.approx(1, abs=1e-5)
        assert max(pairs, key=lambda p: p["prob"])["label"] == label


def test_two_labels_have_a_curve_and_a_threshold(con):
    source = "SELECT * FROM known WHERE sex IN ('MALE', 'FEMALE')"
    create(con, "DNN_CLASSIFIER", label="sex", source=source, max_iterations=30, learn_rate=0.01)
    assert len(rows(con, f"SELECT * FROM ML.ROC_CURVE(MODEL m, ({source}))")) > 10
    low, high = (
        rows(con, f"SELECT recall FROM ML.EVALUATE(MODEL m, ({source}), STRUCT({t} AS threshold))")[0][0]
        for t in (0.05, 0.95)
    )
    assert low > high


def test_autoencoder_answers(con):
    create(con, "AUTOENCODER", hidden_units="[16, 2, 16]", max_iterations=40, learn_rate=0.01)
    cursor = con.cursor()
    cursor.execute("SELECT * FROM ML.PREDICT(MODEL m, TABLE known)")
    assert [d[0] for d in cursor.description][:3] == ["latent_col_1", "latent_col_2", "species"]
    latent = [r[:2] for r in cursor.fetchall()]
    for function, column in (("ML", "ml_generate_embedding_result"), ("AI", "embedding")):
        found = rows(con, f"SELECT {column} FROM {function}.GENERATE_EMBEDDING(MODEL m, TABLE known)")
        np.testing.assert_allclose([r[0] for r in found], latent)
    mean = rows(
        con,
        "SELECT AVG(mean_absolute_error), AVG(mean_squared_error), AVG(mean_squared_log_error)"
        " FROM ML.RECONSTRUCTION_LOSS(MODEL m, TABLE known)",
    )[0]
    np.testing.assert_allclose(rows(con, "SELECT * FROM ML.EVALUATE(MODEL m)")[0], mean, rtol=1e-6)
    both = "ML.PREDICT(MODEL m, TABLE known) a CROSS JOIN ML.RECONSTRUCTION_LOSS(MODEL m, TABLE known) b"
    assert rows(con, f"SELECT COUNT(*) FROM {both}") == [(342 * 342,)]
    odd = "SELECT * REPLACE (9999.0 AS body_mass_g) FROM known LIMIT 1"
    loss = rows(con, f"SELECT mean_squared_error FROM ML.RECONSTRUCTION_LOSS(MODEL m, ({odd}))")[0][0]
    assert loss > 5 * mean[1]


def test_missing_and_unseen_values_are_imputed(con):
    create(con, "DNN_REGRESSOR", max_iterations=3)
    odd = (
        "SELECT CAST(NULL AS STRING) species, 'Nowhere' island, CAST(NULL AS FLOAT64) culmen_length_mm,"
        " 17.0 culmen_depth_mm, 190.0 flipper_length_mm, CAST(NULL AS STRING) sex"
    )
    value = rows(con, f"SELECT predicted_body_mass_g FROM ML.PREDICT(MODEL m, ({odd}))")[0][0]
    assert np.isfinite(value)


def test_every_kind_of_column(con):
    con.duckdb.execute(
        "CREATE TABLE kinds AS SELECT i::DOUBLE AS x, 'c' || (i % 3) AS c, i % 2 = 0 AS b,"
        " DATE '2020-01-01' + (i % 4)::INT AS d,"
        " [i % 5, 1.5, -i / 100]::DOUBLE[] AS v, ['a', 'b' || (i % 2)] AS s, {'p': i, 'q': 'z' || (i % 2)} AS t,"
        " [{'i': i % 4, 'v': 2.0}] AS sparse, (3 * (i % 3) + i / 100) AS label FROM range(300) t(i)"
    )
    create(
        con,
        "DNN_REGRESSOR",
        label="label",
        source="SELECT * FROM kinds",
        learn_rate=0.01,
        hidden_units="[16]",
    )
    assert len(rows(con, "SELECT * FROM ML.PREDICT(MODEL m, TABLE kinds)")) == 300
    assert rows(con, "SELECT r2_score FROM ML.EVALUATE(MODEL m)")[0][0] > 0.5
    create(
        con,
        "AUTOENCODER",
        source="SELECT *, TIMESTAMP '2024-05-06 07:08:09+00' AS at FROM kinds",
        max_iterations=2,
    )
    assert rows(con, "SELECT COUNT(*) FROM ML.TRAINING_INFO(MODEL m)")[0][0] >= 1


def test_transform_is_replayed(con):
    rows(
        con,
        "CREATE OR REPLACE MODEL m TRANSFORM(ML.STANDARD_SCALER(flipper_length_mm) OVER() AS f, species, body_mass_g)"
        " OPTIONS(model_type='DNN_REGRESSOR', input_label_cols=['body_mass_g'], max_iterations=40, learn_rate=0.01)"
        " AS SELECT * FROM known",
    )
    found = rows(con, "SELECT * FROM ML.PREDICT(MODEL m, (SELECT flipper_length_mm, species FROM known))")
    assert len(found) == 342
    assert rows(con, "SELECT r2_score FROM ML.EVALUATE(MODEL m, TABLE known)")[0][0] > 0.6


def test_stored_networks_answer_the_same(tmp_path):
    from tests.conftest import load_penguins

    path = str(tmp_path / "m.duckdb")
    predictions = []
    for first in (True, False):
        connection = sqlml.connect(path)
        if first:
            load_penguins(connection)
            source = "SELECT * FROM penguins WHERE body_mass_g IS NOT NULL"
            create(connection, "DNN_REGRESSOR", source=source, max_iterations=2)
            weights = connection.duckdb.execute(
                "SELECT count(*) FROM sqlml.arrays WHERE key = 'state.weights' AND dtype = 'bytes'"
            )
            assert weights.fetchone()[0] == 1
        predictions.append(rows(connection, "SELECT * FROM ML.PREDICT(MODEL m, TABLE penguins)"))
        connection.close()
    assert predictions[0] == predictions[1]


# ---------------------------------------------------------------- training


def test_held_out_rows_give_the_evaluation_loss(con):
    con.duckdb.execute("CREATE TABLE many AS SELECT * FROM known CROSS JOIN range(3)")
    create(con, "DNN_REGRESSOR", source="SELECT * EXCEPT (range) FROM many", max_iterations=2)
    assert all(r[0] is not None for r in rows(con, "SELECT eval_loss FROM ML.TRAINING_INFO(MODEL m)"))
    create(con, "DNN_REGRESSOR", data_split_method="'NO_SPLIT'", max_iterations=2)
    assert all(r[0] is None for r in rows(con, "SELECT eval_loss FROM ML.TRAINING_INFO(MODEL m)"))


def test_same_seed_same_model(con):
    answers = []
    for seed in (1, 1, 2):
        rows(con, f"SET sqlml.seed = {seed}")
        create(con, "DNN_CLASSIFIER", max_iterations=2, dropout=0.3)
        answers.append(rows(con, "SELECT log_loss FROM ML.EVALUATE(MODEL m)")[0][0])
    assert answers[0] == answers[1] != answers[2]


@pytest.mark.parametrize("kind", NETWORKS)
def test_warm_start_continues_where_it_stopped(con, kind):
    """A step of no size keeps the function, although means, deviations and levels have changed."""
    create(
        con,
        kind,
        hidden_units="[6, 4, 6]",
        max_iterations=20,
        source="SELECT * FROM known WHERE island <> 'Dream'",
    )
    query = "SELECT * FROM ML.PREDICT(MODEL m, (SELECT * FROM known WHERE island = 'Biscoe' AND sex = 'MALE'))"
    before = rows(con, query)
    source = "SELECT * FROM known"
    create(
        con, kind, warm_start="TRUE", max_iterations=1, optimizer="'SGD'", learn_rate=1e-12,
        source=source if kind != "DNN_CLASSIFIER" and "CLASSIFIER" not in kind else f"{source} WHERE island <> 'Dream'",
    )  # fmt: skip
    after = rows(con, query)
    if "CLASSIFIER" in kind:
        assert [r[0] for r in before] == [r[0] for r in after]
    else:
        np.testing.assert_allclose([r[0] for r in after], [r[0] for r in before], rtol=2e-3, atol=2e-3)
    runs = rows(con, "SELECT DISTINCT training_run FROM ML.TRAINING_INFO(MODEL m) ORDER BY 1")
    assert runs == [(0,), (1,)]


def test_warm_start_may_change_the_activation(con):
    create(con, "DNN_CLASSIFIER", hidden_units="[6]", max_iterations=2)
    create(con, "DNN_CLASSIFIER", activation_fn="'TANH'", warm_start="TRUE", max_iterations=1)
    (options,) = con.execute("SELECT COUNT(*) FROM ML.TRAINING_INFO(MODEL m)").fetchone()
    assert options == 3
    with pytest.raises(sqlml.Error, match="ACTIVATION_FN must stay TANH under WARM_START"):
        create(con, "DNN_CLASSIFIER", activation_fn="'CRELU'", warm_start="TRUE")


def test_warm_start_keeps_the_shape(con):
    create(con, "DNN_CLASSIFIER", hidden_units="[6]", max_iterations=2)
    with pytest.raises(sqlml.Error, match=r"HIDDEN_UNITS must stay \[6\] under WARM_START"):
        create(con, "DNN_CLASSIFIER", hidden_units="[7]", warm_start="TRUE")
    for source in (
        "SELECT * EXCEPT (sex) FROM known",
        "SELECT * FROM known WHERE species <> 'Gentoo penguin (Pygoscelis papua)'",
    ):
        with pytest.raises(sqlml.Error, match="WARM_START must keep the columns and labels"):
            create(con, "DNN_CLASSIFIER", warm_start="TRUE", source=source)


def test_rows_that_do_not_fit_are_streamed(con, monkeypatch):
    monkeypatch.setattr("sqlml.models.network_rows.MEMORY", 1000)
    monkeypatch.setattr("sqlml.models.network_rows.STREAM_ROWS", 50)
    create(con, "DNN_REGRESSOR", hidden_units="[16]", learn_rate=0.01, max_iterations=60, early_stop="FALSE")
    assert rows(con, "SELECT r2_score FROM ML.EVALUATE(MODEL m)")[0][0] > 0.85


def test_class_weights_move_the_boundary(con):
    source = "SELECT culmen_length_mm, sex FROM known WHERE sex IN ('MALE', 'FEMALE')"
    recall = []
    for weight in (0.2, 5.0):
        classes = f"[STRUCT('FEMALE', 1.0), STRUCT('MALE', {weight})]"
        create(con, "DNN_CLASSIFIER", label="sex", source=source, class_weights=classes, max_iterations=60)
        recall.append(rows(con, "SELECT recall FROM ML.EVALUATE(MODEL m)")[0][0])
    assert recall[0] < recall[1]


def test_penalties_and_activations_are_honoured(con):
    small = {"max_iterations": 10, "hidden_units": "[8]", "early_stop": "FALSE"}
    losses = {}
    for name in ("RELU", "RELU6", "CRELU", "ELU", "SELU", "SIGMOID", "TANH"):
        create(con, "DNN_CLASSIFIER", activation_fn=f"'{name}'", **small)
        losses[name] = rows(con, "SELECT log_loss FROM ML.EVALUATE(MODEL m)")[0][0]
    assert len(set(losses.values())) >= 6  # RELU and RELU6 differ above 6 only
    for optimizer in ("ADAGRAD", "FTRL", "SGD"):
        found = []
        for penalty in (0.0, 5.0):
            create(con, "DNN_CLASSIFIER", optimizer=f"'{optimizer}'", learn_rate=0.1, l1_reg=penalty, **small)
            found.append(rows(con, "SELECT log_loss FROM ML.EVALUATE(MODEL m)")[0][0])
        assert found[1] > 1.2 * found[0]


def test_anomalies_are_the_rows_that_are_hard_to_reproduce(con):
    create(con, "AUTOENCODER", hidden_units="[16, 2, 16]", max_iterations=40, learn_rate=0.01)
    call = "ML.DETECT_ANOMALIES(MODEL m, STRUCT(0.1 AS contamination), TABLE known)"
    found = rows(con, f"SELECT is_anomaly, mean_squared_error FROM {call}")
    flagged, errors = np.array([r[0] for r in found]), np.array([r[1] for r in found])
    assert flagged.sum() == pytest.approx(34, abs=2)
    assert errors[flagged].min() > errors[~flagged].max()
    loss = rows(con, "SELECT mean_squared_error FROM ML.RECONSTRUCTION_LOSS(MODEL m, TABLE known)")
    np.testing.assert_allclose(errors, [r[0] for r in loss])


@pytest.mark.parametrize("kind", [k for k in NETWORKS if k != "AUTOENCODER"])
def test_predictions_are_explained(con, kind):
    create(con, kind, enable_global_explain="TRUE", max_iterations=20, learn_rate=0.01, activation_fn="'TANH'")
    assert len(rows(con, "SELECT * FROM ML.GLOBAL_EXPLAIN(MODEL m)")) == 6
    settings = "STRUCT(6 AS top_k_features, 40 AS integrated_gradients_num_steps)"
    query = "SELECT top_feature_attributions, baseline_prediction_value, prediction_value, approximation_error"
    for parts, baseline, value, error in rows(
        con, f"{query} FROM ML.EXPLAIN_PREDICT(MODEL m, TABLE known, {settings})"
    ):
        assert baseline + sum(p["attribution"] for p in parts) == pytest.approx(value, rel=0.05, abs=0.05)
        assert error < 0.2


# ---------------------------------------------------------------- refusals

REFUSED = [
    ("DNN_REGRESSOR", {"hidden_units": "[0]"}, r"HIDDEN_UNITS must be at least 1\. Got \[0\]"),
    ("DNN_REGRESSOR", {"hidden_units": "[]"}, "HIDDEN_UNITS must"),
    ("DNN_REGRESSOR", {"dropout": "1.0"}, "DROPOUT must"),
    ("DNN_REGRESSOR", {"batch_size": "9000"}, "BATCH_SIZE must be from 1 to 8192"),
    ("DNN_REGRESSOR", {"optimizer": "'LBFGS'"}, "OPTIMIZER must be one of"),
    ("DNN_REGRESSOR", {"l1_reg": "0.1"}, "L1_REG must come with the OPTIMIZER ADAGRAD, FTRL or SGD"),
    ("DNN_REGRESSOR", {"l2_reg": "0.1", "optimizer": "'RMSPROP'"}, "L2_REG must come with"),
    ("DNN_REGRESSOR", {"learn_rate": "0"}, "LEARN_RATE must be greater than 0"),
    ("DNN_REGRESSOR", {"integrated_gradients_num_steps": "10"}, "INTEGRATED_GRADIENTS_NUM_STEPS must be given only"),
    ("DNN_REGRESSOR", {"class_weights": "[STRUCT('a', 1.0)]"}, "CLASS_WEIGHTS is not an option of DNN_REGRESSOR"),
    ("DNN_REGRESSOR", {"learn_rate": "1e6", "optimizer": "'SGD'"}, "LEARN_RATE must be smaller"),
    ("DNN_REGRESSOR", {"warm_start": "TRUE", "name": "other"}, "WARM_START must be given only for a model"),
    ("DNN_CLASSIFIER", {"class_weights": "[STRUCT('Adelie', 1.0)]"}, "CLASS_WEIGHTS must have one entry for every"),
    ("DNN_LINEAR_COMBINED_REGRESSOR", {"optimizer": "[STRUCT('dnn','FOO')]"}, "OPTIMIZER must be one of"),
    ("DNN_LINEAR_COMBINED_REGRESSOR", {"optimizer": "[STRUCT('wide','ADAM')]"}, "OPTIMIZER must name 'dnn' and"),
    ("DNN_LINEAR_COMBINED_REGRESSOR", {"learn_rate": "[STRUCT('linear',-1.0)]"}, "LEARN_RATE must be greater than 0"),
    ("DNN_LINEAR_COMBINED_REGRESSOR", {"l1_reg": "1.0", "optimizer": "'ADAM'"}, "L1_REG must come with"),
    ("AUTOENCODER", {"hidden_units": "[4, 2]"}, "HIDDEN_UNITS must have an odd number of layers"),
    ("AUTOENCODER", {"activation_fn": "'CRELU'"}, "ACTIVATION_FN must be one of"),
]  # fmt: skip


@pytest.mark.parametrize("kind,options,message", REFUSED, ids=lambda v: str(v)[:40])
def test_refusals_are_sentences(con, kind, options, message):
    with pytest.raises(sqlml.Error, match=message) as caught:
        create(con, kind, **options)
    assert caught.value.span is not None
    assert not re.search(r"Traceback|torch\.|numpy", str(caught.value))


def test_time_stamps_are_for_autoencoders_only(con):
    source = "SELECT *, TIMESTAMP '2024-01-01 00:00:00+00' AS at FROM known"
    with pytest.raises(sqlml.Error, match="at \\(TIMESTAMP\\)"):
        create(con, "DNN_REGRESSOR", source=source)


def test_without_a_gpu_or_torch(con, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    rows(con, "SET sqlml.device = 'cuda'")
    with pytest.raises(sqlml.NotSupportedError, match="'auto' or 'cpu'"):
        create(con, "DNN_REGRESSOR")
    rows(con, "SET sqlml.device = 'cpu'")
    create(con, "DNN_REGRESSOR", max_iterations=1)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)
        with pytest.raises(sqlml.NotSupportedError, match="the package torch, which is not installed") as caught:
            create(con, "DNN_REGRESSOR", name="other")
        assert caught.value.hint == 'pip install "sqlml[torch]"'
        # Predictions do not need it.
        assert len(rows(con, "SELECT * FROM ML.PREDICT(MODEL m, TABLE known)")) == 342


def test_every_option_of_the_specification_is_known():
    common = {
        *"hidden_units dropout batch_size l1_reg l2_reg max_iterations early_stop min_rel_progress".split(),
        *"warm_start tf_version activation_fn optimizer learn_rate model_registry vertex_ai_model_id".split(),
        *"vertex_ai_model_version_aliases kms_key_name".split(),
    }
    supervised = {
        *"input_label_cols enable_global_explain integrated_gradients_num_steps data_split_method".split(),
        *"data_split_eval_fraction data_split_col".split(),
    }
    for kind in NETWORKS:
        known = set(declarations(MODELS[kind].options))
        assert common <= known
        if kind == "AUTOENCODER":
            assert "l1_reg_activation" in known
        else:
            assert supervised <= known
            assert ("CLASSIFIER" in kind) == ({"class_weights", "auto_class_weights"} <= known)


def test_an_autoencoder_of_too_many_columns_is_refused_with_a_way_out(con):
    keys = "[STRUCT(70000 + MOD(i, 7) AS k, i * 0.5 AS w), STRUCT(i AS k, 1.0 AS w)]"
    rows(con, f"CREATE TABLE sparse AS SELECT {keys} AS s, 1.0 AS x FROM UNNEST(GENERATE_ARRAY(1, 40)) i")
    text = (
        "CREATE OR REPLACE MODEL wide OPTIONS(model_type='AUTOENCODER', max_iterations=1, hidden_units=[2]) AS SELECT "
    )
    with pytest.raises(sqlml.Error, match="at most 65536 encoded columns, each of which it reproduces") as caught:
        rows(con, text + "s, x FROM sparse")
    assert "Got 70008, of which 70007 in s." in str(caught.value)
    folded = caught.value.hint.removeprefix("fold the keys: ")
    assert folded == "ARRAY(SELECT AS STRUCT MOD(e.k, 10000) AS k, e.w FROM UNNEST(s) AS e) AS s"
    rows(con, text + f"{folded}, x FROM sparse")
    found = rows(con, f"SELECT latent_col_1 FROM ML.PREDICT(MODEL wide, (SELECT {folded}, x FROM sparse))")
    assert len(found) == 40 and np.isfinite(found).all()


def test_wide_rows_are_read_in_small_pieces(con, monkeypatch):
    source = "SELECT species, body_mass_g, flipper_length_mm FROM penguins WHERE body_mass_g IS NOT NULL"
    create(con, "DNN_CLASSIFIER", name="n1", source=source, max_iterations=2)
    monkeypatch.setattr("sqlml.models.network_rows.STREAM_BYTES", 1)  # 1,024 rows is the least
    monkeypatch.setattr("sqlml.models.network_rows.MEMORY", 1)
    create(con, "DNN_CLASSIFIER", name="n2", source=source, max_iterations=2)
    text = "SELECT loss FROM ML.TRAINING_INFO(MODEL {}) ORDER BY iteration"
    assert rows(con, text.format("n1")) == rows(con, text.format("n2"))  # one piece, in the same order


@pytest.mark.parametrize("first", [-1.0, 0.0])
def test_class_weights_are_not_negative_and_not_all_nothing(con, first):
    names = [r[0] for r in rows(con, "SELECT DISTINCT species FROM known ORDER BY 1")]
    weights = ", ".join(f"('{n}', {first if i == 0 else 0.0})" for i, n in enumerate(names))
    with pytest.raises(sqlml.Error, match="CLASS_WEIGHTS must be at least 0 each, one of them more"):
        create(con, "DNN_CLASSIFIER", source="SELECT species, body_mass_g FROM penguins",
               class_weights=f"[{weights}]")  # fmt: skip


def test_halves_of_an_optimizer_are_named(con):
    with pytest.raises(sqlml.Error, match=r"name 'dnn' and 'linear', each once\. Got 'ADAM'") as caught:
        create(con, "DNN_LINEAR_COMBINED_REGRESSOR", source="SELECT body_mass_g, culmen_depth_mm FROM penguins",
               optimizer="STRUCT('ADAM' AS dnn, 'SGD' AS linear)")  # fmt: skip
    assert caught.value.hint == "OPTIMIZER=[('dnn', 'ADAM'), ('linear', 'FTRL')]"
