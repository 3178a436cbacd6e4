"""Trees over matrices: against xgboost called directly, and against any way of delivering the rows."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sqlml.errors import FormatError, TrainingError
from sqlml.kernels import trees
from sqlml.kernels.trees import Page, Settings, Spool

xgb = pytest.importorskip("xgboost")


def rows(n=3000, p=4, seed=0, classes=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)).astype(np.float32)
    X[::11, 1] = np.nan
    y = 2 * X[:, 0] + np.nan_to_num(X[:, 1]) ** 2 + rng.normal(size=n)
    if classes:
        y = np.digitize(y, np.quantile(y, np.arange(1, classes) / classes))
    return Page(X, y.astype(np.float32), rng.uniform(0.5, 2.0, n).astype(np.float32))


def cut(page, size):
    for at in range(0, len(page), size):
        w = None if page.w is None else page.w[at : at + size]
        yield Page(page.X[at : at + size], page.y[at : at + size], w)


def fit(page, settings, held=None, size=700, start=None, **spool):
    losses = []
    other = None if held is None else Spool(cut(held, 100), held.X.shape[1])
    with Spool(cut(page, size), page.X.shape[1], **spool) as kept:
        raw = trees.train(kept, other, settings, lambda *a: losses.append(a), start=start)
    return raw, losses


def parameters(**more):
    return {"eta": 0.3, "max_depth": 4, "seed": 3, "nthread": 2, "tree_method": "hist", **more}


@pytest.mark.parametrize(
    ("objective", "classes", "name"),
    [("squared", 0, "reg:squarederror"), ("logistic", 2, "binary:logistic"), ("softmax", 4, "multi:softprob")],
)
@pytest.mark.parametrize("method", ["hist", "approx", "exact"])
def test_equals_xgboost_on_the_same_matrix(objective, classes, name, method):
    page, held = rows(classes=classes), rows(500, seed=1, classes=classes)
    raw, losses = fit(page, Settings(objective, classes, 12, parameters(tree_method=method)), held)
    kind = xgb.QuantileDMatrix if method == "hist" else xgb.DMatrix
    matrix = kind(page.X, label=page.y, weight=page.w)
    other = xgb.DMatrix(held.X, label=held.y, weight=held.w)
    log: dict = {}
    more = {"num_class": classes} if classes > 2 else {}
    direct = xgb.train(
        {**parameters(tree_method=method), **more, "objective": name}, matrix, 12,
        evals=[(matrix, "a"), (other, "b")], evals_result=log, verbose_eval=False,
    )  # fmt: skip
    expected = direct.predict(xgb.DMatrix(held.X))
    found = trees.predict(raw, held.X, objective)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected.astype(np.float64))
    metric = next(iter(log["a"]))
    np.testing.assert_allclose([x[1] for x in losses], log["a"][metric], rtol=1e-6)
    np.testing.assert_allclose([x[2] for x in losses], log["b"][metric], rtol=1e-6)


@pytest.mark.parametrize("more", [{"memory": 0}, {"memory": 30_000, "rows": 512}, {"size": 37}, {"size": 3000}])
def test_delivery_does_not_matter(more):
    page = rows()
    settings = Settings("squared", 0, 8, parameters(subsample=0.7))
    rows_of_a_page = {"rows": more["rows"]} if "rows" in more else {}
    once, _ = fit(page, settings, **rows_of_a_page)
    assert fit(page, settings, **more)[0] == once


def test_threads_do_not_matter():
    page = rows(60_000)
    found = [
        fit(page, Settings("squared", 0, 10, parameters(subsample=0.8, nthread=n)), size=9_000)[0] for n in (1, 2, 3)
    ]
    X = rows(1000, seed=9).X
    first = trees.predict(found[0], X, "squared")
    assert all((trees.predict(raw, X, "squared") == first).all() for raw in found[1:])


def test_order_of_rows_does_not_matter_where_nothing_is_sampled():
    page = rows()
    X = np.round(page.X * 8) / 8  # fewer values than bins: the cuts are the values
    order = np.random.default_rng(5).permutation(len(X))
    settings = Settings("squared", 0, 6, parameters())
    one = fit(Page(X, page.y), settings)[0]
    two = fit(Page(X[order], page.y[order]), settings)[0]
    np.testing.assert_allclose(trees.predict(one, X, "squared"), trees.predict(two, X, "squared"), rtol=1e-5)


@pytest.mark.parametrize("method", ["hist", "approx"])
def test_external_memory_gives_the_same_trees(method):
    page, held = rows(6_000), rows(1_000, seed=1)
    settings = [Settings("squared", 0, 6, parameters(tree_method=method), external=e) for e in (False, True)]
    found = [fit(page, s, held, rows=2_000, memory=0)[0] for s in settings]
    one, two = (trees.predict(raw, held.X, "squared") for raw in found)
    np.testing.assert_allclose(one, two, rtol=0.02, atol=0.02)


def test_chunks_and_whole_are_equal_to_the_last_bit():
    page = rows(5000)
    raw, _ = fit(page, Settings("squared", 0, 40, parameters()))
    whole = xgb.Booster(model_file=bytearray(raw)).predict(xgb.DMatrix(page.X))
    parts = [trees.predict(raw, page.X[i : i + 77], "squared") for i in range(0, 5000, 77)]
    np.testing.assert_array_equal(np.concatenate(parts), whole.astype(np.float64))


@pytest.mark.parametrize(("objective", "classes"), [("squared", 0), ("logistic", 2), ("softmax", 4)])
def test_scores_are_those_of_xgboost_whatever_the_block(objective, classes):
    page = rows(4000, classes=classes)
    raw, _ = fit(page, Settings(objective, classes, 15, parameters()))
    X = page.X.copy()
    X[::7, 1], X[::11, 0] = np.nan, np.finfo(np.float32).max
    whole = xgb.Booster(model_file=bytearray(raw)).predict(xgb.DMatrix(X)).astype(np.float64)
    for size in (1, 3, 64, 2048, 4000):
        at = range(0, 4000 if size > 1 else 50, size)
        parts = np.concatenate([trees.predict(raw, X[i : i + size], objective) for i in at])
        np.testing.assert_array_equal(parts, whole[: len(parts)])
    np.testing.assert_array_equal(trees.predict(raw, np.asfortranarray(X), objective), whole)
    assert trees.predict(raw, X[:0], objective).size == 0


def test_callers_do_not_share_results():
    """Two boosters, four threads: the memory of an answer is XGBoost's, one per thread."""
    pages = [rows(3000, seed=s) for s in (1, 2)]
    boosters = [fit(p, Settings("squared", 0, 10, parameters()))[0] for p in pages]
    alone = [trees.predict(raw, p.X, "squared") for raw, p in zip(boosters, pages, strict=True)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: trees.predict(boosters[i % 2], pages[i % 2].X, "squared"), range(40)))
    assert all((f == alone[i % 2]).all() for i, f in enumerate(found))
    kept = trees.predict(boosters[0], pages[0].X, "squared")
    trees.predict(boosters[1], pages[1].X, "squared")
    np.testing.assert_array_equal(kept, alone[0])


