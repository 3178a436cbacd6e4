"""Arrays of categories in networks: vocabularies of any size, without a dense matrix."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

TAGS = 30_000
#: Five tags per row; the label counts those whose number is divisible by 3.
SOURCE = f"""
CREATE TABLE tagged AS
WITH drawn AS (SELECT i, [hash(i * 10 + j) % {TAGS} FOR j IN range(5)] AS t FROM range(12000) r(i)),
     more AS (SELECT * FROM drawn UNION ALL SELECT 12000 + i, [i * 5 + j FOR j IN range(5)] FROM range({TAGS} // 5) r(i))
SELECT i::DOUBLE / 1000 AS x, ['t' || n FOR n IN t] AS tags,
       list_sum([(n % 3 = 0)::INT FOR n IN t])::DOUBLE AS label, i, i % 2 AS half FROM more"""


@pytest.fixture
def con(con):
    con.duckdb.execute(SOURCE)
    return con


def one(con, sql):
    return con.execute(sql).fetchall()


@pytest.mark.parametrize("kind", ["DNN_REGRESSOR", "DNN_LINEAR_COMBINED_REGRESSOR"])
def test_thirty_thousand_tags(con, kind, monkeypatch):
    seen = []
    original = np.zeros

    def zeros(shape, *more, **named):
        seen.append(int(np.prod(shape)))
        return original(shape, *more, **named)

    monkeypatch.setattr(np, "zeros", zeros)
    con.execute(
        f"CREATE MODEL m OPTIONS(model_type='{kind}', hidden_units=[8], max_iterations=4, batch_size=128,"
        " learn_rate=0.02, early_stop=FALSE, input_label_cols=['label'], data_split_method='NO_SPLIT')"
        " AS SELECT x, tags, label FROM tagged"
    )
    monkeypatch.undo()
    assert max(seen) < 20 * TAGS  # a multi-hot matrix has 18,000 times as many
    ((r2,),) = one(con, "SELECT r2_score FROM ML.EVALUATE(MODEL m)")
    assert r2 > 0.7
    found = one(
        con,
        "SELECT top_feature_attributions, baseline_prediction_value, prediction_value FROM ML.EXPLAIN_PREDICT(MODEL m,"
        " (SELECT * FROM tagged WHERE x < 0.05), STRUCT(2 AS top_k_features, 30 AS integrated_gradients_num_steps))",
    )
    assert len(found) == 50
    for parts, baseline, value in found:
        assert baseline + sum(p["attribution"] for p in parts) == pytest.approx(value, rel=0.05, abs=0.05)
        assert {p["feature"] for p in parts} == {"x", "tags"}


def test_unknown_tags_and_no_tags_say_nothing(con):
    con.execute(
        "CREATE MODEL m OPTIONS(model_type='DNN_REGRESSOR', hidden_units=[4], max_iterations=1, batch_size=256,"
        " input_label_cols=['label']) AS SELECT tags, label FROM tagged"
    )
    query = "SELECT predicted_label FROM ML.PREDICT(MODEL m, (SELECT {} AS tags))"
    empty = one(con, query.format("CAST([] AS ARRAY<STRING>)"))
    assert one(con, query.format("['never seen']")) == empty
    assert one(con, query.format("CAST(NULL AS ARRAY<STRING>)")) == empty
    twice = one(con, query.format("['t3', 't3', 't5']"))
    assert twice == one(con, query.format("['t5', 't3']"))
    assert twice != empty


@pytest.mark.parametrize("kind", ["DNN_REGRESSOR", "AUTOENCODER"])
def test_small_vocabularies_have_the_same_numbers_either_way(con, kind, monkeypatch):
    con.duckdb.execute(
        "CREATE TABLE few AS SELECT i / 100 AS x, ['t' || (i % 4), 't' || (i % 7)] AS tags, (i % 4)::DOUBLE AS label"
        " FROM range(300) r(i)"
    )
    label = "" if kind == "AUTOENCODER" else ", input_label_cols=['label'], data_split_method='NO_SPLIT'"
    columns = "x, tags" if kind == "AUTOENCODER" else "x, tags, label"
    found = []
    for levels in (128, 1):
        monkeypatch.setattr("sqlml.models.network_rows.DENSE_LEVELS", levels)
        con.execute(
            f"CREATE OR REPLACE MODEL m OPTIONS(model_type='{kind}', hidden_units=[5], max_iterations=8,"
            f" learn_rate=0.02, early_stop=FALSE, activation_fn='TANH'{label}) AS SELECT {columns} FROM few"
        )
        losses = [r[0] for r in one(con, "SELECT loss FROM ML.TRAINING_INFO(MODEL m) ORDER BY iteration")]
        monkeypatch.undo()  # what a network was trained with is part of it
        predicted = [r[0] for r in one(con, "SELECT * FROM ML.PREDICT(MODEL m, (SELECT * FROM few ORDER BY x))")]
        metrics = one(con, "SELECT * FROM ML.EVALUATE(MODEL m)")[0]
        found.append((losses, predicted, metrics))
    for dense, apart in zip(*found, strict=True):
        np.testing.assert_allclose(apart, dense, rtol=5e-3, atol=2e-3)


def test_a_warm_start_keeps_the_tags_that_stay(con):
    options = "model_type='DNN_REGRESSOR', hidden_units=[4], batch_size=256, input_label_cols=['label']"
    con.execute(f"CREATE MODEL m OPTIONS({options}, max_iterations=2) AS SELECT tags, label FROM tagged WHERE half = 0")
    query = (
        "SELECT predicted_label FROM ML.PREDICT(MODEL m, (SELECT tags FROM tagged WHERE half = 0 ORDER BY x LIMIT 200))"
    )
    before = one(con, query)
    con.execute(
        f"CREATE OR REPLACE MODEL m OPTIONS({options}, max_iterations=1, warm_start=TRUE, optimizer='SGD',"
        " learn_rate=1e-12) AS SELECT tags, label FROM tagged"
    )
    np.testing.assert_allclose(one(con, query), before, rtol=1e-3, atol=1e-3)


def test_an_autoencoder_of_tags(con):
    con.execute(
        "CREATE MODEL m OPTIONS(model_type='AUTOENCODER', hidden_units=[3], max_iterations=1, batch_size=512)"
        " AS SELECT x, tags FROM tagged WHERE i < 500"
    )
    assert len(one(con, "SELECT * FROM ML.PREDICT(MODEL m, (SELECT * FROM tagged LIMIT 20))")) == 20
    assert one(con, "SELECT mean_squared_error FROM ML.RECONSTRUCTION_LOSS(MODEL m, (SELECT * FROM tagged LIMIT 5))")


def test_rows_are_streamed_when_a_gpu_has_no_room(con, monkeypatch):
    from sqlml.models import networks

    seen = []
    original = networks.train
    monkeypatch.setattr(
        networks, "train", lambda n, rows, *a, **k: seen.append(type(rows)) or original(n, rows, *a, **k)
    )
    for free in (None, 1000):
        monkeypatch.setattr(networks, "free_memory", lambda _, found=free: found)
        con.execute(
            "CREATE OR REPLACE MODEL m OPTIONS(model_type='DNN_REGRESSOR', hidden_units=[2], max_iterations=1,"
            " batch_size=512, input_label_cols=['label']) AS SELECT x, tags, label FROM tagged"
        )
    assert seen == [networks.Rows, networks.TrainingRows]
