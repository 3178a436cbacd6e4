"""Sparse vectors in networks: memory and time go with their entries, and the numbers are those of dense columns."""

from __future__ import annotations

import numpy as np
import pytest

from sqlml.encode import Category, Design, Number, Set, Sparse, Vector
from sqlml.kernels.bags import Bags, joined, of_pairs
from sqlml.kernels.mlp import Frozen, Network, Rows, initial_weights
from sqlml.kernels.mlp_train import Training, train
from sqlml.models.network_rows import choose_apart, entries, fits_in_memory
from sqlml.models.networks import NetworkState, apart_of

torch = pytest.importorskip("torch")

TERMS = 50_000
#: Documents of twelve entries each; the label counts those whose index is divisible by 3.
SOURCE = f"""
CREATE TABLE docs AS
WITH drawn AS (SELECT i, list_sort(list_distinct([CAST(hash(i * 50 + j) % {TERMS} AS BIGINT) FOR j IN range(12)])) AS t
               FROM range(6000) r(i))
SELECT i, i % 2 AS half, i::DOUBLE / 1000 AS x, 'c' || (i % 3) AS c,
       [struct_pack(k := n, w := 1.0 + (n % 4)::DOUBLE / 4) FOR n IN t] AS words,
       list_sum([(n % 3 = 0)::INT * (1.0 + (n % 4)::DOUBLE / 4) FOR n IN t])::DOUBLE AS label FROM drawn"""


@pytest.fixture
def con(con):
    con.duckdb.execute(SOURCE)
    return con


def one(con, sql):
    return con.execute(sql).fetchall()


def both_ways(rows, p, sparse):
    """The same rows with the numeric inputs from place p on as columns, and as bags behind the codes."""
    n = len(rows)
    R = sparse.shape[1]
    at = tuple(v.astype(np.int64) for v in np.nonzero(sparse))
    bags = of_pairs(*at, n, R, sparse[at].astype(np.float64))
    dense = Rows(np.hstack([rows.X, sparse]).astype(np.float32), rows.codes, rows.y, rows.w)
    return dense, Rows(rows.X, rows.codes, rows.y, rows.w, bags)


def example(task, n=230, p=2, R=40, seed=3):
    rng = np.random.default_rng(seed)
    sparse = np.where(rng.random((n, R)) < 0.1, rng.standard_normal((n, R)), 0.0)
    sparse[:3] = 0  # rows without entries: at the beginning,
    sparse[-4:] = 0  # and at the end
    sparse[50:60] = 0
    X = rng.standard_normal((n, p)).astype(np.float32)
    score = X[:, 0] + sparse[:, :10].sum(1)
    y = {"binary": (score > 0).astype(np.float32), "multiclass": np.digitize(score, [-0.5, 0.5]).astype(np.int32)}
    target = None if task == "autoencoder" else y.get(task, score.astype(np.float32))
    w = rng.uniform(0.5, 2, n).astype(np.float32)
    return both_ways(Rows(X, np.zeros((n, 0), np.int32), target, w), p, sparse)


@pytest.mark.parametrize("single", [False, True], ids=["whole table", "single rows"])
@pytest.mark.parametrize("optimizer", ["ADAM", "FTRL", "ADAGRAD", "RMSPROP", "SGD"])
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass", "autoencoder"])
def test_losses_are_those_of_dense_columns(monkeypatch, task, optimizer, single):
    monkeypatch.setattr("sqlml.kernels.mlp_step.by_rows", lambda *_: single)
    dense, apart = example(task)
    k = {"multiclass": 3, "autoencoder": 42}.get(task, 1)
    penalty = 0.002 if optimizer in ("FTRL", "ADAGRAD", "SGD") else 0.0
    settings = Training(
        batch_size=32, max_iterations=4, optimizer=optimizer, learn_rate=0.02, early_stop=False, dropout=0.2,
        l1=penalty, l2=penalty, linear_l1=0.001, device="cpu",
    )  # fmt: skip
    wide = task != "autoencoder"
    networks = [Network(task, p, R, (8, 4, 6), k, "TANH", wide=wide) for p, R in ((42, 0), (2, 40))]
    start = initial_weights(networks[0], np.random.default_rng(0))
    other = dict(start)
    for name in ("layer.0", "wide")[: 1 + wide]:
        other[f"{name}.weight"], other[f"{name}.table"] = start[f"{name}.weight"][:2], start[f"{name}.weight"][2:]
    if task == "regression":
        mean, scale = float(dense.y.mean()), float(dense.y.std())
        for weights in (start, other):
            weights["target"] = np.array([mean, scale], np.float32)
    first = train(networks[0], dense, settings, start=start, evaluation=dense)
    second = train(networks[1], apart, settings, start=other, evaluation=apart)
    np.testing.assert_allclose(second.losses, first.losses, rtol=2e-4)
    np.testing.assert_allclose(second.eval_losses, first.eval_losses, rtol=1e-3)
    made = np.vstack([second.weights["layer.0.weight"], second.weights["layer.0.table"]])
    np.testing.assert_allclose(made, first.weights["layer.0.weight"], atol=2e-3)