def test_a_warm_start_adds_rounds():
    page = rows()
    half = Settings("squared", 0, 5, parameters())
    first, _ = fit(page, half)
    both, losses = fit(page, half, start=first)
    assert trees.rounds(first) == 5 and trees.rounds(both) == 10
    once, all_losses = fit(page, Settings("squared", 0, 10, parameters()))
    np.testing.assert_allclose([x[1] for x in losses], [x[1] for x in all_losses[5:]], rtol=1e-5)
    np.testing.assert_allclose(
        trees.predict(both, page.X, "squared"), trees.predict(once, page.X, "squared"), rtol=1e-4, atol=1e-4
    )


def test_early_stop_watches_the_held_out_loss():
    page, held = rows(400), rows(400, seed=1)
    _, losses = fit(page, Settings("squared", 0, 200, parameters(), progress=0.01), held)
    assert 2 <= len(losses) < 200
    watched = [x[2] for x in losses]
    falls = [(a - b) / a for a, b in itertools.pairwise(watched)]
    assert all(f >= 0.01 for f in falls[:-1]) and falls[-1] < 0.01
    assert trees.stalled(0.0, 0.0, 0.01) and not trees.stalled(float("nan"), 1.0, 0.01)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_voting_forest_gives_shares(classes):
    page, held = rows(4000, classes=classes), rows(1500, seed=1, classes=classes)
    settings = Settings(
        "shares",
        classes,
        1,
        parameters(eta=1.0, num_parallel_tree=50, subsample=0.8, colsample_bynode=0.8, max_depth=10),
    )
    raw, losses = fit(page, settings, held)
    p = trees.predict(raw, held.X, "shares")
    if classes == 2:
        p = np.column_stack([1.0 - p, p])
    assert p.min() >= 0.0 and np.allclose(p.sum(axis=1), 1.0)
    y = held.y.astype(int)
    loss = -np.log(np.maximum(p[np.arange(len(y)), y], 1e-15)).mean()
    assert losses[0][2] == pytest.approx(loss, rel=1e-6)
    assert len(losses) == 1 and loss < 0.75 * np.log(classes)


