"""DuckDB's complaints reach the user in GoogleSQL's words, at the user's own words."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

import sqlml


@pytest.fixture(scope="module")
def con() -> Iterator[sqlml.Connection]:
    with sqlml.connect() as connection:
        connection.execute("CREATE SCHEMA d; CREATE SCHEMA e; CREATE TABLE d.t AS SELECT 1 AS x, 'a' AS s, [1] AS r")
        yield connection


CASES = [
    ("SELECT * EXCEPT (zz) FROM d.t", "the column zz does not exist.", "zz"),
    ("SELECT * REPLACE (1 AS zz) FROM d.t", "the column zz does not exist.", "zz"),
    ("SELECT /* zz */ 'zz', x\nFROM d.t -- zz\nWHERE zz > 1", "the column zz does not exist.", "zz > 1"),
    ("SELECT FARM_FINGERPRINT(1.5)", "FARM_FINGERPRINT does not take FLOAT64.", "FARM_FINGERPRINT"),
    ("SELECT 1,\n\tLOWER(3)", "LOWER does not take INT64.", "LOWER"),
    ("SELECT date_diff(s, s, DAY) FROM d.t", "DATE_DIFF does not take STRING, STRING.", "date_diff"),
    ("SELECT TIMESTAMP_DIFF(x, x, DAY) FROM d.t", "TIMESTAMP_DIFF does not take INT64.", "TIMESTAMP_DIFF"),
    ("SELECT ARRAY_LENGTH(x) FROM d.t", "ARRAY_LENGTH does not take INT64.", "ARRAY_LENGTH"),
    ("SELECT SAFE_DIVIDE('a', 2)", "SAFE_DIVIDE does not take STRING, INT64.", "SAFE_DIVIDE"),
    ("SELECT AVG(s) FROM d.t", "AVG does not take STRING.", "AVG"),
    ("SELECT ROUND(s, 2) FROM d.t", "ROUND does not take STRING, INT64.", "ROUND"),
    ("SELECT -s FROM d.t", "the operator - does not take STRING.", None),
    ("SELECT x FROM d.t a JOIN d.t b ON TRUE", "the column x is in more than one table.", "x FROM"),
    ("SELECT * FROM d.t, d.t", "the table t is named more than once in FROM.", "t, d"),
    ("CREATE TABLE d.t AS SELECT 1 AS x", "the table t already exists.", "t AS"),
    ("CREATE FUNCTION nods.f(x INT64) AS (x)", "the dataset nods does not exist.", "nods"),
    ("SELECT SUM(x), s FROM d.t", "the column s must be in GROUP BY or inside an aggregate function.", "s FROM"),
    ("SELECT e FROM UNNEST(3) AS e", "UNNEST must be given an ARRAY. Got INT64.", "UNNEST"),
    ("SELECT STRUCT(1 AS a).b", "the field b does not exist.", "b"),
    ("SELECT t.x.y FROM d.t AS t", "x must be a STRUCT to have the field y.", "y"),
    ("SELECT * FROM e.t", "the table t does not exist.", "t"),
    ("SELECT x FROM d.t WHERE SUM(x) > 1", "WHERE must not hold an aggregate function.", "WHERE"),
    ("SELECT COUNT(*) FROM d.t GROUP BY 1", "GROUP BY must not hold an aggregate function.", "GROUP BY"),
    ("SELECT (SELECT 1, 2)", "a subquery used as a value must have one column. Got 2.", None),
    ("SELECT (SELECT e FROM UNNEST([1, 2]) AS e)", "a subquery used as a value must give at most one row.", None),
    ("SELECT CAST(s AS FLOAT64) FROM d.t", "Could not convert the string 'a' of the column s to FLOAT64.", "s AS"),
    ("INSERT INTO d.t (y) VALUES (1)", "the column y does not exist.", "y"),
    ("UPDATE d.t SET y = 1 WHERE TRUE", "the column y does not exist.", "y"),
    ("SELECT 1 UNION ALL SELECT 1, 2", "must have the same number of columns.", "UNION"),
    ("SELECT CAST('a' AS INT64)", "Could not convert the string 'a' to INT64.", "'a'"),
    ("SELECT MOD(x, 'abc') FROM d.t", "Could not convert the string 'abc' to INT64.", "'abc'"),
    ("SELECT REGEXP_EXTRACT(s, '(') FROM d.t", "the pattern is not valid: missing ).", None),
    ("SELECT CAST(x AS foo) FROM d.t", "foo is not a type that is known here.", "foo"),
    ("SELECT UNNEST(r) FROM d.t", "UNNEST must stand in FROM.", "UNNEST"),
    ("SELECT * FROM VECTOR_SEARCH(TABLE d.t, 'x', TABLE d.t)", "VECTOR_SEARCH is not available.", "d.t"[:1]),
    ("SELECT AI.GENERATE_BOOL('is it?')", "AI.GENERATE_BOOL is not available here: it asks a hosted model.", "AI.GEN"),
    ("SELECT ai.generate_bul('is it?')", "AI.GENERATE_BUL is not a function that is known here.", "ai.gen"),
    ("CREATE TABLE u AS SELECT x FRM d.t", "FRM must not stand here.", "FRM"),
    (
        "CREATE VIEW u AS\nSELECT x FROM d.t\n\nCREATE TABLE z AS SELECT 1 AS q",
        "CREATE must not stand here.",
        "CREATE T",
    ),
    ("INSERT INTO d.t (x) VALUES (1) CREATE TABLE z AS SELECT 1 AS q", "CREATE must not stand here.", "CREATE T"),
    ("CREATE TABLE u OPTION(description='a') AS SELECT 1 AS x", "OPTION must not stand here.", "OPTION"),
    ("CREATE TABLE p-1.d.u FOO 3 AS SELECT 1 AS x", "FOO must not stand here.", "FOO"),
    ("CREATE TABLE IF NOT EXIST u AS SELECT 1 AS x", "EXIST must not stand here.", "EXIST"),
    ("CREATE TABLE d.u", "CREATE TABLE must go on with columns or AS and a query after the name.", "d.u"),
    ("CREATE VIEW u AS", "CREATE VIEW must go on with AS and a query after the name.", "u AS"),
    ("CREATE TABLE AS SELECT 1 AS x", "AS must not stand here.", "AS SEL"),
    ("SELECT x FROM d.t GROUP x", "GROUP must be followed by BY.", "GROUP"),
    ("SELECT LAG(x) FROM d.t", "LAG must have an OVER clause.", "LAG"),
    ("SELECT x FROM d.t ORDER BY 3", "a number in ORDER BY must be that of a column, from 1 to 1.", "ORDER BY"),
    ("SELECT CAST(1e300 AS INT64)", "the value 1e+300 is out of range for INT64.", None),
    ("SELECT CAST('x' AS NUMERIC)", "Could not convert the string 'x' to NUMERIC.", "'x'"),
    ("SELECT ARRAY_CONCAT([1], ['a'])", "ARRAY<INT64> and ARRAY<STRING> must not be joined to one array.", None),
    ("SELECT 1 WHERE 1 IN UNNEST('a', 'b')", "its type is STRING, where ARRAY<INT64> is wanted.", "'a'"),
    ("SELECT * FROM FROM d.t", "FROM must be followed by a table.", "FROM FROM"),
    ("SELECT * FROM ( ML.CENTROIDS(MODEL d.m)", "this bracket must be closed.", "( ML"),
    ("SELECT 'WHERE )', x FROM d.t WHERE GROUP BY x", "WHERE must be followed by a condition.", "WHERE GROUP"),
    ("SELECT s, COUNT(*) FROM d.t GROUP BY ORDER BY s", "GROUP BY must be followed by a value.", "GROUP BY"),
    ("SELECT x FROM d.t WHERE x = 1 AND", "AND must be followed by a condition.", "AND"),
    ("SELECT CASE WHEN x > 1 THEN ELSE 2 END FROM d.t", "THEN must be followed by a value.", "THEN"),
    ("SELECT x FROM d.t JOIN ON TRUE", "JOIN must be followed by a table.", "JOIN"),
    ("SELECT FROM d.t", "SELECT must be followed by a column.", "SELECT"),
    ("SELECT * FROM SELECT x FROM d.t", "a query must stand in parentheses here.", "SELECT x"),
    ("CRATE OR REPLACE MODEL d.m OPTIONS(model_type='pca') AS SELECT 1", "CRATE must not stand here.", "CRATE"),
    ("SELECT x FROM d.t WHERE x = 1 GRUP BY x", "GRUP must not stand here.", "GRUP"),
    ("SELECT * FROM ML.PREDICT(MODEL d.m, TABLE d.t, STRUCT(JSON 'a' AS k))", "'a' is not a valid JSON.", "JSON 'a'"),
]


@pytest.mark.parametrize(("sql", "sentence", "place"), CASES)
def test_the_sentence_and_its_place(con: sqlml.Connection, sql: str, sentence: str, place: str | None) -> None:
    with pytest.raises(sqlml.Error) as caught:
        con.execute(sql).fetchall()
    assert sentence in str(caught.value)
    span = caught.value.span
    assert span is not None
    assert place is None or sql.startswith(place, span.start)
    internal = r"BIGINT|VARCHAR|DOUBLE|_LITERAL|sqlml_|Candidate|Binder|__|datediff|epoch_us|HUGEINT|memory\."
    assert not re.search(internal, str(caught.value))


HINTS = [
    ("SELECT * FROM e.t", "did you mean d.t?"),
    ("SELECT lowr(s) FROM d.t", "did you mean LOWER?"),
    ("SELECT t.s.b FROM (SELECT STRUCT(1 AS bb) AS s) AS t", "did you mean bb?"),
    ("SELECT x FROM d.t a JOIN d.t b ON TRUE", "write a.x or b.x."),
    ("SELECT * EXCEPT (ss) FROM d.t", "did you mean s?"),
    ("CREATE TABLE d.t AS SELECT 1 AS x", "CREATE OR REPLACE TABLE"),
    ("SELEC 1", "did you mean SELECT?"),
    ("SELECT x,\n  s\n  r\n  x\nFROM d.t", "a comma may be missing before it."),
    ("CREATE MODEL d.m OPTIONS(model_type='kmeans') AS\nSELECT x FROM d.t\n\nSELECT 2", "semicolon"),
]


@pytest.mark.parametrize(("sql", "hint"), HINTS)
def test_hints(con: sqlml.Connection, sql: str, hint: str) -> None:
    with pytest.raises(sqlml.Error) as caught:
        con.execute(sql).fetchall()
    assert hint in (caught.value.hint or "")


PLACES = [
    (
        "create modle d.m options(model_type='kmeans') as select 1 as a",
        "CREATE must be followed by MODEL",
        "modle",
        "MODEL",
    ),
    ("create or replce model d.m options(model_type='kmeans') as select 1 as a", "OR must be", "replce", "REPLACE"),
    ("create model d.m options(model_type='kmeans') select 1 as a", "AS must stand before", "select", "AS SELECT"),
    ("create model d.m options(model_type=kmeans) as select 1 as a", "Got the name kmeans", "kmeans)", "'kmeans'"),
    ("select * from ml.evaluate(d.m)", "d.m must be named as a MODEL or a TABLE", "d.m", "MODEL d.m"),
    ("select * from ml.predict(model d.m, d.t)", "d.t must be named as a MODEL or a TABLE", "d.t", "TABLE d.t"),
    ("select ml.predict(model d.m, table d.t)", "ML.PREDICT must stand in FROM", "ml.predict", "FROM ML.PREDICT"),
    ("select *\nform ml.weights(model d.m)", "form must not stand here", "form", "FROM"),
    ("selec * from ml.weights(model d.m)", "selec must not stand here", "selec", "SELECT"),
    ("select 1;\ndeclare x int65", "int65 is not a type", None, None),
    ("declare a int64;\ndeclare x int65;", "int65 is not a type", "int65", None),
]


@pytest.mark.parametrize(("sql", "sentence", "place", "hint"), PLACES)
def test_statements_about_models(
    caplog: pytest.LogCaptureFixture, sql: str, sentence: str, place: str | None, hint: str | None
) -> None:
    with sqlml.connect() as con:
        con.execute("CREATE SCHEMA d; CREATE TABLE d.t AS SELECT n AS a FROM UNNEST([1, 2, 3]) AS n")
        con.execute("CREATE MODEL d.m OPTIONS(model_type='kmeans', num_clusters=2) AS SELECT a FROM d.t")
        with pytest.raises(sqlml.Error) as caught:
            con.execute(sql).fetchall()
    assert sentence in str(caught.value)
    assert "__" not in str(caught.value)
    assert hint is None or hint in (caught.value.hint or "")
    assert caught.value.span is not None
    assert place is None or sql.startswith(place, caught.value.span.start)
    assert not caplog.records


@pytest.mark.parametrize("argument", ["TABLE a", "(SELECT * FROM a WHERE y > 1)"])
def test_a_wrong_name_in_a_with_clause_that_an_argument_refers_to(con, argument) -> None:
    con.execute("CREATE OR REPLACE TABLE s AS SELECT DATE '2024-01-01' AS t, 1.0 AS y")
    text = f"""SELECT 'nothing'; WITH a AS (SELECT t, y, nothing FROM s)
        SELECT * FROM ML.TREND({argument}, data_col => 'y', timestamp_col => 't')"""
    with pytest.raises(sqlml.Error, match="nothing does not exist") as error:
        con.execute(text)
    start, end = error.value.span.start, error.value.span.end
    assert text[start:end] == "nothing" and text[start - 6 : start] == "t, y, "