def test_predictions_and_attributions_are_those_of_dense_columns():
    dense, apart = example("binary")
    first = Network("binary", 42, 0, (8, 4), 1, "SELU", wide=True)
    second = Network("binary", 2, 40, (8, 4), 1, "SELU", wide=True)
    rng = np.random.default_rng(1)
    w = {k: rng.standard_normal(v.shape).astype(np.float32) / 3 for k, v in initial_weights(first, rng).items()}
    other = dict(w)
    for name in ("layer.0", "wide"):
        other[f"{name}.weight"], other[f"{name}.table"] = w[f"{name}.weight"][:2], w[f"{name}.weight"][2:]
    a, b = Frozen(first, w), Frozen(second, other)
    np.testing.assert_allclose(
        b.predict(apart.X, apart.codes, apart.bags), a.predict(dense.X, dense.codes), rtol=1e-5, atol=1e-7
    )
    np.testing.assert_array_equal(b.one_hot(apart.X, apart.codes, apart.bags), dense.X)
    one, two = a.attributions(dense.X, dense.codes), b.attributions(apart.X, apart.codes, apart.bags)
    np.testing.assert_allclose(two.numbers, one.numbers[:, :2], atol=1e-5)
    own = apart.bags.owners()
    np.testing.assert_allclose(two.tags, one.numbers[own, 2 + apart.bags.codes], atol=1e-5)


def test_reconstruction_errors_are_those_of_dense_columns():
    dense, apart = example("autoencoder")
    first, second = Network("autoencoder", 42, 0, (5,), 42), Network("autoencoder", 2, 40, (5,), 42)
    w = initial_weights(first, np.random.default_rng(0))
    other = {**w, "layer.0.weight": w["layer.0.weight"][:2], "layer.0.table": w["layer.0.weight"][2:]}
    found = Frozen(second, other).reconstruction_errors(apart.X, apart.codes, apart.bags)
    np.testing.assert_allclose(found, Frozen(first, w).reconstruction_errors(dense.X, dense.codes), rtol=1e-4)


def test_gradients_of_many_entries_are_added_piece_by_piece(monkeypatch):
    _, apart = example("regression")
    settings = Training(batch_size=64, max_iterations=2, early_stop=False, device="cpu")
    whole = train(Network("regression", 2, 40, (6,), 1), apart, settings)
    monkeypatch.setattr("sqlml.kernels.mlp_step._SPREAD", 40)
    pieces = train(Network("regression", 2, 40, (6,), 1), apart, settings)
    for name, value in whole.weights.items():
        np.testing.assert_array_equal(pieces.weights[name], value)


def test_bags_with_values():
    rows, codes = np.array([0, 2, 0, 2, 2]), np.array([4, 1, 4, 3, 0])
    bags = of_pairs(rows, codes, 4, 5, np.array([1.0, 2.0, 0.5, 0.0, np.nan]))
    assert bags.starts.tolist() == [0, 1, 1, 3, 3] and bags.codes.tolist() == [4, 0, 1]
    np.testing.assert_array_equal(bags.values, np.array([1.5, np.nan, 2.0], np.float32))
    plain = Bags(np.array([3], np.int32), np.array([0, 0, 1]))
    both = joined([bags, plain])
    np.testing.assert_array_equal(both.values, np.array([1.5, np.nan, 2.0, 1.0], np.float32))
    assert both.piece(slice(2, 6)).codes.tolist() == [0, 1, 3] and both.behind(7).codes.tolist() == [11, 7, 8, 10]
    kept = both.where(np.array([True, False, False, False, False, True]))
    assert kept.values.tolist() == [1.5, 1.0] and len(joined([plain, plain])) == 4
    assert joined([plain, plain]).values is None
    table = np.arange(12, dtype=np.float32).reshape(6, 2)
    np.testing.assert_allclose(kept.sums(table), [[12, 13.5], [6, 7]])
    np.testing.assert_allclose(plain.sums(table), [[0, 0], [6, 7]])


def sparse(size, count, name="s"):
    return Sparse(name, name, name, size, "k", "w", count)


