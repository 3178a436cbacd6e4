"""Sets of codes against dense columns of 0 and 1."""

from __future__ import annotations

import numpy as np
import pytest

from sqlml.kernels.bags import joined, of_pairs
from sqlml.kernels.mlp import Frozen, Network, Rows
from sqlml.kernels.mlp_train import Training, train

N, P, R = 120, 2, 7


def bags_of(dense):
    rows, codes = np.nonzero(dense)
    return of_pairs(rows, codes, *dense.shape)


def both(task, seed=3):
    """The same rows twice: tags as numeric columns of 0 and 1, and as bags."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, P)).astype(np.float32)
    tags = (rng.random((N, R)) < 0.3).astype(np.float32)
    tags[5] = 0  # a row without any
    tags[:40] = 0  # and whole batches of them
    score = X[:, 0] + tags @ rng.standard_normal(R).astype(np.float32)
    y = {
        "regression": (30 + 5 * score).astype(np.float32),
        "binary": (score > 0).astype(np.float32),
        "multiclass": np.digitize(score, [-0.5, 0.5]).astype(np.int32),
        "autoencoder": None,
    }[task]
    w = rng.uniform(0.5, 2, N).astype(np.float32)
    none = np.zeros((N, 0), np.int32)
    return Rows(np.hstack([X, tags]), none, y, w), Rows(X, none, y, w, bags_of(tags))


def networks(task, **more):
    k = {"regression": 1, "binary": 1, "multiclass": 3, "autoencoder": P + R}[task]
    return Network(task, P + R, 0, (6, 4, 5), k, "TANH", **more), Network(task, P, R, (6, 4, 5), k, "TANH", **more)


def test_bags_are_sets_of_rows():
    dense = (np.random.default_rng(0).random((9, 5)) < 0.4).astype(np.float32)
    dense[3] = 0
    bags = bags_of(dense)
    again = of_pairs(np.repeat(bags.owners(), 2), np.repeat(bags.codes, 2).astype(np.int64), 9, 5)
    np.testing.assert_array_equal(again.codes, bags.codes)
    np.testing.assert_array_equal(again.starts, bags.starts)
    table = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_allclose(bags.sums(table), dense @ table, atol=1e-6)
    keep = np.array([True, False, True, True, True, False, True, True, False])
    np.testing.assert_allclose(bags.where(keep).sums(table), dense[keep] @ table, atol=1e-6)
    np.testing.assert_allclose(bags.piece(slice(2, 7)).sums(table), dense[2:7] @ table, atol=1e-6)
    parts = joined([bags.piece(slice(0, 4)), bags.piece(slice(4, 4)), bags.piece(slice(4, 99))])
    np.testing.assert_array_equal(parts.codes, bags.codes)
    np.testing.assert_array_equal(parts.starts, bags.starts)


@pytest.mark.parametrize("single", [False, True], ids=["whole table", "single rows"])
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass", "autoencoder"])
def test_a_bag_is_its_dense_columns(task, single, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr("sqlml.kernels.mlp_step.by_rows", lambda *_: single)
    dense, bag = both(task)
    more = {} if task == "autoencoder" else {"wide": True}
    flat, apart = networks(task, **more)
    settings = Training(batch_size=13, max_iterations=4, learn_rate=0.02, dropout=0.2, early_stop=False)
    one, two = train(flat, dense, settings, evaluation=dense), train(apart, bag, settings, evaluation=bag)
    np.testing.assert_allclose(two.losses, one.losses, rtol=1e-3)
    np.testing.assert_allclose(two.eval_losses, one.eval_losses, rtol=1e-3)
    table = one.weights["layer.0.weight"][P:]
    np.testing.assert_allclose(two.weights["layer.0.table"], table, atol=3e-4)
    assert np.abs(table).max() > 0.1
    a, b = Frozen(flat, one.weights), Frozen(apart, two.weights)
    np.testing.assert_allclose(
        b.predict(bag.X, bag.codes, bag.bags), a.predict(dense.X, dense.codes), rtol=2e-3, atol=1e-3
    )
    np.testing.assert_array_equal(b.one_hot(bag.X, bag.codes, bag.bags), dense.X)
    if task == "autoencoder":
        made = b.reconstruction_errors(bag.X, bag.codes, bag.bags)
        np.testing.assert_allclose(
            made[:, :2], a.reconstruction_errors(dense.X, dense.codes)[:, :2], rtol=5e-3, atol=1e-3
        )
        np.testing.assert_allclose(b.latent(bag.X, bag.codes, bag.bags), a.latent(dense.X, dense.codes), atol=1e-3)
        return
    output = {"multiclass": np.arange(N) % 3}.get(task, 0)
    found = b.attributions(bag.X, bag.codes, bag.bags, output=output, steps=8)
    wanted = a.attributions(dense.X, dense.codes, output=output, steps=8).numbers
    sums = np.zeros((N, R))
    np.add.at(sums, (bag.bags.owners(), bag.bags.codes), found.tags)
    np.testing.assert_allclose(sums, wanted[:, P:], atol=2e-3)
    np.testing.assert_allclose(found.numbers, wanted[:, :P], atol=2e-3)


def test_bags_stand_beside_categories_and_come_in_pieces():
    pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 4, (N, 1)).astype(np.int32)  # 3 levels; a code of 3 + R is none
    codes[codes == 3] = 3 + R
    tags = (rng.random((N, R)) < 0.3).astype(np.float32)
    bags = of_pairs(*(v.astype(np.int64) for v in np.nonzero(np.hstack([np.zeros((N, 3)), tags]))), N, 3 + R)
    rows = Rows(np.zeros((N, 0), np.float32), codes, tags.sum(1), None, bags)
    network = Network("regression", 0, 3 + R, (8,), 1)
    settings = Training(batch_size=20, max_iterations=60, learn_rate=0.02, early_stop=False)
    fit = train(network, rows, settings)
    assert fit.losses[-1] < 0.05 * fit.losses[0]
    streamed = train(network, list(rows.blocks(40)), settings)
    assert streamed.losses[-1] < 0.05 * streamed.losses[0]
    np.testing.assert_allclose(Frozen(network, fit.weights).predict(rows.X, codes, bags), tags.sum(1), atol=1.0)
