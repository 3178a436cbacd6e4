"""What scripts do: variables, branches, loops, handlers, dynamic SQL, functions, procedures."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from sqlml.errors import DataError, Error, NameError, NotSupportedError, ParseError, ProgrammingError
from sqlml.script import is_script, parse
from tests.script.conftest import Script

RESULTS: list[tuple[str, Any]] = [
    # variables
    ("DECLARE x INT64; SELECT x", [(None,)]),
    ("DECLARE x, y INT64 DEFAULT 3; SET x = y + 1; SELECT x, y", [(4, 3)]),
    ("DECLARE d DATE DEFAULT '2020-02-29'; SELECT DATE_ADD(d, INTERVAL 1 YEAR)", [(dt.date(2021, 2, 28),)]),
    ("DECLARE x DEFAULT (SELECT MAX(v) FROM UNNEST([3, 1]) AS v); SELECT X + 1", [(4,)]),
    ("DECLARE f FLOAT64 DEFAULT 3; SELECT f / 2", [(1.5,)]),
    ("DECLARE s STRING DEFAULT 'it\\'s'; SELECT CONCAT(s, '!')", [("it's!",)]),
    ("DECLARE a ARRAY<STRING> DEFAULT ['p', 'q']; SELECT v FROM UNNEST(a) AS v ORDER BY v", [("p",), ("q",)]),
    ("DECLARE a ARRAY<INT64>; SET a = GENERATE_ARRAY(1, 3); SELECT 2 IN UNNEST(a), ARRAY_LENGTH(a)", [(True, 3)]),
    ("DECLARE s STRUCT<a INT64, b STRING>; SET s = (5, 'x'); SELECT s.a + 1, s.b", [(6, "x")]),
    ("DECLARE t TIMESTAMP DEFAULT TIMESTAMP '2020-01-01'; SELECT UNIX_SECONDS(t)", [(1577836800,)]),
    ("DECLARE b BYTES DEFAULT b'\\x00a'; SELECT TO_HEX(b)", [("0061",)]),
    ("DECLARE a, b INT64; SET (a, b) = (1 + 1, 7); SELECT a, b", [(2, 7)]),
    ("DECLARE a INT64; DECLARE b STRING; SET (a, b) = (SELECT AS STRUCT 5, 'q'); SELECT a, b", [(5, "q")]),
    ("DECLARE x INT64 DEFAULT 1; SET x = (SELECT x + 1); SELECT x AS total", [(2,)]),
    ("DECLARE `my var` INT64 DEFAULT 2; SELECT `my var` * 2", [(4,)]),
    ("DECLARE day INT64 DEFAULT 2; SELECT DATE_DIFF('2020-01-05', '2020-01-01', DAY) + day", [(6,)]),
    # columns win over variables
    ("DECLARE x INT64 DEFAULT 100; SELECT x FROM (SELECT 1 AS x)", [(1,)]),
    ("DECLARE lim INT64 DEFAULT 2; SELECT v FROM UNNEST([3, 2, 1]) AS v WHERE v <= lim ORDER BY v LIMIT lim", [(1,), (2,)]),
    ("DECLARE x INT64 DEFAULT 5; CREATE TEMP TABLE r AS SELECT x AS a; UPDATE r SET a = a + x WHERE TRUE; SELECT a FROM r", [(10,)]),
    ("DECLARE n INT64 DEFAULT 7; CREATE TEMP TABLE q (n INT64); INSERT INTO q VALUES (n), (n + 1); SELECT SUM(n) FROM q", [(15,)]),
    # branches
    ("DECLARE x INT64 DEFAULT 2; IF x > 2 THEN SELECT 'a'; ELSEIF x = 2 THEN SELECT 'b'; ELSE SELECT 'c'; END IF", [("b",)]),
    ("IF NULL THEN SELECT 'a'; ELSE SELECT 'c'; END IF", [("c",)]),
    ("IF EXISTS (SELECT 1 FROM UNNEST([1]) AS v WHERE v = 1) THEN SELECT 'yes'; END IF", [("yes",)]),
    ("CASE 3 WHEN 1 THEN SELECT 'a'; WHEN 1 + 2 THEN SELECT 'b'; END CASE", [("b",)]),
    ("CASE WHEN FALSE THEN SELECT 'a'; ELSE SELECT CASE WHEN TRUE THEN 'x' ELSE 'y' END; END CASE", [("x",)]),
    # loops
    ("DECLARE x INT64 DEFAULT 0; LOOP SET x = x + 1; IF x >= 10 THEN LEAVE; END IF; END LOOP; SELECT x", [(10,)]),
    ("DECLARE x INT64 DEFAULT 0; WHILE x < 5 DO SET x = x + 2; END WHILE; SELECT x", [(6,)]),
    ("DECLARE x INT64 DEFAULT 9; REPEAT SET x = x + 1; UNTIL x >= 3 END REPEAT; SELECT x", [(10,)]),
    (
        "DECLARE x, odd INT64 DEFAULT 0; WHILE x < 5 DO SET x = x + 1; IF MOD(x, 2) = 0 THEN CONTINUE; END IF;"
        " SET odd = odd + x; END WHILE; SELECT odd",
        [(9,)],
    ),
    (
        "DECLARE x INT64 DEFAULT 0; top: LOOP LOOP SET x = x + 1; IF x > 3 THEN BREAK top; END IF; END LOOP; END LOOP top;"
        " SELECT x",
        [(4,)],
    ),
    ("DECLARE t STRING DEFAULT ''; FOR r IN (SELECT w, n FROM UNNEST([STRUCT('a' AS w, 2 AS n), ('b', 1)]) ORDER BY n) DO"
     " SET t = CONCAT(t, REPEAT(r.w, r.n)); END FOR; SELECT t", [("baa",)]),
    ("FOR r IN (SELECT 1 AS a) DO FOR q IN (SELECT r.a + 1 AS b) DO SELECT r.a, q.b; END FOR; END FOR", [(1, 2)]),
    ("b: BEGIN SELECT 1; LEAVE b; SELECT 2; END", [(1,)]),
    ("SELECT 1; RETURN; SELECT 2", [(1,)]),
    # handlers
    ("BEGIN SELECT 1 / 0; EXCEPTION WHEN ERROR THEN SELECT @@error.message LIKE '%division by zero%'; END", [(True,)]),
    ("BEGIN SELECT 1 / 0; EXCEPTION WHEN ERROR THEN SELECT @@error.statement_text; END", [("SELECT 1 / 0",)]),
    (
        "BEGIN BEGIN RAISE USING MESSAGE = CONCAT('a', 'b'); EXCEPTION WHEN ERROR THEN RAISE; END;"
        " EXCEPTION WHEN ERROR THEN SELECT @@error.message; END",
        [("ab",)],
    ),
    ("BEGIN ASSERT 1 > 2 AS 'no more'; EXCEPTION WHEN ERROR THEN SELECT @@error.message; END", [("no more",)]),
    ("BEGIN CREATE TEMP TABLE h AS SELECT 1 AS x; EXCEPTION WHEN ERROR THEN SELECT 0; END; SELECT x FROM h", [(1,)]),
    # dynamic SQL
    ("DECLARE y INT64; EXECUTE IMMEDIATE 'SELECT ? * (? + 2)' INTO y USING 1, 3; SELECT y", [(5,)]),
    ("DECLARE y INT64; EXECUTE IMMEDIATE 'SELECT @a * (@b + 2)' INTO y USING 1 AS a, 3 AS b; SELECT y", [(5,)]),
    ("DECLARE t STRING DEFAULT 'dyn'; EXECUTE IMMEDIATE FORMAT('CREATE TEMP TABLE %s AS SELECT 4 AS v', t); SELECT v FROM dyn", [(4,)]),
    ("DECLARE a, b INT64; EXECUTE IMMEDIATE 'SELECT 1, 2' INTO a, b; SELECT a + b", [(3,)]),
    ("DECLARE a INT64 DEFAULT 9; EXECUTE IMMEDIATE 'SELECT 1 LIMIT 0' INTO a; SELECT a", [(None,)]),
    ("EXECUTE IMMEDIATE 'BEGIN DECLARE q INT64 DEFAULT 6; SELECT q; END'", [(6,)]),
    # functions
    ("CREATE TEMP FUNCTION half(x INT64) RETURNS FLOAT64 AS (x / 2); SELECT half(5) + half(x => 1)", [(3.0,)]),
    ("CREATE TEMP FUNCTION clean(s STRING) AS (LOWER(TRIM(s))); SELECT clean(v) FROM UNNEST([' A ']) AS v", [("a",)]),
    ("CREATE TEMP FUNCTION f(a ANY TYPE, b ANY TYPE) AS (IFNULL(a, b)); SELECT f(NULL, 3), f('x', 'y')", [(3, "x")]),
    ("CREATE SCHEMA IF NOT EXISTS fns; CREATE OR REPLACE FUNCTION fns.sq(x INT64) AS (x * x); SELECT fns.sq(3), `fns.sq`(2), p.fns.sq(4)", [(9, 4, 16)]),
    ("CREATE TEMP FUNCTION total(a ARRAY<INT64>) AS ((SELECT SUM(v) FROM UNNEST(a) AS v)); SELECT total([1, 2])", [(3,)]),
    ("CREATE OR REPLACE TABLE FUNCTION upto(n INT64) AS (SELECT v FROM UNNEST(GENERATE_ARRAY(1, n)) AS v); SELECT SUM(v) FROM upto(4)", [(10,)]),
    # procedures
    (
        "CREATE PROCEDURE ds.add(a INT64, OUT total INT64, INOUT seen INT64) BEGIN SET total = a + 1; SET seen = seen + a; END;"
        " DECLARE t INT64; DECLARE s INT64 DEFAULT 10; CALL ds.add(5, t, s); SELECT t, s",
        [(6, 15)],
    ),
    (
        "CREATE OR REPLACE PROCEDURE fact(n INT64, OUT r INT64) BEGIN IF n <= 1 THEN SET r = 1; ELSE"
        " CALL fact(n - 1, r); SET r = r * n; END IF; END; DECLARE r INT64; CALL fact(5, r); SELECT r",
        [(120,)],
    ),
    ("CREATE PROCEDURE show() BEGIN SELECT 'shown'; RETURN; SELECT 'never'; END; CALL show()", [("shown",)]),
    # transactions
    (
        "CREATE TEMP TABLE tx (v INT64); BEGIN TRANSACTION; INSERT INTO tx VALUES (1); ROLLBACK TRANSACTION;"
        " SELECT COUNT(*) FROM tx",
        [(0,)],
    ),
    ("CREATE TEMP TABLE ty (v INT64); BEGIN; INSERT INTO ty VALUES (1); COMMIT; SELECT COUNT(*) FROM ty", [(1,)]),
]  # fmt: skip


@pytest.mark.parametrize("text, expected", RESULTS, ids=[r[0][:80] for r in RESULTS])
def test_result(script: Script, text: str, expected: Any) -> None:
    assert script(text) == expected


def test_every_statement_has_its_result(script: Script) -> None:
    assert script.all("DECLARE x INT64 DEFAULT 0; REPEAT SET x = x + 1; SELECT x; UNTIL x >= 3 END REPEAT;") == [
        [(1,)],
        [(2,)],
        [(3,)],
    ]


def test_names_of_columns(script: Script) -> None:
    script("DECLARE x INT64 DEFAULT 1; SELECT x, x + 1, x AS y")
    assert [d[0] for d in script.host.con.description] == ["x", "f0_", "y"]


def test_parameters_of_the_caller(script: Script) -> None:
    text = "DECLARE x INT64 DEFAULT @start; WHILE x < @stop DO SET x = x + 2; END WHILE; SELECT x"
    assert script(text, {"start": 1, "stop": 6}) == [(7,)]


def test_variables_end_with_their_block(script: Script) -> None:
    with pytest.raises(NameError, match="y"):
        script("BEGIN DECLARE y INT64 DEFAULT 1; END; SELECT y")
    with pytest.raises(ProgrammingError, match="declared only once"):
        script("DECLARE x INT64; BEGIN DECLARE X STRING; END")
    assert script("DECLARE x INT64 DEFAULT 1; BEGIN DECLARE y INT64 DEFAULT 5; SET x = y; END; SELECT x") == [(5,)]


def test_procedures_do_not_see_the_variables_of_the_caller(script: Script) -> None:
    with pytest.raises(NameError, match="hidden"):
        script("CREATE PROCEDURE peek() BEGIN SELECT hidden; END; DECLARE hidden INT64 DEFAULT 1; CALL peek()")


@pytest.mark.parametrize(
    "text, error, message, place",
    [
        ("DECLARE x INT64; SELECT 1 / 0", ProgrammingError, "division by zero", "SELECT 1 / 0"),
        ("IF 5 THEN SELECT 1; END IF", ProgrammingError, "TRUE or FALSE", "5"),
        ("RAISE USING MESSAGE = 'stop'", ProgrammingError, "^ProgrammingError: stop", "RAISE USING MESSAGE = 'stop'"),
        ("RAISE", ProgrammingError, "in an exception handler", "RAISE"),
        ("ASSERT 1 > 2", DataError, "the assertion 1 > 2 does not hold", "1 > 2"),
        ("ASSERT (SELECT COUNT(*) FROM UNNEST([1])) > 2 AS 'few rows'", DataError, "few rows", None),
        ("DECLARE x INT64; BREAK", ProgrammingError, "BREAK must stand inside a loop", "BREAK"),
        ("DECLARE abc INT64; CALL nothing(1)", NameError, "the procedure nothing does not exist", "CALL nothing(1)"),
        ("DECLARE x INT64; EXECUTE IMMEDIATE 5", ProgrammingError, "must be a STRING", "5"),
        ("DECLARE x INT64; EXECUTE IMMEDIATE 'SELECT 1 UNION ALL SELECT 2' INTO x", DataError, "at most one row", None),
        ("DECLARE x INT64; EXECUTE IMMEDIATE 'SELECT 1, 2' INTO x", ProgrammingError, "one variable for each", None),
        ("DECLARE x INT64; SET (x, y) = (1, 2)", NameError, "the variable y is not declared", None),
        ("DECLARE x INT64; SET (x) = (1, 2)", ParseError, "must have 1 values", None),
        ("DECLARE total INT64; EXECUTE IMMEDIATE 'SELECT 1' INTO totl", NameError, "did you mean total", None),
        ("DECLARE x", ParseError, "must follow", None),
        ("IF TRUE THEN SELECT 1;", ParseError, "END IF must follow", None),
        ("WHILE TRUE SELECT 1; END WHILE", ParseError, "must follow", None),
        ("a: LOOP BREAK; END LOOP b", ParseError, "must be that of the block", "b"),
        (
            "CREATE TEMP FUNCTION f(x INT64) RETURNS INT64 LANGUAGE js AS 'return x'",
            NotSupportedError,
            "SQL",
            "LANGUAGE",
        ),
        ("DECLARE x RANGE<DATE>", NotSupportedError, "RANGE<DATE>", "DECLARE x RANGE<DATE>"),
        ("DECLARE x INT64 DEFAULT 'abc'", Error, "Could not convert", "DECLARE x INT64 DEFAULT 'abc'"),
    ],
)
def test_errors(script: Script, text: str, error: type[Error], message: str, place: str | None) -> None:
    with pytest.raises(error, match=message) as caught:
        script(text)
    if place is not None:
        assert caught.value.span is not None
        assert text[caught.value.span.start : caught.value.span.end] == place


def test_an_error_in_dynamic_sql_shows_that_text(script: Script) -> None:
    with pytest.raises(Error) as caught:
        script("DECLARE x INT64;\nEXECUTE IMMEDIATE 'SELECT nowhere'")
    assert caught.value.source == "SELECT nowhere"


def test_what_is_a_script() -> None:
    yes = ["DECLARE x INT64", "SET x = 1", "BEGIN SELECT 1; END", "SELECT 1; IF TRUE THEN SELECT 2; END IF",
           "CREATE TEMP FUNCTION f() AS (1)", "l: LOOP BREAK; END LOOP", "-- c\nCALL p()", "EXECUTE IMMEDIATE 'x'"]  # fmt: skip
    no = ["SELECT 1; SELECT 2", "BEGIN; SELECT 1; COMMIT", "BEGIN TRANSACTION; COMMIT", "SET sqlml.dialect = 'duckdb'",
          "SELECT CASE WHEN TRUE THEN 1 END", "CREATE TABLE t (x INT64)", "SELECT IF(TRUE, 1, 2)", "SELECT 'DECLARE x'",
          "CREATE MODEL m OPTIONS (model_type = 'linear_reg') AS SELECT 1", "SET VARIABLE x = 1"]  # fmt: skip
    assert [t for t in yes if not is_script(t)] == []
    assert [t for t in no if is_script(t)] == []


def test_places_of_the_nodes() -> None:
    text = "DECLARE x INT64; /* ; */ SELECT ';' AS a -- ;\n; IF x > 1 THEN SELECT 2; END IF;"
    nodes = parse(text)
    assert [text[n.span.start : n.span.end] for n in nodes] == [
        "DECLARE x INT64",
        "SELECT ';' AS a",
        "IF x > 1 THEN SELECT 2; END IF",
    ]