def test_what_is_apart_is_chosen_by_width_and_density():
    number = Number("x", "x", "x", 0.0, 1.0, 0.0, 1.0)
    few, many = (Set("t", "t", "t", tuple(map(str, range(w))), (1,) * w) for w in (128, 129))
    category = Category("c", "c", "c", ("a", "b"), (1, 1))

    def places(*features, rows=1000):
        return choose_apart(Design(features, ()), rows)

    assert places(number, few, category) == () and places(number, many, category) == (1,)
    assert places(number, sparse(10_000, 5000)) == (1,)
    assert places(sparse(1000, 50_000)) == (0,) and places(sparse(1000, 50_001)) == ()
    assert places(sparse(128, 1)) == ()
    # Beyond all bounds the widest is apart, however full it is.
    assert places(number, sparse(30_000, 30_000_000), sparse(200, 200_000)) == (1,)
    assert places(Vector("v", "v", "v", 15_000), Vector("u", "u", "u", 15_001)) == (1,)
    design = Design((many, sparse(10_000, 5000), Vector("v", "v", "v", 7)), ())
    assert entries(design, 10, (0, 1, 2)) == 129 + 5000 + 70


def test_networks_stored_before_features_were_chosen():
    """All sets were apart, or none; sparse vectors were dense."""
    many = Set("t", "t", "t", tuple(map(str, range(200))), (1,) * 200)
    design = Design((many, sparse(300, 5), Number("x", "x", "x", 0.0, 1.0, 0.0, 1.0)), ())
    old = [NetworkState(Network("binary", p, 501 - p, (2,), 1), b"") for p in (301, 501)]
    assert [apart_of(design, state) for state in old] == [(0,), ()]
    assert apart_of(design, NetworkState(Network("binary", 1, 500, (2,), 1), b"", apart=(0, 1))) == (0, 1)


def test_memory_is_counted_by_entries():
    design = Design((sparse(1_000_000, 2_000_000),), ())
    assert fits_in_memory(design, 1_000_000, None, (0,))
    assert not fits_in_memory(design, 1_000_000, None, ())
    assert not fits_in_memory(design, 1_000_000, 2 * 2 * 4 * 2_000_000, (0,))


@pytest.mark.parametrize("kind", ["DNN_REGRESSOR", "DNN_LINEAR_COMBINED_REGRESSOR"])
def test_fifty_thousand_terms(con, kind, monkeypatch):
    seen = []
    original = np.zeros

    def zeros(shape, *more, **named):
        seen.append(int(np.prod(shape)))
        return original(shape, *more, **named)

    monkeypatch.setattr(np, "zeros", zeros)
    con.execute(
        f"CREATE MODEL m OPTIONS(model_type='{kind}', hidden_units=[8], max_iterations=12, batch_size=128,"
        " learn_rate=0.02, early_stop=FALSE, input_label_cols=['label'], data_split_method='NO_SPLIT')"
        " AS SELECT x, c, words, label FROM docs"
    )
    monkeypatch.undo()
    assert max(seen) < 20 * TERMS  # a dense matrix has 6,000 times as many
    ((r2,),) = one(con, "SELECT r2_score FROM ML.EVALUATE(MODEL m)")
    assert r2 > 0.9
    found = one(
        con,
        "SELECT top_feature_attributions, baseline_prediction_value, prediction_value FROM ML.EXPLAIN_PREDICT(MODEL m,"
        " (SELECT * FROM docs WHERE i < 50), STRUCT(3 AS top_k_features, 30 AS integrated_gradients_num_steps))",
    )
    assert len(found) == 50
    for parts, baseline, value in found:
        assert baseline + sum(p["attribution"] for p in parts) == pytest.approx(value, rel=0.05, abs=0.05)
        assert {p["feature"] for p in parts} == {"x", "c", "words"}


def test_unknown_terms_and_repeats(con):
    con.execute(
        "CREATE MODEL m OPTIONS(model_type='DNN_REGRESSOR', hidden_units=[4], max_iterations=1, batch_size=256,"
        " input_label_cols=['label']) AS SELECT words, label FROM docs"
    )
    empty = "ARRAY<STRUCT<k INT64, w FLOAT64>>"
    query = "SELECT predicted_label FROM ML.PREDICT(MODEL m, (SELECT {} AS words))"
    nothing = one(con, query.format(f"{empty}[]"))
    assert one(con, query.format(f"{empty}[(60000, 1.0)]")) == nothing
    assert one(con, query.format(f"{empty}[(7, 0.0)]")) == nothing
    assert one(con, query.format(f"CAST(NULL AS {empty})")) == nothing
    twice = one(con, query.format(f"{empty}[(7, 1.0), (9, 2.0), (7, 0.5)]"))
    assert twice == one(con, query.format(f"{empty}[(9, 2.0), (7, 1.5)]"))
    assert twice != nothing


