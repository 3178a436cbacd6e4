"""Statistics and products of numbers in one pass, against numpy."""

from __future__ import annotations

import numpy as np
import pytest

import sqlml
from sqlml.encode import number_features
from sqlml.models.linear import LinearReg
from sqlml.relation import LocalRelation, Remainder
from sqlml.statistics import Products, number_statistics, sample_of, statistics_with_products

ROWS = 25_000
TABLE = f"""
SELECT i, sin(i * 1.7) AS a, 1e9 + cos(i * 0.9) * 3 AS b, (i * 7919) % 13 AS c, 2.0 * sin(i * 1.7) + (i % 7) AS y
FROM range({ROWS}) AS r(i)"""


def relation_of(con: sqlml.Connection, query: str) -> LocalRelation:
    return LocalRelation(con._database, f"({query})", con._database.describe(query))


def matrix(con: sqlml.Connection, query: str) -> np.ndarray:
    found = con.duckdb.execute(f"SELECT a::DOUBLE, b, c::DOUBLE, y FROM ({query}) ORDER BY i").fetchnumpy()
    return np.column_stack([np.asarray(v, float) for v in found.values()])


def both(relation: LocalRelation, near: dict[str, float | None]) -> tuple[dict, Products | None]:
    raw = [r for r in number_features(relation.columns) if r.name != "i"]
    return statistics_with_products(relation, raw[:3], raw[3:], near)


def test_one_pass_gives_what_numpy_gives(con: sqlml.Connection) -> None:
    relation = relation_of(con, TABLE)
    numbers, products = both(relation, {"a": 0.1, "b": 1e9, "c": 6.0, "y": 3.0})
    X = matrix(con, TABLE)
    assert products is not None
    d = np.column_stack([np.ones(ROWS), X - np.array(products.center)])
    np.testing.assert_allclose(products.sums, d.T @ d, rtol=1e-11, atol=1e-6)
    for i, name in enumerate("abc"):
        s = numbers[name]
        assert (s.n, s.low, s.high) == (ROWS, X[:, i].min(), X[:, i].max())
        assert s.mean == pytest.approx(X[:, i].mean(), rel=1e-14, abs=1e-14)
        assert s.stddev == pytest.approx(X[:, i].std(ddof=1), rel=1e-9)


def test_products_without_a_part(con: sqlml.Connection) -> None:
    relation = relation_of(con, TABLE)
    part = relation.where("i % 10 = 0")
    _, products = both(relation, {"a": 0.1, "b": 1e9, "c": 6.0, "y": 3.0})
    assert products is not None
    rest = matrix(con, TABLE)[np.arange(ROWS) % 10 != 0]
    d = np.column_stack([np.ones(len(rest)), rest - np.array(products.center)])
    np.testing.assert_allclose(products.less(part).sums, d.T @ d, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("value", ["NULL", "'NaN'::DOUBLE", "'inf'::DOUBLE"])
def test_no_products_of_a_column_with_a_gap(con: sqlml.Connection, value: str) -> None:
    relation = relation_of(con, f"SELECT * REPLACE (CASE WHEN i = 77 THEN {value} ELSE a END AS a) FROM ({TABLE})")
    near: dict[str, float | None] = {"a": 0.0, "b": 1e9, "c": 6.0, "y": 3.0}
    numbers, products = both(relation, near)
    raw = [r for r in number_features(relation.columns) if r.name in "abc"]
    assert products is None
    assert numbers == number_statistics(relation, raw, near)


def test_a_far_centre_is_not_trusted(con: sqlml.Connection) -> None:
    """Around 0 the squares of a column at a billion have no digits left for its deviation of two."""
    relation = relation_of(con, TABLE)
    numbers, products = both(relation, {"a": 0.0, "b": 0.0, "c": 0.0, "y": 0.0})
    assert products is None
    assert numbers["b"].stddev == pytest.approx(matrix(con, TABLE)[:, 1].std(ddof=1), rel=1e-9)


@pytest.mark.parametrize("split", ["no_split", "auto_split"])
@pytest.mark.parametrize("intercept", ["TRUE", "FALSE"])
def test_a_fit_from_products_is_the_fit_from_rows(
    con: sqlml.Connection, split: str, intercept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 230_000
    con.duckdb.execute(f"CREATE TABLE t AS SELECT *, 'k' || (i % 5) AS k FROM ({TABLE.replace(str(ROWS), str(rows))})")
    options = f"model_type='linear_reg', input_label_cols=['y'], data_split_method='{split}', fit_intercept={intercept}"
    query = "SELECT a, b - 1e9 AS b, c, k, y FROM t"
    weights = "SELECT processed_input, weight FROM ML.WEIGHTS(MODEL {}) WHERE weight IS NOT NULL"
    con.execute(f"CREATE MODEL fast OPTIONS({options}) AS {query}")
    monkeypatch.setattr(LinearReg, "takes_products", lambda *_: False)
    con.execute(f"CREATE MODEL slow OPTIONS({options}) AS {query}")
    fast, slow = (dict(con.execute(weights.format(m)).fetchall()) for m in ("fast", "slow"))
    assert set(fast) >= {"a", "b", "c"}
    assert fast == pytest.approx(slow, rel=1e-8, abs=1e-10)
    fast, slow = (con.execute(f"SELECT * FROM ML.EVALUATE(MODEL {m})").fetchone() for m in ("fast", "slow"))
    assert fast == pytest.approx(slow, rel=1e-8, nan_ok=True)


def test_training_uses_the_products(con: sqlml.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fit of plain numbers needs no sums over the rows but those of the statistics."""
    con.duckdb.execute(f"CREATE TABLE t AS {TABLE}")
    asked: list[int] = []
    for kind in (LocalRelation, Remainder):
        old = kind.sums
        monkeypatch.setattr(
            kind,
            "sums",
            lambda self, terms, *a, _old=old, **k: (asked.append(len(terms)), _old(self, terms, *a, **k))[1],
        )
    con.execute(
        "CREATE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['y'], data_split_method='no_split')"
        " AS SELECT a, b, c, y FROM t"
    )
    assert asked == []
    assert con.execute("SELECT mean_squared_error FROM ML.EVALUATE(MODEL m)").fetchone()[0] == pytest.approx(
        4.0, abs=0.1
    )


@pytest.mark.parametrize(
    ("first", "sampled"),
    [("x", True), ("g", True), ("g, g + 1 AS h", True), ("g, h % 2 AS h", True), ("g % 9 AS g, h % 2 AS h", False)],
)
def test_a_sample_stands_for_all_rows(con: sqlml.Connection, first: str, sampled: bool) -> None:
    """Rows are chosen by content: two columns of few values choose few contents, so that all columns must."""
    rows = 300_000
    last = "" if not sampled else ", x AS z"
    query = (
        f"SELECT {first}{last} FROM (SELECT i % 40 AS g, i // 40 AS h, sin(i * 0.7) AS x FROM range({rows}) AS r(i))"
    )
    relation = relation_of(con, query)
    sample = sample_of(relation, relation.columns, rows)
    assert (sample is not relation) is sampled
    (number,) = sample.aggregate(["avg(g)" if "g" in first else "avg(x)"])
    (expected,) = relation.aggregate(["avg(g)" if "g" in first else "avg(x)"])
    assert number == pytest.approx(expected, abs=0.25)
