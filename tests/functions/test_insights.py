"""ML.GET_INSIGHTS and AI.KEY_DRIVERS against brute force over all segments."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

import sqlml

DIMENSIONS = ["shop", "size", "open"]


def rows(con, sql):
    cursor = con.cursor()
    cursor.execute(sql)
    return cursor.fetchall() if cursor.description else []


def frame(con, sql):
    cursor = con.cursor()
    cursor.execute(sql)
    return pd.DataFrame(cursor.fetchall(), columns=[d[0] for d in cursor.description])


@pytest.fixture
def sales(con):
    con.duckdb.execute(
        """CREATE TABLE sales AS SELECT 'shop ' || (hash(i) % 5) AS shop, (hash(i, 1) % 3)::BIGINT AS size,
        hash(i, 2) % 2 = 0 AS open, (hash(i, 3) % 97)::BIGINT AS m, (1 + hash(i, 4) % 13)::DOUBLE AS n,
        'c' || (hash(i, 5) % 40) AS client, hash(i, 6) % 3 = 0 AS test FROM range(4000) AS t(i)"""
    )
    con.duckdb.execute("INSERT INTO sales VALUES (NULL, 1, TRUE, 1000, 1, 'c1', TRUE)")
    return con


def brute(con, terms, dimensions=DIMENSIONS):
    """contributors -> (test, control) terms, of every segment; `terms` gives numbers of a frame of rows."""
    data = con.duckdb.execute("SELECT * FROM sales").df().dropna(subset=dimensions)
    found = {("all",): (terms(data[data.test]), terms(data[~data.test]))}
    for k in range(1, len(dimensions) + 1):
        for some in combinations(dimensions, k):
            for key, part in data.groupby(list(some)):
                names = tuple(f"{d}={str(v).lower() if d == 'open' else v}" for d, v in zip(some, key, strict=True))
                found[names] = (terms(part[part.test]), terms(part[~part.test]))
    return found


def create(con, metric, columns, **options):
    more = "".join(f", {k}={v}" for k, v in options.items())
    rows(
        con,
        f"CREATE OR REPLACE MODEL ca OPTIONS(model_type='contribution_analysis', contribution_metric='{metric}',"
        f" is_test_col='test', dimension_id_cols={DIMENSIONS}{more}) AS SELECT {columns} FROM sales",
    )
    return frame(con, "SELECT * FROM ML.GET_INSIGHTS(MODEL ca)")


@pytest.mark.parametrize("support", [0.0, 0.02, 0.1, 0.3])
def test_sums_of_every_supported_segment(sales, support):
    found = create(sales, "SUM(m)", "shop, size, open, m, test", min_apriori_support=support)
    want = brute(sales, lambda part: part.m.sum())
    T, C = want["all",]
    kept = {k: v for k, v in want.items() if max(v[0] / T, v[1] / C) >= support}
    got = {
        tuple(c): (t, u) for c, t, u in zip(found.contributors, found.metric_test, found.metric_control, strict=True)
    }
    assert got == {k: v for k, v in kept.items() if v != (0, 0) or k in got}
    assert found.contribution.is_monotonic_decreasing
    assert list(found.columns[:4]) == ["contributors", "shop", "size", "open"]
    line = found[found.contributors.map(tuple) == ("shop=shop 1", "open=true")]
    if len(line):
        assert (line["shop"].item(), line["open"].item()) == ("shop 1", True) and pd.isna(line["size"].item())


def test_ratios_and_counts(sales):
    found = create(sales, "sum(m)/Sum(n)", "shop, size, open, m, n, test", min_apriori_support=0.05)
    want = brute(sales, lambda part: part.m.sum() / part.n.sum())
    for names, test, control in zip(found.contributors, found.metric_test, found.metric_control, strict=True):
        assert (test, control) == pytest.approx(want[tuple(names)])
    whole = found[found.contributors.map(len).eq(1) & found.contributors.map(lambda c: c[0] == "all")].iloc[0]
    assert whole.aumann_shapley_attribution == pytest.approx(whole.metric_test - whole.metric_control)
    assert pd.isna(whole.metric_test_over_complement) and whole.apriori_support == 1.0

    found = create(
        sales, "SUM(m) / COUNT(DISTINCT client)", "shop, size, open, m, client, test", min_apriori_support=0.05
    )
    want = brute(sales, lambda part: part.m.sum() / part.client.nunique())
    for names, test, control in zip(found.contributors, found.metric_test, found.metric_control, strict=True):
        assert (test, control) == pytest.approx(want[tuple(names)])


def test_top_k_keeps_the_highest_supports(sales):
    every = create(sales, "SUM(m)", "shop, size, open, m, test", min_apriori_support=0.0)
    for k in (1, 7, 40, len(every) + 5):
        found = create(sales, "SUM(m)", "shop, size, open, m, test", top_k_insights_by_apriori_support=k)
        assert len(found) == min(k, len(every))
        best = np.sort(every.apriori_support.to_numpy())[::-1][:k]
        np.testing.assert_allclose(np.sort(found.apriori_support)[::-1], best)


def test_pruning_drops_what_a_longer_segment_says(con):
    con.duckdb.execute(
        "CREATE TABLE sales AS SELECT * FROM (VALUES ('a','x',1,true),('a','x',2,false),('b','y',3,true),"
        "('b','z',4,true),('b','y',5,false)) AS t(shop, size, m, test)"
    )
    options = "model_type='contribution_analysis', contribution_metric='SUM(m)', is_test_col='test'"
    for method, wanted in (("NO_PRUNING", 9), ("PRUNE_REDUNDANT_INSIGHTS", 5)):
        rows(
            con,
            f"CREATE OR REPLACE MODEL ca OPTIONS({options}, min_apriori_support=0, pruning_method='{method}')"
            " AS SELECT * FROM sales",
        )
        found = [r[0] for r in rows(con, "SELECT contributors FROM ML.GET_INSIGHTS(MODEL ca)")]
        assert len(found) == wanted and ["all"] in found
    assert ["shop=a"] not in found and ["shop=a", "size=x"] in found and ["shop=b"] in found


def test_key_drivers_are_the_insights_of_a_sum(sales):
    model = create(sales, "SUM(m)", "shop, size, open, m, test", pruning_method="'PRUNE_REDUNDANT_INSIGHTS'")
    for metric in ("m", "SUM(m)", "sum(`m`)"):
        found = frame(
            sales,
            f"SELECT * FROM AI.KEY_DRIVERS(TABLE sales, metric_col => '{metric}',"
            f" dimension_cols => {DIMENSIONS}, interest_label_col => 'test')",
        )
        assert list(found.columns[:6]) == ["drivers", "shop", "size", "open", "metric_interest", "metric_reference"]
        assert [tuple(d) for d in found.drivers] == [tuple(c) for c in model.contributors]
        np.testing.assert_array_equal(found.metric_interest, model.metric_test)
        np.testing.assert_array_equal(found.unexpected_difference, model.unexpected_difference)
    three = rows(
        sales,
        "SELECT drivers FROM AI.KEY_DRIVERS((SELECT * FROM sales WHERE size < 2), metric_col => 'm',"
        " dimension_cols => ['shop'], interest_label_col => 'test', top_k => 3)",
    )
    assert len(three) == 3


REFUSED = [
    ({"contribution_metric": "'AVG(m)'"}, "CONTRIBUTION_METRIC must be SUM"),
    ({"contribution_metric": "'SUM(m + 1)'"}, "CONTRIBUTION_METRIC must be SUM"),
    ({"contribution_metric": "'SUM(nothing)'"}, "CONTRIBUTION_METRIC must name columns"),
    ({"contribution_metric": "'SUM(shop)'"}, "CONTRIBUTION_METRIC must sum numbers. shop is STRING"),
    ({"is_test_col": "'size'"}, "IS_TEST_COL must be a BOOL column. size is INT64"),
    ({"dimension_id_cols": "['n']"}, "DIMENSION_ID_COLS must name INT64, BOOL or STRING columns. n is FLOAT64"),
    ({"dimension_id_cols": "['shop', 'shop']"}, "DIMENSION_ID_COLS must name columns that nothing else uses"),
    ({"dimension_id_cols": "[]"}, "DIMENSION_ID_COLS must name at least one column"),
    ({"dimension_id_cols": "['shop']"}, "They lack size, open, n, client"),
    ({"min_apriori_support": "1.5"}, "MIN_APRIORI_SUPPORT must be from 0 to 1. Got 1.5"),
    (
        {"min_apriori_support": "0.1", "top_k_insights_by_apriori_support": "5"},
        "TOP_K_INSIGHTS_BY_APRIORI_SUPPORT must not come with MIN_APRIORI_SUPPORT",
    ),
]


@pytest.mark.parametrize(("options", "text"), REFUSED)
def test_bad_options_are_refused_with_their_place(sales, options, text):
    given = {"contribution_metric": "'SUM(m)'", "is_test_col": "'test'", "dimension_id_cols": "['shop','size','open']"}
    written = ", ".join(f"{k}={v}" for k, v in (given | options).items())
    with pytest.raises(sqlml.Error) as caught:
        rows(sales, f"CREATE MODEL ca OPTIONS(model_type='contribution_analysis', {written}) AS SELECT * FROM sales")
    assert text in str(caught.value) and "^" in str(caught.value)


def test_bad_data_is_refused(sales):
    options = "model_type='contribution_analysis', contribution_metric='SUM(m)', is_test_col='test'"
    for select, text in (
        ("SELECT shop, m, TRUE AS test FROM sales", "IS_TEST_COL must be FALSE in some row"),
        ("SELECT shop, m - 50 AS m, test FROM sales", "m must not be negative in any row"),
    ):
        with pytest.raises(sqlml.Error, match=text):
            rows(sales, f"CREATE MODEL ca OPTIONS({options}) AS {select}")
    rows(
        sales,
        f"CREATE MODEL ca OPTIONS({options}, min_apriori_support=0) AS SELECT shop, m - 50 AS m, test FROM sales",
    )
    with pytest.raises(sqlml.Error, match="METRIC_COL must be a column or SUM"):
        rows(
            sales,
            "SELECT * FROM AI.KEY_DRIVERS(TABLE sales, metric_col => 'SUM(m)/SUM(n)', dimension_cols => ['shop'],"
            " interest_label_col => 'test')",
        )
    with pytest.raises(sqlml.Error, match=r"DIMENSION_COLS must be given"):
        rows(sales, "SELECT * FROM AI.KEY_DRIVERS(TABLE sales, metric_col => 'm', interest_label_col => 'test')")


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"metric_col": "'AVG(m)'"}, "'AVG(m)'"),
        ({"metric_col": "'nothing'"}, "'nothing'"),
        ({"dimension_cols": "['m']"}, "['m']"),
        ({"dimension_cols": "['n']"}, "['n']"),
        ({"interest_label_col": "'size'"}, "'size'"),
        ({"top_k": "3", "min_apriori_support": "0.2"}, "3"),
        ({"top_k": "1000001"}, "1000001"),
    ],
)
def test_arguments_of_key_drivers_are_marked(sales, changed, word):
    given = {"metric_col": "'m'", "dimension_cols": "['shop']", "interest_label_col": "'test'"} | changed
    listed = ", ".join(f"{k} => {v}" for k, v in given.items())
    sql = f"SELECT * FROM AI.KEY_DRIVERS(TABLE sales, {listed})"
    with pytest.raises(sqlml.Error) as caught:
        rows(sales, sql)
    span = caught.value.span
    assert sql[span.start : span.end].strip("[]") == word.strip("[]")
    assert "e+06" not in caught.value.message
