"""Queries: arrays, structs, aggregates, windows, names of columns, statements."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlml.errors import NotSupportedError, OptionError, ParseError
from sqlml.translate import translate

Run = Callable[..., list[tuple[Any, ...]]]

ARRAYS: list[tuple[str, Any]] = [
    ("[1, 2, 3][OFFSET(0)]", 1),
    ("[1, 2, 3][ORDINAL(3)]", 3),
    ("[1, 2, 3][1]", 2),
    ("[1, 2, 3][SAFE_OFFSET(9)]", None),
    ("[1, 2, 3][SAFE_OFFSET(-1)]", None),
    ("[1, 2, 3][SAFE_ORDINAL(0)]", None),
    ("arr[SAFE_OFFSET(x - 4)] FROM ds.t WHERE id = 1", 2),
    ("arr[OFFSET(x - 5)] FROM ds.t WHERE id = 1", 1),
    ("CAST(NULL AS ARRAY<INT64>)[OFFSET(5)]", None),
    ("ARRAY_LENGTH([1, NULL])", 2),
    ("ARRAY_CONCAT([1], [2, 3], [4])", [1, 2, 3, 4]),
    ("ARRAY_CONCAT([1], NULL)", None),
    ("ARRAY_REVERSE([1, 2, 3])", [3, 2, 1]),
    ("ARRAY_TO_STRING(['a', NULL, 'b'], '-')", "a-b"),
    ("ARRAY_TO_STRING(['a', NULL, 'b'], '-', '?')", "a-?-b"),
    ("ARRAY_SLICE(['a', 'b', 'c', 'd', 'e'], 1, 3)", ["b", "c", "d"]),
    ("ARRAY_SLICE(['a', 'b', 'c', 'd', 'e'], -3, -1)", ["c", "d", "e"]),
    ("ARRAY_FIRST([4, 5]) + ARRAY_LAST([4, 5])", 9),
    ("ARRAY_FILTER([1, 2, 3], e -> e > 1)", [2, 3]),
    ("ARRAY_TRANSFORM([1, 2, 3], e -> e * 2)", [2, 4, 6]),
    ("GENERATE_ARRAY(1, 5)", [1, 2, 3, 4, 5]),
    ("GENERATE_ARRAY(10, 0, -5)", [10, 5, 0]),
    ("GENERATE_ARRAY(4, 1)", []),
    ("GENERATE_ARRAY(0, 1, 0.25)", [0.0, 0.25, 0.5, 0.75, 1.0]),
    ("GENERATE_ARRAY(1, x) FROM ds.t WHERE id = 1", [1, 2, 3, 4, 5]),
    ("GENERATE_ARRAY(1, NULL)", None),
    ("ARRAY(SELECT v * 2 FROM UNNEST([1, 2]) AS v ORDER BY v DESC)", [4, 2]),
    ("ARRAY(SELECT AS STRUCT v, v + 1 AS w FROM UNNEST([1]) AS v)", [{"v": 1, "w": 2}]),
    ("ARRAY<INT64>[1, 2]", [1, 2]),
    ("ARRAY<STRUCT<a INT64, b STRING>>[(1, 'x'), (2, 'y')][OFFSET(1)].b", "y"),
    ("[STRUCT(1 AS a, 'x' AS b), (2, 'y')][OFFSET(1)].b", "y"),
    ("STRUCT<a INT64, b STRING>(1, 'z').b", "z"),
    ("(SELECT AS STRUCT 1 AS a, 'x' AS b)", {"a": 1, "b": "x"}),
    ("STRUCT(x, y AS q) FROM ds.t WHERE id = 1", {"x": 5, "q": 1.5}),
    ("3 IN UNNEST([1, 2, 3])", True),
    ("x IN UNNEST(arr) FROM ds.t WHERE id = 1", False),
    ("NULL IN UNNEST([1])", None),
    ("(1, 2) IN ((1, 2), (3, 4))", True),
]
AGGREGATES: list[tuple[str, Any]] = [
    ("SUM(x) FROM ds.t", 18),
    ("SUM(DISTINCT id * 0 + 1) FROM ds.t", 1),
    ("COUNT(y) + COUNT(*) + COUNT(DISTINCT k) FROM ds.t", 7),
    ("COUNTIF(x > 5) FROM ds.t", 2),
    ("COUNTIF(x > 50) FROM ds.t", 0),
    ("LOGICAL_OR(x > 6) AND NOT LOGICAL_AND(x > 6) FROM ds.t", True),
    ("ANY_VALUE(k HAVING MAX x) FROM ds.t", "a"),
    ("ANY_VALUE(k HAVING MIN y) FROM ds.t", "a"),
    ("MAX_BY(k, id) || MIN_BY(k, -id) FROM ds.t WHERE id < 3", "bb"),
    ("ARRAY_AGG(y IGNORE NULLS ORDER BY x DESC) FROM ds.t", [2.5, 1.5]),
    ("ARRAY_AGG(x ORDER BY x DESC LIMIT 2) FROM ds.t", [7, 6]),
    ("ARRAY_AGG(DISTINCT k ORDER BY k) FROM ds.t", ["a", "b"]),
    ("ARRAY_AGG(y ORDER BY id) FROM ds.t", [1.5, 2.5, None]),
    ("ARRAY_AGG(x) FROM ds.t WHERE FALSE", None),
    ("ARRAY_CONCAT_AGG(arr ORDER BY id DESC) FROM ds.t", [3, 1, 2]),
    ("STRING_AGG(k ORDER BY id DESC) FROM ds.t", "a,b,a"),
    ("STRING_AGG(DISTINCT k, '-' ORDER BY k DESC) FROM ds.t", "b-a"),
    ("STRING_AGG(k, '|' ORDER BY id LIMIT 2) FROM ds.t", "a|b"),
    ("APPROX_COUNT_DISTINCT(k) FROM ds.t", 2),
    ("APPROX_QUANTILES(v, 2) FROM UNNEST([1, 1, 1, 4, 5, 6, 7, 8, 9, 10]) AS v", [1, 5, 10]),
    ("APPROX_QUANTILES(v, 100)[OFFSET(90)] FROM UNNEST([1, 1, 1, 4, 5, 6, 7, 8, 9, 10]) AS v", 9),
    ("APPROX_QUANTILES(DISTINCT v, 2) FROM UNNEST([1, 1, 1, 4, 5, 6, 7, 8, 9, 10]) AS v", [1, 6, 10]),
    ("APPROX_QUANTILES(v, 2 RESPECT NULLS) FROM UNNEST([NULL, NULL, 1, 2, 3]) AS v", [None, 1, 3]),
    ("APPROX_QUANTILES(x, 4) FROM ds.t WHERE FALSE", None),
    (
        "APPROX_TOP_COUNT(v, 2) FROM UNNEST(['pear', 'fig', 'pear', 'apple', 'pear', 'apple']) AS v",
        [{"value": "pear", "count": 3}, {"value": "apple", "count": 2}],
    ),
    (
        "APPROX_TOP_COUNT(v, 1) FROM UNNEST([NULL, 'pear', NULL]) AS v",
        [{"value": None, "count": 2}],
    ),
    ("CORR(x, x) FROM ds.t", 1.0),
    ("CORR(x, x) FROM ds.t WHERE id = 1", None),
    ("STDDEV(x) FROM ds.t", 1.0),
    ("VAR_POP(x) FROM ds.t WHERE id < 3", 0.25),
]


@pytest.mark.parametrize("expression, expected", [*ARRAYS, *AGGREGATES])
def test_value(value: Callable[[str], Any], expression: str, expected: Any) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize("subscript", ["OFFSET(2)", "OFFSET(-1)", "ORDINAL(0)", "ORDINAL(3)", "OFFSET(n)", "2"])
def test_a_subscript_out_of_bounds_is_an_error(run: Run, subscript: str) -> None:
    with pytest.raises(duckdb.Error, match="out of bounds"):
        run(f"SELECT a[{subscript}] FROM (SELECT [1, 2] AS a, 7 AS n)")


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.integers(-50, 50), min_size=1, max_size=60), count=st.integers(1, 12))
def test_quantiles_are_nearest_ranks(database: Any, values: list[int], count: int) -> None:
    array = ", ".join(map(str, values))
    sql = translate(f"SELECT APPROX_QUANTILES(v, {count}) FROM UNNEST([{array}]) AS v")
    [(found,)] = database.cursor().execute(sql).fetchall()
    ranked = sorted(values)
    assert found == [ranked[max(-(-i * len(ranked) // count), 1) - 1] for i in range(count + 1)]


QUERIES: list[tuple[str, list[tuple[Any, ...]]]] = [
    ("SELECT id, v FROM ds.t, UNNEST(arr) AS v ORDER BY 1, 2", [(1, 1), (1, 2), (3, 3)]),
    ("SELECT id, v FROM ds.t AS z, z.arr AS v ORDER BY 1, 2", [(1, 1), (1, 2), (3, 3)]),
    ("SELECT id, arr FROM ds.t AS z, z.arr ORDER BY id, 2", [(1, 1), (1, 2), (3, 3)]),
    (
        "SELECT id, v, o FROM ds.t, UNNEST(arr) AS v WITH OFFSET AS o ORDER BY 1, 3",
        [(1, 1, 0), (1, 2, 1), (3, 3, 0)],
    ),
    ("SELECT v, offset FROM ds.t z, z.arr v WITH OFFSET WHERE id = 1 ORDER BY 2", [(1, 0), (2, 1)]),
    ("SELECT id, v FROM ds.t LEFT JOIN UNNEST(arr) AS v ORDER BY 1, 2", [(1, 1), (1, 2), (2, None), (3, 3)]),
    ("SELECT *, o FROM UNNEST(['a', 'b']) AS n WITH OFFSET AS o", [("a", 0, 0), ("b", 1, 1)]),
    ("SELECT * FROM UNNEST([STRUCT(1 AS a, 'x' AS b), (2, 'y')])", [(1, "x"), (2, "y")]),
    ("SELECT s.b FROM UNNEST([STRUCT(1 AS a, 'x' AS b)]) AS s WHERE a = 1", [("x",)]),
    (
        "SELECT id, (SELECT value.s FROM UNNEST(ps) WHERE key = 'p') FROM ds.t ORDER BY id",
        [(1, "u"), (2, None), (3, "w")],
    ),
    (
        "SELECT id, p.key, p.value.i FROM ds.t, UNNEST(ps) AS p ORDER BY 1, 2",
        [(1, "p", 1), (1, "q", 2), (3, "p", 3)],
    ),
    ("SELECT key FROM ds.t, UNNEST(ps) ORDER BY id, key", [("p",), ("q",), ("p",)]),
    ("SELECT id FROM ds.t WHERE 'q' IN (SELECT e.key FROM UNNEST(ps) e)", [(1,)]),
    ("SELECT SUM((SELECT SUM(v) FROM UNNEST(arr) AS v)) FROM ds.t", [(6,)]),
    (
        "SELECT a.x, b.y FROM UNNEST([1, 2]) AS x JOIN (SELECT 1 AS x) a ON a.x = x, (SELECT 5 AS y) b",
        [(1, 5)],
    ),
    # structs and stars
    ("SELECT st.* FROM ds.t WHERE id = 1", [(1, "x")]),
    ("SELECT t.st.* FROM ds.t AS t WHERE id = 1", [(1, "x")]),
    ("SELECT st.* EXCEPT (a) FROM ds.t WHERE id = 1", [("x",)]),
    ("SELECT STRUCT(1 AS a, 2 AS b).*", [(1, 2)]),
    ("SELECT * EXCEPT (arr, st, ps) REPLACE (x * 2 AS x) FROM ds.t WHERE id = 2", [(2, "b", 12, 2.5)]),
    ("SELECT t.* EXCEPT (arr, ps, st, y) FROM ds.t WHERE id = 2", [(2, "b", 6)]),
    ("SELECT AS STRUCT 1 AS a, 2 AS b", [(1, 2)]),
    ("SELECT s.a FROM (SELECT AS VALUE STRUCT(1 AS a, 2 AS b)) AS s", [(1,)]),
    ("SELECT r.k FROM (SELECT t FROM ds.t AS t WHERE id = 2) AS q, UNNEST([q.t]) AS r", [("b",)]),
    (
        "SELECT info.shape FROM (SELECT STRUCT('b' AS color, 'r' AS shape) AS info UNION ALL"
        " SELECT STRUCT('c', 's')) ORDER BY 1",
        [("r",), ("s",)],
    ),
    (
        "SELECT s.a, l[OFFSET(0)].a FROM (SELECT STRUCT<a INT64, b STRING>(1, 'x') AS s, [STRUCT(1 AS a)] AS l"
        " UNION ALL SELECT (2, 'y'), [STRUCT(5)]) ORDER BY 1",
        [(1, 1), (2, 5)],
    ),
    (
        "SELECT 'ab' LIKE ANY UNNEST(['a%', 'z']), 'ab' NOT LIKE ANY ('a%', 'z'), 'ab' NOT LIKE ALL ('a%', 'z')",
        [(True, True, False)],
    ),
    # aliases win over columns in GROUP BY and HAVING
    (
        "SELECT DATE_TRUNC(d, MONTH) AS d, COUNT(*) FROM UNNEST([DATE '2020-01-05', DATE '2020-01-06']) AS d GROUP BY d",
        [(dt.date(2020, 1, 1), 2)],
    ),
    ("SELECT k, SUM(x) AS x FROM ds.t GROUP BY k HAVING x > 6", [("a", 12)]),
    (
        "SELECT UPPER(k) AS k, COUNT(*) AS n FROM ds.t GROUP BY ROLLUP(k) ORDER BY n, k",
        [("B", 1), ("A", 2), (None, 3)],
    ),
    ("SELECT k, COUNT(*) FROM ds.t GROUP BY 1 ORDER BY 2 DESC", [("a", 2), ("b", 1)]),
    # NULLs sort first ascending, last descending
    ("SELECT y FROM ds.t ORDER BY y", [(None,), (1.5,), (2.5,)]),
    ("SELECT y FROM ds.t ORDER BY y DESC", [(2.5,), (1.5,), (None,)]),
    # windows
    (
        "SELECT id, SUM(x) OVER (PARTITION BY k ORDER BY id) FROM ds.t ORDER BY id",
        [(1, 5), (2, 6), (3, 12)],
    ),
    (
        "SELECT LAG(x, 1, 0) OVER (ORDER BY id), FIRST_VALUE(y IGNORE NULLS) OVER w, LAST_VALUE(x) OVER (ORDER BY id"
        " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM ds.t WINDOW w AS (ORDER BY id DESC) ORDER BY id",
        [(0, 2.5, 7), (5, 2.5, 7), (6, None, 7)],
    ),
    ("SELECT PERCENTILE_CONT(x, 0.5) OVER (PARTITION BY k) FROM ds.t ORDER BY id", [(6.0,), (6.0,), (6.0,)]),
    (
        "SELECT id FROM ds.t WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC) = 1 ORDER BY id",
        [(2,), (3,)],
    ),
    ("SELECT COUNTIF(x > 5) OVER () FROM ds.t LIMIT 1", [(2,)]),
    # PIVOT, UNPIVOT, sampling
    (
        "SELECT * FROM (SELECT k, id, x FROM ds.t) PIVOT(SUM(x) AS s, COUNT(*) AS c FOR k IN ('a' AS aa, 'b')) ORDER BY id",
        [(1, 5, 1, None, 0), (2, None, 0, 6, 1), (3, 7, 1, None, 0)],
    ),
    (
        "SELECT p.s_two FROM (SELECT k, id, x FROM ds.t) PIVOT(SUM(x) AS s FOR id IN (1, 2 AS two)) AS p ORDER BY k",
        [(None,), (6,)],
    ),
    ("SELECT v, n FROM (SELECT 1 AS id, 2 AS a, NULL AS b) UNPIVOT(v FOR n IN (a, b))", [(2, "a")]),
    (
        "SELECT * FROM (SELECT 1 AS id, 2 AS a, 3 AS b, 4 AS c, 5 AS d) UNPIVOT((v, w) FOR n IN ((a, b) AS 'x', (c, d) AS 'y'))",
        [(1, 2, 3, "x"), (1, 4, 5, "y")],
    ),
    ("SELECT COUNT(*) FROM ds.t TABLESAMPLE SYSTEM (100 PERCENT)", [(3,)]),
    (
        "SELECT COUNT(*) FROM ds.t FOR SYSTEM_TIME AS OF TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 HOUR)",
        [(3,)],
    ),
    # set operations and CTEs
    ("SELECT 1 AS x UNION DISTINCT SELECT 1", [(1,)]),
    ("SELECT 1 AS x INTERSECT DISTINCT SELECT 1 EXCEPT DISTINCT SELECT 2", [(1,)]),
    ("SELECT 1 AS a, 2 AS b UNION ALL BY NAME SELECT 3 AS b, 4 AS a", [(1, 2), (4, 3)]),
    (
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT SUM(i) FROM n",
        [(10,)],
    ),
    ("WITH t AS (SELECT 1 AS a), u AS (SELECT a + 1 AS a FROM t) SELECT t.a, u.a FROM t, u", [(1, 2)]),
    ("SELECT k FROM ds.t WHERE k LIKE ANY ('a%', 'c%')", [("a",), ("a",)]),
    ("FROM ds.t |> WHERE x > 6 |> SELECT id, x", [(3, 7)]),
    ("SELECT a, FROM (SELECT 1 AS a,)", [(1,)]),
    ("SELECT `order`, `select` FROM (SELECT 1 AS `order`, 2 AS `select`)", [(1, 2)]),
    ("SELECT offset FROM (SELECT 1 AS offset)", [(1,)]),
]


@pytest.mark.parametrize("sql, expected", QUERIES, ids=[q[0][:70] for q in QUERIES])
def test_query(run: Run, sql: str, expected: list[tuple[Any, ...]]) -> None:
    assert run(sql) == expected


@pytest.mark.parametrize(
    "sql, names",
    [
        ("SELECT COUNT(*), k, MAX(x) FROM ds.t GROUP BY k", ["f0_", "k", "f1_"]),
        ("SELECT st.a, arr[SAFE_OFFSET(0)], (x) FROM ds.t", ["a", "f0_", "x"]),
        ("SELECT STRUCT(1 AS q).q, 5", ["q", "f0_"]),
        ("SELECT * FROM (SELECT 1, 2)", ["f0_", "f1_"]),
        ("SELECT 1 UNION ALL SELECT 2", ["f0_"]),
        ("SELECT id AS `Some Name` FROM ds.t", ["Some Name"]),
        (
            "SELECT * FROM (SELECT k, id, x FROM ds.t) PIVOT(SUM(x) FOR id IN (1, -2, 3 AS three))",
            ["k", "_1", "minus_2", "three"],
        ),
        ("SELECT * FROM (SELECT 1 AS id, 2 AS a) UNPIVOT(v FOR n IN (a))", ["id", "v", "n"]),
        (
            "SELECT * FROM ds.t, UNNEST([1]) AS one WITH OFFSET AS o",
            ["id", "k", "x", "y", "arr", "st", "ps", "one", "o"],
        ),
    ],
)
def test_names_of_columns(columns: Callable[[str], list[tuple[str, str]]], sql: str, names: list[str]) -> None:
    assert [name for name, _ in columns(sql)] == names


def test_random_order_in_windows(run: Run) -> None:
    rows = run("SELECT * EXCEPT (arr, st, ps), ROW_NUMBER() OVER (PARTITION BY k ORDER BY RAND()) AS r FROM ds.t")
    assert sorted(r[:3] for r in rows) == [(1, "a", 5), (2, "b", 6), (3, "a", 7)]
    assert sorted((r[1], r[4]) for r in rows) == [("a", 1), ("a", 2), ("b", 1)]


def test_parameters(run: Run) -> None:
    assert run("SELECT x FROM ds.t WHERE id = ? AND k = ?", [1, "a"]) == [(5,)]
    assert run("SELECT x FROM ds.t WHERE id = @id AND @id < 5", {"id": 2}) == [(6,)]
    # a rewrite that writes an argument twice still takes one parameter
    assert run("SELECT GREATEST(?, 2), 1 / ?", [5, 4]) == [(5, 0.25)]
    numbers = {7: 3, 10: 1}
    assert translate("SELECT ?, ?", parameter=lambda _, at: numbers[at]).startswith("SELECT $3 AS f0_, $1")
    assert translate("SELECT ?, ?", offset=100, parameter=lambda count, at: count + at).count("$108") == 1


def test_statements(database: duckdb.DuckDBPyConnection) -> None:
    con = database.cursor()
    con.execute("SET TimeZone = 'UTC'")

    def do(sql: str) -> list[tuple[Any, ...]]:
        return con.execute(translate(sql)).fetchall()

    do("CREATE SCHEMA IF NOT EXISTS made OPTIONS (location = 'EU')")
    do(
        "CREATE OR REPLACE TABLE made.a (id INT64 NOT NULL OPTIONS (description = 'key'), s STRING(10), n NUMERIC(10, 2),"
        " f FLOAT64 DEFAULT 1.5, ts TIMESTAMP, d DATETIME, l ARRAY<STRUCT<x INT64, y STRING>>,"
        " PRIMARY KEY (id) NOT ENFORCED) PARTITION BY DATE(ts) CLUSTER BY id OPTIONS (friendly_name = 'a')"
    )
    types = [r[1] for r in con.execute("DESCRIBE made.a").fetchall()]
    assert types == [
        "BIGINT", "VARCHAR", "DECIMAL(10,2)", "DOUBLE", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP",
        "STRUCT(x BIGINT, y VARCHAR)[]",
    ]  # fmt: skip
    do("INSERT INTO made.a (id, s) VALUES (1, 'x'), (2, 'y')")
    do("INSERT made.a (id, s, l) SELECT 3, 'z', [STRUCT(1 AS x, 'q' AS y)]")
    do("UPDATE made.a SET s = CONCAT(s, '!'), f = f / 2 WHERE id < 3")
    do("UPDATE made.a AS q SET q.s = u.k FROM ds.t u WHERE u.id = q.id AND q.id = 3")
    assert do("SELECT id, s, f FROM made.a ORDER BY id") == [(1, "x!", 0.75), (2, "y!", 0.75), (3, "a", 1.5)]
    do("DELETE FROM made.a WHERE id = 2")
    do("DELETE made.a WHERE id = 3")
    do(
        "MERGE INTO made.a AS T USING ds.t AS S ON T.id = S.id WHEN MATCHED THEN UPDATE SET s = S.k"
        " WHEN NOT MATCHED AND S.x > 6 THEN INSERT (id, s) VALUES (S.id, 'new')"
    )
    assert do("SELECT id, s FROM made.a ORDER BY id") == [(1, "a"), (3, "new")]
    do("MERGE made.a T USING ds.t S ON FALSE WHEN NOT MATCHED BY SOURCE THEN DELETE")
    assert do("SELECT COUNT(*) FROM made.a") == [(0,)]
    do("CREATE TABLE made.b AS SELECT 1 AS one, SUM(x) AS s, 2.5 AS f, NULL AS n FROM ds.t")
    described = con.execute("DESCRIBE made.b").fetchall()
    assert [(r[0], r[1]) for r in described] == [
        ("one", "BIGINT"),
        ("s", "BIGINT"),
        ("f", "DOUBLE"),
        ("n", "BIGINT"),
    ]
    do("CREATE TABLE made.c LIKE made.b")
    do("CREATE TABLE made.d CLONE made.b")
    do("CREATE TABLE made.e COPY made.b")
    assert do("SELECT (SELECT COUNT(*) FROM made.c), (SELECT s FROM made.d), (SELECT s FROM made.e)") == [(0, 18, 18)]
    do("CREATE OR REPLACE VIEW made.v OPTIONS (description = 'v') AS SELECT id, k FROM ds.t")
    assert do("SELECT COUNT(*) FROM made.v") == [(3,)]
    do("CREATE TEMP TABLE passing AS SELECT 1 AS x")
    assert do("SELECT x FROM passing") == [(1,)]
    do("ALTER TABLE made.b ADD COLUMN z STRING")
    do("ALTER TABLE made.b SET OPTIONS (description = 'x')")
    do("TRUNCATE TABLE made.b")
    do("DROP VIEW made.v")
    do("DROP TABLE IF EXISTS made.nothing")
    do("DROP SCHEMA made CASCADE")


@pytest.mark.parametrize(
    "sql, message, at",
    [
        ("SELECT a b c FROM t", "c must not stand here", (11, 12)),
        ("SELECT a FROM", "FROM must be followed by a table", (9, 13)),
        ("SELECT (a FROM t", "FROM must not stand here", (10, 14)),
        ("SELECT a\nFROM t WHERE )", "WHERE must be followed by a condition", (16, 21)),
        ("foo bar", "FOO must begin a statement", (0, 3)),
        ("SELECT 1; SELECT 2", "one statement", (0, 18)),
        ("SELECT 'abc", "must be closed", (0, 11)),
        ("", "must not be empty", (0, 0)),
    ],
)
def test_syntax_errors_know_their_place(sql: str, message: str, at: tuple[int, int]) -> None:
    with pytest.raises(ParseError, match=message) as caught:
        translate(sql, offset=100)
    assert caught.value.span is not None
    assert (caught.value.span.start - 100, caught.value.span.end - 100) == at
    assert "Required keyword" not in str(caught.value)


def test_refused_forms() -> None:
    with pytest.raises(NotSupportedError, match="EXTERNAL"):
        translate("CREATE EXTERNAL TABLE ds.x OPTIONS (format = 'CSV', uris = ['a'])")
    with pytest.raises(NotSupportedError, match="BY NAME"):
        translate("SELECT 1 AS a INNER UNION ALL BY NAME SELECT 2 AS a")
    with pytest.raises(NotSupportedError, match="wildcard"):
        translate("SELECT * FROM `p.d.events_*`")


def test_export_data(database: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    con = database.cursor()
    con.execute(translate(f"EXPORT DATA OPTIONS (uri = '{tmp_path}/x_*.csv', format = 'CSV', header = true,"
                          " field_delimiter = ';', overwrite = true) AS SELECT k, x / 2 AS h FROM ds.t ORDER BY id"))  # fmt: skip
    assert (tmp_path / "x_000000000000.csv").read_text() == "k;h\na;2.5\nb;3.0\na;3.5\n"
    con.execute(translate(f"EXPORT DATA OPTIONS (uri = '{tmp_path}/y.parquet', format = 'PARQUET') AS SELECT 1 AS a"))
    assert con.execute(f"SELECT a FROM '{tmp_path}/y.parquet'").fetchall() == [(1,)]
    with pytest.raises(NotSupportedError, match="local path"):
        translate("EXPORT DATA OPTIONS (uri = 'gs://b/x_*.csv') AS SELECT 1 AS a")
    with pytest.raises(OptionError, match="heder is not an option"):
        translate("EXPORT DATA OPTIONS (uri = 'x', heder = true) AS SELECT 1 AS a")
    with pytest.raises(NotSupportedError, match="AVRO"):
        translate("EXPORT DATA OPTIONS (uri = 'x', format = 'AVRO') AS SELECT 1 AS a")


FLAT: tuple[tuple[str, list[str], list[tuple[Any, ...]]], ...] = (
    ("SELECT id, v FROM ds.t, UNNEST(arr) AS v ORDER BY 1, 2", ["id", "v"], [(1, 1), (1, 2), (3, 3)]),
    ("SELECT V + id AS s FROM ds.t AS x CROSS JOIN UNNEST(x.arr) AS v WHERE x.id = 1 ORDER BY v", ["s"], [(2,), (3,)]),
    (
        "SELECT p.key AS k, COUNT(*) AS n FROM ds.t, UNNEST(ps) AS p GROUP BY k ORDER BY k",
        ["k", "n"],
        [("p", 2), ("q", 1)],
    ),
    ("SELECT SUM(v) AS id FROM ds.t, UNNEST(arr) AS v WHERE v > 1", ["id"], [(5,)]),
    ("SELECT key, p.value.i AS i FROM ds.t, UNNEST(ps) AS p WHERE p.key = 'q'", ["key", "i"], [("q", 2)]),
    ("SELECT k, y FROM ds.t, UNNEST(arr) AS x WHERE x = 2 AND t.x = 5", ["k", "y"], [("a", 1.5)]),
)


@pytest.mark.parametrize(("sql", "names", "rows"), FLAT)
def test_unnest_beside_a_table_is_one_scan(
    database: duckdb.DuckDBPyConnection, sql: str, names: list[str], rows: list[tuple[Any, ...]]
) -> None:
    """No join of the rows with themselves; the names and the rows are those of the query as written."""
    made = translate(sql)
    assert "CROSS JOIN (SELECT unnest(arr)" not in made
    assert "CROSS JOIN (SELECT unnest(ps)" not in made
    cursor = database.cursor().execute(made)
    assert ([d[0] for d in cursor.description], cursor.fetchall()) == (names, rows)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM ds.t, UNNEST(arr) AS v",
        "SELECT t FROM ds.t AS t, UNNEST(arr) AS v",
        "SELECT v, o FROM ds.t, UNNEST(arr) AS v WITH OFFSET AS o",
        "SELECT v FROM ds.t LEFT JOIN UNNEST(arr) AS v",
        "SELECT v, w FROM ds.t, UNNEST(arr) AS v, UNNEST([v * 10]) AS w",
        "SELECT id FROM ds.t, UNNEST(arr) AS v WHERE EXISTS (SELECT v FROM ds.t)",
    ],
)
def test_unnest_that_keeps_its_form(sql: str) -> None:
    """Stars, whole rows, offsets, outer joins and names used twice stay lateral."""
    assert "JOIN" in translate(sql)