def test_contributions_add_up_to_the_raw_output():
    page = rows(500, classes=3)
    raw, _ = fit(page, Settings("softmax", 3, 6, parameters()))
    margin = xgb.Booster(model_file=bytearray(raw)).predict(xgb.DMatrix(page.X), output_margin=True)
    for approximate in (False, True):
        found = trees.contributions(raw, page.X, approximate=approximate)
        assert found.shape == (500, 3, 5)
        np.testing.assert_allclose(found.sum(axis=2), margin, atol=1e-4)


def test_importance_is_the_sum_over_the_trees():
    page = rows()
    raw, _ = fit(page, Settings("squared", 0, 5, parameters()))
    frame = xgb.Booster(model_file=bytearray(raw)).trees_to_dataframe()
    splits = frame[frame.Feature != "Leaf"]
    for j in range(4):
        own = splits[splits.Feature == f"f{j}"]
        assert trees.importance(raw, 4, "weight")[j] == len(own)
        assert trees.importance(raw, 4, "total_gain")[j] == pytest.approx(own.Gain.sum(), rel=1e-4)
        assert trees.importance(raw, 4, "total_cover")[j] == pytest.approx(own.Cover.sum(), rel=1e-4)


def test_what_is_raised_in_a_report_ends_the_training():
    def report(*_):
        raise KeyboardInterrupt

    with Spool([rows()], 4) as kept, pytest.raises(KeyboardInterrupt):
        trees.train(kept, None, Settings("squared", 0, 50, parameters()), report)


def test_damaged_bytes_and_bad_numbers_are_refused():
    with pytest.raises(FormatError, match="cannot be read"):
        trees.load(b"{L\x00\x00 not a booster")
    page = rows(50)
    page.X[3, 0] = np.inf
    with pytest.raises(TrainingError, match="trees cannot be trained") as caught:
        fit(page, Settings("squared", 0, 2, parameters()))
    assert "Stack trace" not in caught.value.message and ".cc" not in caught.value.message


def test_numbers_beyond_float32_become_the_largest():
    found = trees.clipped(np.array([1e300, -np.inf, 1.5, np.nan]))
    assert found[0] == np.finfo(np.float32).max and found[1] == -found[0] and found[2] == 1.5 and np.isnan(found[3])


def test_a_page_of_many_parts_comes_back_from_the_file_as_it_was():
    X = np.arange(60, dtype=np.float32).reshape(20, 3)
    parts = [Page(X[i : i + 3], X[i : i + 3, 0], X[i : i + 3, 1]) for i in range(0, 20, 3)]
    with Spool(parts, 3, memory=0, rows=8) as spool:
        for _ in range(2):
            found = list(spool)
            assert [len(p) for p in found] == [8, 8, 4]
            assert (np.concatenate([p.X for p in found]) == X).all()
            assert (np.concatenate([p.y for p in found]) == X[:, 0]).all()
            assert (np.concatenate([p.w for p in found]) == X[:, 1]).all()
