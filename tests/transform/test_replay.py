"""What is fitted is replayed: on the training rows a fitted clause gives what the function gives directly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqlml.transform import PREPROCESS

NUMBERS = st.one_of(
    st.none(),
    st.sampled_from([0.0, 1.0, 2.0, 2.5, -3.0]),  # ties
    st.floats(-1e9, 1e9, width=32),
    st.just(math.nan),
)
WORDS = st.one_of(st.none(), st.sampled_from(["a", "b", "B", "", "ä", "it's", "c d", "𝄞"]))
ROWS = st.lists(st.tuples(NUMBERS, WORDS, st.one_of(st.none(), st.lists(WORDS, max_size=5))), max_size=25)

ANALYTIC = [
    "ML.STANDARD_SCALER(x) OVER()",
    "ML.MIN_MAX_SCALER(x) OVER()",
    "ML.MAX_ABS_SCALER(x) OVER()",
    "ML.ROBUST_SCALER(x) OVER()",
    "ML.ROBUST_SCALER(x, [10, 60], FALSE, TRUE) OVER()",
    "ML.ROBUST_SCALER(x, [10, 60], TRUE, FALSE) OVER()",
    "ML.QUANTILE_BUCKETIZE(x, 4) OVER()",
    "ML.QUANTILE_BUCKETIZE(x, 3, 'bucket_ranges') OVER()",
    "ML.QUANTILE_BUCKETIZE(x, 7, 'bucket_ranges_json') OVER()",
    "ML.IMPUTER(x, 'mean') OVER()",
    "ML.IMPUTER(x, 'median') OVER()",
    "ML.IMPUTER(x, 'most_frequent') OVER()",
    "ML.IMPUTER(s, 'most_frequent') OVER()",
    "ML.ONE_HOT_ENCODER(s, 'none', 3, 1) OVER()",
    "ML.ONE_HOT_ENCODER(s, 'most_frequent', 10, 0) OVER()",
    "ML.ONE_HOT_ENCODER(s) OVER()",
    "ML.LABEL_ENCODER(s, 4, 2) OVER()",
    "ML.MULTI_HOT_ENCODER(ts, 4, 1) OVER()",
    "ML.BAG_OF_WORDS(ts, 4, 2) OVER()",
    "ML.TF_IDF(ts, 4, 1) OVER()",
]


def same(a: Any, b: Any) -> bool:
    """Equal; numbers to rounding (windows and aggregates may add in another order), NaN equals NaN."""
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-7)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


def test_every_analytic_function_is_here() -> None:
    assert {c.split("(")[0] for c in ANALYTIC} == {f.name for f in PREPROCESS.values() if f.analytic}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_fit_then_replay_is_the_direct_function(engine: Any, rows: list[tuple[Any, ...]]) -> None:
    engine.table("h", "i BIGINT, x DOUBLE, s VARCHAR, ts VARCHAR[]", [(i, *r) for i, r in enumerate(rows)])
    direct = engine.query("SELECT " + ", ".join(f"{c} AS c{i}" for i, c in enumerate(ANALYTIC)) + " FROM h ORDER BY i")
    clause = engine.fit(", ".join(f"{c} AS c{i}" for i, c in enumerate(ANALYTIC)), "h")
    fitted = engine.apply(clause, "h", order="i")
    # Windows over a volatile source take the road without an inner query.
    items = ", ".join(f"{c} AS c{i}" for i, c in enumerate(ANALYTIC))
    windows = engine.query(f"SELECT {items} FROM (SELECT * FROM h WHERE RAND() < 2) ORDER BY i")
    assert len(direct) == len(fitted) == len(windows) == len(rows)
    for one, two, three in zip(direct, fitted, windows, strict=True):
        for call, a, b, c in zip(ANALYTIC, one, two, three, strict=True):
            assert same(a, b), (call, a, b)
            assert same(a, c), (call, a, c)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.floats(-100, 100, width=16), min_size=1, max_size=40), buckets=st.integers(2, 60))
def test_quantiles_are_order_statistics(engine: Any, values: list[float], buckets: int) -> None:
    engine.table("q", "x DOUBLE", [(v,) for v in values])
    n, ordered = len(values), np.sort(values)
    splits = np.unique([ordered[-(-n * i // buckets) - 1] for i in range(1, buckets)])
    expected = [f"bin_{1 + int(np.searchsorted(splits, v, side='right'))}" for v in values]
    found = engine.query(f"SELECT x, ML.QUANTILE_BUCKETIZE(x, {buckets}) OVER() FROM q")
    table = dict(zip(values, expected, strict=True))
    assert all(table[x] == label for x, label in found)


def test_numbers_against_numpy(engine: Any) -> None:
    x = np.random.default_rng(7).normal(50, 9, 501)
    engine.table("n", "i BIGINT, x DOUBLE", [(i, float(v)) for i, v in enumerate(x)])
    clause = engine.fit(
        "ML.STANDARD_SCALER(x) OVER() AS a, ML.MIN_MAX_SCALER(x) OVER() AS b, ML.MAX_ABS_SCALER(x) OVER() AS c",
        "n",
    )
    found = np.array(engine.apply(clause, "n", order="i"))
    np.testing.assert_allclose(found[:, 0], (x - x.mean()) / x.std(ddof=1), rtol=1e-10)
    np.testing.assert_allclose(found[:, 1], (x - x.min()) / (x.max() - x.min()), rtol=1e-12)
    np.testing.assert_allclose(found[:, 2], x / np.abs(x).max(), rtol=1e-12)


def test_statistics_are_frozen(engine: Any) -> None:
    engine.table("old", "x DOUBLE, s VARCHAR", [(0.0, "a"), (10.0, "b"), (5.0, "b")])
    clause = engine.fit(
        "ML.MIN_MAX_SCALER(x) OVER() AS m, ML.LABEL_ENCODER(s, 9, 0) OVER() AS l,"
        " ML.IMPUTER(x, 'mean') OVER() AS i, ML.MAX_ABS_SCALER(x) OVER() AS z",
        "old",
    )
    engine.table("new", "x DOUBLE, s VARCHAR", [(-5.0, "b"), (20.0, "zzz"), (None, None)])
    assert engine.apply(clause, "new") == [(0.0, 2, -5.0, -0.5), (1.0, 0, 20.0, 2.0), (None, 0, 5.0, None)]


@pytest.mark.parametrize("terms", [3, 60, 700])
def test_large_vocabularies_look_up_the_same(engine: Any, terms: int) -> None:
    words = [f"w{i:04d}" for i in range(terms)]
    rows = [(i, w, [w, words[(i * 7) % terms], None]) for i, w in enumerate(words)]
    engine.table("v", "i BIGINT, s VARCHAR, ts VARCHAR[]", [*rows, (terms, None, None), (terms + 1, "?", [])])
    calls = ["ML.LABEL_ENCODER(s, 1000, 0) OVER()", "ML.ONE_HOT_ENCODER(s, 'most_frequent', 1000, 0) OVER()"]
    calls += [f"ML.{f}(ts, 1000, 0) OVER()" for f in ("MULTI_HOT_ENCODER", "BAG_OF_WORDS", "TF_IDF")]
    items = ", ".join(f"{c} AS c{i}" for i, c in enumerate(calls))
    direct = engine.query(f"SELECT {items} FROM v ORDER BY i")
    fitted = engine.apply(engine.fit(items, "v"), "v", order="i")
    assert all(same(a, b) for one, two in zip(direct, fitted, strict=True) for a, b in zip(one, two, strict=True))
    labels = [r[0] for r in fitted]
    assert labels[:terms] == list(range(2, terms + 2))  # '?' sorts before every word
    assert labels[terms:] == [0, 1]
    assert fitted[terms][2:] == (None, None, None) and fitted[terms + 1][2:] == ([], [], [])


def test_any_text_is_a_term_of_a_large_vocabulary(engine: Any) -> None:
    odd = ["", "'", "''", "\x01", "\x02\x01", "a,b", "\n", "\\", "ä", "\U0001f600", "{x}", "$1", "?", '"', "NULL"]
    words = [*odd, *(f"w{i}" for i in range(600))]
    engine.table("v", "i BIGINT, s VARCHAR, ts VARCHAR[]", [(i, w, [w, w, "w5"]) for i, w in enumerate(words)])
    items = "ML.LABEL_ENCODER(s, 1000, 0) OVER() AS l, ML.BAG_OF_WORDS(ts, 1000, 0) OVER() AS b"
    fitted = engine.apply(engine.fit(items, "v"), "v", order="i")
    number = {w: i + 1 for i, w in enumerate(sorted(words, key=str.encode))}
    assert [r[0] for r in fitted] == [number[w] for w in words]
    for word, (_, bag) in zip(words, fitted, strict=True):
        counts = {number[word]: 2.0} | {number["w5"]: 3.0 if word == "w5" else 1.0}
        assert {e["index"]: e["value"] for e in bag} == counts


def test_fidelity_of_the_service(engine: Any) -> None:
    engine.table("f", "x DOUBLE", [(1.0,), (2.0,), (4.0,)])
    call = "ML.STANDARD_SCALER(x) OVER() AS a, ML.QUANTILE_BUCKETIZE(x, 5) OVER() AS b"
    best = engine.apply(engine.fit(call, "f"), "f", order="x")
    service = engine.apply(engine.fit(call, "f", fidelity="bigquery"), "f", order="x")
    x = np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose([r[0] for r in best], (x - x.mean()) / x.std(ddof=1))
    np.testing.assert_allclose([r[0] for r in service], (x - x.mean()) / x.std())
    assert [r[1] for r in best] == ["bin_2", "bin_3", "bin_4"]
    assert [r[1] for r in service] == ["bin_1", "bin_2", "bin_2"]


def test_nested_functions_are_fitted_in_order(engine: Any) -> None:
    engine.table("k", "x DOUBLE", [(1.0,), (None,), (3.0,)])
    clause = engine.fit("ML.STANDARD_SCALER(ML.IMPUTER(x, 'mean') OVER()) OVER() AS z", "k")
    assert engine.apply(clause, "k") == [(-1.0,), (0.0,), (1.0,)]


def test_items_know_what_they_need(engine: Any) -> None:
    engine.table(
        "u",
        "x DOUBLE, Y DOUBLE, st STRUCT(f INTEGER, g VARCHAR), s VARCHAR",
        [(1.0, 2.0, {"f": 3, "g": "h"}, "a")],
    )
    clause = engine.fit(
        "x + y AS xy, st.f, ST.G AS gg, ML.FEATURE_CROSS(STRUCT(s, st.g AS t)) AS c, `y`, UPPER(s) AS S",
        "u",
        ("y",),
    )
    assert [(i.name, i.needs) for i in clause.items] == [
        ("xy", ("x", "Y")),
        ("f", ("st",)),
        ("gg", ("st",)),
        ("c_s_t", ("s", "st")),
        ("y", ("Y",)),
        ("S", ("s",)),
    ]
    assert clause.needs == ("x", "Y", "st", "s")
    assert engine.apply(clause, "u") == [(3.0, 3, "h", "a_h", 2.0, "A")]
    assert clause.without(("XY", "y")).outputs == ("f", "gg", "c_s_t", "S")
    assert clause.without(clause.outputs[1:]).needs == ("x", "Y")


def test_star_except_replace(engine: Any) -> None:
    engine.table("w", "a INTEGER, b INTEGER, c INTEGER", [(1, 2, 3)])
    assert engine.fit("*", "w").outputs == ("a", "b", "c")
    clause = engine.fit("* EXCEPT (B) REPLACE (a * 10 AS A), a + 1 AS d", "w")
    assert clause.outputs == ("a", "c", "d")
    assert engine.apply(clause, "w") == [(10, 3, 2)]


def test_stored_text_names_no_place(engine: Any) -> None:
    engine.table("p", "x DOUBLE, s VARCHAR", [(1.0, "a")])
    clause = engine.fit("ML.MAX_ABS_SCALER(x * 2) OVER() AS z", "p")
    assert "@sqlml|-1|-1|" in clause.items[0].sql
    assert clause.text == "ML.MAX_ABS_SCALER(x * 2) OVER() AS z"
