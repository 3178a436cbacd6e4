"""ML.CORRELATION: the printed numbers, segments, rank coefficients, wrong calls."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

import sqlml

ROWS = [
    ("USA", "New York", "Electronics", 100, 150, 1000),
    ("USA", "New York", "Electronics", 150, 200, 1500),
    ("USA", "New York", "Apparel", 200, 250, 1800),
    ("USA", "Seattle", "Apparel", 220, 240, 2400),
    ("USA", "Seattle", "Apparel", 300, 320, 2700),
    (None, "London", "Electronics", 100, 120, 500),
    (None, "London", "Electronics", 200, 220, 900),
    (None, None, "Apparel", 200, 200, 1000),
    (None, None, "Apparel", 250, 250, 1200),
]
NAMES = ("country", "city", "product_category", "ad_spend", "budget", "revenue")


@pytest.fixture
def sample(con: sqlml.Connection) -> sqlml.Connection:
    con.duckdb.execute(
        "CREATE TABLE sample (country VARCHAR, city VARCHAR, product_category VARCHAR,"
        " ad_spend BIGINT, budget BIGINT, revenue BIGINT)"
    )
    con.duckdb.executemany("INSERT INTO sample VALUES (?, ?, ?, ?, ?, ?)", ROWS)
    return con


def segments(con: sqlml.Connection, rest: str, source: str = "TABLE sample") -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rows by (segment, compared column)."""
    cursor = con.execute(f"SELECT * FROM ML.CORRELATION({source}, target_col => 'revenue', {rest})")
    names = [d[0] for d in cursor.description or ()]
    found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {
        (tuple((s["dimension_col"], json.loads(s["dimension_value"])) for s in r["segment"]), r["corr_col"]): r
        for r in found
    }


# (rest of the call, segment, compared column, printed correlation, printed size)
PRINTED = [
    ("country", (), "ad_spend", 0.698, 9),
    ("country", (("country", "USA"),), "ad_spend", 0.968, 5),
    ("country", (("country", None),), "ad_spend", 0.990, 4),
    ("city", (("city", "New York"),), "ad_spend", 0.990, 3),
    ("city", (("city", "Seattle"),), "ad_spend", 1.0, 2),
    ("city", (("city", "London"),), "ad_spend", 1.0, 2),
    ("city", (("city", None),), "ad_spend", 1.0, 2),
    ("city", (("city", "New York"),), "budget", 0.990, 3),
]


@pytest.mark.parametrize(("dimension", "segment", "column", "value", "size"), PRINTED)
def test_printed(sample: sqlml.Connection, dimension: str, segment: Any, column: str, value: float, size: int) -> None:
    rest = f"target_correlation_cols => ['ad_spend', 'budget'], dimension_cols => '{dimension}'"
    line = segments(sample, rest)[segment, column]
    assert line["correlation"] == pytest.approx(value, abs=5e-4)
    assert line["segment_size"] == size
    assert line["segment_proportion"] == pytest.approx(size / 9)


def test_printed_subset(sample: sqlml.Connection) -> None:
    rest = "target_correlation_cols => ['ad_spend', 'budget'], dimension_cols => ['city', 'product_category']"
    found = segments(sample, rest, "(SELECT * FROM sample WHERE country = 'USA')")
    assert found[(), "budget"]["correlation"] == pytest.approx(0.924, abs=5e-4)
    apparel = found[(("product_category", "Apparel"),), "ad_spend"]
    assert apparel["correlation"] == pytest.approx(0.866, abs=5e-4) and apparel["segment_size"] == 3
    assert len(found) == 2 * (1 + 2 + 2 + 3)


def test_columns_and_order(sample: sqlml.Connection) -> None:
    rest = "target_correlation_cols => ['budget', 'ad_spend'], dimension_cols => ['country']"
    for method in ("PEARSON", "SPEARMAN", "KENDALL"):
        cursor = sample.execute(
            f"SELECT * FROM ML.CORRELATION(TABLE sample, target_col => 'revenue', {rest}, method => '{method}')"
        )
        names = [d[0] for d in cursor.description or ()]
        assert names == [
            *("segment", "country", "target_col", "corr_col", "correlation", "segment_size", "segment_proportion")
        ]
        order = [(-r[5], r[3]) for r in cursor.fetchall()]
        assert order == sorted(order)
    plain = sample.execute(
        "SELECT * FROM ML.CORRELATION(TABLE sample, target_col => 'revenue', target_correlation_cols => 'budget')"
    )
    assert [d[0] for d in plain.description or ()][:2] == ["segment", "target_col"]
    assert plain.fetchall()[0][0] == []


@pytest.mark.parametrize("method", ["pearson", "spearman", "kendall"])
def test_methods_against_pandas(sample: sqlml.Connection, method: str) -> None:
    frame = pd.DataFrame(ROWS, columns=NAMES)
    rest = f"target_correlation_cols => ['ad_spend'], dimension_cols => ['product_category'], method => '{method}'"
    found = segments(sample, rest)
    whole = frame["revenue"].corr(frame["ad_spend"], method=method)
    assert found[(), "ad_spend"]["correlation"] == pytest.approx(whole)
    for name, part in frame.groupby("product_category"):
        line = found[(("product_category", name),), "ad_spend"]
        assert line["correlation"] == pytest.approx(part["revenue"].corr(part["ad_spend"], method=method))


def test_small_and_constant_segments(con: sqlml.Connection) -> None:
    con.execute("CREATE TABLE k AS SELECT i AS revenue, 1.0 AS c, IF(i = 3, NULL, i) AS n FROM UNNEST([1, 2, 3]) AS i")
    for method in ("PEARSON", "SPEARMAN", "KENDALL"):
        rest = f"target_correlation_cols => ['c', 'n'], method => '{method}'"
        found = segments(con, rest, "TABLE k")
        assert found[(), "c"]["correlation"] is None
        assert found[(), "n"]["correlation"] == pytest.approx(1.0) and found[(), "n"]["segment_size"] == 2
    assert segments(con, "target_correlation_cols => 'c'", "(SELECT * FROM k WHERE FALSE)") == {}


@pytest.mark.parametrize(
    ("rest", "sentence", "place"),
    [
        (
            "target_col => 'city', target_correlation_cols => 'budget'",
            "TARGET_COL must name a numeric column.",
            "'city'",
        ),
        ("target_col => 'revenu', target_correlation_cols => 'budget'", "Got revenu.", "'revenu'"),
        ("target_col => 'revenue'", "TARGET_CORRELATION_COLS must be given", "ML.CORRELATION"),
        ("target_col => 'revenue', target_correlation_cols => []", "at least one column", ""),
        (
            "target_col => 'revenue', target_correlation_cols => ['budget', 'Budget']",
            "TARGET_CORRELATION_COLS must name different columns.",
            "'budget'",
        ),
        ("target_col => 'revenue', target_correlation_cols => 'budget', method => 'COSINE'", "METHOD", "'COSINE'"),
        (
            "target_col => 'revenue', target_correlation_cols => 'budget', dimension_cols => 'x'",
            "DIMENSION_COLS",
            "'x'",
        ),
    ],
)
def test_wrong_calls(sample: sqlml.Connection, rest: str, sentence: str, place: str) -> None:
    source = f"SELECT * FROM ML.CORRELATION(TABLE sample, {rest})"
    with pytest.raises(sqlml.Error) as caught:
        sample.execute(source)
    assert sentence in caught.value.message
    assert caught.value.span is not None and source[caught.value.span.start :].startswith(place), str(caught.value)
