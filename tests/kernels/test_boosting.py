"""XGBoost called directly: the bytes and numbers of its Python package, without the package."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from sqlml.kernels import boosting, trees
from sqlml.kernels.boosting import Booster, BoosterError, Matrix
from sqlml.kernels.trees import Page, Settings, Spool

xgb = pytest.importorskip("xgboost")


def sample(n=1500, p=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)).astype(np.float32)
    X[::9, 2] = np.nan
    X[:, 3] = rng.integers(0, 5, n)
    y = (X[:, 0] + (X[:, 3] == 2) + rng.normal(size=n) > 0.5).astype(np.float32)
    return X, y, rng.uniform(0.5, 2.0, n).astype(np.float32)


@pytest.mark.parametrize("method", ["hist", "approx", "exact"])
@pytest.mark.parametrize("kinds", [None, ["q", "q", "q", "c"]])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_bytes_are_those_of_the_package(method, kinds, weighted):
    if method == "exact" and kinds:
        pytest.skip("exact splits know no categories")
    X, y, w = sample()
    w = w if weighted else None
    parameters = {"tree_method": method, "max_depth": 4, "subsample": 0.8, "seed": 5, "nthread": 2, "eta": 0.4}
    more = {"objective": "binary:logistic", "eval_metric": "logloss", "verbosity": 0}
    common = {"label": y, "weight": w, "feature_types": kinds, "enable_categorical": kinds is not None}
    theirs = (xgb.QuantileDMatrix if method == "hist" else xgb.DMatrix)(X, **common)
    first = xgb.train({**parameters, **more}, theirs, 5)
    second = xgb.train({**parameters, **more}, theirs, 3, xgb_model=first.save_raw("ubj"))
    settings = Settings("logistic", 2, 5, parameters, categorical=tuple(k == "c" for k in kinds or ()))
    with Spool([Page(X, y, w)], 4) as rows:
        ours = trees.train(rows, None, settings, lambda *_: None)
        assert ours == bytes(first.save_raw("ubj"))
        later = Settings("logistic", 2, 3, parameters, categorical=settings.categorical)
        assert trees.train(rows, None, later, lambda *_: None, start=ours) == bytes(second.save_raw("ubj"))
    matrix = Matrix.of(X, threads=1, kinds=kinds)
    other = xgb.DMatrix(X, feature_types=kinds, enable_categorical=kinds is not None)
    booster = Booster(ours)
    assert booster.rounds() == 5
    told = json.loads(first.save_config())["learner"]["gradient_booster"]["name"]
    assert booster.configuration()["learner"]["gradient_booster"]["name"] == told == "gbtree"
    for kind, name in ((0, None), (2, "pred_contribs"), (3, "approx_contribs"), (6, "pred_leaf")):
        chosen = {name: True} if name else {}
        if name == "approx_contribs":
            chosen["pred_contribs"] = True
        np.testing.assert_array_equal(booster.predict(matrix, kind), first.predict(other, **chosen))
    for kind in ("weight", "total_gain", "total_cover"):
        expected = {int(k[1:]): v for k, v in first.get_score(importance_type=kind).items()}
        assert booster.scores(kind) == expected
    matrix.tell(kinds=None, label=y)
    np.testing.assert_array_equal(matrix.labels(), y)


def test_what_xgboost_refuses_is_said():
    with pytest.raises(BoosterError):
        Booster(b"{no booster")
    X, y, _ = sample(50)
    rows = Matrix.of(X, threads=1, label=y)
    wrong = Booster(matrices=[rows], parameters={"objective": "no:such", "nthread": 1})
    with pytest.raises(BoosterError, match="no:such"):
        wrong.update(0, rows)


def test_scores_of_rows_that_lie_otherwise():
    X, y, _ = sample()
    rows = Matrix.of(X, threads=1, label=y)
    booster = Booster(matrices=[rows], parameters={"nthread": 1, "max_depth": 3})
    booster.update(0, rows)
    expected = booster.predict(Matrix.of(X, threads=1))
    for given in (X, np.asfortranarray(X), X.astype(np.float64), np.repeat(X, 2, axis=0)[::2]):
        np.testing.assert_array_equal(booster.score(given), expected)


def test_the_package_and_what_it_imports_stay_out():
    """They cost a second and 165 MB."""
    code = """
import sys
import numpy as np
from sqlml.kernels import trees
from sqlml.kernels.trees import Page, Settings, Spool
X = np.arange(600, dtype=np.float32).reshape(200, 3)
with Spool([Page(X, X[:, 0].copy())], 3) as rows:
    raw = trees.train(rows, None, Settings("squared", 0, 2, {"nthread": 1}), lambda *a: None)
trees.predict(raw, X, "squared"), trees.contributions(raw, X), trees.leaves(raw, X), trees.importance(raw, 3, "weight")
print([m for m in ("xgboost", "sklearn", "pandas", "scipy") if m in sys.modules])
import xgboost
print(xgboost.Booster(model_file=bytearray(raw)).num_boosted_rounds())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[:2] == ["[]", "2"], done.stderr


def test_threads_sleep_while_they_wait(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    boosting.library.cache_clear()
    boosting.library()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"  # who chose keeps the choice
    monkeypatch.delenv("OMP_WAIT_POLICY")
    boosting.library.cache_clear()
    boosting.library()
    assert "OMP_WAIT_POLICY" not in os.environ