@pytest.mark.parametrize("kind", ["DNN_REGRESSOR", "AUTOENCODER"])
def test_small_vectors_have_the_same_numbers_either_way(con, kind, monkeypatch):
    con.duckdb.execute(
        "CREATE TABLE few AS SELECT i / 100 AS x, [struct_pack(k := i % 4, w := 0.5), struct_pack(k := i % 7, w := 1.5)]"
        " AS s, ['t' || (i % 5)] AS tags, (i % 4)::DOUBLE AS label FROM range(300) r(i)"
    )
    label = "" if kind == "AUTOENCODER" else ", input_label_cols=['label'], data_split_method='NO_SPLIT'"
    columns = "x, s, tags" if kind == "AUTOENCODER" else "x, s, tags, label"
    found = []
    for share in (0.0, 1.0):
        monkeypatch.setattr("sqlml.models.network_rows.DENSE_LEVELS", 1 if share else 128)
        monkeypatch.setattr("sqlml.models.network_rows.SPARSE_SHARE", share)
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


def test_a_warm_start_knows_the_terms_again(con):
    options = "model_type='DNN_REGRESSOR', hidden_units=[4], batch_size=256, input_label_cols=['label']"
    con.execute(
        f"CREATE MODEL m OPTIONS({options}, max_iterations=2)"
        " AS SELECT words, label FROM docs WHERE i < 3000 AND words[0].k < 40000"
    )
    query = (
        "SELECT predicted_label FROM ML.PREDICT(MODEL m, (SELECT words FROM docs WHERE half = 0 ORDER BY x LIMIT 200))"
    )
    before = one(con, query)
    con.execute(
        f"CREATE OR REPLACE MODEL m OPTIONS({options}, max_iterations=1, warm_start=TRUE, optimizer='SGD',"
        " learn_rate=1e-12) AS SELECT words, label FROM docs"
    )
    np.testing.assert_allclose(one(con, query), before, rtol=1e-3, atol=1e-3)


def test_streamed_entries_are_those_in_memory(con, monkeypatch):
    create = (
        "CREATE OR REPLACE MODEL {} OPTIONS(model_type='DNN_REGRESSOR', hidden_units=[4], max_iterations=2,"
        " batch_size=256, early_stop=FALSE, input_label_cols=['label'], data_split_method='NO_SPLIT')"
        " AS SELECT x, words, label FROM docs"
    )
    con.execute(create.format("m1"))
    monkeypatch.setattr("sqlml.models.network_rows.MEMORY", 1)
    con.execute(create.format("m2"))
    text = "SELECT loss FROM ML.TRAINING_INFO(MODEL {}) ORDER BY iteration"
    assert one(con, text.format("m1")) == one(con, text.format("m2"))  # one piece, in the same order


def test_stored_networks_answer_the_same(tmp_path):
    import sqlml

    path = str(tmp_path / "s.duckdb")
    query = "SELECT predicted_label FROM ML.PREDICT(MODEL m, (SELECT * FROM docs ORDER BY i LIMIT 30))"
    with sqlml.connect(path) as con:
        con.duckdb.execute(SOURCE)
        con.execute(
            "CREATE MODEL m OPTIONS(model_type='DNN_LINEAR_COMBINED_REGRESSOR', hidden_units=[4], max_iterations=1,"
            " batch_size=512, l1_reg=0.001, optimizer=[('dnn', 'ADAGRAD'), ('linear', 'FTRL')],"
            " input_label_cols=['label']) AS SELECT words, x, label FROM docs"
        )
        before = one(con, query)
    with sqlml.connect(path) as con:
        assert one(con, query) == before


def test_text_through_a_vocabulary(con):
    """Terms counted by TRANSFORM, more of them than any dense matrix would have."""
    con.duckdb.execute(
        "CREATE TABLE texts AS SELECT i, [('w' || (hash(i * 20 + j) % 25000)) FOR j IN range(8)]"
        " || [CASE WHEN i % 2 = 0 THEN 'even' || (i % 10) ELSE 'odd' || (i % 10) END] AS tokens,"
        " CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END AS label FROM range(8000) r(i)"
    )
    con.execute(
        "CREATE MODEL m TRANSFORM(ML.TF_IDF(tokens, 30000, 1) OVER() AS words, label)"
        " OPTIONS(model_type='DNN_CLASSIFIER', hidden_units=[8], max_iterations=3, batch_size=64, learn_rate=0.02,"
        " early_stop=FALSE, input_label_cols=['label']) AS SELECT tokens, label FROM texts"
    )
    ((accuracy,),) = one(con, "SELECT accuracy FROM ML.EVALUATE(MODEL m)")
    assert accuracy > 0.9
    found = one(con, "SELECT predicted_label FROM ML.PREDICT(MODEL m, (SELECT ['even0', 'never seen'] AS tokens))")
    assert found == [("a",)]
